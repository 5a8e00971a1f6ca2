/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The appliance: libguestfs's small machine, in which disks are mounted. All of it runs in the jail of
 * images/guestfs.h, which ends with this process, whatever becomes of that. */
#pragma once

#include <glib.h>
#include <guestfs.h>
#include <stdlib.h>

#include "images/boot.h"

/* What libguestfs gives is malloc's. */
G_DEFINE_AUTOPTR_CLEANUP_FUNC (gchar, free)
void image_appliance_free_strings (char ***list);
#define autostrings __attribute__ ((cleanup (image_appliance_free_strings))) char **

typedef struct {
  const char *qemu, *qemu_img; /* borrowed; paths of the programs */
  ImageProgress say;           /* never NULL */
  gpointer data;
  guestfs_h *g;   /* owned */
  guint disks;    /* added so far */
  GString *heard; /* owned; the end of what its console has said */
} ImageAppliance;

gboolean image_appliance_init (ImageAppliance *appliance, GError **error);
void image_appliance_clear (ImageAppliance *appliance);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (ImageAppliance, image_appliance_clear)

/* Adds a disk: a new overlay, the file `overlay`, over the qcow2 `backing`, which is a path, or "json:..."
 * for one that has a base itself. What is behind the overlay is only read, and its format is given. */
gboolean
image_appliance_add (ImageAppliance *appliance, const char *backing, const char *overlay, GError **error);
gboolean image_appliance_launch (ImageAppliance *appliance, GError **error);

/* "/dev/sdb3"; partition 0: the whole disk. (transfer full) */
char *image_appliance_device (guint disk, int partition);

/* Sets `error` to "<formatted>: <what libguestfs says>". FALSE. */
gboolean image_appliance_fail (ImageAppliance *appliance, GError **error, const char *format, ...)
    G_GNUC_PRINTF (3, 4);

/* The path as it is without symbolic links, in the image; NULL and NOT_FOUND. (transfer full) */
char *image_appliance_resolve (ImageAppliance *appliance, const char *path, GError **error);
/* A regular file, at most `max` bytes of it, with a NUL after them. NULL without an error: there is none.
 * (transfer full) */
char *image_appliance_read (ImageAppliance *appliance, const char *path, gsize max);

/* All of the regular file `path`, whose name is resolved, into `fd`. */
gboolean image_appliance_download (ImageAppliance *appliance, const char *path, int fd, GError **error);
