/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A NixOS system of a flake, built by the user's own Nix, as an image: the closure of its toplevel, at the
 * same paths, in a new root. Evaluating a flake is running the user's own code as the user, as `nix build`
 * does; nothing of it is in a jail. What it has built is data here. */
#pragma once

#include <glib.h>

#include "images/import.h"

#define IMAGE_NIX_FORMAT "nix" /* ImageInfo.format, and vmctl-ext's word for it */
#define IMAGE_NIX_ROOT                                                                                       \
  "root" /* in a directory that vmctl-ext reads: what is in the image besides the store, */
#define IMAGE_NIX_PATHS "paths" /* and the paths of the store that are, one a line */

typedef struct {
  const char *data_dir; /* as in ImageImport, */
  ImageTools tools;     /* this, too */
  const char *what;     /* "nix:FLAKE#SYSTEM" */
  const char *name;     /* NULL: made of SYSTEM */
  gboolean force;
  guint64 size; /* as in ImageImport */
} ImageNix;

gboolean image_nix_is (const char *what); /* "nix:..." */

/* The words of nix, without its program's: pure. It makes the link `link` to the toplevel. SYSTEM without a
 * dot is one of nixosConfigurations; what FLAKE is, is Nix's to say. USAGE: `what` cannot be. (transfer full)
 * NULL-terminated */
char **image_nix_words (const char *what, const char *link, GError **error);

/* The name for an image of it, such as "box" of "nix:.#box". (transfer full) USAGE: none can be made. */
char *image_nix_name (const char *what, GError **error);

/* As image_import: a system that is there already costs an evaluation. */
gboolean image_nix_build (const ImageNix *nix, ImageProgress progress, gpointer data, ImageInfo **ret,
                          gboolean *ret_was_there, GError **error);
