/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The operations of the meta dir's `mounts` (meta/format.h). */
#pragma once

#include "meta/agent/metaread.h"
#include "meta/agent/mounts.h"
#include "meta/agent/relays.h"

/* In an image with systemd the first process does what is to be there before that starts, and the service the
 * rest: a descriptor does not outlive the first, nor a file in /tmp systemd's cleaning. */
typedef enum { OPS_ALL, OPS_MOUNTS, OPS_SOCKETS } OpsPart;

typedef struct {
  const Tree *tree;
  OpsPart part;
  const Tree *lower;     /* the read-only share, for an image; NULL: there is none */
  int meta_fd, share_fd; /* the meta dir; the root of the rw share */
  Relays *relays;        /* gets the sockets */
  bool here;             /* no VM: nothing but `file` and `relay` */
  bool was_root;         /* acts as the tree's user now, and may be root again */
} Ops;

/* One of them, later: what the rw share has at `name` also at `target`, "ro" or "rw". 0 or -errno. */
int ops_bind (const Ops *ops, const char *name, const char *target, const char *access);
/* In order, until one fails. */
int ops_run (const Ops *ops, const Meta *meta, Why *why);
