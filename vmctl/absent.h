/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Protected names that do not exist (VM_MOUNT_ABSENT): while a sandbox runs an empty, read-only directory of
 * ours stands at each, so that nothing can be made there from inside. A directory, since every program leaves
 * an empty one alone (git does not see it), and rmdir() cannot lose anything. Its mode, 01555, tells it from
 * the user's own. */
#pragma once

#include <sys/stat.h>

#include "vmctl/plan.h"

/* TRUE if this is one of ours, of this sandbox or of another one. */
gboolean vm_absent_is_ours (const struct stat *st);

/* Makes what the plan names, and the directories above it (01755 as long as they are ours). No symbolic link
 * is followed: the project is not to be trusted. What exists by now stays as it is. What may be made is
 * written down before, in `state`/absent/ID, and is on its way to the disk: a power cut takes the runtime
 * directory with it, but nothing from the project. */
gboolean vm_absent_make (const char *state, const VmPlan *plan, GError **error);

/* Takes away what is still empty and ours, for a sandbox that has ended; unless another one is on its
 * project: that one needs the same names, and takes them away in the end. */
void vm_absent_clean (const char *state, const char *id);

/* The same for all that ran when this host went down. */
void vm_absent_sweep (const char *state);
