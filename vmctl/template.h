/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Making a template: a machine as a plan's, but nobody's, is booted in a jail with empty shares, and saved
 * when its agent waits for a host. */
#pragma once

#include <glib.h>

#include "images/boot.h"
#include "vmctl/dirs.h"
#include "vmctl/plan.h"

/* Makes the template that `plan` names (plan->template), unless it is there; kernel, initramfs and disk must
 * be. `wait` FALSE: BUSY if somebody else makes one. Uses the thread-default main context. On failure nothing
 * is left. Templates that are too much then go. */
gboolean
vm_template_make (const VmPlan *plan, gboolean wait, ImageProgress progress, gpointer data, GError **error);

/* What of the host templates depend on, "NAME=VALUE" each. (transfer full) */
char **vm_template_inputs (const VmHost *host);

/* Lets a process of its own do it, at the lowest priority, after a machine had to boot: it needs nobody, and
 * ends by itself. *ret_pidfd is owned by the caller, who reaps. */
gboolean vm_template_start_maker (const VmDirs *dirs, const VmPlan *plan, int *ret_pidfd, GError **error);
