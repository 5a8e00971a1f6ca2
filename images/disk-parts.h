/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What disk.c and disk-change.c share. */
#pragma once

#include "images/disk.h"

/* In the disk's directory, and only while the lock is held: the overlay that a reset makes, and the disk that
 * a commit makes. */
#define IMAGE_DISK_NEW ".part-disk.qcow2"
#define IMAGE_DISK_WHOLE ".part-whole.qcow2"

/* Its overlay, open for writing and locked; what killed ones left is gone. BUSY: another one has it. -1 on
 * error. */
int image_disk_lock (const char *dir, GError **error);
/* How large the file of such a disk can become. */
guint64 image_disk_file_max (guint64 size);
/* Its head asks for nothing that it must not have. `name`: for the error. */
gboolean image_disk_is_sound (int fd, const char *name, GError **error);
