/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Unpacks what distributions compress: the kernel inside a bzImage, and modules. Input is what root put
 * there, yet every size in it is checked. */
#pragma once

#include <glib.h>

#include "images/boot.h"
#include "images/output.h"

enum {
  IMAGE_KERNEL_MAX = 512 << 20, /* bytes of a vmlinux, and of its bzImage */
  IMAGE_MODULE_MAX = 64 << 20,  /* bytes of a module, plain or packed, and of the agent */
};

/* Receives plain bytes piece by piece; FALSE stops. */
typedef gboolean (*ImageSink) (const void *data, gsize length, gpointer user, GError **error);

/* "gzip", "xz", "zstd", "lz4", "lzo", "bzip2", "lzma" by the first bytes; NULL for anything else. */
const char *image_unpack_format (const guint8 *data, gsize length);

/* The whole of a compressed buffer. */
gboolean image_unpack (const guint8 *data, gsize length, ImageSink sink, gpointer user, GError **error);

/* The whole of a file, unpacked if it is packed, at most `max` bytes in either form. (transfer full) */
GByteArray *image_unpack_file (const char *path, gsize max, GError **error);

/* Writes what QEMU shall boot of the kernel at `path`: the vmlinux inside a bzImage, or a vmlinux as it is.
 * A bzImage whose vmlinux has no PVH entry is copied as it is: QEMU boots that too, only slower. */
gboolean image_unpack_kernel (const char *path, ImageOutput *out, ImageProgress progress, gpointer data,
                              GError **error);
