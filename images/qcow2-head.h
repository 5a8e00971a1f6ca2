/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a file says at its beginning, if it is a qcow2 (QEMU, docs/interop/qcow2.txt), read by our own code
 * before QEMU sees the file: a header can name other files of the host, which QEMU would open. Pure. */
#pragma once

#include <glib.h>

/* As much of a file as image_qcow2_parse may want. */
enum { IMAGE_QCOW2_HEAD = 65536 };
/* More than this is refused, as in a scratch disk. */
#define IMAGE_SIZE_MAX ((guint64)16 << 40)

typedef struct {
  guint version, cluster_bits;
  guint64 size; /* virtual, bytes */
  guint snapshots;
  gboolean dirty, extended_l2, zstd, bitmaps;
  gboolean backing_is_other; /* its backing file, if it has one, is said to be something else than qcow2 */
} ImageQcow2Head;

/* It begins with QFI\\xfb. */
gboolean image_qcow2_is (const guint8 *data, gsize length);

/* `data`: the first `length` bytes of a file of `file_size`. INVALID: it is not a sound header; UNSUPPORTED:
 * it is, and it wants what is refused: a backing file, an external data file, encryption, a feature that is
 * not known, a virtual size of 0 or over IMAGE_SIZE_MAX, or that it is corrupt. The message says which, and
 * how to mend it. */
gboolean
image_qcow2_parse (const guint8 *data, gsize length, guint64 file_size, ImageQcow2Head *ret, GError **error);

/* The same of one that may have a backing file: its name in `ret_backing`, as it is written there, any bytes
 * but NUL (transfer full); NULL: none. Nobody may open that: it is only to be compared. */
gboolean image_qcow2_parse_overlay (const guint8 *data, gsize length, guint64 file_size, ImageQcow2Head *ret,
                                    char **ret_backing, GError **error);

/* What image_qcow2_parse says of a backing file. Always FALSE. */
gboolean image_qcow2_refuse_backing (const char *backing, GError **error);
