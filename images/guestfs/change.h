/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Steps (images/step.h), done to the root file system that is mounted in the appliance. */
#pragma once

#include "images/guestfs/appliance.h"
#include "images/step.h"

/* `value` of an upload is the host's file as the jail has it. What a command has printed is appended to
 * `said`. */
gboolean image_change_do (ImageAppliance *appliance, const ImageStep *step, GString *said, GError **error);
