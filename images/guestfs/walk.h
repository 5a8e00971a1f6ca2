/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What differs between two file trees. Pure: somebody else has walked them. */
#pragma once

#include <glib.h>

typedef struct {
  char *path; /* owned; without a '/' at its beginning; any bytes */
  guint32 mode, uid, gid;
  guint64 size, rdev, ino;
  gint64 mtime, ctime;       /* seconds since the epoch */
  gint64 mtime_ns, ctime_ns; /* and what is over */
  char *target;              /* owned; of a symbolic link; else NULL */
} ImageWalkEntry;

void image_walk_entry_free (ImageWalkEntry *entry); /* NULL is fine */
/* Of ImageWalkEntry, which it owns. (transfer full) */
GPtrArray *image_walk_new (void);

/* 'f' file, 'd' directory, 'l' symbolic link, 'b', 'c' devices, 'p' FIFO, 's' socket, '?'. */
char image_walk_type (guint32 mode);

typedef enum {
  IMAGE_WALK_SAME,
  IMAGE_WALK_CHANGED,
  IMAGE_WALK_ASK, /* a file that was written to, but its size and time do not tell: compare the content */
} ImageWalkVerdict;

/* Two entries of the same path. The times and sizes of directories do not count: what is in them does. */
ImageWalkVerdict image_walk_judge (const ImageWalkEntry *a, const ImageWalkEntry *b);

/* Is the content of the file the same? */
typedef gboolean (*ImageWalkAsk) (const char *path, gpointer data, gboolean *ret_same, GError **error);
/* `change`: 'A' added, 'M' changed, 'D' deleted; `entry`: what there is, or was. */
typedef void (*ImageWalkFound) (char change, const ImageWalkEntry *entry, gpointer data);

/* Sorts both (of ImageWalkEntry), and calls `found` for each difference, in the order of paths, bytewise. */
gboolean image_walk_diff (GPtrArray *before, GPtrArray *after, ImageWalkAsk ask, ImageWalkFound found,
                          gpointer data, GError **error);
