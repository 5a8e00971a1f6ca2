/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What boot.c and scratch.c share: one builder at a time in a cache directory, results that appear whole, and
 * a child that reports its progress. */
#pragma once

#include <glib.h>

#include "images/boot.h"
#include "vmctl/base/argv.h"

/* What is being written has a name with this prefix, and goes away with its builder or the next one. */
#define IMAGE_PART_PREFIX ".part-"

/* Makes `dir` if need be and locks it against other builders, waiting for one that is at work (it says so).
 * Removes what killed builders left. The lock lasts as long as the descriptor; -1 on error. */
int
image_build_lock (const char *dir, const char *what, ImageProgress progress, gpointer data, GError **error);

/* Runs a child to its end, or until we are interrupted (images/interrupt.h). Each "PERCENT TEXT" line of its
 * stdout becomes a call of `progress`. A status other than 0 becomes an error with what it wrote to stderr.
 */
gboolean image_build_run (VmArgv *argv, ImageProgress progress, gpointer data, GError **error);

/* The same for a program that shows its progress as qemu-img -p does: "(12.34/100%)". `what`: what it is
 * doing. */
gboolean
image_build_run_as (VmArgv *argv, const char *what, ImageProgress progress, gpointer data, GError **error);

/* The same for a program that says on stderr what it is doing, in lines that begin with `mark`; the others
 * become the error. */
gboolean image_build_run_marked (VmArgv *argv, const char *mark, ImageProgress progress, gpointer data,
                                 GError **error);

/* The same for a program whose every line on stderr is what it is doing, and which tells its error at the
 * end: the error is what it said from the last line on that begins with `mark`, or its last line; the last
 * lines of that, one below the other. Its stdout stays as it is bound. */
gboolean
image_build_run_told (VmArgv *argv, const char *mark, ImageProgress progress, gpointer data, GError **error);

/* TRUE for a regular file that is not empty. */
gboolean image_build_exists (const char *path);
