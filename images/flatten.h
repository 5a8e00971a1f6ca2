/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An overlay, and the image of the store that it is over, become one disk. What the overlay says of other
 * files is hostile, and nothing is opened by it. */
#pragma once

#include <glib.h>

#include "images/boot.h"
#include "images/cage.h"
#include "images/info.h"

/* Both qcow2, into to_dir/to_name, by qemu-img in the jail, which is told what is below what. `size` is the
 * overlay's. Whoever calls holds the image open (image_store_open). */
gboolean image_flatten (const ImageTools *tools, const char *overlay, const char *base, guint64 size,
                        const char *to_dir, const char *to_name, ImageProgress progress, gpointer data,
                        GError **error);

/* The image of the store whose disk an overlay names as its backing file: by its path as the store has it, or
 * by the real one, byte for byte. A path through a symbolic link, or with "..", may lead elsewhere tomorrow,
 * and is refused like any other. NULL and UNSUPPORTED. (transfer full) */
ImageInfo *image_flatten_find_base (const char *data_dir, const char *backing, GError **error);
