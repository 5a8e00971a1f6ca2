/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/template.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "images/build.h"
#include "images/template-parts.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"
#include "vmctl/base/json.h"

enum { INFO_MAX = 65536 };

#define USES "uses"
#define SUSPECT "suspect"

const char *const image_template_files[] = {"ram", "state", "disk", NULL};

char *
image_template_dir (const char *cache_dir)
{
  return g_build_filename (cache_dir, "templates", NULL);
}

char *
image_template_path (const char *cache_dir, const char *key)
{
  return g_build_filename (cache_dir, "templates", key, NULL);
}

gboolean
image_template_is_key (const char *name)
{
  return strlen (name) == IMAGE_TEMPLATE_KEY && strspn (name, "0123456789abcdef") == IMAGE_TEMPLATE_KEY;
}

char **
image_template_keys (const char *cache_dir)
{
  g_autofree char *path = image_template_dir (cache_dir);
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  g_autoptr (GPtrArray) keys = g_ptr_array_new ();
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    if (image_template_is_key (name))
      g_ptr_array_add (keys, g_strdup (name));
  g_ptr_array_add (keys, NULL);
  return (char **)g_ptr_array_steal (keys, NULL);
}

void
image_template_free (ImageTemplate *template)
{
  if (template == NULL)
    return;
  g_free (template->key);
  json_object_put (template->info);
  g_free (template->problem);
  g_free (template);
}

void
image_template_files_clear (ImageTemplateFiles *files)
{
  vm_fd_clear (&files->state);
  vm_fd_clear (&files->disk);
  vm_fd_clear (&files->dir);
}

static gint64
nanoseconds (const struct timespec *t)
{
  return (gint64)t->tv_sec * 1000000000 + t->tv_nsec;
}

json_object *
image_template_identity (const struct stat *st)
{
  json_object *object = json_object_new_object ();

  vm_json_add_int (object, "inode", (gint64)st->st_ino);
  vm_json_add_int (object, "size", (gint64)st->st_size);
  vm_json_add_int (object, "mtime", nanoseconds (&st->st_mtim));
  vm_json_add_int (object, "ctime", nanoseconds (&st->st_ctim));
  return object;
}

static gboolean
is_unchanged (const struct stat *st, json_object *identity)
{
  g_autoptr (json_object) now = image_template_identity (st);

  return identity != NULL && json_object_equal (now, identity);
}

/* A FIFO would block, a link lead elsewhere, and another user's file hold anything. */
static int
open_file (int dir_fd, const char *name, json_object *files, GError **error)
{
  vm_autofd fd = openat (dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  struct stat st;

  if (fd < 0 || fstat (fd, &st) < 0)
    vm_error (error, VM_ERROR_INVALID, "its file '%s' cannot be opened: %s", name, g_strerror (errno));
  else if (!S_ISREG (st.st_mode))
    vm_error (error, VM_ERROR_INVALID, "its file '%s' is not a regular file", name);
  else if (st.st_uid != geteuid () || (st.st_mode & 077) != 0)
    vm_error (error, VM_ERROR_INVALID, "its file '%s' is not this user's alone", name);
  else if (!is_unchanged (&st, vm_json_object (files, name)))
    vm_error (error, VM_ERROR_INVALID, "its file '%s' was changed since it was made", name);
  else
    return vm_fd_steal (&fd);
  return -1;
}

static json_object *
read_info (int dir_fd, const char *key, GError **error)
{
  gsize length;
  g_autofree char *text = vm_file_read (dir_fd, "info.json", INFO_MAX, &length, error);
  g_autoptr (json_object) info = text != NULL ? vm_json_parse_object (text, length, error) : NULL;

  if (info == NULL)
    return NULL;
  if (g_strcmp0 (vm_json_str (info, "key", NULL), key) == 0 && vm_json_object (info, "machine") != NULL)
    return g_steal_pointer (&info);
  vm_error (error, VM_ERROR_INVALID, "its info.json is that of another one");
  return NULL;
}

static gboolean
open_all (int dir_fd, const char *key, ImageTemplateFiles *ret, json_object **ret_info, GError **error)
{
  g_autoptr (json_object) info = read_info (dir_fd, key, error);
  vm_autofd ram = -1;

  if (info == NULL)
    return FALSE;
  ram = open_file (dir_fd, "ram", vm_json_object (info, "files"), error);
  if (ram < 0 || (ret->state = open_file (dir_fd, "state", vm_json_object (info, "files"), error)) < 0 ||
      (ret->disk = open_file (dir_fd, "disk", vm_json_object (info, "files"), error)) < 0)
    return FALSE;
  if (ret_info != NULL)
    *ret_info = g_steal_pointer (&info);
  return TRUE;
}

/* Everything but NOT_FOUND means that it has to go. */
static gboolean
open_template (const char *path, ImageTemplateFiles *ret, json_object **ret_info, GError **error)
{
  g_autofree char *key = g_path_get_basename (path);
  GError *problem = NULL;
  struct stat st;

  if (lstat (path, &st) < 0)
    return vm_error_errno (error, errno, "template '%s'", key);
  ret->dir = vm_file_open_private_dir (path, &problem);
  if (ret->dir >= 0 && open_all (ret->dir, key, ret, ret_info, &problem))
    return TRUE;
  image_template_files_clear (ret);
  vm_error (error, VM_ERROR_INVALID, "template '%s' cannot be used: %s", key, problem->message);
  g_clear_error (&problem);
  return FALSE;
}

gboolean
image_template_open (const char *path, ImageTemplateFiles *ret, GError **error)
{
  return open_template (path, ret, NULL, error);
}

void
image_template_used (const ImageTemplateFiles *files)
{
  vm_autofd fd = openat (files->dir, USES, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

  if (fd >= 0)
    (void)!write (fd, ".", 1); /* only a statistic */
}

gboolean
image_template_suspect (const char *path)
{
  vm_autofd dir_fd = vm_file_open_private_dir (path, NULL);
  vm_autofd fd = dir_fd < 0 ? -1 : openat (dir_fd, SUSPECT, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

  return dir_fd >= 0 && fd < 0 && errno == EEXIST;
}

void
image_template_good (const char *path)
{
  vm_autofd dir_fd = vm_file_open_private_dir (path, NULL);

  if (dir_fd >= 0)
    (void)unlinkat (dir_fd, SUSPECT, 0);
}

gboolean
image_template_needs_hot (const char *path, struct stat *ret_ram)
{
  vm_autofd dir_fd = vm_file_open_private_dir (path, NULL);
  struct stat st;

  return dir_fd >= 0 && fstatat (dir_fd, IMAGE_TEMPLATE_HOT, &st, AT_SYMLINK_NOFOLLOW) < 0 &&
         errno == ENOENT && fstatat (dir_fd, "ram", ret_ram, AT_SYMLINK_NOFOLLOW) == 0;
}

gboolean
image_template_keep_hot (const char *path, GBytes *list, GError **error)
{
  vm_autofd dir_fd = vm_file_open_private_dir (path, error);
  gsize length;
  const void *bytes = g_bytes_get_data (list, &length);

  return dir_fd >= 0 && vm_file_replace (dir_fd, IMAGE_TEMPLATE_HOT, bytes, length, 0600, FALSE, error);
}

/* In one step: what is being taken away is no template any more. */
gboolean
image_template_remove (const char *path, GError **error)
{
  g_autofree char *dir = g_path_get_dirname (path), *key = g_path_get_basename (path);
  g_autofree char *part = g_strdup_printf (IMAGE_PART_PREFIX "%s-%08x", key, g_random_int ());
  vm_autofd dir_fd = -1;

  if (!g_file_test (dir, G_FILE_TEST_EXISTS))
    return TRUE;
  if ((dir_fd = vm_file_open_private_dir (dir, error)) < 0)
    return FALSE;
  if (renameat (dir_fd, key, dir_fd, part) < 0)
    return errno == ENOENT || vm_error_errno (error, errno, "cannot remove template '%s'", key);
  return vm_file_remove_tree (dir_fd, part, error);
}

/* Listing */

static guint64
bytes_of (int dir_fd, const char *name)
{
  struct stat st;

  return fstatat (dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? (guint64)st.st_blocks * 512 : 0;
}

static void
read_uses (int dir_fd, ImageTemplate *template)
{
  struct stat st;

  if (fstatat (dir_fd, USES, &st, AT_SYMLINK_NOFOLLOW) < 0)
    return;
  template->uses = (guint64)st.st_size;
  template->used = nanoseconds (&st.st_mtim) / 1000;
}

static ImageTemplate *
look_at (const char *cache_dir, const char *key)
{
  g_auto (ImageTemplateFiles) files = IMAGE_TEMPLATE_FILES_INIT;
  ImageTemplate *template = g_new0 (ImageTemplate, 1);
  g_autofree char *path = image_template_path (cache_dir, key);
  g_autoptr (json_object) info = NULL;
  g_autoptr (GError) error = NULL;
  vm_autofd dir_fd = vm_file_open_private_dir (path, NULL);

  template->key = g_strdup (key);
  if (!open_template (path, &files, &info, &error))
    template->problem = g_strdup (error->message);
  template->created = vm_json_int (info, "created", 0);
  template->info = info != NULL ? json_object_get (vm_json_object (info, "machine")) : NULL;
  for (const char *const *name = image_template_files; dir_fd >= 0 && *name != NULL; name++)
    template->bytes += bytes_of (dir_fd, *name);
  if (dir_fd >= 0)
    read_uses (dir_fd, template);
  return template;
}

static int
by_use (gconstpointer a, gconstpointer b)
{
  const ImageTemplate *x = *(ImageTemplate *const *)a, *y = *(ImageTemplate *const *)b;
  gint64 x_time = MAX (x->used, x->created), y_time = MAX (y->used, y->created);

  return x_time < y_time ? -1 : x_time > y_time;
}

static void
free_template (gpointer data)
{
  image_template_free (data);
}

GPtrArray *
image_template_scan (const char *cache_dir, GError **error)
{
  g_autoptr (GPtrArray) all = g_ptr_array_new_with_free_func (free_template);
  g_autofree char *path = image_template_dir (cache_dir);
  g_auto (GStrv) keys = NULL;

  if (g_file_test (path, G_FILE_TEST_EXISTS)) {
    vm_autofd dir_fd = vm_file_open_private_dir (path, error);

    if (dir_fd < 0)
      return NULL;
  }
  keys = image_template_keys (cache_dir);
  for (char **key = keys; *key != NULL; key++)
    g_ptr_array_add (all, look_at (cache_dir, *key));
  g_ptr_array_sort (all, by_use);
  return g_steal_pointer (&all);
}

gboolean
image_template_shrink (const char *cache_dir, guint64 max, const char *keep, GPtrArray *removed,
                       GError **error)
{
  g_autoptr (GPtrArray) all = image_template_scan (cache_dir, error);
  guint64 total = 0;

  for (guint i = 0; all != NULL && i < all->len; i++)
    total += ((ImageTemplate *)g_ptr_array_index (all, i))->bytes;
  for (guint i = 0; all != NULL && i < all->len && total > max; i++) {
    const ImageTemplate *template = g_ptr_array_index (all, i);
    g_autofree char *path = NULL;

    if (g_strcmp0 (template->key, keep) == 0)
      continue;
    path = image_template_path (cache_dir, template->key);
    if (!image_template_remove (path, error))
      return FALSE;
    total -= template->bytes;
    if (removed != NULL)
      g_ptr_array_add (removed, g_strdup (template->key));
  }
  return all != NULL;
}
