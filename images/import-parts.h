/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What import.c and its steps (convert.c, examine.c) share. */
#pragma once

#include <sys/stat.h>

#include "images/import.h"
#include "images/store.h"
#include "vmctl/base/argv.h"

typedef struct {
  const ImageImport *import; /* borrowed */
  ImageProgress progress;    /* never NULL */
  gpointer data;
  char *path;         /* owned; absolute */
  int fd;             /* owned; the file; -1: a directory */
  struct stat stat;   /* of it, when it was opened */
  const char *format; /* borrowed or static */
  ImageStorePart part;
  ImageInfo *info; /* owned */
  char *sum;       /* owned; the SHA-256 of the part's disk.qcow2, if it was taken on the way; or NULL */
} ImageImporting;

/* convert.c: the part's disk.qcow2 from the source, whatever that is. */
gboolean image_convert (ImageImporting *i, GError **error);
/* The file's content, from `path` in format `from`, into `to`, both of the host; `size` is its virtual size.
 */
gboolean image_convert_file (const ImageTools *tools, const char *path, const char *from, const char *to_dir,
                             const char *to_name, const char *to_format, guint64 size, ImageProgress progress,
                             gpointer data, GError **error);

/* examine.c: what is in the part's disk.qcow2, into i->info, and its kernels, into the part's kernel/. */
gboolean image_examine (ImageImporting *i, GError **error);

/* The SHA-256 of a file (fd borrowed). (transfer full) */
char *image_sum (const ImageTools *tools, int fd, ImageProgress progress, gpointer data, GError **error);
/* The same of `to`, which is made from `from` by a verb of vmctl-ext: "copy" or "pack". Both borrowed. */
char *image_write (const ImageTools *tools, const char *verb, int from, int to, ImageProgress progress,
                   gpointer data, GError **error);
/* Runs vmctl-ext, whose words are complete but for the result's descriptor, which is the slot "result": what
 * it wrote there. (transfer full) NULL and error. */
json_object *image_run_for_result (VmArgv *argv, ImageProgress progress, gpointer data, GError **error);
