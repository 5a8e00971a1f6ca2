/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is on a disk: its partitions, which one is the root, and what that says of itself. */
#pragma once

#include <json-c/json.h>

#include "images/ext/nbd.h"
#include "images/layout.h"

/* The file system that is the root, and where. `wanted`: the number of its partition; -1: find it. USAGE:
 * more than one could be; UNSUPPORTED: none that can be read. NULL and error. */
ext2_filsys
image_look_root (ImageNbd *nbd, GArray *partitions, int wanted, ImagePartition *ret, GError **error);

/* The members of ImageInfo's JSON that can be read from it, and "inspection". (transfer full) */
json_object *
image_look_describe (ImageNbd *nbd, GArray *partitions, const ImagePartition *root, ext2_filsys fs);
