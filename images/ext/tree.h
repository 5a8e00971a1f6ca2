/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files of an ext file system, by path as a process in it would see them: symbolic links are followed, and
 * lead nowhere but inside. What is read is hostile. */
#pragma once

#include <ext2fs/ext2fs.h>
#include <glib.h>

/* The inode at `path`; 0: there is none. `mode` (may be NULL): its type and permissions. */
ext2_ino_t image_tree_find (ext2_filsys fs, const char *path, guint *ret_mode);
gboolean image_tree_is_file (ext2_filsys fs, const char *path);

/* The beginning, at most `max` bytes, of a regular file, with a NUL after it. (transfer full) NULL: there is
 * none. */
char *image_tree_read (ext2_filsys fs, const char *path, gsize max, gsize *ret_length);

/* All of a regular file into `fd`; more than `max` bytes is an error. */
gboolean image_tree_copy (ext2_filsys fs, const char *path, guint64 max, int fd, GError **error);

/* The names in a directory, sorted, without . and .., and without what is not plain text. At most `max`.
 * (transfer full) of char *; empty if there is none */
GPtrArray *image_tree_list (ext2_filsys fs, const char *path, guint max);
