/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "images/disk-parts.h"
#include "images/qcow2-head.h"
#include "images/scratch.h"
#include "images/store-parts.h"
#include "vmctl/base/error.h"
#include "vmctl/base/escape.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"
#include "vmctl/base/json.h"

enum { INFO_MAX = 64 << 10, OPEN_TRIES = 8, LOCK_WAIT_MS = 2000, LOCK_LOOK_MS = 20 };

#define INFO "disk.json"
#define PART_PREFIX ".part-"

void
image_disk_free (ImageDisk *disk)
{
  if (disk == NULL)
    return;
  g_free (disk->name);
  g_free (disk->dir);
  g_free (disk->image);
  g_free (disk->image_name);
  g_free (disk->problem);
  g_free (disk);
}

static void
free_disk (gpointer data)
{
  image_disk_free (data);
}

char *
image_disk_path (const char *data_dir, const char *name)
{
  return g_build_filename (data_dir, "disks", name, NULL);
}

gboolean
image_disk_check_name (const char *name, GError **error)
{
  g_autofree char *shown = vm_escape_terminal (name, -1, 100);

  return image_store_is_name (name) ||
         vm_error (error, VM_ERROR_USAGE,
                   "'%s' cannot be the name of a kept disk: it has letters, digits, '.', '_' and '-', at "
                   "most 64, and begins with a letter or digit",
                   shown);
}

/* Reading */

static gboolean
read_head (int fd, ImageQcow2Head *ret, GError **error)
{
  g_autofree guint8 *data = g_malloc (IMAGE_QCOW2_HEAD);
  ssize_t n = pread (fd, data, IMAGE_QCOW2_HEAD, 0);
  struct stat st;

  if (n < 0 || fstat (fd, &st) < 0)
    return vm_error_errno (error, errno, "cannot read it");
  return image_qcow2_parse (data, (gsize)n, (guint64)st.st_size, ret, error);
}

/* What the file itself says. */
static void
look_at_overlay (ImageDisk *disk, int dir_fd)
{
  vm_autofd fd = openat (dir_fd, IMAGE_STORE_DISK, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  g_autoptr (GError) problem = NULL;
  ImageQcow2Head head = {0};
  struct stat st;

  if (fd < 0 || fstat (fd, &st) < 0 || !S_ISREG (st.st_mode)) {
    disk->problem = g_strdup ("its file '" IMAGE_STORE_DISK "' is missing");
    return;
  }
  disk->bytes = (guint64)st.st_blocks * 512;
  disk->busy = flock (fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
  if (read_head (fd, &head, &problem))
    disk->size = head.size;
  else
    disk->problem = g_strdup (problem->message);
}

static ImageDisk *
load_from (int dir_fd, GError **error)
{
  gsize length;
  g_autofree char *text = vm_file_read (dir_fd, INFO, INFO_MAX, &length, error);
  g_autoptr (json_object) object = text != NULL ? vm_json_parse_object (text, length, error) : NULL;
  g_autoptr (ImageDisk) disk = g_new0 (ImageDisk, 1);
  const char *image, *image_name;

  if (object == NULL || !vm_json_need_str (object, "image", &image, error) ||
      !vm_json_need_str (object, "image-name", &image_name, error))
    return NULL;
  if (!image_store_is_id (image) || !image_info_is_text (image_name)) {
    vm_error (error, VM_ERROR_INVALID, "'" INFO "' names no image");
    return NULL;
  }
  disk->image = g_strdup (image);
  disk->image_name = g_strdup (image_name);
  disk->created = vm_json_int (object, "created", 0);
  look_at_overlay (disk, dir_fd);
  return g_steal_pointer (&disk);
}

static ImageDisk *
load (const char *dir, GError **error)
{
  vm_autofd dir_fd = open (dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  g_autoptr (ImageDisk) disk = NULL;

  if (dir_fd < 0) {
    vm_error_errno (error, errno, "cannot open '%s'", dir);
    return NULL;
  }
  disk = load_from (dir_fd, error);
  if (disk == NULL) {
    g_prefix_error (error, "the kept disk '%s' cannot be used: ", dir);
    return NULL;
  }
  disk->dir = g_strdup (dir);
  disk->name = g_path_get_basename (dir);
  return g_steal_pointer (&disk);
}

static int
by_name (gconstpointer a, gconstpointer b)
{
  return strcmp ((*(ImageDisk *const *)a)->name, (*(ImageDisk *const *)b)->name);
}

GPtrArray *
image_disk_list (const char *data_dir, GPtrArray *problems)
{
  GPtrArray *all = g_ptr_array_new_with_free_func (free_disk);
  g_autofree char *place = image_disk_path (data_dir, NULL);
  g_autoptr (GDir) dir = g_dir_open (place, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL) {
    g_autofree char *path = image_disk_path (data_dir, name);
    g_autoptr (GError) problem = NULL;
    ImageDisk *disk = image_store_is_name (name) ? load (path, &problem) : NULL;

    if (disk != NULL)
      g_ptr_array_add (all, disk);
    else if (problem != NULL && problems != NULL)
      g_ptr_array_add (problems, g_strdup (problem->message));
  }
  g_ptr_array_sort (all, by_name);
  return all;
}

static gboolean
say_not_found (const char *data_dir, const char *name, GError **error)
{
  g_autoptr (GPtrArray) all = image_disk_list (data_dir, NULL);
  g_autoptr (GString) known = g_string_new (NULL);

  for (guint i = 0; i < all->len; i++)
    g_string_append_printf (
        known, "%s%s", i > 0 ? ", " : "; there are: ", ((const ImageDisk *)g_ptr_array_index (all, i))->name);
  return vm_error (error, VM_ERROR_NOT_FOUND, "there is no kept disk '%s'%s", name,
                   all->len > 0 ? known->str : ", nor any other; up --image IMAGE --keep NAME makes one");
}

ImageDisk *
image_disk_find (const char *data_dir, const char *name, GError **error)
{
  g_autofree char *path = NULL;
  GError *problem = NULL;
  ImageDisk *disk;

  if (!image_disk_check_name (name, error))
    return NULL;
  path = image_disk_path (data_dir, name);
  disk = load (path, &problem);
  if (disk != NULL)
    return disk;
  if (!g_file_test (path, G_FILE_TEST_EXISTS)) {
    g_clear_error (&problem);
    say_not_found (data_dir, name, &problem);
  }
  g_propagate_error (error, problem);
  return NULL;
}

char *
image_disk_that_needs (const char *data_dir, const char *id)
{
  g_autoptr (GPtrArray) all = image_disk_list (data_dir, NULL);

  for (guint i = 0; i < all->len; i++) {
    const ImageDisk *disk = g_ptr_array_index (all, i);

    if (g_str_equal (disk->image, id))
      return g_strdup (disk->name);
  }
  return NULL;
}

json_object *
image_disk_to_json (const ImageDisk *disk)
{
  json_object *object = json_object_new_object ();

  vm_json_add_str (object, "name", disk->name);
  vm_json_add_str (object, "image", disk->image);
  vm_json_add_str (object, "image-name", disk->image_name);
  vm_json_add_int (object, "created", disk->created);
  vm_json_add_str (object, "problem", disk->problem);
  vm_json_add_int (object, "size", (gint64)disk->size);
  vm_json_add_int (object, "bytes", (gint64)disk->bytes);
  vm_json_add_bool (object, "busy", disk->busy);
  vm_json_add_str (object, "directory", disk->dir);
  return object;
}

/* Making */

static gboolean
write_overlay (int dir_fd, const char *name, guint64 size, GError **error)
{
  vm_autofd fd = openat (dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

  if (fd < 0)
    return vm_error_errno (error, errno, "cannot make a disk");
  return image_scratch_format (fd, size, error) &&
         (fsync (fd) == 0 || vm_error_errno (error, errno, "cannot write a disk"));
}

static gboolean
write_info (int dir_fd, const char *id, const char *image_name, GError **error)
{
  g_autoptr (json_object) object = json_object_new_object ();
  g_autofree char *text = NULL;

  vm_json_add_str (object, "image", id);
  vm_json_add_str (object, "image-name", image_name);
  vm_json_add_int (object, "created", g_get_real_time ());
  text = vm_json_pretty (object);
  return vm_file_replace (dir_fd, INFO, text, strlen (text), 0600, TRUE, error);
}

/* The place of all disks, locked, and without what killed makers left. */
static int
lock_place (const char *place, GError **error)
{
  vm_autofd fd = -1;
  g_autoptr (GDir) dir = NULL;
  const char *name;
  int result;

  if (!vm_file_make_private_dir (place, error) || (fd = vm_file_open_private_dir (place, error)) < 0)
    return -1;
  do
    result = flock (fd, LOCK_EX);
  while (result < 0 && errno == EINTR);
  if (result < 0) {
    vm_error_errno (error, errno, "cannot lock '%s'", place);
    return -1;
  }
  dir = g_dir_open (place, 0, NULL);
  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    if (g_str_has_prefix (name, PART_PREFIX))
      (void)vm_file_remove_tree (fd, name, NULL); /* else the next one tries again */
  return vm_fd_steal (&fd);
}

/* It appears as a whole, or it was made by another one meanwhile. */
static gboolean
make (const char *dir, const char *id, const char *image_name, guint64 size, GError **error)
{
  g_autofree char *place = g_path_get_dirname (dir), *name = g_path_get_basename (dir);
  g_autofree char *part = g_strdup_printf (PART_PREFIX "%08x", g_random_int ());
  vm_autofd place_fd = lock_place (place, error), part_fd = -1;
  gboolean ok;

  if (place_fd < 0)
    return FALSE;
  if (mkdirat (place_fd, part, 0700) < 0 ||
      (part_fd = openat (place_fd, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
    return vm_error_errno (error, errno, "cannot make a directory in '%s'", place);
  ok = write_overlay (part_fd, IMAGE_STORE_DISK, size, error) && write_info (part_fd, id, image_name, error);
  if (ok && renameat (place_fd, part, place_fd, name) < 0 && errno != EEXIST && errno != ENOTEMPTY)
    ok = vm_error_errno (error, errno, "cannot make '%s'", dir);
  (void)fsync (place_fd);
  (void)vm_file_remove_tree (place_fd, part, NULL); /* is not there if all went well */
  return ok;
}

/* Using */

/* A machine that was told to end holds the lock until it has. */
static gboolean
lock_overlay (int fd, const char *name, GError **error)
{
  gint64 until = g_get_monotonic_time () + LOCK_WAIT_MS * 1000;

  while (flock (fd, LOCK_EX | LOCK_NB) < 0) {
    if (errno != EWOULDBLOCK && errno != EINTR)
      return vm_error_errno (error, errno, "cannot lock the kept disk '%s'", name);
    if (g_get_monotonic_time () >= until)
      return vm_error (error, VM_ERROR_BUSY,
                       "the kept disk '%s' is in use by another sandbox; see: vmctl list, or write another "
                       "--keep",
                       name);
    g_usleep (LOCK_LOOK_MS * 1000);
  }
  return TRUE;
}

/* The file that has the name now: a reset puts another one there. -1 and error; 0 in *ret_again: once more.
 */
static int
open_once (const char *dir, const char *name, gboolean *ret_again, GError **error)
{
  g_autofree char *path = g_build_filename (dir, IMAGE_STORE_DISK, NULL);
  vm_autofd fd = open (path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  struct stat st, now;

  if (fd < 0 || fstat (fd, &st) < 0)
    vm_error_errno (error, errno, "cannot open the kept disk '%s'", name);
  else if (!S_ISREG (st.st_mode) || st.st_uid != geteuid () || (st.st_mode & 022) != 0)
    vm_error (error, VM_ERROR_INVALID,
              "the kept disk '%s' belongs to somebody else, or can be written by others; see '%s'", name,
              dir);
  else if (lock_overlay (fd, name, error)) {
    *ret_again = lstat (path, &now) < 0 || now.st_dev != st.st_dev || now.st_ino != st.st_ino;
    return vm_fd_steal (&fd);
  }
  return -1;
}

static void
sweep (const char *dir)
{
  vm_autofd fd = open (dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

  if (fd >= 0) {
    (void)unlinkat (fd, IMAGE_DISK_NEW, 0);
    (void)unlinkat (fd, IMAGE_DISK_WHOLE, 0);
    (void)unlinkat (fd, IMAGE_DISK_RESTORED, 0);
  }
}

static int
open_locked (const char *dir, GError **error)
{
  g_autofree char *name = g_path_get_basename (dir);

  for (guint i = 0; i < OPEN_TRIES; i++) {
    gboolean again = FALSE;
    vm_autofd fd = open_once (dir, name, &again, error);

    if (fd < 0 || !again)
      return vm_fd_steal (&fd);
  }
  vm_error (error, VM_ERROR_BUSY, "the kept disk '%s' is being changed by another vmctl", name);
  return -1;
}

int
image_disk_lock (const char *dir, GError **error)
{
  int fd = open_locked (dir, error);

  if (fd >= 0)
    sweep (dir);
  return fd;
}

gboolean
image_disk_is_sound (int fd, const char *name, GError **error)
{
  ImageQcow2Head head = {0};

  if (read_head (fd, &head, error))
    return TRUE;
  g_prefix_error (error, "the kept disk '%s' cannot be used: ", name);
  return FALSE;
}

static gboolean
is_of_image (const char *dir, const char *id, const char *image_name, GError **error)
{
  g_autoptr (ImageDisk) disk = load (dir, error);

  if (disk == NULL)
    return FALSE;
  return g_str_equal (disk->image, id) ||
         vm_error (error, VM_ERROR_INVALID, "the kept disk '%s' is of the image '%s', not of '%s'",
                   disk->name, disk->image_name, image_name);
}

int
image_disk_open (const char *dir, const char *id, const char *image_name, guint64 size, GError **error)
{
  g_autofree char *name = g_path_get_basename (dir);
  vm_autofd fd = -1;

  if (!g_file_test (dir, G_FILE_TEST_EXISTS) && !make (dir, id, image_name, size, error))
    return -1;
  fd = image_disk_lock (dir, error);
  if (fd < 0 || !image_disk_is_sound (fd, name, error) || !is_of_image (dir, id, image_name, error))
    return -1;
  return vm_fd_steal (&fd);
}

/* Locked from the first moment at which it can be found. */
static int
put_restored (const char *dir, const char *name, GError **error)
{
  vm_autofd dir_fd = open (dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), fd = -1;

  if (dir_fd >= 0)
    fd = openat (dir_fd, IMAGE_DISK_RESTORED, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0 || flock (fd, LOCK_EX | LOCK_NB) < 0)
    vm_error_errno (error, errno, "cannot open what the kept disk '%s' is to be", name);
  else if (!image_disk_is_sound (fd, name, error))
    return -1;
  else if (renameat (dir_fd, IMAGE_DISK_RESTORED, dir_fd, IMAGE_STORE_DISK) < 0 || fsync (dir_fd) < 0)
    vm_error_errno (error, errno, "cannot restore the kept disk '%s'", name);
  else
    return vm_fd_steal (&fd);
  return -1;
}

int
image_disk_restore (const char *dir, const char *id, const char *image_name, GError **error)
{
  g_autofree char *name = g_path_get_basename (dir);
  vm_autofd before = open_locked (dir, error);

  if (before < 0 || !is_of_image (dir, id, image_name, error))
    return -1;
  return put_restored (dir, name, error);
}

gboolean
image_disk_reset (const ImageDisk *disk, guint64 size, GError **error)
{
  vm_autofd lock = image_disk_lock (disk->dir, error), dir_fd = -1;

  if (lock < 0)
    return FALSE;
  dir_fd = open (disk->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (dir_fd < 0)
    return vm_error_errno (error, errno, "cannot open '%s'", disk->dir);
  if (!write_overlay (dir_fd, IMAGE_DISK_NEW, size, error))
    return FALSE;
  return (renameat (dir_fd, IMAGE_DISK_NEW, dir_fd, IMAGE_STORE_DISK) == 0 && fsync (dir_fd) == 0) ||
         vm_error_errno (error, errno, "cannot empty the kept disk '%s'", disk->name);
}

/* The name goes first: what is left when this is killed is swept like one that was never finished. */
gboolean
image_disk_remove (const char *data_dir, const char *name, GError **error)
{
  g_autofree char *dir = image_disk_path (data_dir, name), *place = g_path_get_dirname (dir);
  g_autofree char *overlay = g_build_filename (dir, IMAGE_STORE_DISK, NULL);
  g_autofree char *part = g_strdup_printf (PART_PREFIX "%08x", g_random_int ());
  vm_autofd lock = -1, place_fd = -1;

  if (!image_disk_check_name (name, error))
    return FALSE;
  if (!g_file_test (dir, G_FILE_TEST_IS_DIR))
    return say_not_found (data_dir, name, error);
  if (g_file_test (overlay, G_FILE_TEST_EXISTS) && (lock = image_disk_lock (dir, error)) < 0)
    return FALSE;
  if ((place_fd = lock_place (place, error)) < 0)
    return FALSE;
  if (renameat (place_fd, name, place_fd, part) < 0)
    return vm_error_errno (error, errno, "cannot remove the kept disk '%s'", name);
  return vm_file_remove_tree (place_fd, part, error);
}
