/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What changes the store. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "images/disk.h"
#include "images/store-parts.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"
#include "vmctl/base/json.h"

static int
wait_for_lock (int fd, int how)
{
  int result;

  do
    result = flock (fd, how);
  while (result < 0 && errno == EINTR);
  return result;
}

int
image_store_lock (const char *data_dir, GError **error)
{
  g_autofree char *path = image_store_path (data_dir);
  vm_autofd fd = -1;

  if (!vm_file_make_private_dir (path, error) || (fd = vm_file_open_private_dir (path, error)) < 0)
    return -1;
  if (mkdirat (fd, IMAGE_STORE_NAMES, 0700) < 0 && errno != EEXIST) {
    vm_error_errno (error, errno, "cannot make '%s/" IMAGE_STORE_NAMES "'", path);
    return -1;
  }
  if (!image_store_let_enter (path, fd, error))
    return -1;
  if (wait_for_lock (fd, LOCK_EX) < 0) {
    vm_error_errno (error, errno, "cannot lock '%s'", path);
    return -1;
  }
  return vm_fd_steal (&fd);
}

/* Parts */

/* Whoever makes one locks it before anybody else can see that it is there: the store is locked. */
static void
sweep (int store_fd)
{
  g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d", store_fd);
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL) {
    vm_autofd fd = -1;

    if (!g_str_has_prefix (name, IMAGE_STORE_PART_PREFIX))
      continue;
    fd = openat (store_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && flock (fd, LOCK_EX | LOCK_NB) == 0)
      (void)vm_file_remove_tree (store_fd, name, NULL); /* else the next one tries again */
  }
}

void
image_store_sweep (const char *data_dir)
{
  g_autofree char *path = image_store_path (data_dir);
  vm_autofd lock = g_file_test (path, G_FILE_TEST_IS_DIR) ? image_store_lock (data_dir, NULL) : -1;

  if (lock >= 0)
    sweep (lock);
}

gboolean
image_store_begin (const char *data_dir, ImageStorePart *ret, GError **error)
{
  g_autofree char *store = image_store_path (data_dir);
  g_autofree char *path = g_build_filename (store, IMAGE_STORE_PART_PREFIX "XXXXXX", NULL);
  vm_autofd lock = image_store_lock (data_dir, error);
  vm_autofd dir = -1;

  if (lock < 0)
    return FALSE;
  sweep (lock);
  if (g_mkdtemp_full (path, 0700) == NULL)
    return vm_error_errno (error, errno, "cannot make a directory in '%s'", store);
  dir = open (path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (dir < 0 || flock (dir, LOCK_EX | LOCK_NB) < 0)
    return vm_error_errno (error, errno, "cannot lock '%s'", path);
  ret->store = g_steal_pointer (&store);
  ret->path = g_steal_pointer (&path);
  ret->dir = vm_fd_steal (&dir);
  ret->data_dir = g_strdup (data_dir);
  return TRUE;
}

void
image_store_part_clear (ImageStorePart *part)
{
  if (part->path != NULL) {
    vm_autofd store = open (part->store, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    g_autofree char *name = g_path_get_basename (part->path);

    if (store >= 0)
      (void)vm_file_remove_tree (store, name, NULL); /* else the next one does it */
  }
  vm_fd_clear (&part->dir);
  g_clear_pointer (&part->path, g_free);
  g_clear_pointer (&part->store, g_free);
  g_clear_pointer (&part->data_dir, g_free);
}

gboolean
image_store_write_identity (int dir_fd, int disk_fd, GError **error)
{
  g_autoptr (json_object) identity = NULL;
  g_autofree char *text = NULL;
  struct stat st;

  if (fstat (disk_fd, &st) < 0)
    return vm_error_errno (error, errno, "cannot look at the image's disk");
  identity = image_store_identity (&st);
  text = vm_json_line (identity);
  return vm_file_replace (dir_fd, IMAGE_STORE_IDENTITY, text, strlen (text), 0600, TRUE, error);
}

/* The kernel's files, too: an image whose disk is there and whose kernel is empty would not boot. */
static gboolean
finish_disk (ImageStorePart *part, const ImageInfo *info, GError **error)
{
  vm_autofd disk = openat (part->dir, IMAGE_STORE_DISK, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

  if (disk < 0 || fchmod (disk, image_store_disk_mode (part->store)) < 0 || fsync (disk) < 0 ||
      (info->kernel != NULL && syncfs (part->dir) < 0))
    return vm_error_errno (error, errno, "cannot finish '%s'", part->path);
  return image_store_write_identity (part->dir, disk, error);
}

static gboolean
finish_part (ImageStorePart *part, const ImageInfo *info, GError **error)
{
  g_autoptr (json_object) object = image_info_to_json (info);
  g_autoptr (ImageInfo) again = image_info_from_json (object, error);
  g_autofree char *text = vm_json_pretty (object);

  return again != NULL && (info->is_host || finish_disk (part, info, error)) &&
         vm_file_replace (part->dir, IMAGE_STORE_INFO, text, strlen (text), 0600, TRUE, error) &&
         image_store_publish (part->store, part->dir, error);
}

/* Names */

static gboolean
set_name (int store_fd, const char *name, const char *id, gboolean force, GError **error)
{
  g_autofree char *path = g_build_filename (IMAGE_STORE_NAMES, name, NULL);
  g_autofree char *temp = g_strdup_printf (IMAGE_STORE_NAMES "/.%s.%08x", name, g_random_int ());
  g_autofree char *target = g_strdup_printf ("../%s", id);
  char now[IMAGE_ID_DIGITS + 32];
  ssize_t n = readlinkat (store_fd, path, now, sizeof now);

  if (n == (ssize_t)strlen (target) && strncmp (now, target, (gsize)n) == 0)
    return TRUE;
  if (n >= 0 && !force)
    return vm_error (
        error, VM_ERROR_EXISTS,
        "there is an image '%s' already; write another --name, or --force to have the name moved", name);
  if (symlinkat (target, store_fd, temp) < 0)
    return vm_error_errno (error, errno, "cannot name the image '%s'", name);
  if (renameat (store_fd, temp, store_fd, path) < 0) {
    int err = errno;

    (void)unlinkat (store_fd, temp, 0);
    return vm_error_errno (error, err, "cannot name the image '%s'", name);
  }
  return TRUE;
}

static gboolean
check_name (const char *name, GError **error)
{
  return image_store_is_name (name) ||
         vm_error (
             error, VM_ERROR_USAGE,
             "'%s' cannot be the name of an image: it has letters, digits, '.', '_' and '-', at most 64, "
             "and begins with a letter or digit",
             name);
}

gboolean
image_store_name (const char *data_dir, const char *name, const char *id, gboolean force, GError **error)
{
  vm_autofd lock = -1;

  if (!check_name (name, error) || (lock = image_store_lock (data_dir, error)) < 0)
    return FALSE;
  if (faccessat (lock, id, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
    return vm_error (error, VM_ERROR_NOT_FOUND, "the image '%s' is not in your store", id);
  return set_name (lock, name, id, force, error);
}

gboolean
image_store_unname (const char *data_dir, const char *name, GError **error)
{
  g_autofree char *path = g_build_filename (IMAGE_STORE_NAMES, name, NULL);
  vm_autofd lock = -1;

  if (!check_name (name, error) || (lock = image_store_lock (data_dir, error)) < 0)
    return FALSE;
  return unlinkat (lock, path, 0) == 0 ||
         vm_error_errno (error, errno, "cannot take away the name '%s'", name);
}

/* Whether the name could be given, before anything that takes long. */
gboolean
image_store_check_name (const char *data_dir, const char *name, gboolean force, GError **error)
{
  g_autofree char *store = image_store_path (data_dir);
  g_autofree char *path = g_build_filename (store, IMAGE_STORE_NAMES, name, NULL);
  char target[1];

  if (!check_name (name, error))
    return FALSE;
  return force || readlink (path, target, sizeof target) < 0 ||
         vm_error (error, VM_ERROR_EXISTS,
                   "there is an image '%s' already; write another --name, or --force to have the name moved",
                   name);
}

gboolean
image_store_commit (ImageStorePart *part, ImageInfo *info, const char *name, gboolean force, GError **error)
{
  g_autofree char *own = g_path_get_basename (part->path);
  vm_autofd lock = -1;
  gboolean there;

  if (!finish_part (part, info, error) || (lock = image_store_lock (part->data_dir, error)) < 0)
    return FALSE;
  there = faccessat (lock, info->id, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
  if (!there && renameat (lock, own, lock, info->id) < 0)
    return vm_error_errno (error, errno, "cannot put the image into '%s'", part->store);
  (void)fsync (lock);
  g_free (info->dir);
  info->dir = g_build_filename (part->store, info->id, NULL);
  if (!there)
    g_clear_pointer (&part->path, g_free);
  return name == NULL || set_name (lock, name, info->id, force, error);
}

/* Removing */

/* Nobody has it open, and nobody can open it any more. */
static gboolean
lock_disk (const ImageInfo *info, int *ret, GError **error)
{
  g_autofree char *path = image_info_disk (info), *label = image_info_label (info);
  vm_autofd fd = open (path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

  if (fd >= 0 && flock (fd, LOCK_EX | LOCK_NB) < 0)
    return vm_error (error, VM_ERROR_BUSY, "the image '%s' is in use; stop what runs from it: vmctl list",
                     label);
  *ret = vm_fd_steal (&fd); /* without a disk there is nothing to lock */
  return TRUE;
}

static void
remove_names (int store_fd, const ImageInfo *info)
{
  for (char **name = info->names; *name != NULL; name++) {
    g_autofree char *path = g_build_filename (IMAGE_STORE_NAMES, *name, NULL);

    (void)unlinkat (store_fd, path, 0); /* one that is left leads nowhere */
  }
}

gboolean
image_store_remove (const char *data_dir, const ImageInfo *info, GError **error)
{
  g_autofree char *part = g_strdup_printf (IMAGE_STORE_PART_PREFIX "%08x", g_random_int ());
  g_autofree char *label = image_info_label (info), *kept = NULL;
  vm_autofd lock = -1, disk = -1;

  if (info->system)
    return vm_error (error, VM_ERROR_UNSUPPORTED,
                     "the image '%s' is the system's ('%s'); only root can remove it, with "
                     "XDG_DATA_HOME=/var/lib",
                     label, info->dir);
  if ((lock = image_store_lock (data_dir, error)) < 0 || !lock_disk (info, &disk, error))
    return FALSE;
  if ((kept = image_disk_that_needs (data_dir, info->id)) != NULL)
    return vm_error (error, VM_ERROR_BUSY,
                     "the image '%s' is needed by the kept disk '%s'; remove that first: vmctl disk rm %s",
                     label, kept, kept);
  remove_names (lock, info);
  if (renameat (lock, info->id, lock, part) < 0)
    return errno == ENOENT || vm_error_errno (error, errno, "cannot remove the image '%s'", label);
  return vm_file_remove_tree (lock, part, error);
}

/* Verifying */

gboolean
image_store_trust (const ImageInfo *info, const char *sum, int disk_fd, GError **error)
{
  g_autofree char *label = image_info_label (info), *store = g_path_get_dirname (info->dir);
  vm_autofd dir_fd = open (info->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

  if (!g_str_equal (sum, info->id + strlen (IMAGE_ID_PREFIX)))
    return vm_error (
        error, VM_ERROR_INVALID,
        "the disk of the image '%s' is not what it was: its checksum is %s; remove it: vmctl image "
        "rm %s",
        label, sum, label);
  if (info->system && geteuid () != 0)
    return TRUE;
  if (dir_fd < 0 || fchmod (disk_fd, image_store_disk_mode (store)) < 0)
    return vm_error_errno (error, errno, "cannot open '%s'", info->dir);
  return image_store_write_identity (dir_fd, disk_fd, error) && image_store_publish (store, dir_fd, error);
}
