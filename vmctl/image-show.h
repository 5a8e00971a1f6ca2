/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Images for people. */
#pragma once

#include "images/info.h"

/* A table, of ImageInfo. */
void vm_image_print_list (GPtrArray *all);
/* All that is known of one, a line each. */
void vm_image_print (const ImageInfo *info);
/* What `inspect --deep` has found besides. */
void vm_image_print_deep (json_object *found);
/* What was made: all of it as JSON, or its id. */
void vm_image_print_id (const ImageInfo *info, gboolean json);
