/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/keeper-door.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmctl/keeper-fd.h"

enum { NAME_LENGTH_MAX = 64, PATH_ROOM = 4200 };

static void
complain (const char *what)
{
  fprintf (stderr, "vmctl-keeper: %s: %s\n", what, strerror (errno));
}

static int
write_text (const char *path, const char *text)
{
  int fd = open (path, O_WRONLY | O_CLOEXEC), err;
  ssize_t n;

  if (fd < 0)
    return -1;
  n = write (fd, text, strlen (text));
  err = errno;
  (void)close (fd);
  errno = err;
  return n == (ssize_t)strlen (text) ? 0 : -1;
}

/* One uid and gid, ours, seen as 0: the only map that an ordinary user may write. */
static int
become_namespace_root (void)
{
  char map[64];
  unsigned uid = geteuid (), gid = getegid ();

  if (unshare (CLONE_NEWUSER | CLONE_NEWNS) < 0)
    return -1;
  if (write_text ("/proc/self/setgroups", "deny") < 0 && errno != ENOENT)
    return -1;
  (void)snprintf (map, sizeof map, "0 %u 1\n", uid);
  if (write_text ("/proc/self/uid_map", map) < 0)
    return -1;
  (void)snprintf (map, sizeof map, "0 %u 1\n", gid);
  return write_text ("/proc/self/gid_map", map);
}

int
keeper_door_make (const char *door)
{
  int r = geteuid () == 0 ? unshare (CLONE_NEWNS) : become_namespace_root ();

  if (r < 0) {
    complain ("cannot make a user and mount namespace");
    return -1;
  }
  /* What root's child mounts would else be mounted on the host, too. */
  if (mount (NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0) {
    complain ("cannot part from the host's mounts");
    return -1;
  }
  if (door == NULL)
    return 0;
  if (mount (door, door, NULL, MS_BIND, NULL) < 0 || mount (NULL, door, NULL, MS_SHARED, NULL) < 0) {
    complain ("cannot make the door");
    return -1;
  }
  return 0;
}

/* Names below the door are ours alone: no slash, no dot file. */
static int
name_is_sound (const char *name)
{
  size_t n = strlen (name);

  return n > 0 && n <= NAME_LENGTH_MAX && strspn (name, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

/* What the supervisor has looked at is what is opened: no link is followed, which somebody may have put there
 * meanwhile. */
static int
open_source (const char *source)
{
  struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS};

  return (int)syscall (SYS_openat2, AT_FDCWD, source, &how, sizeof how);
}

int
keeper_door_clone (const char *source, int read_only, int *ret_is_dir)
{
  /* As bwrap does for the mounts that are there from the start. */
  struct mount_attr attr = {.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, .propagation = MS_SLAVE};
  int fd = open_source (source), tree = -1;
  struct stat st;

  if (read_only)
    attr.attr_set |= MOUNT_ATTR_RDONLY;
  if (fd >= 0 && fstat (fd, &st) == 0)
    tree = (int)syscall (SYS_open_tree, fd, "",
                         AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
  (void)keeper_fd_let_go (fd);
  if (tree >= 0 &&
      syscall (SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof attr) < 0)
    tree = keeper_fd_let_go (tree);
  if (tree >= 0)
    *ret_is_dir = S_ISDIR (st.st_mode);
  return tree;
}

/* A name that is taken is refused: one mount would hide the other. */
static int
mount_point (const char *path, int is_dir)
{
  int fd;

  if (is_dir)
    return mkdir (path, 0700);
  fd = open (path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0)
    return -1;
  return close (fd);
}

static void
remove_mount_point (const char *path)
{
  if (unlink (path) < 0)
    (void)rmdir (path);
}

static int
path_at (const char *door, const char *name, char *path)
{
  if (door == NULL || !name_is_sound (name) ||
      (size_t)snprintf (path, PATH_ROOM, "%s/%s", door, name) >= PATH_ROOM)
    return KEEPER_DOOR_BAD;
  return 0;
}

int
keeper_door_bind (const char *door, const char *source, const char *name, int read_only)
{
  char path[PATH_ROOM];
  int tree, is_dir, err, r = -1;

  if (*source != '/' || path_at (door, name, path) < 0)
    return KEEPER_DOOR_BAD;
  /* Restricted before anybody can see it: there is no moment in which a read-only directory can be written.
   */
  tree = keeper_door_clone (source, read_only, &is_dir);
  if (tree >= 0 && mount_point (path, is_dir) == 0) {
    r = (int)syscall (SYS_move_mount, tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH);
    err = errno;
    if (r < 0)
      remove_mount_point (path);
    errno = err;
  }
  (void)keeper_fd_let_go (tree);
  return r;
}

int
keeper_door_unbind (const char *door, const char *name)
{
  char path[PATH_ROOM];

  if (path_at (door, name, path) < 0)
    return KEEPER_DOOR_BAD;
  if (umount2 (path, MNT_DETACH) < 0)
    return -1;
  remove_mount_point (path);
  return 0;
}
