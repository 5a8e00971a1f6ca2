/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Trees of files out of the appliance and into it, as a tar. */
#pragma once

#include "images/guestfs/appliance.h"

/* The directory `dir` (resolved) of the image into the new directory `to` of the host. What an image contains
 * is hostile: nothing outside of `to` is written, no link is followed, nothing is there before; set-id bits
 * and owners are left behind. Devices, FIFOs and sockets are not made: *ret_left_out counts them. */
gboolean image_stream_out (ImageAppliance *appliance, const char *dir, const char *to, guint *ret_left_out,
                           GError **error);

/* The files and directories `names` of the host's directory `from` into the directory `dir` (resolved) of the
 * image. They are root's there; links stay links. */
gboolean
image_stream_in (ImageAppliance *appliance, const char *from, char **names, const char *dir, GError **error);
