/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Directories that are added to running namespaces and containers, at the very place where they are wanted.
 * What runs inside may mount nothing; the keeper, which is root outside, does it from there. libc only.
 *
 * How it works
 *
 * The source is copied as for the door. Then the keeper, which has one thread, joins the mount namespace of
 * the agent, makes the mount point, mounts, and comes back. It never executes anything meanwhile. Paths
 * inside are resolved below the agent's root, whatever links there are: the worst that they can do is to put
 * the directory elsewhere inside. The mount itself is kept as a descriptor, so that what is taken away is
 * what was added.
 *
 * The root directory of both is a tmpfs that is mounted read-only; a mount point that is missing in it is
 * made through a copy of that mount which is not. In a container this is nspawn's own view of it: the
 * container's would be locked. Nothing else that is read-only is written to. */
#pragma once

#include <sys/types.h>

#include "vmctl/stage.h"

enum { KEEPER_ENTER_MAX = 64, KEEPER_ENTER_NAME_MAX = 64, KEEPER_NODE_MAX = 31 };

typedef struct {
  int mounts[KEEPER_ENTER_MAX]; /* owned; detached or mounted inside; valid where the name is not empty, and
                                   no node */
  char names[KEEPER_ENTER_MAX][KEEPER_ENTER_NAME_MAX + 1];
  char nodes[KEEPER_ENTER_MAX][KEEPER_NODE_MAX + 1]; /* where a device is; empty: a mount */
} KeeperEnter;

/* The child that the keeper started, below which the agent is to be found. */
typedef struct {
  pid_t child;
  const Stage *stage; /* borrowed; of a container; NULL: namespaces */
  const char *root;   /* borrowed; where the child has the container's root directory; NULL */
} KeeperInside;

/* `source` absolute and without symbolic links, `target` absolute. `name` is for keeper_enter_unbind. 0; -1
 * with errno (EEXIST: the name is taken). */
int keeper_enter_bind (KeeperEnter *enter, const KeeperInside *inside, const char *source, const char *name,
                       const char *target, int read_only);
/* A device's node (vmctl/keeper-device.h). 0; -1 with errno. */
int keeper_enter_device (KeeperEnter *enter, const KeeperInside *inside, int opened, const char *source,
                         const char *name, const char *target);
int keeper_enter_unbind (KeeperEnter *enter, const KeeperInside *inside, const char *name);
