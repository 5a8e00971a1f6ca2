/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A tar, or directories of the host, as the content of an ext file system. */
#pragma once

#include <glib.h>

#include "images/boot.h"

typedef struct {
  const char *path; /* the tar, also gzip, xz, zstd or bzip2 inside, or the directory */
  gboolean is_directory;
  gint64 owner, group; /* of a directory: files of these belong to root in the image; -1: of nobody */
  /* NULL-terminated; absolute paths of the host (files, links, or directories with all that is below) that
   * are at the same place in the image, besides what is in the directory; all is root's then. NULL: none */
  const char *const *store;
} ImageFillSource;

/* How much there is. Reads all of it. */
gboolean image_fill_count (const ImageFillSource *source, ImageProgress progress, gpointer data,
                           guint64 *ret_bytes, guint64 *ret_entries, GError **error);
/* `bytes`: what image_fill_count said, for the progress. */
gboolean image_fill (const ImageFillSource *source, const char *disk, guint64 bytes, ImageProgress progress,
                     gpointer data, GError **error);
