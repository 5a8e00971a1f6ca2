/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ending sandboxes from outside: asked through their control sockets, all at once; with force, by the
 * identity of their processes when nobody answers. */
#pragma once

#include <glib.h>

#include "vmctl/record.h"

typedef struct {
  gboolean force;       /* no powerdown; and kill what does not answer */
  guint powerdown_ms;   /* the guest's time to power off; 0: the supervisor's default */
  gboolean say_nothing; /* no steps on stderr */
} VmStopping;

/* Stops what runs of `records` (of VmRecord, borrowed) and waits until it has ended. Each step is told on
 * stderr with its deadline: on a terminal at once, elsewhere when it takes longer than a second. The error
 * names what is left. */
gboolean vm_stopping_run (const VmDirs *dirs, GPtrArray *records, const VmStopping *how, GError **error);
