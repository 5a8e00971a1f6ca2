/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A file that appears whole or not at all: written under a temporary name in the same directory, then fsync
 * and rename. */
#pragma once

#include <glib.h>

typedef struct {
  char *path; /* owned; the final name */
  char *temp; /* owned; NULL once committed */
  int fd;
  guint64 size; /* bytes written so far */
} ImageOutput;

gboolean image_output_open (ImageOutput *out, const char *path, GError **error);
gboolean image_output_write (ImageOutput *out, const void *data, gsize length, GError **error);
/* Begins anew. */
gboolean image_output_truncate (ImageOutput *out, GError **error);
gboolean image_output_commit (ImageOutput *out, GError **error);
/* Without a commit nothing is left. */
void image_output_clear (ImageOutput *out);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (ImageOutput, image_output_clear)
