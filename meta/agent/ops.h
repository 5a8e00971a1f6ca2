/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The operations of the meta dir's `mounts` (meta/format.h). */
#pragma once

#include "meta/agent/metaread.h"
#include "meta/agent/mounts.h"
#include "meta/agent/relays.h"

typedef struct {
  const Tree *tree;
  int meta_fd, share_fd; /* the meta dir; the root of the rw share */
  Relays *relays;        /* gets the sockets */
  bool here;             /* no VM: nothing but `file` and `relay` */
  bool was_root;         /* acts as the tree's user now, and may be root again */
} Ops;

/* One of them, later: what the rw share has at `name` also at `target`, "ro" or "rw". 0 or -errno. */
int ops_bind (const Ops *ops, const char *name, const char *target, const char *access);
/* In order, until one fails. */
int ops_run (const Ops *ops, const Meta *meta, Why *why);
