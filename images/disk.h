/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Disks that are kept: what a machine wrote to an image (`up --image I --keep NAME`), for the next one.
 *
 * A kept disk is a directory below $XDG_DATA_HOME/vmctl/disks:
 *
 *   NAME/disk.qcow2   0600; the overlay. It names no file: its base is the image that disk.json says.
 *                     Whoever uses it, a machine or a verb, has an exclusive flock on it
 *   NAME/disk.json    the image's id, what it was called, and since when
 *   .part-XXXXXX/     one that is being made, under the directory's lock
 *
 * An image that a kept disk needs is not removed (images/store.h). A machine that was taken over may have
 * written anything into the overlay, its head too: that is read before QEMU sees it again. `data_dir` is
 * VmDirs.data throughout. */
#pragma once

#include <glib.h>
#include <json-c/json.h>

#include "images/boot.h"
#include "images/cage.h"
#include "images/info.h"

typedef struct {
  char *name, *dir; /* owned; `dir`: absolute path of its directory */
  char *image;      /* owned; the id of its base */
  char *image_name; /* owned; what that was called when the disk was made */
  gint64 created;   /* microseconds since the epoch */
  char *problem;    /* owned; why it cannot be used; NULL: nothing is known against it */
  guint64 size;     /* virtual, bytes; 0: there is a problem */
  guint64 bytes;    /* on the host's disk */
  gboolean busy;    /* somebody has it */
} ImageDisk;

void image_disk_free (ImageDisk *disk); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ImageDisk, image_disk_free)

/* Absolute path of the disk's directory, whether or not it is there. (transfer full) */
char *image_disk_path (const char *data_dir, const char *name);
/* USAGE: no disk can be called so. */
gboolean image_disk_check_name (const char *name, GError **error);

/* NOT_FOUND names those that there are. INVALID: disk.json does not parse. (transfer full) */
ImageDisk *image_disk_find (const char *data_dir, const char *name, GError **error);
/* By name; one that cannot be used is left out, and why appended to `problems` (of char *; may be NULL).
 * (transfer full) of ImageDisk */
GPtrArray *image_disk_list (const char *data_dir, GPtrArray *problems);
/* A disk that needs the image of this id; NULL: none. (transfer full) */
char *image_disk_that_needs (const char *data_dir, const char *id);

/* Opens the overlay for writing, and locks it for as long as a copy of the descriptor is open, QEMU's too. If
 * the disk in `dir` is not there, it is made first, empty, of the image `id`, called `image_name`; whoever
 * calls holds that open (image_store_open). BUSY: another one has it. INVALID: it is of another image, or not
 * sound. -1 on error. */
int image_disk_open (const char *dir, const char *id, const char *image_name, guint64 size, GError **error);

/* The file that vmctl snapshot restore puts beside the overlay, whole and on the disk. Whoever opens the disk
 * otherwise removes it. */
#define IMAGE_DISK_RESTORED ".part-restored.qcow2"
/* That file takes the overlay's place, in one step, and is opened and locked as by image_disk_open; else all
 * is as it was. */
int image_disk_restore (const char *dir, const char *id, const char *image_name, GError **error);

/* BUSY: a machine has it, here and below. Empties it: what was written is gone, its size is the image's. */
gboolean image_disk_reset (const ImageDisk *disk, guint64 size, GError **error);
/* Also one whose disk.json cannot be read. */
gboolean image_disk_remove (const char *data_dir, const char *name, GError **error);

/* Makes it larger, to whole MiB: the guest's file system follows at its next start, if it is the whole disk.
 * USAGE: it would become smaller, or larger than 16 TiB. */
gboolean image_disk_resize (const ImageTools *tools, const ImageDisk *disk, guint64 size, GError **error);

typedef struct {
  const char *data_dir;
  ImageTools tools;
  const ImageDisk *disk;
  const ImageInfo *base; /* its image */
  const char *name;      /* of the new one */
  gboolean force;        /* the name may move */
} ImageDiskCommit;

/* Makes an image of it and its base (images/import.h). The disk is as it was. */
gboolean image_disk_commit (const ImageDiskCommit *commit, ImageProgress progress, gpointer data,
                            ImageInfo **ret, GError **error);

json_object *image_disk_to_json (const ImageDisk *disk); /* (transfer full) */
