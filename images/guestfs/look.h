/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an image is, asked of the appliance: file systems and how full they are, the system, users, packages.
 */
#pragma once

#include <json-c/json.h>

#include "images/guestfs/appliance.h"

/* Of the first disk, whose root is `partition`. Members: "filesystems" (device, type, label, uuid, size,
 * used, free, root), "mounts" (what, where), "os", "id", "version", "hostname", "arch", "users"
 * (images/guestfs/texts.h), "packages" (format, count), "agent". What is not known is left out. Everything
 * but sizes is what the image says, and hostile. (transfer full) */
json_object *image_look_deep (ImageAppliance *appliance, int partition, GError **error);
