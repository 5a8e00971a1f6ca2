/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a plan wants to be there on the host before anything is mounted. */
#pragma once

#include "vmctl/plan.h"

/* Makes it all, in the plan's order, as the plan's user (root makes it over to them). `state` is vmctl's own
 * state directory, the only place whose path may lead through symbolic links. What is there stays as it is;
 * an error names the path and the mend. */
gboolean vm_make_all (const VmPlan *plan, const char *state, GError **error);

/* Of the X authority file `bytes`: the cookies that hold on this host for display `number`, as entries for
 * every host name. (transfer full); empty if there are none or the rest cannot be read */
GByteArray *vm_make_pick_cookies (const guint8 *bytes, gsize length, const char *number);
