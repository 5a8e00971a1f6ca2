/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The store of images: $XDG_DATA_HOME/vmctl/images, and behind it the system's, which is only read
 * (/var/lib/vmctl/images: root's, made with XDG_DATA_HOME=/var/lib, and readable for everybody).
 *
 *   sha256-HEX/     an image (images/info.h); appears whole, by rename, and is never changed
 *   names/NAME      a symbolic link: ../sha256-HEX. An image may have many names, or none
 *   .part-XXXXXX/   one that is being made, or taken away; its maker holds an flock on it
 *
 * The directory itself is locked (flock) only while names change. A part whose lock nobody holds was left by
 * somebody who was killed: whoever next changes the store removes it. `data_dir` is VmDirs.data throughout.
 */
#pragma once

#include <glib.h>

#include "images/boot.h"
#include "images/info.h"

#define IMAGE_STORE_SYSTEM "/var/lib/vmctl/images"

/* Letters, digits, '.', '_', '-'; begins with a letter or digit; at most 64; not like an id ("sha256-...").
 */
gboolean image_store_is_name (const char *name);

/* (transfer full) $XDG_DATA_HOME/vmctl/images */
char *image_store_path (const char *data_dir);

/* The image of that name, or whose id begins so: "sha256-" and, or only, at least 8 hexadecimal digits. The
 * user's store comes before the system's. Its image.json was read and is sound; its disk was not looked at
 * (image_store_open does). NOT_FOUND names the images that there are; USAGE: more than one begins so;
 * INVALID: image.json does not parse. (transfer full) */
ImageInfo *image_store_find (const char *data_dir, const char *name, GError **error);

/* Opens its disk read-only, with a shared lock that lasts until the last copy of the descriptor is closed
 * (QEMU's too): `image rm` refuses as long as one is. The disk is a regular file of this user (or of root, in
 * the system's store), writable by nobody, and what it was when it was made, or last verified; else
 * VM_ERROR_INVALID, with the mend: `vmctl image verify NAME`. UNSUPPORTED: it has none
 * (images/host-systemd.h). Costs a few system calls. -1 on error. */
int image_store_open (const ImageInfo *info, GError **error);

/* All of both stores, by name, those without one last. One that cannot be used is left out, and its directory
 * and the reason appended to `problems` (of char *; may be NULL). A store that is not there is empty.
 * (transfer full) of ImageInfo */
GPtrArray *image_store_list (const char *data_dir, GPtrArray *problems, GError **error);

/* An image of the user's store whose origin had this checksum and format; NULL: there is none. (transfer
 * full) */
ImageInfo *image_store_find_origin (const char *data_dir, const char *format, const char *sha256);

/* Makes `name` mean the image (of the user's store). EXISTS if it means another one, unless `force`. */
gboolean
image_store_name (const char *data_dir, const char *name, const char *id, gboolean force, GError **error);
/* NOT_FOUND if there is no such name. */
gboolean image_store_unname (const char *data_dir, const char *name, GError **error);

/* Removes it with all its names. BUSY: a sandbox has it open, or a kept disk (images/disk.h) needs it; one
 * without a disk nobody needs once a sandbox is planned.
 * UNSUPPORTED: it is the system's. */
gboolean image_store_remove (const char *data_dir, const ImageInfo *info, GError **error);

/* Its disk (`disk_fd`, open for reading) was read, and has the checksum `sum`: it is good again for
 * image_store_open, whatever its times are (a restored backup). VM_ERROR_INVALID: it is not what it was. */
gboolean image_store_trust (const ImageInfo *info, const char *sum, int disk_fd, GError **error);

/* EXISTS or USAGE if image_store_commit would refuse the name: to be asked before the work. */
gboolean image_store_check_name (const char *data_dir, const char *name, gboolean force, GError **error);

/* Removes the parts that killed makers left. */
void image_store_sweep (const char *data_dir);

/* Making one (images/import.c). */
typedef struct {
  char *data_dir, *store; /* owned; `store`: its path */
  char *path;             /* owned; the directory that is being filled */
  int dir;                /* owned; that, locked */
} ImageStorePart;

#define IMAGE_STORE_PART_INIT                                                                                \
  {                                                                                                          \
    .dir = -1                                                                                                \
  }

/* Removes what killed ones left, and makes an empty part. */
gboolean image_store_begin (const char *data_dir, ImageStorePart *ret, GError **error);
/* `disk.qcow2`, unless it has none, and what else there is are in the part, and info->id is set: writes
 * image.json and identity, all to the disk, and gives it its place and its `name`. If the store has the id
 * already, that one stays (with its names and this one more). Sets info->dir. EXISTS as image_store_name. */
gboolean
image_store_commit (ImageStorePart *part, ImageInfo *info, const char *name, gboolean force, GError **error);
/* Without a commit nothing is left. */
void image_store_part_clear (ImageStorePart *part);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (ImageStorePart, image_store_part_clear)
