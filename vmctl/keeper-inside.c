/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/keeper-inside.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmctl/keeper-fd.h"

enum { DEPTH_MAX = 5, CHILDREN_MAX = 4096 };

#define AGENT_NAME "agent\n"

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
  (void)keeper_fd_let_go (fd);
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

pid_t
keeper_inside_agent (const KeeperInside *inside)
{
  return find_agent (inside->child, 0);
}

/* Being there */

static int
open_proc (pid_t pid, const char *name, int flags)
{
  char path[64];

  (void)snprintf (path, sizeof path, "/proc/%d/%s", (int)pid, name);
  return open (path, flags | O_CLOEXEC);
}

int
keeper_inside_go (pid_t pid, int *ret_back)
{
  int back = open ("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC), r = -1;
  int there = open_proc (pid, "ns/mnt", O_RDONLY), root = open_proc (pid, "root", O_PATH | O_DIRECTORY);

  if (back >= 0 && there >= 0 && root >= 0 && setns (there, CLONE_NEWNS) == 0) {
    r = fchdir (root) == 0 && chroot (".") == 0 ? 0 : -1;
    if (r < 0 && setns (back, CLONE_NEWNS) < 0)
      abort ();
  }
  (void)keeper_fd_let_go (there);
  (void)keeper_fd_let_go (root);
  *ret_back = r == 0 ? back : keeper_fd_let_go (back);
  return r;
}

/* One that cannot come back has no business anywhere. */
void
keeper_inside_come_back (int back)
{
  int err = errno;

  if (setns (back, CLONE_NEWNS) < 0)
    abort ();
  (void)close (back);
  errno = err;
}

KeeperRights
keeper_act_as (const KeeperInside *inside, uid_t uid, gid_t gid)
{
  KeeperRights before = {(uid_t)setfsuid ((uid_t)-1), (gid_t)setfsgid ((gid_t)-1)};

  if (inside->stage == NULL)
    return before;
  (void)setfsgid (gid);
  (void)setfsuid (uid);
  return before;
}

/* Files */

int
keeper_open_dir (int root, const char *path, unsigned long long resolve)
{
  struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
                         .resolve = resolve | RESOLVE_NO_MAGICLINKS};

  return (int)syscall (SYS_openat2, root, path, &how, sizeof how);
}

int
keeper_inside_open_writable (pid_t pid, const char *path)
{
  struct mount_attr attr = {.attr_clr = MOUNT_ATTR_RDONLY};
  int back, tree;

  if (keeper_inside_go (pid, &back) < 0)
    return -1;
  /* With all that is mounted in it: a mount whose children are locked, because they came from the keeper's
   * namespace, is not to be had alone. Only its own attributes change. */
  tree = (int)syscall (SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
  if (tree >= 0 && syscall (SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof attr) < 0)
    tree = keeper_fd_let_go (tree);
  keeper_inside_come_back (back);
  return tree;
}
