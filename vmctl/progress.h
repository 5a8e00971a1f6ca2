/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Progress of something that may take longer than a second, on stderr: one line that is rewritten on a
 * terminal; elsewhere one line for each step, and only if a second has passed. */
#pragma once

#include <glib.h>

typedef struct {
  gint64 began;   /* monotonic microseconds */
  char *last;     /* owned; the step that was shown */
  gboolean drawn; /* a line on the terminal waits to be cleared */
  gboolean quiet;
} VmProgress;

void vm_progress_begin (VmProgress *progress, gboolean quiet);
/* An ImageProgress: percent 0..100, or -1. `data` is the VmProgress. */
void vm_progress_step (const char *what, int percent, gpointer data);
void vm_progress_end (VmProgress *progress);
