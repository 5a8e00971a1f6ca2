/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What store.c and store-make.c share. */
#pragma once

#include <sys/stat.h>

#include "images/store.h"

#define IMAGE_STORE_PART_PREFIX ".part-"
#define IMAGE_STORE_NAMES "names"
#define IMAGE_STORE_DISK "disk.qcow2"
#define IMAGE_STORE_INFO "image.json"
#define IMAGE_STORE_IDENTITY "identity"

gboolean image_store_is_id (const char *name);

/* inode, size and times, as they are written to `identity`. (transfer full) */
json_object *image_store_identity (const struct stat *st);
gboolean image_store_write_identity (int dir_fd, int disk_fd, GError **error);

/* store-system.c. `store`: its path. In a user's there is nothing to do for the other two. */
guint image_store_disk_mode (const char *store);
/* An image's directory and all that is below it. */
gboolean image_store_publish (const char *store, int dir_fd, GError **error);
/* The directories above the images. */
gboolean image_store_let_enter (const char *store, int store_fd, GError **error);

/* Makes the store's directories if need be and locks it, for as long as the descriptor is open. Waits: it is
 * only held for a moment. -1 on error. */
int image_store_lock (const char *data_dir, GError **error);
