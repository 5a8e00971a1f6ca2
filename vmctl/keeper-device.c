/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/keeper-device.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "vmctl/keeper-fd.h"
#include "vmctl/keeper-inside.h"

#define DEV "/dev"
#define SHAPE "/dev/bus/usb/ddd/ddd"

enum { USB_MAJOR = 189, MEMORY_MAJOR = 1, NULL_MINOR = 3, ZERO_MINOR = 5, FULL_MINOR = 7 };

/* What is asked for */

static int
has_shape (const char *target)
{
  if (strlen (target) != strlen (SHAPE))
    return 0;
  for (size_t i = 0; SHAPE[i] != '\0'; i++)
    if (SHAPE[i] == 'd' && i > strlen (DEV) ? target[i] < '0' || target[i] > '9' : target[i] != SHAPE[i])
      return 0;
  return 1;
}

/* The others are everybody's, and stand for a USB device in tests. */
static int
may_be_shown (dev_t device)
{
  unsigned number = minor (device);

  return major (device) == USB_MAJOR ||
         (major (device) == MEMORY_MAJOR &&
          (number == NULL_MINOR || number == ZERO_MINOR || number == FULL_MINOR));
}

static int
check_opened (int opened, dev_t *ret_device)
{
  int flags = opened < 0 ? -1 : fcntl (opened, F_GETFL);
  struct stat st;

  if (flags >= 0 && (flags & O_PATH) == 0 && (flags & O_ACCMODE) == O_RDWR && fstat (opened, &st) == 0 &&
      S_ISCHR (st.st_mode) && may_be_shown (st.st_rdev)) {
    *ret_device = st.st_rdev;
    return 0;
  }
  errno = EPERM;
  return -1;
}

/* A copy of the host's node that is mounted nowhere yet. */
static int
clone_node (const char *source, dev_t device)
{
  struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS};
  struct mount_attr attr = {.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, .propagation = MS_SLAVE};
  int fd = (int)syscall (SYS_openat2, AT_FDCWD, source, &how, sizeof how), tree = -1;
  struct stat st;

  if (fd >= 0 && fstat (fd, &st) == 0) {
    if (S_ISCHR (st.st_mode) && st.st_rdev == device)
      tree = (int)syscall (SYS_open_tree, fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    else
      errno = ENODEV;
  }
  (void)keeper_fd_let_go (fd);
  if (tree >= 0 && syscall (SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof attr) < 0)
    tree = keeper_fd_let_go (tree);
  return tree;
}

/* Its place */

static int
make_dir (const KeeperInside *inside, int dev, const char *path)
{
  const Stage *s = inside->stage;

  if (mkdirat (dev, path, 0755) < 0)
    return errno == EEXIST ? 0 : -1;
  return s != NULL ? fchownat (dev, path, s->shift, s->shift, AT_SYMLINK_NOFOLLOW) : 0;
}

/* The directory of `target` below `dev`; with `make` it is made. -1 with errno. */
static int
open_parent (const KeeperInside *inside, int dev, const char *target, int make)
{
  const char *below = target + strlen (DEV "/"), *name = strrchr (target, '/');
  char path[sizeof SHAPE];

  for (const char *slash = strchr (below, '/'); slash != NULL; slash = strchr (slash + 1, '/')) {
    (void)snprintf (path, sizeof path, "%.*s", (int)(slash - below), below);
    if (make && make_dir (inside, dev, path) < 0)
      return -1;
  }
  (void)snprintf (path, sizeof path, "%.*s", (int)(name - below), below);
  return keeper_open_dir (dev, path, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

/* The container's own node, or a file to mount the host's on. */
static int
make_node (const KeeperInside *inside, int parent, const char *name, dev_t device)
{
  const Stage *s = inside->stage;
  int r;

  if (s == NULL)
    return mknodat (parent, name, S_IFREG | 0600, 0);
  r = mknodat (parent, name, S_IFCHR | 0600, device);
  if (r == 0 && fchownat (parent, name, s->shift + s->uid, s->shift + s->gid, AT_SYMLINK_NOFOLLOW) < 0) {
    (void)unlinkat (parent, name, 0);
    r = -1;
  }
  return r;
}

/* Through a copy of /dev that can be written to: 0, or -1 with errno. */
static int
change_dev (const KeeperInside *inside, pid_t agent, const char *target, int make, dev_t device)
{
  const char *name = strrchr (target, '/') + 1;
  KeeperRights before = keeper_act_as (inside, 0, 0);
  mode_t mask = umask (022);
  int dev = keeper_inside_open_writable (agent, DEV), parent = -1, r = -1;

  if (dev >= 0)
    parent = open_parent (inside, dev, target, make);
  if (parent >= 0)
    r = make ? make_node (inside, parent, name, device) : unlinkat (parent, name, 0);
  (void)keeper_fd_let_go (parent);
  (void)keeper_fd_let_go (dev);
  (void)umask (mask);
  (void)keeper_act_as (inside, before.uid, before.gid);
  return r;
}

/* Adding and taking away */

static int
mount_node (pid_t agent, int tree, const char *target)
{
  struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS};
  int back, fd, r = -1;

  if (keeper_inside_go (agent, &back) < 0)
    return -1;
  fd = (int)syscall (SYS_openat2, AT_FDCWD, target, &how, sizeof how);
  if (fd >= 0)
    r = (int)syscall (SYS_move_mount, tree, "", fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
  (void)keeper_fd_let_go (fd);
  keeper_inside_come_back (back);
  return r;
}

int
keeper_device_add (const KeeperInside *inside, pid_t agent, int opened, const char *source,
                   const char *target)
{
  int tree = -1, r, err;
  dev_t device;

  if (!has_shape (target)) {
    errno = EINVAL;
    return -1;
  }
  if (check_opened (opened, &device) < 0 ||
      (inside->stage == NULL && (tree = clone_node (source, device)) < 0))
    return -1;
  r = change_dev (inside, agent, target, 1, device);
  if (r == 0 && tree >= 0 && (r = mount_node (agent, tree, target)) < 0) {
    err = errno;
    (void)change_dev (inside, agent, target, 0, device);
    errno = err;
  }
  (void)keeper_fd_let_go (tree);
  return r;
}

static int
unmount_node (pid_t agent, const char *target)
{
  int back, r;

  if (keeper_inside_go (agent, &back) < 0)
    return -1;
  r = umount2 (target, MNT_DETACH | UMOUNT_NOFOLLOW);
  keeper_inside_come_back (back);
  return r < 0 && errno != EINVAL && errno != ENOENT ? -1 : 0;
}

int
keeper_device_remove (const KeeperInside *inside, pid_t agent, const char *target)
{
  if (inside->stage == NULL && unmount_node (agent, target) < 0)
    return -1;
  return change_dev (inside, agent, target, 0, 0) == 0 || errno == ENOENT ? 0 : -1;
}
