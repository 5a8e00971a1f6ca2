/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The scratch disk: a qcow2 overlay made by mktemp on a cached, empty, formatted base, one base a size.
 *
 * The driver passes both descriptors as fd sets (they work under -sandbox, without /proc, in a jail, and for
 * the unlinked overlay) and names no path; checked with QEMU 7.2:
 *
 *   -add-fd fd=BASE,set=1 -add-fd fd=OVERLAY,set=2
 *   -blockdev {"driver":"file","node-name":"scratch-base-file","filename":"/dev/fdset/1","read-only":true,
 *              "auto-read-only":false,"cache":{"direct":false,"no-flush":true}}
 *   -blockdev {"driver":"qcow2","node-name":"scratch-base","read-only":true,"auto-read-only":false,
 *              "file":"scratch-base-file","backing":null}
 *   -blockdev {"driver":"file","node-name":"scratch-file","filename":"/dev/fdset/2","discard":"unmap",
 *              "cache":{"direct":false,"no-flush":true}}
 *   -blockdev {"driver":"qcow2","node-name":"scratch","file":"scratch-file","backing":"scratch-base",
 *              "discard":"unmap","detect-zeroes":"unmap","cache":{"direct":false,"no-flush":true}}
 *   -device {"driver":"virtio-blk-pci","drive":"scratch","serial":"vmctl-scratch"}
 *
 * no-flush: nothing here outlives the sandbox, so nothing needs to reach the disk. */
#pragma once

#include <glib.h>

#include "images/boot.h"

/* `cache_dir`/disks/ext4-SIZE.qcow2, whether or not it exists; SIZE is `bytes` rounded up to whole MiB.
 * (transfer full) */
char *image_scratch_base (const char *cache_dir, guint64 bytes);

/* Makes the base if it is missing: mke2fs on a sparse file, then qemu-img convert to qcow2. One builds
 * (flock), others wait; nothing half is left. `overlay template` beside it (ext4-SIZE.overlay) is an empty
 * qcow2 with the base's size, made by qemu-img once and copied for each sandbox. `bytes`: 16 MiB to 15 TiB,
 * else VM_ERROR_USAGE. VM_ERROR_HOST if mke2fs (also looked for in the sbin directories) or qemu-img is
 * missing. */
gboolean image_scratch_build (const char *cache_dir, guint64 bytes, ImageProgress progress, gpointer data,
                              GError **error);
gboolean image_scratch_ready (const char *base);
/* The programs that image_scratch_build needs are there; the error is the one that it would give. */
gboolean image_scratch_check_tools (GError **error);

/* Opens the base read-only and a new overlay read-write, made by mktemp in `dir` and unlinked at once: the
 * file lives as long as QEMU has it open, and nothing is left behind whatever dies. Both descriptors are
 * owned by the caller. The overlay is a copy of
 * `overlay` (borrowed), or with -1 empty. Its header names no backing file that QEMU would have to open by
 * path: the -blockdev of the driver gives the backing node. */
gboolean image_scratch_open (const char *base, int overlay, const char *dir, int *ret_overlay_fd,
                             int *ret_base_fd, GError **error);
/* The same with an overlay that was made before, the file `path`: it loses its name. VM_ERROR_HOST, and it
 * keeps it. */
gboolean image_scratch_take (const char *base, const char *path, int *ret_overlay_fd, int *ret_base_fd,
                             GError **error);
/* Likewise of an image's overlay: a copy of `overlay` (borrowed), or the file `path`. -1 and error. */
int image_scratch_clone (int overlay, const char *dir, GError **error);
int image_scratch_take_file (const char *path, GError **error);
/* A new, empty qcow2 of that size in `dir`, likewise unlinked at once. -1 and error. (qcow2.c) */
int image_scratch_new (guint64 bytes, const char *dir, GError **error);
/* The same in `fd`, an empty file. */
gboolean image_scratch_format (int fd, guint64 bytes, GError **error);
/* A copy of the empty overlay in `to_fd`. */
gboolean image_scratch_copy (const char *base, int to_fd, GError **error);
