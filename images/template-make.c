/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "images/build.h"
#include "images/template-parts.h"
#include "images/template.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"
#include "vmctl/base/json.h"

enum { PAGE = 4096, FORMAT = 1 };

/* The lock is ours: what is half there has no builder. */
static void
sweep (const char *path, int dir_fd)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  g_autoptr (GPtrArray) parts = g_ptr_array_new_with_free_func (g_free);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    if (g_str_has_prefix (name, IMAGE_PART_PREFIX))
      g_ptr_array_add (parts, g_strdup (name));
  for (guint i = 0; i < parts->len; i++)
    (void)vm_file_remove_tree (dir_fd, g_ptr_array_index (parts, i), NULL); /* the next one tries again */
}

static int
lock_dir (const char *path, gboolean wait, ImageProgress progress, gpointer data, GError **error)
{
  vm_autofd fd = -1;
  int r;

  if (!vm_file_make_private_dir (path, error) || (fd = vm_file_open_private_dir (path, error)) < 0)
    return -1;
  r = flock (fd, LOCK_EX | LOCK_NB);
  if (r < 0 && errno == EWOULDBLOCK && !wait) {
    vm_error (error, VM_ERROR_BUSY, "another vmctl makes a template");
    return -1;
  }
  if (r < 0 && errno == EWOULDBLOCK) {
    if (progress != NULL)
      progress ("waiting for another vmctl that makes a template", -1, data);
    do
      r = flock (fd, LOCK_EX);
    while (r < 0 && errno == EINTR);
  }
  if (r < 0) {
    vm_error_errno (error, errno, "cannot lock '%s'", path);
    return -1;
  }
  return vm_fd_steal (&fd);
}

gboolean
image_template_begin (const char *path, gboolean wait, ImageProgress progress, gpointer data,
                      ImageTemplatePart *ret, GError **error)
{
  g_autofree char *dir = g_path_get_dirname (path), *key = g_path_get_basename (path);

  if ((ret->lock = lock_dir (dir, wait, progress, data, error)) < 0)
    return FALSE;
  if (g_file_test (path, G_FILE_TEST_EXISTS))
    return vm_error (error, VM_ERROR_EXISTS, "template '%s' is there already", key);
  sweep (dir, ret->lock);
  ret->final = g_strdup (path);
  ret->path = g_strdup_printf ("%s/" IMAGE_PART_PREFIX "%s", dir, key);
  if (!vm_file_make_private_dir (ret->path, error))
    return FALSE;
  ret->dir = vm_file_open_private_dir (ret->path, error);
  return ret->dir >= 0;
}

int
image_template_create (const ImageTemplatePart *part, const char *name, GError **error)
{
  int fd = openat (part->dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

  if (fd < 0)
    vm_error_errno (error, errno, "cannot make '%s/%s'", part->path, name);
  return fd;
}

static gboolean
is_zero (const guint8 *page, gsize length)
{
  return length == 0 || (page[0] == 0 && memcmp (page, page + 1, length - 1) == 0);
}

/* Gives back the zero pages of [start, end), which has data. */
static gboolean
punch_range (int fd, off_t start, off_t end)
{
  guint8 page[PAGE];
  off_t zero = -1, at = start;

  for (; at <= end; at += PAGE) {
    ssize_t n = at < end ? pread (fd, page, (size_t)MIN ((off_t)PAGE, end - at), at) : 0;

    if (n < 0)
      return FALSE;
    if (at < end && is_zero (page, (gsize)n)) {
      zero = zero < 0 ? at : zero;
      continue;
    }
    if (zero >= 0 && fallocate (fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, zero, at - zero) < 0)
      return errno == EOPNOTSUPP; /* then it is larger than it could be */
    zero = -1;
  }
  return TRUE;
}

static gboolean
punch_zeros (int fd, GError **error)
{
  off_t end = 0, start;

  while ((start = lseek (fd, end, SEEK_DATA)) >= 0) {
    end = lseek (fd, start, SEEK_HOLE);
    if (end < 0 || !punch_range (fd, start, end))
      return vm_error_errno (error, errno, "cannot make the template's memory smaller");
  }
  return TRUE; /* ENXIO: no more data */
}

/* To the disk before it is named. */
static gboolean
settle (ImageTemplatePart *part, const char *name, json_object *files, GError **error)
{
  vm_autofd fd = openat (part->dir, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
  struct stat st;

  if (fd < 0)
    return vm_error_errno (error, errno, "cannot open '%s/%s'", part->path, name);
  if (g_str_equal (name, "ram") && !punch_zeros (fd, error))
    return FALSE;
  if (fsync (fd) < 0 || fstat (fd, &st) < 0)
    return vm_error_errno (error, errno, "cannot write '%s/%s'", part->path, name);
  vm_json_add (files, name, image_template_identity (&st));
  return TRUE;
}

static gboolean
write_info (ImageTemplatePart *part, json_object *take_machine, json_object *take_files, GError **error)
{
  g_autoptr (json_object) info = json_object_new_object ();
  g_autofree char *text = NULL, *key = g_path_get_basename (part->final);

  vm_json_add_int (info, "format", FORMAT);
  vm_json_add_str (info, "key", key);
  vm_json_add_int (info, "created", g_get_real_time ());
  vm_json_add (info, "machine", take_machine);
  vm_json_add (info, "files", take_files);
  text = vm_json_pretty (info);
  return vm_file_replace (part->dir, "info.json", text, strlen (text), 0600, TRUE, error);
}

gboolean
image_template_commit (ImageTemplatePart *part, json_object *take_machine, GError **error)
{
  json_object *files = json_object_new_object ();
  gboolean ok = TRUE;

  for (const char *const *name = image_template_files; ok && *name != NULL; name++)
    ok = settle (part, *name, files, error);
  if (!ok) {
    json_object_put (files);
    json_object_put (take_machine);
    return FALSE;
  }
  if (!write_info (part, take_machine, files, error))
    return FALSE;
  if (rename (part->path, part->final) < 0)
    return vm_error_errno (error, errno, "cannot write '%s'", part->final);
  g_clear_pointer (&part->path, g_free);
  (void)fsync (part->lock); /* the directory; a name that is lost costs only another build */
  return TRUE;
}

void
image_template_part_clear (ImageTemplatePart *part)
{
  if (part->path != NULL && part->lock >= 0) {
    g_autofree char *name = g_path_get_basename (part->path);

    (void)vm_file_remove_tree (part->lock, name, NULL); /* else the next builder does it */
  }
  g_clear_pointer (&part->final, g_free);
  g_clear_pointer (&part->path, g_free);
  vm_fd_clear (&part->dir);
  vm_fd_clear (&part->lock);
}
