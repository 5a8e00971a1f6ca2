/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "meta/agent/mounts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "meta/agent/util.h"

_Static_assert(MOUNT_PLAIN == (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV), "the header spells it out");

int
tree_open (const Tree *tree, const char *path, int flags)
{
  struct open_how how = {
      .flags = (uint64_t)(flags | O_PATH | O_CLOEXEC),
      .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
  };
  int fd;

  path += strspn (path, "/");
  do
    fd = (int)syscall (SYS_openat2, tree->root, *path ? path : ".", &how, sizeof how);
  while (fd < 0 && errno == EAGAIN); /* something was renamed under us */
  if (fd < 0 && errno == ENOSYS)     /* a container's filter hides it; there `root` is our own */
    fd = openat (tree->root, *path ? path : ".", flags | O_PATH | O_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

bool
tree_below_home (const Tree *tree, const char *path)
{
  size_t n = strlen (tree->home);

  return n > 1 && strncmp (path, tree->home, n) == 0 && path[n] == '/';
}

int
fd_set_owner (int fd, uid_t uid, gid_t gid, mode_t mode)
{
  char path[64];
  struct stat st;

  if (fstat (fd, &st) < 0)
    return -errno;
  if ((st.st_uid != uid || st.st_gid != gid) && fchownat (fd, "", uid, gid, AT_EMPTY_PATH) < 0)
    return -errno;
  snprintf (path, sizeof path, "/proc/self/fd/%d", fd);
  if ((st.st_mode & 07777) != mode && chmod (path, mode) < 0)
    return -errno;
  return 0;
}

/* Makes what `path` names in `parent`, as the user's if it lies below the home. */
static int
make_dir (const Tree *tree, int parent, const char *name, const char *path)
{
  if (mkdirat (parent, name, 0755) < 0)
    return errno == EEXIST ? 0 : -errno;
  if (!tree_below_home (tree, path))
    return 0;
  /* Not on a share: there the outside says who owns what is made, and it is the user already. */
  (void)!fchownat (parent, name, tree->uid, tree->gid, AT_SYMLINK_NOFOLLOW);
  return 0;
}

static bool
dots (const char *name, size_t n)
{
  return (n == 1 && name[0] == '.') || (n == 2 && name[0] == '.' && name[1] == '.');
}

/* One step down, from the directory `parent` (consumed) to the one that the first `n` bytes of `path` name.
 */
static int
step_down (const Tree *tree, int parent, const char *path, const char *name, size_t n)
{
  char prefix[PATH_MAX], last[NAME_MAX + 1];
  int fd, r;

  if ((size_t)(name - path) + n >= sizeof prefix || n > NAME_MAX || dots (name, n)) {
    close_fd (&parent);
    return n > NAME_MAX ? -ENAMETOOLONG : -EINVAL;
  }
  snprintf (prefix, sizeof prefix, "%.*s", (int)((size_t)(name - path) + n), path);
  snprintf (last, sizeof last, "%.*s", (int)n, name);
  fd = tree_open (tree, prefix, O_DIRECTORY);
  if (fd == -ENOENT) {
    r = make_dir (tree, parent, last, prefix);
    fd = r < 0 ? r : tree_open (tree, prefix, O_DIRECTORY);
  }
  close_fd (&parent);
  return fd;
}

int
tree_make_dirs (const Tree *tree, const char *path)
{
  const char *at = path;
  int fd;

  if (*path != '/')
    return -EINVAL;
  fd = tree_open (tree, path, O_DIRECTORY); /* the usual case */
  if (fd != -ENOENT)
    return fd;
  fd = tree_open (tree, "/", O_DIRECTORY);
  while (fd >= 0) {
    size_t n;
    at += strspn (at, "/");
    n = strcspn (at, "/");
    if (n == 0)
      return fd;
    fd = step_down (tree, fd, path, at, n);
    at += n;
  }
  return fd;
}

int
tree_parent (const Tree *tree, const char *path, const char **ret_name)
{
  const char *name = strrchr (path, '/');
  char parent[PATH_MAX];

  if (!name || name[1] == '\0' || dots (name + 1, strlen (name + 1)) ||
      (size_t)(name - path) >= sizeof parent - 1)
    return -EINVAL;
  snprintf (parent, sizeof parent, "%.*s", (int)(name > path ? name - path : 1), path);
  *ret_name = name + 1;
  return tree_make_dirs (tree, parent);
}

int
tree_make_file (const Tree *tree, const char *path)
{
  const char *name;
  int parent, fd = tree_open (tree, path, 0);

  if (fd != -ENOENT)
    return fd;
  parent = tree_parent (tree, path, &name);
  if (parent < 0)
    return parent;
  fd = openat (parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
  if (fd < 0)
    fd = -errno;
  else if (tree_below_home (tree, path))
    (void)!fchown (fd, tree->uid, tree->gid);
  close_fd (&parent);
  if (fd < 0)
    return fd;
  close_fd (&fd);
  return tree_open (tree, path, 0);
}

static int
configure (int fs, const char *source, char *options)
{
  char *save = NULL;

  if (source && fsconfig (fs, FSCONFIG_SET_STRING, "source", source, 0) < 0)
    return -errno;
  for (char *key = strtok_r (options, ",", &save); key; key = strtok_r (NULL, ",", &save)) {
    char *value = strchr (key, '=');
    if (value)
      *value++ = '\0';
    if (fsconfig (fs, value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, key, value, 0) < 0)
      return -errno;
  }
  return fsconfig (fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0 ? -errno : 0;
}

int
mount_attach (int mount_fd, int target)
{
  unsigned flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;

  return move_mount (mount_fd, "", target, "", flags) < 0 ? -errno : 0;
}

int
mount_make (const char *type, const char *source, const char *options, unsigned attr)
{
  char *copy = strdup (options ? options : "");
  int fs = fsopen (type, FSOPEN_CLOEXEC), r;

  r = fs < 0 ? -errno : copy ? configure (fs, source, copy) : -ENOMEM;
  if (r == 0) {
    r = fsmount (fs, FSMOUNT_CLOEXEC, attr);
    r = r < 0 ? -errno : r;
  }
  close_fd (&fs);
  free (copy);
  return r;
}

int
mount_new_at (const char *type, const char *source, const char *options, unsigned attr, int target)
{
  int fd = mount_make (type, source, options, attr), r;

  if (fd < 0)
    return fd;
  r = mount_attach (fd, target);
  close_fd (&fd);
  return r;
}

int
mount_new (const Tree *tree, const char *type, const char *source, const char *options, unsigned attr,
           const char *path)
{
  int target = tree_make_dirs (tree, path), r;

  if (target < 0)
    return target;
  r = mount_new_at (type, source, options, attr, target);
  close_fd (&target);
  return r;
}

int
mount_bind_at (int source, unsigned attr, int target)
{
  struct mount_attr set = {.attr_set = attr};
  int fd = open_tree (source, "", AT_EMPTY_PATH | AT_RECURSIVE | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  int r;

  if (fd < 0)
    return -errno;
  r = mount_setattr (fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &set, sizeof set) < 0 ? -errno
                                                                                 : mount_attach (fd, target);
  close_fd (&fd);
  return r;
}

static void
carry_over_one (int from, int to, const char *name)
{
  char text[PATH_MAX];
  ssize_t n = readlinkat (from, name, text, sizeof text - 1);
  int source, target = -1;
  struct stat st;

  if (n >= 0) {
    text[n] = '\0';
    (void)symlinkat (text, to, name);
    return;
  }
  source = openat (from, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (source < 0 || fstat (source, &st) < 0) {
    close_fd (&source);
    return;
  }
  if (S_ISDIR (st.st_mode) && mkdirat (to, name, 0755) == 0)
    target = openat (to, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  else if (S_ISREG (st.st_mode))
    target = openat (to, name, O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
  if (target >= 0)
    (void)mount_bind_at (source, MOUNT_PLAIN, target);
  close_fd (&target);
  close_fd (&source);
}

/* Listed where it comes from: the overlay's own listing is slow, and its upper layer is empty yet. */
void
mount_carry_over (const char *lower, int under, int over, const char *except)
{
  DIR *dir = opendir (lower);
  struct dirent *entry;

  while (dir && (entry = readdir (dir)))
    if (strcmp (entry->d_name, ".") != 0 && strcmp (entry->d_name, "..") != 0 &&
        strcmp (entry->d_name, except) != 0)
      carry_over_one (under, over, entry->d_name);
  if (dir)
    closedir (dir);
}
