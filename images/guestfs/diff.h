/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a kept disk has changed, asked of an appliance that has both: its first disk is the image, its second
 * one the kept disk. */
#pragma once

#include "images/guestfs/appliance.h"

/* A record for each file: 'A', 'M' or 'D', its type (images/guestfs/walk.h), its path from '/' on, and a NUL.
 * (transfer full) */
GString *image_guestfs_diff (ImageAppliance *appliance, int partition, GError **error);
