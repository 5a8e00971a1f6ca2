/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The lzop container, as far as kernels use it: LZO1X blocks. The container has no specification but lzop's
 * source; libarchive reads it only by running the lzop program. */
#pragma once

#include "images/unpack.h"

gboolean image_lzop_is (const guint8 *data, gsize length);
gboolean image_lzop_read (const guint8 *data, gsize length, ImageSink sink, gpointer user, GError **error);
