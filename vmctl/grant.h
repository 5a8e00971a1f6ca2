/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Grants: named things of the host that are let in. A grant only ever adds entries to a plan; no driver knows
 * what a grant is. */
#pragma once

#include <glib.h>

#include "vmctl/plan.h"

typedef struct {
  const char *name;
  const char *summary; /* what it lets in, for `vmctl plan` and the manual */
  /* Adds to the plan. `asked` is TRUE if the user named it (then what is absent is an error), FALSE if it
   * came from a profile. */
  gboolean (*add) (VmPlan *plan, const VmHost *host, gboolean asked, GError **error);
} VmGrant;

extern const VmGrant vm_grants[];                /* ends with name NULL */
const VmGrant *vm_grant_find (const char *name); /* NULL: unknown */
