/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Grants: named things of the host that are let in. A grant only ever adds entries to a plan; no driver knows
 * what a grant is. To add one: a `const VmGrant vm_grant_NAME` in vmctl/grants/, a line in vmctl/grants.def,
 * golden plans, the table in vmctl-up(1). */
#pragma once

#include <glib.h>

#include "vmctl/plan.h"

typedef struct {
  const char *name;
  const char *summary; /* what it lets in, for `vmctl plan` and the manual */
  /* Adds to the plan. `asked` is TRUE if the user named it (then what is absent is an error), FALSE if it
   * came from a profile (then it is left out). */
  gboolean (*add) (VmPlan *plan, const VmHost *host, gboolean asked, GError **error);
} VmGrant;

extern const VmGrant *const vm_grants[];         /* in the order of vmctl/grants.def, ends with NULL */
const VmGrant *vm_grant_find (const char *name); /* NULL: unknown */

/* FALSE and a USAGE error "WHAT: 'x' is not a grant; ..." for the first unknown one. `names` may be NULL. */
gboolean vm_grant_check_names (char **names, const char *what, GError **error);

/* What a grant alone would add to a plan for a sandbox of this isolation: a plan with nothing else in it.
 * NULL and an error that says what is missing. `host` must have a project. (transfer full) */
VmPlan *vm_grant_try (const VmGrant *grant, const VmHost *host, VmIsolation isolation, GError **error);
