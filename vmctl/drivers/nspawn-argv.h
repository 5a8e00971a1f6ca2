/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* systemd-nspawn's command line, and the list of the root directory that the keeper builds for it. Pure. */
#pragma once

#include "vmctl/base/argv.h"
#include "vmctl/plan.h"

/* The keeper and all behind it. */
void vm_nspawn_argv (const VmPlan *plan, VmArgv *argv);
/* The list for the keeper's --stage (vmctl/stage.h), five words a group. Contents of files become slots of
 * `argv`, bound to their bytes; sources of the host become the slots "mount:TARGET", still to be bound.
 * (transfer full), NULL-terminated */
GPtrArray *vm_nspawn_stage (const VmPlan *plan, VmArgv *argv);
/* Whether the plan's uid and gid can be in a user namespace of their own range. */
gboolean vm_nspawn_has_own_ids (const VmPlan *plan);
