/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/progress.h"

#include <stdio.h>
#include <unistd.h>

#include "vmctl/base/tty.h"

enum { BAR_WIDTH = 24 };

void
vm_progress_begin (VmProgress *progress, gboolean quiet)
{
  *progress = (VmProgress){.began = g_get_monotonic_time (), .quiet = quiet};
}

static void
draw_bar (const char *what, int percent)
{
  char bar[BAR_WIDTH + 1];

  for (int i = 0; i < BAR_WIDTH; i++)
    bar[i] = i * 100 < percent * BAR_WIDTH ? '#' : '.';
  bar[BAR_WIDTH] = '\0';
  fprintf (stderr, "\r\033[K[%s] %3d%% %s", bar, percent, what);
}

void
vm_progress_step (const char *what, int percent, gpointer data)
{
  VmProgress *progress = data;
  const char *term = g_getenv ("TERM");
  gboolean terminal = isatty (STDERR_FILENO) && g_strcmp0 (term, "dumb") != 0;

  if (progress->quiet)
    return;
  if (terminal) {
    if (percent >= 0)
      draw_bar (what, percent);
    else
      fprintf (stderr, "\r\033[K%s", what);
    progress->drawn = TRUE;
    return;
  }
  if (g_strcmp0 (what, progress->last) == 0 || g_get_monotonic_time () - progress->began < G_USEC_PER_SEC)
    return;
  g_free (progress->last);
  progress->last = g_strdup (what);
  fprintf (stderr, "vmctl: %s\n", what);
}

void
vm_progress_end (VmProgress *progress)
{
  if (progress->drawn)
    fputs ("\r\033[K", stderr);
  g_clear_pointer (&progress->last, g_free);
  progress->drawn = FALSE;
}
