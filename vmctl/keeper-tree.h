/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The tree that bubblewrap takes as its root, by one mount. libc only.
 *
 *   --tree FD      the list (vmctl/stage.h), with paths for what is mounted
 *   --tree-at DIR  where: a directory that nobody else uses; made if it is not there
 *
 * It is in the keeper's own mount namespace, and goes with it. */
#pragma once

typedef struct {
  int list; /* -1: none */
  const char *at;
} KeeperTree;

/* 1: it was one of the above; 0: it is another's; -1: its value is wrong. */
int keeper_tree_option (KeeperTree *tree, const char *name, const char *value);
/* In the keeper's mount namespace, whose mounts come from no other. 0, or -1 (said on stderr). */
int keeper_tree_make (const KeeperTree *tree);
