/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which driver. A weaker one is taken only for a reason that is told, and never below what was asked for. */
#pragma once

#include <glib.h>

#include "vmctl/driver.h"

typedef struct {
  const VmDriver *driver; /* borrowed */
  char **passed_over; /* owned, never NULL; "NAME: WHY; MEND" of each stronger driver, strongest first; empty
                         if the driver was named */
} VmChoice;

/* Of `drivers` (strongest first, ends with NULL) the one that spec->driver names, or for "auto" the first
 * that can work on this host; never one without isolation unless it is named, and never one below
 * spec->min_isolation. A named one is not probed. Pure. The error says why there is none, and the mend: USAGE
 * where two wishes exclude each other, HOST where the host lacks something. */
gboolean vm_choice_make (const VmDriver *const *drivers, const VmSpec *spec, const VmHost *host,
                         VmChoice *ret, GError **error);
void vm_choice_clear (VmChoice *choice);

/* "driver bwrap (namespace); not qemu: 'qemu-system-x86_64' is missing; ..." (transfer full) */
char *vm_choice_line (const VmPlan *plan);

/* A running sandbox that is about to be joined: is it isolated as `spec` asks? */
gboolean vm_choice_allows (const VmSpec *spec, const char *isolation, GError **error);
