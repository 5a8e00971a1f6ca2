/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Looking into images, and changing them, without booting them: vmctl-guestfs, libguestfs's appliance and the
 * disks run in the jail of images/cage.h, whoever ends vmctl ends all of it, and nothing of what they write
 * to is left but what is asked for. The appliance is a machine of QEMU's that boots this host's kernel: made
 * once below the cache directory, and again when the host's packages have changed. */
#pragma once

#include <glib.h>

#include "images/boot.h"
#include "images/cage.h"
#include "images/disk.h"
#include "images/info.h"

/* Borrowed, all of it. */
typedef struct {
  ImageTools tools;
  const char *program;   /* vmctl-guestfs */
  const char *cache_dir; /* VmDirs.cache */
  gboolean kvm;          /* /dev/kvm can be used */
} ImageGuestfs;

/* What `program`, vmctl-guestfs, needs is there: QEMU, and an appliance, or supermin and a kernel that may be
 * read. HOST, with the mend. */
gboolean image_guestfs_check (const char *program, GError **error);

typedef struct {
  const ImageGuestfs *guestfs;
  const ImageInfo *info;      /* the image */
  const char *verb;           /* of vmctl-guestfs */
  const char *const *words;   /* of that verb; NULL: none */
  const char *disk;           /* the overlay of a kept disk of it; NULL */
  const char *out;            /* the directory that may be written; NULL */
  const char *const *sources; /* NAME, FILE, ...: what of the host may be read, by which name; NULL */
  guint64 file_max;           /* the largest file that may be written; 0: as much as looking needs */
} ImageGuestfsJob;

/* Does it in one appliance. Its result goes to `take_stdout`. The image is held meanwhile, as by a machine.
 */
gboolean image_guestfs_do (const ImageGuestfsJob *job, int take_stdout, ImageProgress progress, gpointer data,
                           GError **error);
/* The same; what it says is returned, with a NUL after it, or is too long. It comes out of the jail, and may
 * be anything. (transfer full) */
char *image_guestfs_ask (const ImageGuestfsJob *job, gsize max, gsize *ret_length, ImageProgress progress,
                         gpointer data, GError **error);

/* What a kept disk has changed against its image, `base`: records as of images/guestfs/diff.h, of which
 * nothing is checked. BUSY: a machine has the disk. (transfer full) */
char *image_guestfs_disk_diff (const ImageGuestfs *guestfs, const ImageDisk *disk, const ImageInfo *base,
                               gsize *ret_length, ImageProgress progress, gpointer data, GError **error);

typedef struct {
  const char *data_dir; /* VmDirs.data */
  ImageGuestfsJob job;  /* without `out` and `file_max`; `info` is what is changed */
  const char *name;     /* of what it becomes */
  gboolean force;       /* the name may move */
} ImageChange;

/* Images are never changed: a new one is made, of the image and an overlay that the appliance has written to,
 * as a commit of a kept disk is (images/disk.h). *ret_said: what vmctl-guestfs has said (transfer full). */
gboolean image_guestfs_change (const ImageChange *change, ImageProgress progress, gpointer data,
                               char **ret_said, ImageInfo **ret, GError **error);
