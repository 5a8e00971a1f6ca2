/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/guestfs/list.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "images/guestfs/jail.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"

/* What one message takes, even if every name and every link is as long as can be. */
enum { BATCH = 500, BATCH_BYTES = 512 << 10, NAMES_MAX = 256 << 20 };

#define FOUND IMAGE_JAIL_TMP "/found"

static ImageWalkEntry *
new_entry (const char *prefix, const char *name, const struct guestfs_statns *st)
{
  ImageWalkEntry *entry = g_new0 (ImageWalkEntry, 1);

  entry->path = g_strconcat (prefix, name, NULL);
  entry->mode = (guint32)st->st_mode;
  entry->uid = (guint32)st->st_uid;
  entry->gid = (guint32)st->st_gid;
  entry->size = (guint64)st->st_size;
  entry->rdev = (guint64)st->st_rdev;
  entry->ino = (guint64)st->st_ino;
  entry->mtime = st->st_mtime_sec;
  entry->mtime_ns = st->st_mtime_nsec;
  entry->ctime = st->st_ctime_sec;
  entry->ctime_ns = st->st_ctime_nsec;
  return entry;
}

/* The links from `first` on. */
static gboolean
read_links (ImageAppliance *a, const char *dir, gsize prefix, GPtrArray *out, guint first, GError **error)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_null_terminated (16, NULL, TRUE);
  g_autoptr (GPtrArray) links = g_ptr_array_new ();
  autostrings targets = NULL;

  for (guint i = first; i < out->len; i++) {
    ImageWalkEntry *entry = g_ptr_array_index (out, i);

    if (image_walk_type (entry->mode) != 'l')
      continue;
    g_ptr_array_add (names, entry->path + prefix);
    g_ptr_array_add (links, entry);
  }
  if (links->len == 0)
    return TRUE;
  targets = guestfs_readlinklist (a->g, dir, (char *const *)names->pdata);
  if (targets == NULL)
    return image_appliance_fail (a, error, "cannot read the links in '%s'", dir);
  for (guint i = 0; i < links->len && targets[i] != NULL; i++)
    ((ImageWalkEntry *)g_ptr_array_index (links, i))->target = g_strdup (targets[i]);
  return TRUE;
}

static gboolean
stat_batch (ImageAppliance *a, const char *dir, const char *prefix, GPtrArray *batch, GPtrArray *out,
            GError **error)
{
  struct guestfs_statns_list *list = guestfs_lstatnslist (a->g, dir, (char *const *)batch->pdata);
  guint first = out->len;

  if (list == NULL)
    return image_appliance_fail (a, error, "cannot look at the files in '%s'", dir);
  for (guint i = 0; i < list->len && i < batch->len; i++)
    if (list->val[i].st_ino != -1)
      g_ptr_array_add (out, new_entry (prefix, g_ptr_array_index (batch, i), &list->val[i]));
  guestfs_free_statns_list (list);
  return read_links (a, dir, strlen (prefix), out, first, error);
}

/* An entry for each of the `names` in the directory `dir` that is there; their paths begin with `prefix`. */
static gboolean
stat_names (ImageAppliance *a, const char *dir, const char *prefix, char **names, GPtrArray *out,
            GError **error)
{
  while (*names != NULL) {
    g_autoptr (GPtrArray) batch = g_ptr_array_new_null_terminated (BATCH, NULL, TRUE);
    gsize bytes = 0;

    for (; *names != NULL && batch->len < BATCH && bytes < BATCH_BYTES; names++) {
      g_ptr_array_add (batch, *names);
      bytes += strlen (*names);
    }
    if (!stat_batch (a, dir, prefix, batch, out, error))
      return FALSE;
  }
  return TRUE;
}

static void
free_names (gpointer data)
{
  g_ptr_array_unref (data);
}

/* The paths that `find` has left, by directory: "" or "a/b/" to the names in it, which are in `text`. */
static GHashTable *
split_paths (char *text, gsize length)
{
  GHashTable *dirs = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, free_names);

  for (gsize at = 0, next; at < length; at = next) {
    char *path = text + at + (text[at] == '/'), *slash = strrchr (path, '/');
    char *name = slash != NULL ? slash + 1 : path;
    g_autofree char *dir = g_strndup (path, (gsize)(name - path));
    GPtrArray *names = g_hash_table_lookup (dirs, dir);

    next = (gsize)(path - text) + strlen (path) + 1;
    if (*name == '\0')
      continue;
    if (names == NULL) {
      names = g_ptr_array_new_null_terminated (8, NULL, TRUE);
      g_hash_table_insert (dirs, g_steal_pointer (&dir), names);
    }
    g_ptr_array_add (names, name);
  }
  return dirs;
}

static char *
find_paths (ImageAppliance *a, const char *dir, gsize *ret_length, GError **error)
{
  vm_autofd fd = -1;

  if (guestfs_find0 (a->g, dir, FOUND) < 0) {
    image_appliance_fail (a, error, "cannot walk through the files");
    return NULL;
  }
  fd = open (FOUND, O_RDONLY | O_CLOEXEC);
  (void)unlink (FOUND);
  if (fd < 0) {
    vm_error_errno (error, errno, "cannot read the names of the files");
    return NULL;
  }
  return vm_fd_read_all (fd, NAMES_MAX, ret_length, error);
}

GPtrArray *
image_list_walk (ImageAppliance *a, const char *dir, GError **error)
{
  gsize length = 0;
  g_autofree char *text = find_paths (a, dir, &length, error);
  g_autoptr (GHashTable) dirs = text != NULL ? split_paths (text, length) : NULL;
  g_autoptr (GPtrArray) out = image_walk_new ();
  gpointer prefix, names;
  GHashTableIter iter;

  if (dirs == NULL)
    return NULL;
  g_hash_table_iter_init (&iter, dirs);
  while (g_hash_table_iter_next (&iter, &prefix, &names)) {
    g_autofree char *path = g_build_filename (dir, prefix, NULL);

    if (!stat_names (a, path, prefix, (char **)((GPtrArray *)names)->pdata, out, error))
      return NULL;
  }
  return g_steal_pointer (&out);
}

/* What the paths of files in a directory begin with. */
static char *
prefix_of (const char *dir)
{
  return g_str_has_suffix (dir, "/") ? g_strdup (dir) : g_strconcat (dir, "/", NULL);
}

static gboolean
list_one (ImageAppliance *a, const char *path, GPtrArray *out, GError **error)
{
  g_autofree char *dir = g_path_get_dirname (path), *name = g_path_get_basename (path);
  g_autofree char *prefix = prefix_of (dir);
  char *names[] = {name, NULL};

  if (guestfs_is_dir_opts (a->g, dir, GUESTFS_IS_DIR_OPTS_FOLLOWSYMLINKS, 1, -1) <= 0)
    return vm_error (error, VM_ERROR_NOT_FOUND, "there is no '%s' in the image", path);
  if (!stat_names (a, dir, prefix, names, out, error))
    return FALSE;
  return out->len > 0 || vm_error (error, VM_ERROR_NOT_FOUND, "there is no '%s' in the image", path);
}

static gboolean
list_directory (ImageAppliance *a, const char *path, GPtrArray *out, GError **error)
{
  autostrings names = guestfs_ls (a->g, path);
  g_autofree char *prefix = prefix_of (path);

  if (names == NULL)
    return image_appliance_fail (a, error, "cannot list '%s'", path);
  return stat_names (a, path, prefix, names, out, error);
}

GPtrArray *
image_list_path (ImageAppliance *a, const char *path, GError **error)
{
  g_autoptr (GPtrArray) out = image_walk_new ();
  gboolean is_dir = guestfs_is_dir_opts (a->g, path, GUESTFS_IS_DIR_OPTS_FOLLOWSYMLINKS, 1, -1) > 0;
  gboolean ok = is_dir ? list_directory (a, path, out, error) : list_one (a, path, out, error);

  return ok ? g_steal_pointer (&out) : NULL;
}
