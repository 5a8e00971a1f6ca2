/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A SHA-256 that is taken by a thread of its own, while the one who reads and writes goes on. */
#pragma once

#include <glib.h>

enum { IMAGE_SUM_BLOCK = 1 << 18 };

typedef struct ImageSum ImageSum;

/* NULL and VM_ERROR_HOST: libgcrypt cannot. */
ImageSum *image_sum_new (GError **error);
void image_sum_free (ImageSum *sum);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ImageSum, image_sum_free)

/* An empty block of IMAGE_SUM_BLOCK bytes, borrowed until it is put. Waits until one is free. One at a time.
 */
guint8 *image_sum_block (ImageSum *sum);
/* Its first `length` bytes are what comes next. */
void image_sum_put (ImageSum *sum, guint8 *block, gsize length);
/* `length` bytes of zero come next. */
void image_sum_skip (ImageSum *sum, guint64 length);
/* In hexadecimal, once. (transfer full) */
char *image_sum_end (ImageSum *sum);
