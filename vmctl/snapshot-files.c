/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "images/disk.h"
#include "images/scratch.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"
#include "vmctl/base/json.h"
#include "vmctl/plug.h"

#define DIRECTORY "snapshots"
#define FILE_NAME "root.qcow2"
#define DISK_NAME "plugged-%s.qcow2"
#define NEXT "next-disk" /* beside the directory: no name of a snapshot */
/* Of plugged disks: copies that a restore has made, and those that the machine which starts waits for. */
#define COPIED_DISKS "copied-plugged"
#define NEXT_DISKS "next-plugged"

enum { AT_ONCE = 1 << 30, BUFFER = 1 << 16 };

static int
open_dir (int at, const char *name, GError **error)
{
  int fd = openat (at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

  if (fd < 0)
    vm_error_errno (error, errno, "cannot open '%s'", name);
  return fd;
}

/* -1 and error; made with mode 0700 if it is missing. */
static int
make_dir (int at, const char *name, GError **error)
{
  if (mkdirat (at, name, 0700) < 0 && errno != EEXIST) {
    vm_error_errno (error, errno, "cannot make the directory '%s'", name);
    return -1;
  }
  return open_dir (at, name, error);
}

static int
fill_new (int dir, const VmPlan *plan, GError **error)
{
  vm_autofd fd = openat (dir, FILE_NAME, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

  if (fd < 0) {
    vm_error_errno (error, errno, "cannot make a file for the snapshot");
    return -1;
  }
  if (plan->image.filesystem != NULL ? !image_scratch_format (fd, plan->image.size, error)
                                     : !image_scratch_copy (plan->disk_base, fd, error))
    return -1;
  return vm_fd_steal (&fd);
}

int
vm_snapshot_file_new (int state_fd, const VmPlan *plan, const char *name, GError **error)
{
  vm_autofd all = make_dir (state_fd, DIRECTORY, error), dir = -1;
  int fd;

  if (all < 0)
    return -1;
  if (mkdirat (all, name, 0700) < 0) {
    vm_error_errno (error, errno, "cannot make a directory for the snapshot '%s'", name);
    return -1;
  }
  dir = open_dir (all, name, error);
  fd = dir >= 0 ? fill_new (dir, plan, error) : -1;
  if (fd < 0)
    (void)vm_file_remove_tree (all, name, NULL);
  return fd;
}

int
vm_snapshot_file_open (int state_fd, const char *name, GError **error)
{
  g_autofree char *path = g_strdup_printf (DIRECTORY "/%s/" FILE_NAME, name);
  int fd = openat (state_fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

  if (fd < 0)
    vm_error_errno (error, errno, "cannot open the snapshot '%s'", name);
  return fd;
}

static char *
disk_path (const char *name, const char *id)
{
  return g_strdup_printf (DIRECTORY "/%s/" DISK_NAME, name, id);
}

char *
vm_snapshot_disk_path (const char *state_dir, const char *name, const char *id)
{
  g_autofree char *path = disk_path (name, id);

  return g_build_filename (state_dir, path, NULL);
}

int
vm_snapshot_disk_open (int state_fd, const char *name, const char *id, GError **error)
{
  g_autofree char *path = disk_path (name, id);
  int fd = openat (state_fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

  if (fd < 0)
    vm_error_errno (error, errno, "cannot open the copy of '%s' in the snapshot '%s'", id, name);
  return fd;
}

int
vm_snapshot_disk_new (int state_fd, const char *name, const char *id, guint64 size, GError **error)
{
  g_autofree char *path = disk_path (name, id);
  vm_autofd fd = openat (state_fd, path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

  if (fd < 0) {
    vm_error_errno (error, errno, "cannot make a file for the copy of '%s'", id);
    return -1;
  }
  if (image_scratch_format (fd, size, error))
    return vm_fd_steal (&fd);
  (void)unlinkat (state_fd, path, 0);
  return -1;
}

gboolean
vm_snapshot_file_remove (int state_fd, const char *name, GError **error)
{
  vm_autofd all = openat (state_fd, DIRECTORY, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

  if (all < 0 && errno == ENOENT)
    return TRUE;
  if (all < 0)
    return vm_error_errno (error, errno, "cannot open '" DIRECTORY "'");
  if (faccessat (all, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
    return TRUE;
  return vm_file_remove_tree (all, name, error);
}

void
vm_snapshot_files_remove_all (int state_fd)
{
  if (faccessat (state_fd, DIRECTORY, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
    (void)vm_file_remove_tree (state_fd, DIRECTORY, NULL);
  (void)unlinkat (state_fd, NEXT, 0);
  vm_snapshot_disks_forget (state_fd);
}

static guint64
bytes_at (int state_fd, const char *path)
{
  struct stat st;

  return fstatat (state_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 ? (guint64)st.st_blocks * 512 : 0;
}

guint64
vm_snapshot_file_bytes (int state_fd, const char *name)
{
  g_autofree char *path = g_strdup_printf (DIRECTORY "/%s/" FILE_NAME, name);

  return bytes_at (state_fd, path);
}

guint64
vm_snapshot_disk_bytes (int state_fd, const char *name, const char *id)
{
  g_autofree char *path = disk_path (name, id);

  return bytes_at (state_fd, path);
}

static gboolean
copy_by_hand (int from, int to, GError **error)
{
  g_autofree char *buffer = g_malloc (BUFFER);
  ssize_t n;

  while ((n = read (from, buffer, BUFFER)) != 0) {
    if (n < 0 && errno != EINTR)
      return vm_error_errno (error, errno, "cannot read the snapshot");
    if (n > 0 && !vm_fd_write_all (to, buffer, (gsize)n, error))
      return FALSE;
  }
  return TRUE;
}

/* Some file systems share the blocks, most can copy without our help. */
static gboolean
copy_all (int from, int to, GError **error)
{
  ssize_t n;

  if (ioctl (to, FICLONE, from) == 0)
    return TRUE;
  do
    n = copy_file_range (from, NULL, to, NULL, AT_ONCE, 0);
  while (n > 0 || (n < 0 && errno == EINTR));
  if (n == 0)
    return TRUE;
  if (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL || errno == EXDEV)
    return copy_by_hand (from, to, error); /* from where both are by now */
  return vm_error_errno (error, errno, "cannot copy the snapshot");
}

/* What is kept has to be on the disk before it gets its name. */
static gboolean
copy_to (int from, int dir, const char *name, gboolean is_kept, GError **error)
{
  vm_autofd to = -1;

  if (unlinkat (dir, name, 0) < 0 && errno != ENOENT)
    return vm_error_errno (error, errno, "cannot remove '%s'", name);
  to = openat (dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (to < 0)
    return vm_error_errno (error, errno, "cannot make '%s'", name);
  if (copy_all (from, to, error) &&
      (!is_kept || fsync (to) == 0 || vm_error_errno (error, errno, "cannot write '%s'", name)))
    return TRUE;
  (void)unlinkat (dir, name, 0);
  return FALSE;
}

gboolean
vm_snapshot_file_copy (int state_fd, const char *name, const char *keep, GError **error)
{
  vm_autofd from = vm_snapshot_file_open (state_fd, name, error), dir = -1;

  if (from < 0)
    return FALSE;
  if (keep == NULL)
    return copy_to (from, state_fd, NEXT, FALSE, error);
  dir = open_dir (AT_FDCWD, keep, error);
  return dir >= 0 && copy_to (from, dir, IMAGE_DISK_RESTORED, TRUE, error);
}

/* Disks that are plugged again */

static void
remove_dir (int state_fd, const char *name)
{
  if (faccessat (state_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
    (void)vm_file_remove_tree (state_fd, name, NULL);
}

void
vm_snapshot_disks_forget (int state_fd)
{
  remove_dir (state_fd, COPIED_DISKS);
  remove_dir (state_fd, NEXT_DISKS);
}

static gboolean
copy_disk (int state_fd, const char *name, const char *id, int dir, GError **error)
{
  g_autofree char *file = g_strdup_printf (DISK_NAME, id);
  vm_autofd from = vm_snapshot_disk_open (state_fd, name, id, error);

  return from >= 0 && copy_to (from, dir, file, FALSE, error);
}

gboolean
vm_snapshot_disks_copy (int state_fd, const char *name, json_object *disks, GError **error)
{
  vm_autofd dir = -1;

  remove_dir (state_fd, COPIED_DISKS);
  dir = make_dir (state_fd, COPIED_DISKS, error);
  if (dir < 0)
    return FALSE;
  for (gsize i = 0; i < json_object_array_length (disks); i++)
    if (!copy_disk (state_fd, name, vm_json_str (json_object_array_get_idx (disks, i), "id", ""), dir,
                    error)) {
      remove_dir (state_fd, COPIED_DISKS);
      return FALSE;
    }
  return TRUE;
}

gboolean
vm_snapshot_disks_choose (int state_fd, GError **error)
{
  remove_dir (state_fd, NEXT_DISKS);
  return renameat (state_fd, COPIED_DISKS, state_fd, NEXT_DISKS) == 0 ||
         vm_error_errno (error, errno, "cannot rename '" COPIED_DISKS "'");
}

gboolean
vm_snapshot_disks_are_chosen (int state_fd)
{
  return faccessat (state_fd, NEXT_DISKS, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

gboolean
vm_snapshot_check_head (int fd, const char *name, GError **error)
{
  guint8 head[VM_PLUG_HEAD];
  const char *format;
  ssize_t n = pread (fd, head, sizeof head, 0);

  return n < 0 ? vm_error_errno (error, errno, "cannot read the snapshot '%s'", name)
               : vm_plug_check_disk (head, (gsize)n, "qcow2", name, &format, error);
}

int
vm_snapshot_disks_take (int state_fd, const char *id, GError **error)
{
  g_autofree char *path = g_strdup_printf (NEXT_DISKS "/" DISK_NAME, id);
  vm_autofd fd = openat (state_fd, path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);

  if (fd >= 0 && unlinkat (state_fd, path, 0) == 0)
    return vm_fd_steal (&fd);
  vm_error_errno (error, errno, "cannot use the copy of '%s'", id);
  return -1;
}

char *
vm_snapshot_next_disk (const VmPlan *plan)
{
  return plan->image.keep != NULL ? g_build_filename (plan->image.keep, IMAGE_DISK_RESTORED, NULL)
                                  : g_build_filename (plan->state_dir, NEXT, NULL);
}

char *
vm_snapshot_base_id (const char *disk_base)
{
  struct stat st;

  if (lstat (disk_base, &st) < 0)
    return NULL;
  return g_strdup_printf ("%" G_GUINT64_FORMAT ":%" G_GUINT64_FORMAT ":%" G_GINT64_FORMAT, (guint64)st.st_dev,
                          (guint64)st.st_ino, (gint64)st.st_mtime);
}
