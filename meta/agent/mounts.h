/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Making things below the sandbox's new root. Every path is resolved with that root as "/", links included,
 * so nothing that a project contains leads outside. Descriptors returned are O_PATH. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define SETUP_ROOT "/newroot"

typedef struct {
  int root; /* O_PATH, the new root */
  uid_t uid;
  gid_t gid;
  const char *home;
} Tree;

int tree_open (const Tree *tree, const char *path, int flags); /* a descriptor or -errno */
/* The directory, made with its parents where missing: root's, or the user's below the home. */
int tree_make_dirs (const Tree *tree, const char *path);
int tree_make_file (const Tree *tree, const char *path); /* an empty file likewise, if there is none */
/* The directory of `path`, made; *ret_name: the last component (inside `path`). */
int tree_parent (const Tree *tree, const char *path, const char **ret_name);
bool tree_below_home (const Tree *tree, const char *path);

int fd_set_owner (int fd, uid_t uid, gid_t gid, mode_t mode); /* of an O_PATH descriptor */

enum { MOUNT_PLAIN = 0x2 | 0x4 }; /* MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV */

/* A new file system that is mounted nowhere yet, options separated by commas: a descriptor or -errno. */
int mount_make (const char *type, const char *source, const char *options, unsigned attr);
int mount_attach (int mount_fd, int target);
/* Both at once, at a descriptor, or in the tree at `path` (made). */
int mount_new_at (const char *type, const char *source, const char *options, unsigned attr, int target);
int mount_new (const Tree *tree, const char *type, const char *source, const char *options, unsigned attr,
               const char *path);
/* What `source` is (with what is mounted below it) also at `target`. */
int mount_bind_at (int source, unsigned attr, int target);
/* What the tree has directly in a directory that something else is mounted over (NixOS keeps its system in
 * /run) is shown in that again, but for `except`. `lower`: the directory in the tree, to be listed; `under`
 * and `over`: it in the new root, without the mount and with it. */
void mount_carry_over (const char *lower, int under, int over, const char *except);
