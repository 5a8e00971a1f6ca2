/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/keeper-enter.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/stat.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmctl/keeper-device.h"
#include "vmctl/keeper-door.h"
#include "vmctl/keeper-fd.h"
#include "vmctl/keeper-inside.h"

/* Rights to files */

static KeeperRights
act_as_user (const KeeperInside *inside)
{
  const Stage *s = inside->stage;

  return s == NULL ? keeper_act_as (inside, 0, 0)
                   : keeper_act_as (inside, s->shift + s->uid, s->shift + s->gid);
}

/* Mount points */

static unsigned long long
mount_of (int fd)
{
  struct statx st = {0};

  return statx (fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &st) < 0 ? 0 : st.stx_mnt_id;
}

/* The mount of the root directory, where it can be written to; -1: not to be had. */
static int
open_writable_root (const KeeperInside *inside, pid_t agent)
{
  return inside->root != NULL ? keeper_inside_open_writable (inside->child, inside->root)
                              : keeper_inside_open_writable (agent, "/");
}

/* In the root directory's own mount, `prefix` being below it there. */
static int
make_in_root (const KeeperInside *inside, int writable, const char *prefix)
{
  const char *name = strrchr (prefix, '/') + 1;
  KeeperRights before = keeper_act_as (inside, 0, 0);
  char parent[PATH_MAX];
  int fd, r = -1;

  (void)snprintf (parent, sizeof parent, ".%.*s", (int)(name - prefix - 1), prefix);
  fd = keeper_open_dir (writable, parent, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
  if (fd >= 0)
    r = mkdirat (fd, name, 0755);
  if (r == 0 && inside->stage != NULL)
    r = fchownat (fd, name, inside->stage->shift, inside->stage->shift, AT_SYMLINK_NOFOLLOW);
  (void)keeper_fd_let_go (fd);
  (void)keeper_act_as (inside, before.uid, before.gid);
  return r;
}

/* As the container's root, which may where its user may not; on what is the host's it is nobody. */
static int
make_as_root (const KeeperInside *inside, int parent, const char *name)
{
  unsigned shift = inside->stage->shift;
  KeeperRights before = keeper_act_as (inside, shift, shift);
  int r = mkdirat (parent, name, 0755);

  (void)keeper_act_as (inside, before.uid, before.gid);
  return r;
}

static int
make_dir (const KeeperInside *inside, int writable, int parent, const char *prefix)
{
  const char *name = strrchr (prefix, '/') + 1;
  unsigned long long root_mount;
  int root, r = mkdirat (parent, name, 0755);

  if (r < 0 && errno == EACCES && inside->stage != NULL && inside->stage->shift != 0)
    r = make_as_root (inside, parent, name);
  if (r == 0 || (errno != EROFS && errno != EACCES) || writable < 0)
    return r;
  root = keeper_open_dir (AT_FDCWD, "/", 0);
  root_mount = root >= 0 ? mount_of (root) : 0;
  (void)keeper_fd_let_go (root);
  if (root_mount == 0 || mount_of (parent) != root_mount)
    return -1;
  return make_in_root (inside, writable, prefix);
}

/* The directory, made where it is missing; -1. */
static int
open_target (const KeeperInside *inside, int writable, const char *target)
{
  char prefix[PATH_MAX];
  int fd = keeper_open_dir (AT_FDCWD, "/", 0);
  size_t n = 0;

  while (fd >= 0 && target[n] != '\0') {
    int next;

    n += strspn (target + n, "/");
    n += strcspn (target + n, "/");
    if (n >= sizeof prefix) {
      errno = ENAMETOOLONG;
      return keeper_fd_let_go (fd);
    }
    (void)snprintf (prefix, sizeof prefix, "%.*s", (int)n, target);
    next = keeper_open_dir (AT_FDCWD, prefix, 0);
    if (next < 0 && errno == ENOENT && make_dir (inside, writable, fd, prefix) == 0)
      next = keeper_open_dir (AT_FDCWD, prefix, 0);
    (void)keeper_fd_let_go (fd);
    fd = next;
  }
  return fd;
}

/* Adding and taking away */

static int
find_name (const KeeperEnter *enter, const char *name)
{
  for (int i = 0; i < KEEPER_ENTER_MAX; i++)
    if (strcmp (enter->names[i], name) == 0)
      return i;
  return -1;
}

static int
mount_inside (const KeeperInside *inside, pid_t agent, int tree, const char *target)
{
  int writable = open_writable_root (inside, agent), back, fd, r = -1;

  if (keeper_inside_go (agent, &back) == 0) {
    KeeperRights before = act_as_user (inside);
    mode_t mask = umask (022);

    fd = open_target (inside, writable, target);
    (void)umask (mask);
    (void)keeper_act_as (inside, before.uid, before.gid);
    if (fd >= 0)
      r = (int)syscall (SYS_move_mount, tree, "", fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
    (void)keeper_fd_let_go (fd);
    keeper_inside_come_back (back);
  }
  (void)keeper_fd_let_go (writable);
  return r;
}

static int
map_ids (const KeeperInside *inside, int tree)
{
  KeeperRights before = keeper_act_as (inside, 0, 0);
  int r = inside->stage != NULL && inside->stage->shift != 0 ? stage_map_ids (inside->stage, tree) : 0;

  (void)keeper_act_as (inside, before.uid, before.gid);
  return r;
}

static int
check_new (const KeeperEnter *enter, int at, pid_t agent, const char *name)
{
  errno = at < 0 ? ENOSPC : agent == 0 ? ESRCH : find_name (enter, name) >= 0 ? EEXIST : 0;
  return errno == 0 ? 0 : -1;
}

int
keeper_enter_bind (KeeperEnter *enter, const KeeperInside *inside, const char *source, const char *name,
                   const char *target, int read_only)
{
  int at = find_name (enter, ""), tree, is_dir, r;
  pid_t agent = keeper_inside_agent (inside);

  if (check_new (enter, at, agent, name) < 0)
    return -1;
  tree = keeper_door_clone (source, read_only, &is_dir);
  if (tree < 0)
    return -1;
  errno = ENOTDIR;
  r = is_dir && map_ids (inside, tree) == 0 ? mount_inside (inside, agent, tree, target) : -1;
  if (r < 0)
    return keeper_fd_let_go (tree);
  (void)snprintf (enter->names[at], sizeof enter->names[at], "%s", name);
  enter->mounts[at] = tree;
  return 0;
}

int
keeper_enter_device (KeeperEnter *enter, const KeeperInside *inside, int opened, const char *source,
                     const char *name, const char *target)
{
  int at = find_name (enter, "");
  pid_t agent = keeper_inside_agent (inside);

  if (check_new (enter, at, agent, name) < 0 || keeper_device_add (inside, agent, opened, source, target) < 0)
    return -1;
  (void)snprintf (enter->names[at], sizeof enter->names[at], "%s", name);
  (void)snprintf (enter->nodes[at], sizeof enter->nodes[at], "%s", target);
  return 0;
}

static int
unmount (const KeeperInside *inside, pid_t agent, int mount)
{
  KeeperRights before;
  int back, r;

  if (keeper_inside_go (agent, &back) < 0)
    return -1;
  before = keeper_act_as (inside, 0, 0); /* whoever may enter it */
  r = fchdir (mount) == 0 ? umount2 (".", MNT_DETACH) : -1;
  (void)keeper_act_as (inside, before.uid, before.gid);
  keeper_inside_come_back (back);
  if (r < 0 && errno != EINVAL) /* it has gone with what it was in */
    return -1;
  return close (mount);
}

int
keeper_enter_unbind (KeeperEnter *enter, const KeeperInside *inside, const char *name)
{
  int at = find_name (enter, name), r;
  pid_t agent = keeper_inside_agent (inside);

  errno = at < 0 ? ENOENT : agent == 0 ? ESRCH : 0;
  if (errno != 0)
    return -1;
  if (*enter->nodes[at] != '\0')
    r = keeper_device_remove (inside, agent, enter->nodes[at]);
  else
    r = unmount (inside, agent, enter->mounts[at]);
  if (r < 0)
    return -1;
  enter->names[at][0] = enter->nodes[at][0] = '\0';
  return 0;
}
