/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The jail for programs that read foreign images: bubblewrap, without a network, with the host's programs and
 * libraries, and with nothing else of the host but what is bound; and with limits (vmctl-ext limit). */
#pragma once

#include <glib.h>

#include "vmctl/base/argv.h"

/* Paths of vmctl's own programs. Borrowed. */
typedef struct {
  const char *ext;    /* vmctl-ext */
  const char *keeper; /* vmctl-keeper */
} ImageTools;

/* Inside. */
#define IMAGE_CAGE_EXT "/vmctl-ext"
#define IMAGE_CAGE_IN "/in"
#define IMAGE_CAGE_OUT "/out"

/* The words of vmctl-keeper, which ends all of it with whoever started it, however that ends, and bwrap's so
 * far. NULL and VM_ERROR_HOST: there is no bwrap. (transfer full) */
VmArgv *image_cage_new (const ImageTools *tools, GError **error);
/* What is read, a file or directory, and the one that may be written. */
void image_cage_bind (VmArgv *argv, const char *path, const char *inside, gboolean writable);
/* Ends bwrap's words: those of the program follow. `file_max`: the largest file that it may write. */
void image_cage_enter (VmArgv *argv, guint64 file_max);

/* The path of a program, looked for in $PATH and the sbin directories. NULL and VM_ERROR_HOST, with the
 * package. (transfer full) */
char *image_cage_program (const char *name, const char *package, GError **error);
