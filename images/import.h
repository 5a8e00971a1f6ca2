/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A file or directory becomes an image of the store. Whatever it says is hostile: its header is read by our
 * own code first, every program that opens it runs in a jail (images/cage.h), and with its format given. */
#pragma once

#include <glib.h>

#include "images/boot.h"
#include "images/cage.h"
#include "images/info.h"

typedef struct {
  const char *data_dir; /* VmDirs.data */
  ImageTools tools;
  const char *path;   /* what is imported */
  const char *origin; /* what to note as its origin; NULL: `path` */
  const char *format; /* one of image_import_formats; NULL: by what it begins with */
  const char *name;   /* NULL: made of the file's name */
  gboolean force;     /* the name may move */
  gboolean any_owner; /* a directory's files of this user belong to this user inside, too */
  guint64 size;       /* of the new disk, from a tar or directory; 0: as fits */
  int root;           /* the partition that is the root; -1: find it */
  const char *sum; /* NULL; or `path` is what images/nix.c has made, and this, a SHA-256, is what it is: the
                      same costs nothing */
} ImageImport;

/* "qcow2", "raw", "vmdk", "vdi", "tar", "directory"; NULL-terminated */
extern const char *const image_import_formats[];

/* `ret`: what it has become; with *ret_was_there, what it was already. An interruption (images/interrupt.h),
 * like any failure, leaves nothing; one that was killed is swept by the next. */
gboolean image_import (const ImageImport *import, ImageProgress progress, gpointer data, ImageInfo **ret,
                       gboolean *ret_was_there, GError **error);

/* The format of a file that begins with these bytes, of `size` bytes; NULL: not one that can be imported.
 * What it is then, where it is recognised, in *ret_what (static; may be NULL). Pure. */
const char *image_import_sniff (const guint8 *data, gsize length, guint64 size, const char **ret_what);

/* The disk has the checksum that is its id; or image_host_systemd_check. */
gboolean image_import_verify (const ImageTools *tools, const ImageInfo *info, ImageProgress progress,
                              gpointer data, GError **error);

/* Copies its disk to a new file `path`, as "qcow2" or "raw". EXISTS: it is there. */
gboolean image_import_export (const ImageTools *tools, const ImageInfo *info, const char *format,
                              const char *path, ImageProgress progress, gpointer data, GError **error);
