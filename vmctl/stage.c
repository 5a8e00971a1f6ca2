/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmctl/idmap.h"
#include "vmctl/keeper-fd.h"

enum {
  WORDS = 5,
  KIND = 0,
  TARGET,
  MODE,
  OWNER,
  VALUE,
  SIZE_MAX_BYTES = 1 << 24,
  GROUPS_MAX = 4096,
  RANGE = 65536
};

typedef const char *Group[WORDS];

static int
fail (const char *what, const char *path)
{
  fprintf (stderr, "vmctl-keeper: %s '%s': %s\n", what, path, strerror (errno));
  return -1;
}

/* The list */

static int
read_words (Stage *stage, int fd)
{
  off_t size = lseek (fd, 0, SEEK_END);
  size_t n = 0;

  if (size <= 0 || size > SIZE_MAX_BYTES)
    return -1;
  stage->words = malloc ((size_t)size + 1);
  if (stage->words == NULL || pread (fd, stage->words, (size_t)size, 0) != size)
    return -1;
  stage->words[size] = '\0';
  stage->size = (size_t)size;
  for (size_t i = 0; i < stage->size; i++)
    n += stage->words[i] == '\0';
  if (stage->words[stage->size - 1] != '\0' || n % WORDS != 0 || n / WORDS > GROUPS_MAX)
    return -1;
  stage->n = n / WORDS;
  stage->trees = malloc (stage->n * sizeof *stage->trees);
  for (size_t i = 0; stage->trees != NULL && i < stage->n; i++)
    stage->trees[i] = -1;
  return stage->trees != NULL ? 0 : -1;
}

/* Steps to the next group; false at the end. */
static bool
next_group (const Stage *stage, const char **at, Group group)
{
  if (*at == NULL)
    *at = stage->words;
  if (*at >= stage->words + stage->size)
    return false;
  for (int i = 0; i < WORDS; i++) {
    group[i] = *at;
    *at += strlen (*at) + 1;
  }
  return true;
}

static bool
is (const char *a, const char *b)
{
  return strcmp (a, b) == 0;
}

static bool
is_bind (const Group group)
{
  return is (group[KIND], "ro") || is (group[KIND], "rw") || is (group[KIND], "dev") ||
         is (group[KIND], "try");
}

static int
descriptor_of (const Group group)
{
  char *end;
  long fd = strtol (group[VALUE], &end, 10);

  if (*group[VALUE] != '\0' && *end == '\0' && fd >= 3 && fd <= INT_MAX)
    return (int)fd;
  errno = EBADF;
  return -1;
}

/* Id-mapped mounts */

static int
set_attributes (int tree, unsigned long long set, int userns)
{
  /* Slave: what is mounted on it here must not show up on the host. */
  struct mount_attr attr = {.attr_set = set, .propagation = MS_SLAVE};

  if (userns >= 0) {
    attr = (struct mount_attr){.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (unsigned long long)userns};
  }
  return (int)syscall (SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof attr);
}

enum { CLONE_FLAGS = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE };

static int
clone_tree (int fd)
{
  return (int)syscall (SYS_open_tree, fd, "", AT_EMPTY_PATH | CLONE_FLAGS);
}

static int
clone_source (const Stage *stage, const Group group)
{
  int fd;

  if (stage->by_path)
    return (int)syscall (SYS_open_tree, AT_FDCWD, group[VALUE], CLONE_FLAGS);
  fd = descriptor_of (group);
  return fd < 0 ? -1 : clone_tree (fd);
}

/* 0; -1: failed; 1: this one cannot be id-mapped. */
static int
open_one (const Stage *stage, const Group group, int userns, int *ret_tree)
{
  bool device = is (group[KIND], "dev"), read_only = !device && !is (group[KIND], "rw");
  unsigned long long attributes = MOUNT_ATTR_NOSUID | (device ? 0 : MOUNT_ATTR_NODEV);
  int tree = clone_source (stage, group);

  if (tree < 0 && errno == ENOENT && is (group[KIND], "try"))
    return 0;
  if (tree < 0)
    return fail ("cannot let in", group[TARGET]);
  *ret_tree = tree;
  if (set_attributes (tree, attributes | (read_only ? MOUNT_ATTR_RDONLY : 0), -1) < 0)
    return fail ("cannot restrict", group[TARGET]);
  /* What can only be read looks like nobody's then, and that is all. */
  return userns < 0 || set_attributes (tree, 0, userns) == 0 || read_only || device ? 0 : 1;
}

static void
close_trees (Stage *stage)
{
  for (size_t i = 0; i < stage->n; i++) {
    (void)keeper_fd_let_go (stage->trees[i]);
    stage->trees[i] = -1;
  }
  (void)keeper_fd_let_go (stage->program_tree);
  stage->program_tree = -1;
}

/* By the path that root was started from. */
static int
open_program (Stage *stage, int userns)
{
  stage->program_tree =
      (int)syscall (SYS_open_tree, AT_FDCWD, stage->program, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  if (stage->program_tree < 0 ||
      set_attributes (stage->program_tree, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_RDONLY, -1) < 0)
    return fail ("cannot let in", stage->program);
  if (userns >= 0)
    (void)set_attributes (stage->program_tree, 0, userns);
  return 0;
}

/* By the two maps; -1: none. */
static int
open_all (Stage *stage, int full, int own)
{
  const char *at = NULL;
  Group group;
  int r = stage->program != NULL ? open_program (stage, full) : 0;

  for (size_t i = 0; r == 0 && next_group (stage, &at, group); i++)
    if (is_bind (group))
      r = open_one (stage, group, is (group[KIND], "ro") ? full : own, &stage->trees[i]);
  return r;
}

/* 0; -1: failed; 1: the kernel or a file system has no id-mapped mounts. */
static int
open_mapped (Stage *stage)
{
  const IdmapWords words[] = {idmap_words (0, 0, stage->shift, RANGE),
                              idmap_words (stage->uid, stage->gid, stage->shift, 1)};
  int maps[2], r;

  if (idmap_make (words, 2, maps) < 0)
    return 1;
  r = open_all (stage, maps[0], maps[1]);
  (void)keeper_fd_let_go (maps[0]);
  (void)keeper_fd_let_go (maps[1]);
  return r;
}

int
stage_open (Stage *stage, int fd)
{
  int r;

  if (read_words (stage, fd) < 0) {
    fprintf (stderr, "vmctl-keeper: the list of the root directory is broken\n");
    return -1;
  }
  r = stage->shift != 0 ? open_mapped (stage) : 1;
  if (r != 1)
    return r;
  close_trees (stage);
  stage->shift = 0;
  return open_all (stage, -1, -1);
}

int
stage_map_ids (const Stage *stage, int tree)
{
  const IdmapWords words = idmap_words (stage->uid, stage->gid, stage->shift, 1);
  int map = -1, r = idmap_make (&words, 1, &map);

  if (r == 0)
    r = set_attributes (tree, 0, map);
  (void)keeper_fd_let_go (map);
  return r;
}

/* The tree */

static int
open_inside (const Stage *stage, const char *path, unsigned long long flags, unsigned long long resolve)
{
  struct open_how how = {.flags = flags | O_PATH | O_CLOEXEC, .resolve = resolve | RESOLVE_IN_ROOT};

  return (int)syscall (SYS_openat2, stage->root, path, &how, sizeof how);
}

/* Below what is read-write things are made as the user makes them, and no link is followed: it may be
 * changed by others meanwhile. */
static bool
is_users (const Stage *stage, const char *path)
{
  const char *at = NULL;
  Group group;

  while (next_group (stage, &at, group)) {
    size_t n = strlen (group[TARGET]);
    if (is (group[KIND], "rw") && strncmp (path, group[TARGET], n) == 0 && path[n] == '/')
      return true;
  }
  return false;
}

/* A directory that nobody has asked for is the user's where the one above it is. */
static bool
is_below_users (const Stage *stage, const char *path)
{
  const char *at = NULL;
  Group group;

  while (next_group (stage, &at, group)) {
    size_t n = strlen (group[TARGET]);
    if ((is (group[KIND], "dir") || is (group[KIND], "tmpfs")) && is (group[OWNER], "user") &&
        strncmp (path, group[TARGET], n) == 0 && path[n] == '/')
      return true;
  }
  return false;
}

static void
act_as (const Stage *stage, bool user)
{
  (void)setfsgid (user ? stage->shift + stage->gid : 0);
  (void)setfsuid (user ? stage->shift + stage->uid : 0);
}

static int
make_parent (const Stage *stage, int dir, const char *prefix)
{
  const char *name = strrchr (prefix, '/') + 1;
  bool user = is_below_users (stage, prefix);

  if (mkdirat (dir, name, 0755) < 0)
    return -1;
  return is_users (stage, prefix) ? 0
                                  : fchownat (dir, name, stage->shift + (user ? stage->uid : 0),
                                              stage->shift + (user ? stage->gid : 0), AT_SYMLINK_NOFOLLOW);
}

static int
make_parents (const Stage *stage, const char *path, unsigned long long resolve)
{
  char prefix[PATH_MAX];
  int parent = open_inside (stage, "/", O_DIRECTORY, 0);
  const char *name = path + 1, *slash;

  while (parent >= 0 && (slash = strchr (name, '/')) != NULL) {
    int fd;

    (void)snprintf (prefix, sizeof prefix, "%.*s", (int)(slash - path), path);
    fd = open_inside (stage, prefix, O_DIRECTORY, resolve);
    if (fd < 0 && errno == ENOENT && make_parent (stage, parent, prefix) == 0)
      fd = open_inside (stage, prefix, O_DIRECTORY, resolve);
    (void)keeper_fd_let_go (parent);
    parent = fd;
    name = slash + 1;
  }
  return parent;
}

/* The directory that `path` is to be in, made if need be, and where its last name begins. */
static int
open_parent (const Stage *stage, const char *path, const char **ret_name)
{
  char prefix[PATH_MAX];
  unsigned long long resolve = is_users (stage, path) ? RESOLVE_NO_SYMLINKS : 0;
  int parent;

  *ret_name = strrchr (path, '/') + 1;
  (void)snprintf (prefix, sizeof prefix, "%.*s", (int)(*ret_name - path), path);
  parent = open_inside (stage, prefix, O_DIRECTORY, resolve);
  return parent < 0 && errno == ENOENT ? make_parents (stage, path, resolve) : parent;
}

static unsigned
mode_of (const Group group)
{
  return (unsigned)strtoul (group[MODE], NULL, 8) & 07777;
}

static int
own (const Stage *stage, int dir, const char *name, const Group group)
{
  bool user = is (group[OWNER], "user");
  unsigned uid = stage->shift + (user ? stage->uid : 0), gid = stage->shift + (user ? stage->gid : 0);

  return fchownat (dir, name, uid, gid, AT_SYMLINK_NOFOLLOW);
}

static int
make_dir (const Stage *stage, int parent, const char *name, const Group group)
{
  if (mkdirat (parent, name, 0700) < 0 && errno != EEXIST)
    return -1;
  if (is_users (stage, group[TARGET]))
    return 0;
  return own (stage, parent, name, group) < 0 ? -1 : fchmodat (parent, name, mode_of (group), 0);
}

static int
copy (int from, int to)
{
  char block[16384];
  off_t at = 0;
  ssize_t n;

  while ((n = pread (from, block, sizeof block, at)) > 0) {
    if (write (to, block, (size_t)n) != n)
      return -1;
    at += n;
  }
  return (int)n;
}

static int
make_file (const Stage *stage, int parent, const char *name, const Group group)
{
  int fd = openat (parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600), r = -1;

  if (fd >= 0 && copy (descriptor_of (group), fd) == 0 && fchmod (fd, mode_of (group)) == 0)
    r = own (stage, parent, name, group);
  (void)keeper_fd_let_go (fd);
  return r;
}

static int
make_tmpfs (const Stage *stage, const Group group)
{
  /* nspawn makes its device nodes in /dev. */
  unsigned attributes = MOUNT_ATTR_NOSUID | (is (group[TARGET], "/dev") ? 0 : MOUNT_ATTR_NODEV);
  bool user = is (group[OWNER], "user");
  int fs = (int)syscall (SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC), tree = -1;
  char uid[16], gid[16], mode[16];

  (void)snprintf (uid, sizeof uid, "%u", stage->shift + (user ? stage->uid : 0));
  (void)snprintf (gid, sizeof gid, "%u", stage->shift + (user ? stage->gid : 0));
  (void)snprintf (mode, sizeof mode, "0%o", mode_of (group));
  if (fs >= 0 && syscall (SYS_fsconfig, fs, FSCONFIG_SET_STRING, "size", group[VALUE], 0) == 0 &&
      syscall (SYS_fsconfig, fs, FSCONFIG_SET_STRING, "mode", mode, 0) == 0 &&
      syscall (SYS_fsconfig, fs, FSCONFIG_SET_STRING, "uid", uid, 0) == 0 &&
      syscall (SYS_fsconfig, fs, FSCONFIG_SET_STRING, "gid", gid, 0) == 0 &&
      syscall (SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
    tree = (int)syscall (SYS_fsmount, fs, FSMOUNT_CLOEXEC, attributes);
  (void)keeper_fd_let_go (fs);
  return tree;
}

static int
attach (int tree, int target)
{
  return (int)syscall (SYS_move_mount, tree, "", target, "",
                       MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

/* What is mounted there must be of the same kind as what is mounted on. */
static int
make_mount_point (int parent, const char *name, bool is_dir)
{
  int fd;

  if (is_dir)
    return mkdirat (parent, name, 0755) < 0 && errno != EEXIST ? -1 : 0;
  fd = openat (parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
  if (fd < 0)
    return errno == EEXIST ? 0 : -1;
  return close (fd);
}

static bool
is_file (const Stage *stage, const Group group, int tree)
{
  struct stat st;

  if (!stage->by_path || !is_bind (group))
    return is (group[OWNER], "file");
  return fstat (tree, &st) == 0 && !S_ISDIR (st.st_mode);
}

static int
mount_at (const Stage *stage, int parent, const char *name, const Group group, int tree)
{
  int target, r;

  if (tree < 0 || make_mount_point (parent, name, !is_file (stage, group, tree)) < 0)
    return -1;
  target = openat (parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (target < 0)
    return -1;
  if (stage->shift != 0 && !is_users (stage, group[TARGET]))
    (void)fchownat (parent, name, stage->shift, stage->shift, AT_SYMLINK_NOFOLLOW);
  r = attach (tree, target);
  (void)keeper_fd_let_go (target);
  return r;
}

/* Found from the project's mount in the tree: nothing outside it can be what is found. */
static int
protect (const Stage *stage, const Group group, bool read_only)
{
  int target = open_inside (stage, group[TARGET], O_NOFOLLOW, RESOLVE_NO_SYMLINKS), tree = -1, r = -1;
  struct stat st;

  if (target >= 0 && fstat (target, &st) == 0 && S_ISLNK (st.st_mode))
    errno = ELOOP;
  else if (target >= 0)
    tree = clone_tree (target);
  if (tree >= 0 && set_attributes (tree, read_only ? MOUNT_ATTR_RDONLY : 0, -1) == 0)
    r = attach (tree, target);
  (void)keeper_fd_let_go (tree);
  (void)keeper_fd_let_go (target);
  if (r < 0 && (errno == ELOOP || errno == ENOENT || errno == ENOTDIR))
    fprintf (stderr, "vmctl-keeper: the protected path '%s' was changed while the sandbox started\n",
             group[TARGET]);
  return r;
}

static int
make_one (const Stage *stage, const Group group, int tree)
{
  const char *name;
  int parent = open_parent (stage, group[TARGET], &name), r = -1, fs = -1;

  if (parent < 0)
    return -1;
  if (is (group[KIND], "dir"))
    r = make_dir (stage, parent, name, group);
  else if (is (group[KIND], "file"))
    r = make_file (stage, parent, name, group);
  else if (is (group[KIND], "link"))
    r = symlinkat (group[VALUE], parent, name) == 0 ? own (stage, parent, name, group) : -1;
  else if (is (group[KIND], "tmpfs"))
    r = mount_at (stage, parent, name, group, fs = make_tmpfs (stage, group));
  else if (is_bind (group))
    r = mount_at (stage, parent, name, group, tree);
  else
    errno = EINVAL;
  (void)keeper_fd_let_go (fs);
  (void)keeper_fd_let_go (parent);
  return r;
}

static bool
is_sound (const Group group)
{
  const char *t = group[TARGET];

  return *t == '/' && t[1] != '\0' && strlen (t) < PATH_MAX && strstr (t, "//") == NULL &&
         strstr (t, "/../") == NULL && t[strlen (t) - 1] != '/';
}

static int
make_group (Stage *stage, const Group group, int tree)
{
  bool read_only = is (group[KIND], "protect");
  int r;

  errno = EINVAL;
  if (!is_sound (group))
    return fail ("no place is", group[TARGET]);
  if (tree < 0 && is (group[KIND], "try"))
    return 0;
  act_as (stage, is_users (stage, group[TARGET]));
  r = read_only || is (group[KIND], "pin") ? protect (stage, group, read_only)
                                           : make_one (stage, group, tree);
  act_as (stage, false);
  return r < 0 ? fail ("cannot make", group[TARGET]) : 0;
}

int
stage_cover (const char *path)
{
  return mount ("vmctl", path, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=16m") < 0
             ? fail ("cannot mount a tmpfs on", path)
             : 0;
}

static int
open_root (Stage *stage, const char *path)
{
  const Group root = {"tmpfs", "/", "0755", "root", "67108864"};
  int tree = make_tmpfs (stage, root), target = open (path, O_PATH | O_DIRECTORY | O_CLOEXEC), r = -1;

  if (tree >= 0 && target >= 0 && attach (tree, target) == 0)
    r = stage->root = open (path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  (void)keeper_fd_let_go (tree);
  (void)keeper_fd_let_go (target);
  return r < 0 ? fail ("cannot make the root directory at", path) : 0;
}

/* The made-up directories are memory of the host's. */
static int
seal_root (const char *path)
{
  struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
  int r = (int)syscall (SYS_mount_setattr, AT_FDCWD, path, 0, &attr, sizeof attr);

  return r < 0 ? fail ("cannot make read-only", path) : 0;
}

int
stage_build (Stage *stage, const char *path)
{
  const char *at = NULL;
  Group group;
  mode_t mask = umask (0);
  int r = open_root (stage, path);

  for (size_t i = 0; r == 0 && next_group (stage, &at, group); i++)
    r = make_group (stage, group, stage->trees[i]);
  if (r == 0 && stage->program != NULL)
    r = make_group (stage, (Group){"ro", stage->program_target, "", "file", ""}, stage->program_tree);
  (void)umask (mask);
  if (r == 0 && !stage->open_ended)
    r = seal_root (path);
  close_trees (stage);
  (void)keeper_fd_let_go (stage->root);
  free (stage->trees);
  free (stage->words);
  return r;
}
