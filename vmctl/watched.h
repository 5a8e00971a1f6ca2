/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Protected paths that nothing could keep from being written: whoever ends a sandbox looks at them. */
#pragma once

#include "vmctl/plan.h"
#include "vmctl/record.h"

/* A warning in the record for each that was not there at the start, such as .git/hooks/post-checkout, and for
 * each symbolic link that is another one now: the host would run or trust them. The same sentences are added
 * to `problems` (may be NULL; of char *, owned). */
void vm_watched_warn (const VmPlan *plan, VmRecord *record, GPtrArray *problems);
