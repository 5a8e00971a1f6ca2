/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The root directory of a sandbox, built by the keeper in a mount namespace of its own. libc only.
 *
 * How it works
 *
 * Nothing is on disk: the tree is a tmpfs that only the keeper and what it starts can see, and that goes with
 * them, whatever is killed when.
 *
 * For a container the keeper is root, and no path of the host's is resolved by it: what is let in comes as
 * descriptors that the user's own process has opened, so root adds no right to it. A keeper with no more
 * rights than the user, root of a user namespace only, takes paths (`by_path`): a descriptor of another mount
 * namespace would be of no use there. bubblewrap then has one mount to make instead of a hundred, for each of
 * which it reads the list of all. What lies inside the
 * project (pins, protected paths) is found from the project's own mount, and no symbolic link is followed on
 * the way: whoever changes the project meanwhile gets a refusal, not another's file.
 *
 * The list is groups of five words, each ended by NUL: KIND TARGET MODE OWNER VALUE.
 *
 *   dir      target  mode  root|user  -
 *   tmpfs    target  mode  root|user  its size in bytes
 *   link     target  -     -          the text
 *   file     target  mode  root|user  a descriptor with the content
 *   ro, rw   target  -     dir|file   a descriptor, or with `by_path` a path; the owner then has no meaning
 *   dev      target  -     dir|file   the same: a device, or a directory of them
 *   try      target  -     -          as ro, if the path is there
 *   pin      target  -     -          -             bound onto itself: it cannot be renamed away
 *   protect  target  -     -          -             the same, read-only
 *
 * With `shift`, the tree is for a user namespace whose ids start there; mounts are id-mapped. On a read-write
 * mount only the user's own id is mapped, so that not even the container's root can make files of another's
 * (root's, set-user-ID) on the host. */
#pragma once

#include <stddef.h>

typedef struct {
  unsigned uid, gid; /* of the plan's user, inside and on the host */
  unsigned shift;    /* 0: ids are the host's own */
  int by_path;       /* the values of mounts are paths */
  int open_ended;    /* more is mounted in it later, by others: it is not made read-only */
  char *words;       /* owned */
  size_t size;
  int *trees;                 /* owned; detached mounts, one a group; -1: none */
  size_t n;                   /* groups */
  int root;                   /* owned; the root directory */
  const char *program;        /* borrowed; NULL, or a file that is let in, whatever the list says ... */
  const char *program_target; /* ... and where */
  int program_tree;           /* owned */
} Stage;

/* Reads the list from `fd` and copies the mounts that it names. Before the caller has a mount namespace of
 * its own. Where an id-mapped mount is needed and the kernel or the file system cannot, `shift` becomes 0. 0,
 * or -1 and a message on stderr, as below. */
int stage_open (Stage *stage, int fd);
/* Makes the tree and mounts it at `path` (a directory). In the caller's own mount namespace. */
int stage_build (Stage *stage, const char *path);
/* With `shift`: a detached mount that came later, id-mapped as a read-write one of the list. 0, or -1 with
 * errno. */
int stage_map_ids (const Stage *stage, int tree);
/* A tmpfs over a directory that exists. */
int stage_cover (const char *path);
