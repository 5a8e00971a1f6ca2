/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/ext/writer.h"

#include <string.h>
#include <sys/stat.h>

#include "vmctl/base/error.h"

enum { PIECE_MAX = 1 << 20 };

struct ImageWriter {
  ext2_filsys fs;    /* owned */
  GHashTable *known; /* owned; path of a directory -> its inode */
};

static gboolean
failed (GError **error, errcode_t code, const char *what)
{
  if (code == EXT2_ET_BLOCK_ALLOC_FAIL || code == EXT2_ET_INODE_ALLOC_FAIL)
    return vm_error (error, VM_ERROR_FAILED, "what is imported does not fit; give it more room with --size");
  return vm_error (error, VM_ERROR_FAILED, "cannot write '/%s' of the image: %s", what, error_message (code));
}

ImageWriter *
image_writer_open (const char *path, GError **error)
{
  g_autoptr (ImageWriter) w = g_new0 (ImageWriter, 1);
  errcode_t code = ext2fs_open (path, EXT2_FLAG_RW | EXT2_FLAG_64BITS, 0, 0, unix_io_manager, &w->fs);

  if (code == 0)
    code = ext2fs_read_bitmaps (w->fs);
  if (code != 0) {
    vm_error (error, VM_ERROR_FAILED, "cannot open the new file system: %s", error_message (code));
    return NULL;
  }
  w->known = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_hash_table_insert (w->known, g_strdup (""), GUINT_TO_POINTER (EXT2_ROOT_INO));
  return g_steal_pointer (&w);
}

void
image_writer_free (ImageWriter *w)
{
  if (w == NULL)
    return;
  if (w->fs != NULL)
    ext2fs_free (w->fs);
  g_clear_pointer (&w->known, g_hash_table_unref);
  g_free (w);
}

gboolean
image_writer_finish (ImageWriter *w, GError **error)
{
  errcode_t code = ext2fs_close_free (&w->fs);

  return code == 0 || failed (error, code, "");
}

/* Directories */

static int
file_type (guint mode)
{
  switch (mode & S_IFMT) {
  case S_IFREG:
    return EXT2_FT_REG_FILE;
  case S_IFDIR:
    return EXT2_FT_DIR;
  case S_IFLNK:
    return EXT2_FT_SYMLINK;
  case S_IFCHR:
    return EXT2_FT_CHRDEV;
  case S_IFBLK:
    return EXT2_FT_BLKDEV;
  case S_IFIFO:
    return EXT2_FT_FIFO;
  case S_IFSOCK:
    return EXT2_FT_SOCK;
  default:
    return EXT2_FT_UNKNOWN;
  }
}

static errcode_t
link_name (ext2_filsys fs, ext2_ino_t dir, const char *name, ext2_ino_t ino, guint mode)
{
  errcode_t code = ext2fs_link (fs, dir, name, ino, file_type (mode));

  if (code == EXT2_ET_DIR_NO_SPACE && (code = ext2fs_expand_dir (fs, dir)) == 0)
    code = ext2fs_link (fs, dir, name, ino, file_type (mode));
  return code;
}

static errcode_t
make_dir (ImageWriter *w, ext2_ino_t parent, const char *name, ext2_ino_t *ret)
{
  errcode_t code = ext2fs_new_inode (w->fs, parent, LINUX_S_IFDIR | 0755, NULL, ret);

  if (code == 0)
    code = ext2fs_mkdir (w->fs, parent, *ret, name);
  if (code == EXT2_ET_DIR_NO_SPACE && (code = ext2fs_expand_dir (w->fs, parent)) == 0)
    code = ext2fs_mkdir (w->fs, parent, *ret, name);
  return code;
}

/* The directory at `path`; symbolic links lead to one inside. 0: there is none. */
static ext2_ino_t
look_up_dir (ImageWriter *w, const char *path)
{
  struct ext2_inode inode;
  ext2_ino_t ino = GPOINTER_TO_UINT (g_hash_table_lookup (w->known, path));

  if (ino != 0)
    return ino;
  if (ext2fs_namei_follow (w->fs, EXT2_ROOT_INO, EXT2_ROOT_INO, path, &ino) != 0 ||
      ext2fs_read_inode (w->fs, ino, &inode) != 0 || !LINUX_S_ISDIR (inode.i_mode))
    return 0;
  return ino;
}

static char *
parent_of (const char *path)
{
  const char *slash = strrchr (path, '/');

  return slash != NULL ? g_strndup (path, (gsize)(slash - path)) : g_strdup ("");
}

static const char *
last_of (const char *path)
{
  const char *slash = strrchr (path, '/');

  return slash != NULL ? slash + 1 : path;
}

/* One level after the other, from the top: an archive can nest as deep as it likes. */
static errcode_t
need_dir (ImageWriter *w, const char *path, ext2_ino_t *ret)
{
  g_auto (GStrv) parts = NULL;
  g_autoptr (GString) so_far = g_string_new (NULL);
  ext2_ino_t at = EXT2_ROOT_INO, next = look_up_dir (w, path);

  if (next != 0) {
    *ret = next;
    return 0;
  }
  parts = g_strsplit (path, "/", -1);
  for (char **part = parts; *part != NULL; part++) {
    errcode_t code = 0;

    g_string_append_printf (so_far, "%s%s", so_far->len > 0 ? "/" : "", *part);
    next = look_up_dir (w, so_far->str);
    if (next == 0 && (code = make_dir (w, at, *part, &next)) != 0)
      return code;
    g_hash_table_insert (w->known, g_strdup (so_far->str), GUINT_TO_POINTER (next));
    at = next;
  }
  *ret = at;
  return 0;
}

/* What is there under that name, if it is no directory, goes. */
static errcode_t
clear_name (ImageWriter *w, ext2_ino_t dir, const char *name)
{
  struct ext2_inode inode;
  ext2_ino_t ino;
  errcode_t code = ext2fs_lookup (w->fs, dir, name, (int)strlen (name), NULL, &ino);

  if (code == EXT2_ET_FILE_NOT_FOUND)
    return 0;
  if (code != 0 || (code = ext2fs_read_inode (w->fs, ino, &inode)) != 0)
    return code;
  if (LINUX_S_ISDIR (inode.i_mode))
    return EXT2_ET_DIR_EXISTS;
  if ((code = ext2fs_unlink (w->fs, dir, name, ino, 0)) != 0)
    return code;
  if (inode.i_links_count > 1) {
    inode.i_links_count--;
    return ext2fs_write_inode (w->fs, ino, &inode);
  }
  if (ext2fs_inode_has_valid_blocks2 (w->fs, &inode))
    code = ext2fs_punch (w->fs, ino, &inode, NULL, 0, ~(blk64_t)0);
  inode.i_links_count = 0;
  inode.i_dtime = 1; /* any time: it is no more */
  if (code == 0)
    code = ext2fs_write_inode (w->fs, ino, &inode);
  ext2fs_inode_alloc_stats2 (w->fs, ino, -1, 0);
  return code;
}

/* Entries */

static void
fill_inode (struct ext2_inode *inode, const ImageWriterEntry *e)
{
  inode->i_mode = (guint16)e->mode;
  inode->i_uid = (guint16)e->uid;
  ext2fs_set_i_uid_high (*inode, e->uid >> 16);
  inode->i_gid = (guint16)e->gid;
  ext2fs_set_i_gid_high (*inode, e->gid >> 16);
  inode->i_mtime = inode->i_atime = inode->i_ctime = (guint32)CLAMP (e->mtime, 0, G_MAXINT32);
  if (!S_ISCHR (e->mode) && !S_ISBLK (e->mode))
    return;
  if (e->major < 256 && e->minor < 256)
    inode->i_block[0] = e->major << 8 | e->minor;
  else
    inode->i_block[1] = (e->minor & 0xff) | e->major << 8 | (e->minor & ~0xffU) << 12;
}

static errcode_t
update (ImageWriter *w, ext2_ino_t ino, const ImageWriterEntry *e)
{
  struct ext2_inode inode;
  errcode_t code = ext2fs_read_inode (w->fs, ino, &inode);

  fill_inode (&inode, e);
  return code != 0 ? code : ext2fs_write_inode (w->fs, ino, &inode);
}

static errcode_t
make_node (ImageWriter *w, ext2_ino_t parent, const char *name, const ImageWriterEntry *e, ext2_ino_t *ret)
{
  struct ext2_inode inode = {0};
  ext2_extent_handle_t handle;
  errcode_t code = ext2fs_new_inode (w->fs, parent, (int)e->mode, NULL, ret);

  if (code == 0)
    code = link_name (w->fs, parent, name, *ret, e->mode);
  if (code != 0)
    return code;
  ext2fs_inode_alloc_stats2 (w->fs, *ret, +1, 0);
  fill_inode (&inode, e);
  inode.i_links_count = 1;
  if (S_ISREG (e->mode) && ext2fs_has_feature_extents (w->fs->super)) {
    inode.i_flags |= EXT4_EXTENTS_FL;
    if ((code = ext2fs_extent_open2 (w->fs, *ret, &inode, &handle)) != 0)
      return code;
    ext2fs_extent_free (handle);
  }
  return ext2fs_write_new_inode (w->fs, *ret, &inode);
}

static errcode_t
make_symlink (ImageWriter *w, ext2_ino_t parent, const char *name, const char *target, ext2_ino_t *ret)
{
  errcode_t code = ext2fs_symlink (w->fs, parent, 0, name, target);

  if (code == EXT2_ET_DIR_NO_SPACE && (code = ext2fs_expand_dir (w->fs, parent)) == 0)
    code = ext2fs_symlink (w->fs, parent, 0, name, target);
  return code != 0 ? code : ext2fs_lookup (w->fs, parent, name, (int)strlen (name), NULL, ret);
}

static errcode_t
add_dir (ImageWriter *w, const char *path, const ImageWriterEntry *e, ext2_ino_t *ret)
{
  errcode_t code = need_dir (w, path, ret);

  return code != 0 ? code : update (w, *ret, e);
}

static errcode_t
add_other (ImageWriter *w, const char *path, const ImageWriterEntry *e, const char *target, ext2_ino_t *ret)
{
  g_autofree char *above = parent_of (path);
  const char *name = last_of (path);
  ext2_ino_t parent;
  errcode_t code = need_dir (w, above, &parent);

  if (code == 0)
    code = clear_name (w, parent, name);
  (void)g_hash_table_remove (w->known, path); /* a link that led to a directory */
  if (code != 0 || !S_ISLNK (e->mode))
    return code != 0 ? code : make_node (w, parent, name, e, ret);
  code = make_symlink (w, parent, name, target, ret);
  return code != 0 ? code : update (w, *ret, e);
}

gboolean
image_writer_add (ImageWriter *w, const char *path, const ImageWriterEntry *e, const char *target,
                  ext2_ino_t *ret, GError **error)
{
  ext2_ino_t ino = 0;
  errcode_t code;

  if (strlen (last_of (path)) > EXT2_NAME_LEN)
    return vm_error (error, VM_ERROR_INVALID, "'/%s' has a name that is too long", path);
  if (S_ISLNK (e->mode) && (target == NULL || *target == '\0'))
    return vm_error (error, VM_ERROR_INVALID, "'/%s' is a symbolic link to nothing", path);
  code = S_ISDIR (e->mode) ? add_dir (w, path, e, &ino) : add_other (w, path, e, target, &ino);
  if (code != 0)
    return failed (error, code, path);
  if (ret != NULL)
    *ret = ino;
  return TRUE;
}

gboolean
image_writer_link (ImageWriter *w, const char *path, const char *from, GError **error)
{
  g_autofree char *above = parent_of (path), *from_above = parent_of (from);
  ext2_ino_t parent, ino, from_parent = look_up_dir (w, from_above);
  struct ext2_inode inode;
  errcode_t code;

  if (from_parent == 0 ||
      ext2fs_lookup (w->fs, from_parent, last_of (from), (int)strlen (last_of (from)), NULL, &ino) != 0 ||
      ext2fs_read_inode (w->fs, ino, &inode) != 0 || LINUX_S_ISDIR (inode.i_mode))
    return vm_error (error, VM_ERROR_INVALID, "'/%s' is a link to '/%s', which is not there", path, from);
  if (g_str_equal (path, from))
    return TRUE;
  if (inode.i_links_count >= EXT2_LINK_MAX)
    return failed (error, EXT2_ET_TOO_MANY_REFS, path);
  inode.i_links_count++;
  code = need_dir (w, above, &parent);
  if (code == 0)
    code = clear_name (w, parent, last_of (path));
  if (code == 0)
    code = link_name (w->fs, parent, last_of (path), ino, inode.i_mode);
  if (code == 0)
    code = ext2fs_write_inode (w->fs, ino, &inode);
  return code == 0 || failed (error, code, path);
}

gboolean
image_writer_set_xattr (ImageWriter *w, ext2_ino_t ino, const char *name, const void *value, gsize length,
                        GError **error)
{
  struct ext2_xattr_handle *handle;
  errcode_t code = ext2fs_xattrs_open (w->fs, ino, &handle), closed;

  if (code == 0) {
    code = ext2fs_xattrs_read (handle);
    if (code == 0)
      code = ext2fs_xattr_set (handle, name, value, length);
    closed = ext2fs_xattrs_close (&handle);
    code = code != 0 ? code : closed;
  }
  return code == 0 ||
         vm_error (error, VM_ERROR_FAILED, "cannot write the attribute '%s': %s", name, error_message (code));
}

ext2_file_t
image_writer_begin (ImageWriter *w, ext2_ino_t ino, GError **error)
{
  ext2_file_t file = NULL;
  errcode_t code = ext2fs_file_open (w->fs, ino, EXT2_FILE_WRITE, &file);

  if (code != 0)
    failed (error, code, "");
  return file;
}

gboolean
image_writer_put (ext2_file_t file, guint64 at, const void *data, gsize length, GError **error)
{
  const char *bytes = data;
  errcode_t code = ext2fs_file_llseek (file, at, EXT2_SEEK_SET, NULL);

  while (code == 0 && length > 0) {
    guint n = 0;

    code = ext2fs_file_write (file, bytes, (guint)MIN (length, PIECE_MAX), &n);
    bytes += n;
    length -= n;
  }
  return code == 0 || failed (error, code, "");
}

gboolean
image_writer_end (ext2_file_t take_file, guint64 size, GError **error)
{
  errcode_t code = ext2fs_file_set_size2 (take_file, (ext2_off64_t)size), closed;

  closed = ext2fs_file_close (take_file);
  code = code != 0 ? code : closed;
  return code == 0 || failed (error, code, "");
}
