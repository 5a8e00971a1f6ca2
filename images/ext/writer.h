/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files, directories and the rest written into an ext file system in a file of ours, by libext2fs: owners,
 * devices and capabilities need no rights here, and no name in an archive means anything on the host. */
#pragma once

#include <ext2fs/ext2fs.h>
#include <glib.h>

typedef struct ImageWriter ImageWriter;

/* A file that mke2fs has formatted. NULL and error. */
ImageWriter *image_writer_open (const char *path, GError **error);
/* Without image_writer_finish what was written is not to be used. */
void image_writer_free (ImageWriter *writer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ImageWriter, image_writer_free)
gboolean image_writer_finish (ImageWriter *writer, GError **error);

typedef struct {
  guint mode; /* type and permissions */
  guint32 uid, gid;
  gint64 mtime; /* seconds */
  guint major, minor;
} ImageWriterEntry;

/* Paths are relative, without "." and ".."; "" is the root, which is there. Directories above are made as
 * need be, and symbolic links among them are followed, inside. What was there is replaced, but a directory
 * stays. `target`: of a symbolic link. The new inode in *ret (may be NULL). */
gboolean image_writer_add (ImageWriter *writer, const char *path, const ImageWriterEntry *entry,
                           const char *target, ext2_ino_t *ret, GError **error);
/* Another name for what is at `from`, which is no directory. */
gboolean image_writer_link (ImageWriter *writer, const char *path, const char *from, GError **error);
gboolean image_writer_set_xattr (ImageWriter *writer, ext2_ino_t ino, const char *name, const void *value,
                                 gsize length, GError **error);

/* The content of a regular file: NULL and error; pieces may leave holes; `size` is its size in the end. */
ext2_file_t image_writer_begin (ImageWriter *writer, ext2_ino_t ino, GError **error);
gboolean image_writer_put (ext2_file_t file, guint64 at, const void *data, gsize length, GError **error);
gboolean image_writer_end (ext2_file_t take_file, guint64 size, GError **error);
