/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What disk.c and disk-change.c share. */
#pragma once

#include "images/disk.h"

/* Its overlay, open for writing and locked. BUSY: another one has it. -1 on error. */
int image_disk_lock (const char *dir, GError **error);
/* Its head asks for nothing that it must not have. `name`: for the error. */
gboolean image_disk_is_sound (int fd, const char *name, GError **error);
