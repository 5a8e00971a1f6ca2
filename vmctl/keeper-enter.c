/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/keeper-enter.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/stat.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmctl/keeper-door.h"

enum { DEPTH_MAX = 5, CHILDREN_MAX = 4096 };

#define AGENT_NAME "agent\n"

static int
let_go (int fd)
{
  int err = errno;

  if (fd >= 0)
    (void)close (fd);
  errno = err;
  return -1;
}

/* The agent */

static ssize_t
read_proc (pid_t pid, const char *name, char *text, size_t size)
{
  char path[96];
  ssize_t n;
  int fd;

  (void)snprintf (path, sizeof path, "/proc/%d/%s", (int)pid, name);
  fd = open (path, O_RDONLY | O_CLOEXEC);
  n = fd < 0 ? -1 : read (fd, text, size - 1);
  text[n > 0 ? n : 0] = '\0';
  (void)let_go (fd);
  return n;
}

/* From above: it is found before anything that it has started. 0: not there. */
static pid_t
find_agent (pid_t pid, int depth)
{
  char text[CHILDREN_MAX], name[64];
  pid_t found = 0;

  (void)read_proc (pid, "comm", text, sizeof text);
  if (strcmp (text, AGENT_NAME) == 0)
    return pid;
  if (depth == DEPTH_MAX)
    return 0;
  (void)snprintf (name, sizeof name, "task/%d/children", (int)pid);
  if (read_proc (pid, name, text, sizeof text) <= 0)
    return 0;
  for (char *rest = text, *word; found == 0 && (word = strsep (&rest, " ")) != NULL;)
    if (*word != '\0' && rest != NULL) /* each ends with a space: a word that was cut does not */
      found = find_agent (atoi (word), depth + 1);
  return found;
}

static int
open_proc (pid_t pid, const char *name, int flags)
{
  char path[64];

  (void)snprintf (path, sizeof path, "/proc/%d/%s", (int)pid, name);
  return open (path, flags | O_CLOEXEC);
}

/* To where `pid` is. 0, or -1 and this process is where it was. */
static int
go (pid_t pid, int *ret_back)
{
  int back = open ("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC), r = -1;
  int there = open_proc (pid, "ns/mnt", O_RDONLY), root = open_proc (pid, "root", O_PATH | O_DIRECTORY);

  if (back >= 0 && there >= 0 && root >= 0 && setns (there, CLONE_NEWNS) == 0) {
    r = fchdir (root) == 0 && chroot (".") == 0 ? 0 : -1;
    if (r < 0 && setns (back, CLONE_NEWNS) < 0)
      abort ();
  }
  (void)let_go (there);
  (void)let_go (root);
  *ret_back = r == 0 ? back : let_go (back);
  return r;
}

/* One that cannot come back has no business anywhere. */
static void
come_back (int back)
{
  int err = errno;

  if (setns (back, CLONE_NEWNS) < 0)
    abort ();
  (void)close (back);
  errno = err;
}

/* Rights to files */

typedef struct {
  uid_t uid;
  gid_t gid;
} Rights;

/* A container has ids of its own; in namespaces the user's are all there are. */
static Rights
act_as (const KeeperInside *inside, uid_t uid, gid_t gid)
{
  Rights before = {(uid_t)setfsuid ((uid_t)-1), (gid_t)setfsgid ((gid_t)-1)};

  if (inside->stage == NULL)
    return before;
  (void)setfsgid (gid);
  (void)setfsuid (uid);
  return before;
}

static Rights
act_as_user (const KeeperInside *inside)
{
  const Stage *s = inside->stage;

  return s == NULL ? act_as (inside, 0, 0) : act_as (inside, s->shift + s->uid, s->shift + s->gid);
}

/* Mount points */

static int
open_dir (int root, const char *path, unsigned long long resolve)
{
  struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
                         .resolve = resolve | RESOLVE_NO_MAGICLINKS};

  return (int)syscall (SYS_openat2, root, path, &how, sizeof how);
}

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
  struct mount_attr attr = {.attr_clr = MOUNT_ATTR_RDONLY};
  const char *path = inside->root != NULL ? inside->root : "/";
  int back, tree;

  if (go (inside->root != NULL ? inside->child : agent, &back) < 0)
    return -1;
  /* With all that is mounted in it: a mount whose children are locked, because they came from the keeper's
   * namespace, is not to be had alone. Only its own attributes change. */
  tree = (int)syscall (SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
  if (tree >= 0 && syscall (SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof attr) < 0)
    tree = let_go (tree);
  come_back (back);
  return tree;
}

/* In the root directory's own mount, `prefix` being below it there. */
static int
make_in_root (const KeeperInside *inside, int writable, const char *prefix)
{
  const char *name = strrchr (prefix, '/') + 1;
  Rights before = act_as (inside, 0, 0);
  char parent[PATH_MAX];
  int fd, r = -1;

  (void)snprintf (parent, sizeof parent, ".%.*s", (int)(name - prefix - 1), prefix);
  fd = open_dir (writable, parent, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
  if (fd >= 0)
    r = mkdirat (fd, name, 0755);
  if (r == 0 && inside->stage != NULL)
    r = fchownat (fd, name, inside->stage->shift, inside->stage->shift, AT_SYMLINK_NOFOLLOW);
  (void)let_go (fd);
  (void)act_as (inside, before.uid, before.gid);
  return r;
}

/* As the container's root, which may where its user may not; on what is the host's it is nobody. */
static int
make_as_root (const KeeperInside *inside, int parent, const char *name)
{
  unsigned shift = inside->stage->shift;
  Rights before = act_as (inside, shift, shift);
  int r = mkdirat (parent, name, 0755);

  (void)act_as (inside, before.uid, before.gid);
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
  root = open_dir (AT_FDCWD, "/", 0);
  root_mount = root >= 0 ? mount_of (root) : 0;
  (void)let_go (root);
  if (root_mount == 0 || mount_of (parent) != root_mount)
    return -1;
  return make_in_root (inside, writable, prefix);
}

/* The directory, made where it is missing; -1. */
static int
open_target (const KeeperInside *inside, int writable, const char *target)
{
  char prefix[PATH_MAX];
  int fd = open_dir (AT_FDCWD, "/", 0);
  size_t n = 0;

  while (fd >= 0 && target[n] != '\0') {
    int next;

    n += strspn (target + n, "/");
    n += strcspn (target + n, "/");
    if (n >= sizeof prefix) {
      errno = ENAMETOOLONG;
      return let_go (fd);
    }
    (void)snprintf (prefix, sizeof prefix, "%.*s", (int)n, target);
    next = open_dir (AT_FDCWD, prefix, 0);
    if (next < 0 && errno == ENOENT && make_dir (inside, writable, fd, prefix) == 0)
      next = open_dir (AT_FDCWD, prefix, 0);
    (void)let_go (fd);
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

  if (go (agent, &back) == 0) {
    Rights before = act_as_user (inside);
    mode_t mask = umask (022);

    fd = open_target (inside, writable, target);
    (void)umask (mask);
    (void)act_as (inside, before.uid, before.gid);
    if (fd >= 0)
      r = (int)syscall (SYS_move_mount, tree, "", fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
    (void)let_go (fd);
    come_back (back);
  }
  (void)let_go (writable);
  return r;
}

static int
map_ids (const KeeperInside *inside, int tree)
{
  Rights before = act_as (inside, 0, 0);
  int r = inside->stage != NULL && inside->stage->shift != 0 ? stage_map_ids (inside->stage, tree) : 0;

  (void)act_as (inside, before.uid, before.gid);
  return r;
}

int
keeper_enter_bind (KeeperEnter *enter, const KeeperInside *inside, const char *source, const char *name,
                   const char *target, int read_only)
{
  int at = find_name (enter, ""), tree, is_dir, r;
  pid_t agent = find_agent (inside->child, 0);

  errno = at < 0 ? ENOSPC : agent == 0 ? ESRCH : find_name (enter, name) >= 0 ? EEXIST : 0;
  if (errno != 0)
    return -1;
  tree = keeper_door_clone (source, read_only, &is_dir);
  if (tree < 0)
    return -1;
  errno = ENOTDIR;
  r = is_dir && map_ids (inside, tree) == 0 ? mount_inside (inside, agent, tree, target) : -1;
  if (r < 0)
    return let_go (tree);
  (void)snprintf (enter->names[at], sizeof enter->names[at], "%s", name);
  enter->mounts[at] = tree;
  return 0;
}

int
keeper_enter_unbind (KeeperEnter *enter, const KeeperInside *inside, const char *name)
{
  int at = find_name (enter, name), back, r;
  Rights before;
  pid_t agent = find_agent (inside->child, 0);

  errno = at < 0 ? ENOENT : agent == 0 ? ESRCH : 0;
  if (errno != 0 || go (agent, &back) < 0)
    return -1;
  before = act_as (inside, 0, 0); /* whoever may enter it */
  r = fchdir (enter->mounts[at]) == 0 ? umount2 (".", MNT_DETACH) : -1;
  (void)act_as (inside, before.uid, before.gid);
  come_back (back);
  if (r < 0 && errno != EINVAL) /* it has gone with what it was in */
    return -1;
  (void)close (enter->mounts[at]);
  enter->names[at][0] = '\0';
  return 0;
}
