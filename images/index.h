/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The content hash of files, remembered by their identity (device, inode, size, mtime, ctime), so that a
 * second look costs one stat(). The file `cache_dir`/index holds it: lines "IDENTITY SHA256". It is only a
 * cache: an absent, damaged or lost one costs time. */
#pragma once

#include <glib.h>

typedef struct ImageIndex ImageIndex;

ImageIndex *image_index_open (const char *cache_dir);
void image_index_free (ImageIndex *index); /* NULL is fine; does not save */
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ImageIndex, image_index_free)

/* SHA-256 in hex, borrowed from the index. NULL and an error that names the file if it cannot be read. */
const char *image_index_hash (ImageIndex *index, const char *path, GError **error);

/* Writes what was learned, if anything was. Failing is harmless, so it is not reported. */
void image_index_save (ImageIndex *index);
