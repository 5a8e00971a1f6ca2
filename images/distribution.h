/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A distribution made from its packages: by mmdebstrap into a tar, which is imported like any other. */
#pragma once

#include <glib.h>

#include "images/import.h"

typedef struct {
  const char *data_dir; /* as in ImageImport, */
  ImageTools tools;     /* this, too */
  const char *what;     /* "debian:bookworm": it, and its suite */
  const char *packages; /* more of them, "a,b"; NULL: none */
  const char *mirror;   /* URL; NULL: Debian's own, with its updates */
  const char *name;     /* NULL: "debian-bookworm" */
  gboolean force;
  guint64 size; /* as in ImageImport */
} ImageDistribution;

/* The words of mmdebstrap, without its program's: pure. `is_root`: who runs it. USAGE: `what`, `packages` or
 * `mirror` cannot be. (transfer full) of char *, NULL-terminated */
char **image_distribution_words (const ImageDistribution *distribution, const char *tar, gboolean is_root,
                                 GError **error);

/* image_store_sweep, and before it what a build that was killed has left, which belongs to its users. */
void image_distribution_sweep (const char *data_dir, const ImageTools *tools);

/* As image_import. Takes a minute or more, and the network. */
gboolean image_distribution_build (const ImageDistribution *distribution, ImageProgress progress,
                                   gpointer data, ImageInfo **ret, GError **error);
