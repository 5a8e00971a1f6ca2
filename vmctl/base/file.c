/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"

int
vm_file_open_private_dir (const char *path, GError **error)
{
  vm_autofd fd = open (path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  struct stat st;

  if (fd < 0 || fstat (fd, &st) < 0) {
    if (errno == ELOOP || errno == ENOTDIR)
      vm_error (error, VM_ERROR_HOST, "'%s' is not a directory; remove it", path);
    else
      vm_error_errno (error, errno, "cannot open '%s'", path);
    return -1;
  }
  if (st.st_uid != geteuid ()) {
    vm_error (error, VM_ERROR_HOST,
              "'%s' belongs to uid %u, not to you (uid %u); point to a directory of your own", path,
              (unsigned)st.st_uid, (unsigned)geteuid ());
    return -1;
  }
  if ((st.st_mode & 022) != 0) {
    vm_error (error, VM_ERROR_HOST, "'%s' can be written by others (mode %04o); run: chmod 0700 '%s'", path,
              (unsigned)(st.st_mode & 07777), path);
    return -1;
  }
  return vm_fd_steal (&fd);
}

gboolean
vm_file_make_private_dir (const char *path, GError **error)
{
  vm_autofd fd = -1;

  if (g_mkdir_with_parents (path, 0700) < 0)
    return vm_error_errno (error, errno, "cannot make the directory '%s'", path);
  fd = vm_file_open_private_dir (path, error);
  return fd >= 0;
}

gboolean
vm_file_replace (int dir_fd, const char *name, const void *data, gsize length, guint mode, gboolean durable,
                 GError **error)
{
  g_autofree char *temp = g_strdup_printf (".%s.%08x", name, g_random_int ());
  vm_autofd fd = openat (dir_fd, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, (mode_t)mode);

  if (fd < 0)
    return vm_error_errno (error, errno, "cannot write '%s'", name);
  if (!vm_fd_write_all (fd, data, length, error) || (durable && fsync (fd) < 0) ||
      renameat (dir_fd, temp, dir_fd, name) < 0) {
    int err = errno;

    (void)unlinkat (dir_fd, temp, 0);
    if (error != NULL && *error == NULL)
      vm_error_errno (error, err, "cannot write '%s'", name);
    else
      g_prefix_error (error, "'%s': ", name);
    return FALSE;
  }
  if (durable)
    (void)fsync (dir_fd); /* the content is safe; the name may be the old one after a power cut */
  return TRUE;
}

void
vm_file_sync (int dir_fd, const char *name)
{
  vm_autofd fd = openat (dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

  if (fd >= 0)
    (void)fsync (fd);
  (void)fsync (dir_fd);
}

char *
vm_file_read (int dir_fd, const char *name, gsize max, gsize *ret_length, GError **error)
{
  vm_autofd fd = openat (dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  struct stat st;
  char *data;

  if (fd < 0 || fstat (fd, &st) < 0) {
    vm_error_errno (error, errno, "cannot read '%s'", name);
    return NULL;
  }
  if (!S_ISREG (st.st_mode)) {
    vm_error (error, VM_ERROR_INVALID, "cannot read '%s': not a regular file", name);
    return NULL;
  }
  data = vm_fd_read_all (fd, max, ret_length, error);
  if (data == NULL)
    g_prefix_error (error, "'%s': ", name);
  return data;
}

/* How it works: descends by descriptor, one name at a time, never through a link or into another mount. A
 * tree that somebody nested deeper than we have descriptors is taken apart: what lies at DEPTH_MAX is moved
 * up next to the top and removed from there. */

enum { DEPTH_MAX = 64 };

typedef struct {
  int top;         /* borrowed; the directory that deep ones are moved to; -1: none yet */
  dev_t device;    /* nothing on another one is removed */
  guint next_deep; /* names what was moved */
} Removal;

static gboolean remove_one (Removal *removal, int dir_fd, const char *name, guint depth, GError **error);

/* -1 with errno set; EXDEV: something is mounted there. */
static int
open_inside (int dir_fd, const char *name, int flags, dev_t device)
{
  struct open_how how = {.flags = (guint64)(flags | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC),
                         .resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH};
  gboolean is_path = strchr (name, '/') != NULL; /* only the caller's own name may be one */
  vm_autofd fd = is_path ? -1 : (int)syscall (SYS_openat2, dir_fd, name, &how, sizeof how);
  struct stat st;

  /* Where a seccomp filter hides openat2 a mount of the same file system cannot be told from a directory. */
  if (is_path || (fd < 0 && (errno == ENOSYS || errno == EPERM)))
    fd = openat (dir_fd, name, flags | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0 || fstat (fd, &st) < 0)
    return -1;
  if (st.st_dev != device) {
    errno = EXDEV;
    return -1;
  }
  return vm_fd_steal (&fd);
}

/* The sandbox may have taken our right to look into its directory. By descriptor: chmod would follow a link.
 */
static int
open_forbidden (int dir_fd, const char *name, dev_t device)
{
  vm_autofd fd = open_inside (dir_fd, name, O_PATH, device);
  g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d", fd);

  if (fd < 0 || chmod (path, 0700) < 0)
    return -1;
  return open_inside (dir_fd, name, O_RDONLY, device);
}

static void
close_dir (DIR *dir)
{
  (void)closedir (dir);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DIR, close_dir)

static gboolean
remove_entries (Removal *removal, DIR *dir, guint depth, GError **error)
{
  struct dirent *entry;

  rewinddir (dir);
  while ((entry = readdir (dir)) != NULL) {
    if (strcmp (entry->d_name, ".") == 0 || strcmp (entry->d_name, "..") == 0)
      continue;
    if (!remove_one (removal, dirfd (dir), entry->d_name, depth, error))
      return FALSE;
  }
  return TRUE;
}

static gboolean
move_up (Removal *removal, int dir_fd, const char *name, GError **error)
{
  /* A directory that changes its parent must be writable itself. */
  vm_autofd fd = open_forbidden (dir_fd, name, removal->device);

  if (fd < 0)
    return vm_error_errno (error, errno, "cannot remove '%s'", name);
  do {
    char deep[32];

    (void)snprintf (deep, sizeof deep, ".deep-%u", removal->next_deep++);
    if (syscall (SYS_renameat2, dir_fd, name, removal->top, deep, RENAME_NOREPLACE) == 0)
      return TRUE;
  } while (errno == EEXIST);
  return vm_error_errno (error, errno, "cannot remove '%s'", name);
}

/* Once more for what was moved up meanwhile. */
static gboolean
remove_all_entries (Removal *removal, DIR *dir, guint depth, GError **error)
{
  guint moved;

  (void)fchmod (dirfd (dir), 0700); /* the sandbox may have taken our right to write */
  if (depth > 0)
    return remove_entries (removal, dir, depth + 1, error);
  removal->top = dirfd (dir);
  do {
    moved = removal->next_deep;
    if (!remove_entries (removal, dir, depth + 1, error))
      return FALSE;
  } while (removal->next_deep > moved);
  return TRUE;
}

static gboolean
remove_one (Removal *removal, int dir_fd, const char *name, guint depth, GError **error)
{
  vm_autofd fd = -1;
  g_autoptr (DIR) dir = NULL;

  if (unlinkat (dir_fd, name, 0) == 0 || errno == ENOENT)
    return TRUE;
  if (errno != EISDIR && errno != EPERM)
    return vm_error_errno (error, errno, "cannot remove '%s'", name);
  if (unlinkat (dir_fd, name, AT_REMOVEDIR) == 0)
    return TRUE;
  if (depth >= DEPTH_MAX)
    return move_up (removal, dir_fd, name, error);
  fd = open_inside (dir_fd, name, O_RDONLY, removal->device);
  if (fd < 0 && errno == EACCES)
    fd = open_forbidden (dir_fd, name, removal->device);
  if (fd < 0 && errno == EXDEV)
    return vm_error (error, VM_ERROR_BUSY, "cannot remove '%s': something is mounted there", name);
  if (fd < 0 || (dir = fdopendir (fd)) == NULL)
    return vm_error_errno (error, errno, "cannot remove '%s'", name);
  (void)vm_fd_steal (&fd);
  if (!remove_all_entries (removal, dir, depth, error))
    return FALSE;
  if (unlinkat (dir_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
    return vm_error_errno (error, errno, "cannot remove '%s'", name);
  return TRUE;
}

gboolean
vm_file_remove_tree (int dir_fd, const char *name, GError **error)
{
  Removal removal = {.top = -1};
  struct stat st;

  if (fstatat (dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
    return errno == ENOENT ? TRUE : vm_error_errno (error, errno, "cannot remove '%s'", name);
  removal.device = st.st_dev;
  return remove_one (&removal, dir_fd, name, 0, error);
}

gboolean
vm_size_parse (const char *text, guint64 unit, const char *what, guint64 *ret_bytes, GError **error)
{
  char *end = NULL;
  double value;
  const char *units = "KMGT", *at;

  if (g_ascii_isdigit (*text) && strpbrk (text, "xXpPnNeE") == NULL) {
    value = g_ascii_strtod (text, &end);
    if (*end != '\0' && (at = strchr (units, g_ascii_toupper (*end))) != NULL) {
      unit = G_GUINT64_CONSTANT (1) << (10 * (at - units + 1));
      end++;
      if (g_ascii_strcasecmp (end, "ib") == 0 || g_ascii_strcasecmp (end, "b") == 0)
        end += strlen (end);
    }
    value *= (double)unit;
    if (*end == '\0' && isfinite (value) && value >= 1 && value < 9.0e18) {
      *ret_bytes = (guint64)value;
      return TRUE;
    }
  }
  return vm_error (error, VM_ERROR_USAGE,
                   "%s: '%s' is not a size; write a number with K, M, G or T, such as 512M or 4G", what,
                   text);
}

char *
vm_size_format (guint64 bytes)
{
  static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = (double)bytes;
  guint i = 0;

  while (value >= 1024 && i + 1 < G_N_ELEMENTS (names)) {
    value /= 1024;
    i++;
  }
  if (i == 0 || value >= 100 || value == floor (value))
    return g_strdup_printf ("%.0f %s", value, names[i]);
  return g_strdup_printf ("%.1f %s", value, names[i]);
}
