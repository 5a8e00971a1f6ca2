/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/ext/tree.h"

#include <string.h>
#include <sys/stat.h>

#include "images/info.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"

enum { PIECE = 64 << 10 };

ext2_ino_t
image_tree_find (ext2_filsys fs, const char *path, guint *ret_mode)
{
  struct ext2_inode inode;
  ext2_ino_t found;

  if (ext2fs_namei_follow (fs, EXT2_ROOT_INO, EXT2_ROOT_INO, path, &found) != 0 ||
      ext2fs_read_inode (fs, found, &inode) != 0)
    return 0;
  if (ret_mode != NULL)
    *ret_mode = inode.i_mode;
  return found;
}

gboolean
image_tree_is_file (ext2_filsys fs, const char *path)
{
  guint mode;

  return image_tree_find (fs, path, &mode) != 0 && S_ISREG (mode);
}

static ext2_file_t
open_file (ext2_filsys fs, const char *path)
{
  ext2_file_t file = NULL;
  guint mode;
  ext2_ino_t ino = image_tree_find (fs, path, &mode);

  if (ino == 0 || !S_ISREG (mode) || ext2fs_file_open (fs, ino, 0, &file) != 0)
    return NULL;
  return file;
}

char *
image_tree_read (ext2_filsys fs, const char *path, gsize max, gsize *ret_length)
{
  ext2_file_t file = open_file (fs, path);
  g_autofree char *data = NULL;
  gsize used = 0;
  guint n = 1;

  if (file == NULL)
    return NULL;
  data = g_malloc (max + 1);
  while (used < max && n > 0 && ext2fs_file_read (file, data + used, (guint)MIN (max - used, PIECE), &n) == 0)
    used += n;
  (void)ext2fs_file_close (file);
  data[used] = '\0';
  if (ret_length != NULL)
    *ret_length = used;
  return g_steal_pointer (&data);
}

static gboolean
copy (ext2_file_t file, const char *path, guint64 max, int fd, GError **error)
{
  g_autofree guint8 *piece = g_malloc (PIECE);
  guint64 used = 0;
  guint n = 0;

  for (;;) {
    errcode_t code = ext2fs_file_read (file, piece, PIECE, &n);

    if (code != 0)
      return vm_error (error, VM_ERROR_INVALID, "cannot read '%s' in the image: %s", path,
                       error_message (code));
    if (n == 0)
      return TRUE;
    used += n;
    if (used > max)
      return vm_error (error, VM_ERROR_INVALID, "'%s' in the image is too large", path);
    if (!vm_fd_write_all (fd, piece, n, error))
      return FALSE;
  }
}

gboolean
image_tree_copy (ext2_filsys fs, const char *path, guint64 max, int fd, GError **error)
{
  ext2_file_t file = open_file (fs, path);
  gboolean ok;

  if (file == NULL)
    return vm_error (error, VM_ERROR_NOT_FOUND, "there is no file '%s' in the image", path);
  ok = copy (file, path, max, fd, error);
  (void)ext2fs_file_close (file);
  return ok;
}

static int
by_text (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *)a, *(const char *const *)b);
}

typedef struct {
  GPtrArray *out; /* borrowed */
  guint max;
} Listing;

static int
list_entry (struct ext2_dir_entry *entry, int offset, int block_size, char *buffer, void *data)
{
  Listing *l = data;
  int length = ext2fs_dirent_name_len (entry);
  g_autofree char *name = g_strndup (entry->name, (gsize)MAX (length, 0));

  if (strlen (name) == (gsize)length && image_info_is_text (name) && strchr (name, '/') == NULL &&
      !g_str_equal (name, ".") && !g_str_equal (name, ".."))
    g_ptr_array_add (l->out, g_steal_pointer (&name));
  return l->out->len < l->max ? 0 : DIRENT_ABORT;
}

GPtrArray *
image_tree_list (ext2_filsys fs, const char *path, guint max)
{
  GPtrArray *out = g_ptr_array_new_with_free_func (g_free);
  Listing l = {.out = out, .max = max};
  guint mode;
  ext2_ino_t ino = image_tree_find (fs, path, &mode);

  if (ino != 0 && S_ISDIR (mode))
    (void)ext2fs_dir_iterate (fs, ino, 0, NULL, list_entry, &l); /* what could be read is there */
  g_ptr_array_sort (out, by_text);
  return out;
}
