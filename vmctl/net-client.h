/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl net show, allow, deny and set. */
#pragma once

#include "vmctl/record.h"
#include "vmctl/verb.h"

/* Of a sandbox that runs, or as it was when it ended. */
gboolean vm_net_show (VmContext *context, const VmRecord *record, gboolean json, GError **error);
/* `what`: "allow", "deny" (of items) or "set" (words of --net). Prints what it comes to. */
gboolean vm_net_apply (VmContext *context, const VmRecord *record, const char *what, char **words,
                       gboolean json, GError **error);
