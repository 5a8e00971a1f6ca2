/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Looking at files in the appliance: one call for all in a directory, and one more for its links. */
#pragma once

#include "images/guestfs/appliance.h"
#include "images/guestfs/walk.h"

/* Of ImageWalkEntry: everything below `dir`. (transfer full) */
GPtrArray *image_list_walk (ImageAppliance *appliance, const char *dir, GError **error);
/* Of ImageWalkEntry, with absolute paths: what is in `path` if that is a directory, also by a symbolic link,
 * else itself. (transfer full) */
GPtrArray *image_list_path (ImageAppliance *appliance, const char *path, GError **error);
