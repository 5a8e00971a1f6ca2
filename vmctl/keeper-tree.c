/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/keeper-tree.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "vmctl/keeper-fd.h"
#include "vmctl/stage.h"

int
keeper_tree_option (KeeperTree *tree, const char *name, const char *value)
{
  if (strcmp (name, "--tree-at") == 0) {
    tree->at = value;
    return *value == '/' ? 1 : -1;
  }
  return strcmp (name, "--tree") == 0 ? keeper_fd_option (value, &tree->list) : 0;
}

/* All ids are ours, which are 0 in an ordinary user's namespace: bubblewrap gives them the plan's numbers. */
int
keeper_tree_make (const KeeperTree *tree)
{
  Stage stage = {.by_path = 1, .open_ended = 1, .program_tree = -1, .root = -1};

  if (tree->list < 0)
    return 0;
  if (tree->at == NULL || (mkdir (tree->at, 0700) < 0 && errno != EEXIST)) {
    fprintf (stderr, "vmctl-keeper: cannot make the directory '%s': %s\n", tree->at != NULL ? tree->at : "",
             strerror (errno));
    return -1;
  }
  return stage_open (&stage, tree->list) < 0 ? -1 : stage_build (&stage, tree->at);
}
