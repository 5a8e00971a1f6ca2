/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "meta/agent/ops.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

enum { CONTENT_MAX = 16 << 20, RELAY_BACKLOG = 128 };

#define X11_DIR "/tmp/.X11-unix"

static int
parse_mode (const char *text, mode_t *ret)
{
  unsigned long mode = 0;
  char *end;

  mode = strtoul (text, &end, 8);
  if (*text < '0' || *text > '7' || *end || mode > 07777)
    return -EINVAL;
  *ret = (mode_t)mode;
  return 0;
}

static int
op_dir (const Ops *ops, const char *target, const char *mode_text, const char *owner)
{
  bool root = strcmp (owner, "root") == 0;
  mode_t mode;
  int fd, r;

  if (parse_mode (mode_text, &mode) < 0 || (!root && strcmp (owner, "user") != 0))
    return -EINVAL;
  fd = tree_make_dirs (ops->tree, target);
  if (fd < 0)
    return fd;
  r = fd_set_owner (fd, root ? 0 : ops->tree->uid, root ? 0 : ops->tree->gid, mode);
  close_fd (&fd);
  return r;
}

/* The name may lie deeper in a share, where somebody else makes the links. */
static int
open_share (const Ops *ops, const char *name)
{
  struct open_how how = {
      .flags = O_PATH | O_CLOEXEC,
      .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
  };
  int fd = (int)syscall (SYS_openat2, ops->share_fd, name, &how, sizeof how);

  return fd < 0 ? -errno : fd;
}

/* At a directory or file made for it. `source` is closed; below 0 it is an error, and the result. */
static int
bind_taken (const Ops *ops, int source, bool ro, const char *target)
{
  struct stat st;
  int fd, r;

  if (source < 0)
    return source;
  if (fstat (source, &st) < 0)
    fd = -errno;
  else
    fd = S_ISDIR (st.st_mode) ? tree_make_dirs (ops->tree, target) : tree_make_file (ops->tree, target);
  r = fd < 0 ? fd : mount_bind_at (source, MOUNT_PLAIN | (ro ? MOUNT_ATTR_RDONLY : 0), fd);
  close_fd (&fd);
  close_fd (&source);
  return r;
}

int
ops_bind (const Ops *ops, const char *name, const char *target, const char *access)
{
  bool ro = strcmp (access, "ro") == 0;

  if (!ro && strcmp (access, "rw") != 0)
    return -EINVAL;
  return bind_taken (ops, open_share (ops, name), ro, target);
}

static int
replace (int parent, const char *name)
{
  return unlinkat (parent, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

static int
write_file (int parent, const char *name, const char *data, size_t size, uid_t uid, gid_t gid, mode_t mode)
{
  int fd, r;

  if ((r = replace (parent, name)) < 0)
    return r;
  fd = openat (parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0)
    return -errno;
  r = write_all (fd, data, size);
  if (r == 0 && (fchown (fd, uid, gid) < 0 || fchmod (fd, mode) < 0))
    r = -errno;
  close_fd (&fd);
  return r;
}

static int
open_meta_file (const Ops *ops, const char *name)
{
  struct open_how how = {
      .flags = O_RDONLY | O_CLOEXEC,
      .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
  };

  int fd = (int)syscall (SYS_openat2, ops->meta_fd, name, &how, sizeof how);

  if (fd < 0 && errno == ENOSYS) /* see tree_open */
    fd = openat (ops->meta_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  return fd;
}

static int
op_file (const Ops *ops, const char *name, const char *target, const char *mode_text)
{
  const char *last;
  mode_t mode;
  size_t size;
  int source, parent, r = parse_mode (mode_text, &mode);
  char *data;

  if (r < 0)
    return r;
  source = open_meta_file (ops, name);
  if (source < 0)
    return -errno;
  data = read_open_file (source, CONTENT_MAX, &size);
  r = data ? 0 : -errno;
  close_fd (&source);
  parent = r < 0 ? r : tree_parent (ops->tree, target, &last);
  r = parent < 0 ? parent : write_file (parent, last, data, size, ops->tree->uid, ops->tree->gid, mode);
  close_fd (&parent);
  free (data);
  return r;
}

static bool
has_path (const Tree *tree, const char *path)
{
  int fd = tree_open (tree, path, 0);
  bool has = fd >= 0;

  close_fd (&fd);
  return has;
}

static int
op_show (const Ops *ops, const char *target, const char *needed)
{
  if (strcmp (needed, "-") != 0 && !has_path (ops->tree, needed))
    return 0;
  return bind_taken (ops, ops->lower ? tree_open (ops->lower, target, 0) : -EPERM, true, target);
}

/* What an O_PATH descriptor is, to be read. */
static char *
read_path_fd (int fd, size_t *ret_size)
{
  char path[64], *data;
  int file;

  snprintf (path, sizeof path, "/proc/self/fd/%d", fd);
  file = open (path, O_RDONLY | O_CLOEXEC);
  data = file < 0 ? NULL : read_open_file (file, CONTENT_MAX, ret_size);
  close_fd (&file);
  return data;
}

static int
op_take (const Ops *ops, const char *target, const char *mode_text)
{
  int source = ops->lower ? tree_open (ops->lower, target, 0) : -EPERM, parent, r;
  const char *name;
  mode_t mode = 0;
  size_t size;
  char *data;

  if (source < 0)
    return source;
  data = read_path_fd (source, &size);
  r = data ? parse_mode (mode_text, &mode) : -errno;
  close_fd (&source);
  parent = r < 0 ? r : tree_parent (ops->tree, target, &name);
  r = parent < 0 ? parent : write_file (parent, name, data, size, 0, 0, mode);
  close_fd (&parent);
  free (data);
  return r;
}

static int
op_link (const Ops *ops, const char *text, const char *target)
{
  const char *last;
  int parent = tree_parent (ops->tree, target, &last), r;

  if (parent < 0)
    return parent;
  r = replace (parent, last);
  if (r == 0 && symlinkat (text, parent, last) < 0)
    r = -errno;
  if (r == 0 && tree_below_home (ops->tree, target))
    (void)!fchownat (parent, last, ops->tree->uid, ops->tree->gid, AT_SYMLINK_NOFOLLOW);
  close_fd (&parent);
  return r;
}

static int
op_tmpfs (const Ops *ops, const char *target, const char *mode_text, const char *size_text)
{
  const Tree *tree = ops->tree;
  bool user = tree_below_home (tree, target) || strcmp (target, tree->home) == 0;
  char options[128];
  uint64_t mib;
  mode_t mode;

  if (parse_mode (mode_text, &mode) < 0 || parse_number (size_text, 1 << 30, &mib) < 0 || mib == 0)
    return -EINVAL;
  snprintf (options, sizeof options, "mode=%o,uid=%u,gid=%u,size=%llum", mode, user ? tree->uid : 0,
            user ? tree->gid : 0, (unsigned long long)mib);
  return mount_new (tree, "tmpfs", "tmpfs", options, MOUNT_PLAIN, target);
}

static int
op_own (const Ops *ops, const char *target, const char *mode_text)
{
  mode_t mode;
  int fd, r = parse_mode (mode_text, &mode);

  if (r < 0)
    return r;
  fd = tree_open (ops->tree, target, 0);
  if (fd < 0)
    return fd;
  r = fd_set_owner (fd, 0, 0, mode);
  close_fd (&fd);
  return r;
}

/* By way of the directory's descriptor: no link is followed, and the path may have any length. */
static int
bind_at (int fd, int parent, const char *name)
{
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int n = snprintf (address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", parent, name);
  mode_t old;
  int r;

  if (n < 0 || (size_t)n >= sizeof address.sun_path)
    return -ENAMETOOLONG;
  old = umask (0177);
  r = bind (fd, (struct sockaddr *)&address, sizeof address) < 0 ? -errno : 0;
  umask (old);
  return r;
}

static int
listen_at (const Ops *ops, int parent, const char *name, mode_t mode)
{
  int fd, r = replace (parent, name);

  if (r < 0)
    return r;
  fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  r = fd < 0 ? -errno : bind_at (fd, parent, name);
  /* The mode first: who has given it away may need CAP_FOWNER, which the root of a container has not. */
  if (r == 0 && (fchmodat (parent, name, mode, 0) < 0 ||
                 fchownat (parent, name, ops->tree->uid, ops->tree->gid, AT_SYMLINK_NOFOLLOW) < 0 ||
                 listen (fd, RELAY_BACKLOG) < 0))
    r = -errno;
  if (r < 0)
    close_fd (&fd);
  return r < 0 ? r : fd;
}

/* Where root alone can change a name, as root, if it may be: nobody can make it follow something there. */
static int
listen_as_owner (const Ops *ops, int parent, const char *name, mode_t mode)
{
  struct stat st;
  int fd, r;

  if (fstat (parent, &st) < 0)
    return -errno;
  if (!ops->was_root || st.st_uid != 0 || (st.st_mode & 0022) != 0)
    return listen_at (ops, parent, name, mode);
  r = act_as (0, 0);
  fd = r < 0 ? r : listen_at (ops, parent, name, mode);
  if (r == 0 && (r = act_as (ops->tree->uid, ops->tree->gid)) < 0) {
    close_fd (&fd);
    return r;
  }
  return fd;
}

static int
op_relay (const Ops *ops, const char *index_text, const char *target, const char *mode_text)
{
  const char *name;
  uint64_t index;
  mode_t mode;
  int parent, fd, r = 0;

  if (parse_number (index_text, FRAME_RELAYS_MAX - 1, &index) < 0 || parse_mode (mode_text, &mode) < 0)
    return -EINVAL;
  parent = tree_parent (ops->tree, target, &name);
  if (parent < 0)
    return parent;
  if (strncmp (target, X11_DIR "/", sizeof X11_DIR) == 0) /* X11 programs distrust any other mode */
    r = fd_set_owner (parent, geteuid (), getegid (), 01777);
  fd = r < 0 ? r : listen_as_owner (ops, parent, name, mode);
  close_fd (&parent);
  return fd < 0 ? fd : relays_add (ops->relays, (uint32_t)index, fd);
}

/* *ret_target: the word that names what is being made, for messages. */
static int
run_one (const Ops *ops, char *const *words, const char **ret_target)
{
  const char *op = words[0], *a = words[1], *b = words[2], *c = words[3];
  bool file = strcmp (op, "file") == 0, relay = strcmp (op, "relay") == 0;
  bool second = file || relay || strcmp (op, "bind") == 0 || strcmp (op, "link") == 0;

  *ret_target = second ? b : a;
  if (**ret_target != '/')
    return -EINVAL;
  if (ops->here && !file && !relay)
    return -EPERM;
  if (ops->part != OPS_ALL && relay != (ops->part == OPS_SOCKETS))
    return 0;
  if (file)
    return op_file (ops, a, b, c);
  if (relay)
    return op_relay (ops, a, b, c);
  if (strcmp (op, "dir") == 0)
    return op_dir (ops, a, b, c);
  if (strcmp (op, "bind") == 0)
    return ops_bind (ops, a, b, c);
  if (strcmp (op, "link") == 0)
    return op_link (ops, a, b);
  if (strcmp (op, "tmpfs") == 0)
    return op_tmpfs (ops, a, b, c);
  if (strcmp (op, "own") == 0)
    return op_own (ops, a, b);
  if (strcmp (op, "show") == 0)
    return op_show (ops, a, b);
  if (strcmp (op, "take") == 0)
    return op_take (ops, a, b);
  return -ENOSYS;
}

int
ops_run (const Ops *ops, const Meta *meta, Why *why)
{
  for (size_t i = 0; i < meta->n_mounts; i += 4) {
    const char *target = "";
    int r = run_one (ops, meta->mounts + i, &target);
    if (r < 0)
      return why_set (why, -r, "meta file 'mounts': cannot do '%s' for '%s'", meta->mounts[i], target);
  }
  return 0;
}
