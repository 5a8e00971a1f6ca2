/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How checks are made; for checks*.c and the verb doctor only. */
#pragma once

#include "vmctl/checks.h"

/* `take_why` and `mend` (copied, may be NULL). */
VmCheck *
vm_check_new (const char *name, const char *what, VmCheckLevel level, char *take_why, const char *mend);
/* From an error "WHY; MEND". Takes it. */
VmCheck *vm_check_new_error (const char *name, const char *what, VmCheckLevel level, GError *take_error);
