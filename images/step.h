/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is to be changed in an image, as words of a command line, and paths in an image. Pure. */
#pragma once

#include <glib.h>

typedef enum {
  IMAGE_STEP_DELETE,      /* `path`, with everything below it */
  IMAGE_STEP_HOSTNAME,    /* `value` */
  IMAGE_STEP_MKDIR,       /* `path`, and what is missing above it */
  IMAGE_STEP_RUN_COMMAND, /* `value`, by the image's own /bin/sh */
  IMAGE_STEP_UPLOAD,      /* the host's file `value` becomes `path` */
  IMAGE_STEP_WRITE,       /* the text `value` becomes the content of `path` */
} ImageStepKind;

typedef struct {
  ImageStepKind kind;
  char *path;  /* owned; absolute, as image_step_path gives it; "" if the kind has none */
  char *value; /* owned; "" if the kind has none */
} ImageStep;

void image_step_free (ImageStep *step); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ImageStep, image_step_free)

/* `name`: "delete", "hostname", "mkdir", "run-command", "upload", "write"; `value`: as people write it,
 * "FILE:PATH" and "PATH:TEXT" for the last two. USAGE says what is wrong. (transfer full) */
ImageStep *image_step_parse (const char *name, const char *value, GError **error);
const char *image_step_name (ImageStepKind kind); /* static */
/* FALSE: there is no such name. */
gboolean image_step_kind (const char *name, ImageStepKind *ret);

/* A path in an image: absolute, without "." and "..", and without a slash more than needed. USAGE: it is not
 * that. (transfer full) */
char *image_step_path (const char *path, GError **error);
/* The last part of such a path; NULL: it is the root. Borrowed from `path`. */
const char *image_step_base (const char *path);
