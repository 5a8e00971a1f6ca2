/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl net show, allow, deny and set. */
#pragma once

#include "vmctl/plug.h"
#include "vmctl/record.h"
#include "vmctl/verb.h"

/* Of a sandbox that runs, or as it was when it ended. */
gboolean vm_net_show (VmContext *context, const VmRecord *record, gboolean json, GError **error);
/* `what`: "allow", "deny" (of items) or "set" (words of --net). Prints what it comes to. */
gboolean vm_net_apply (VmContext *context, const VmRecord *record, const char *what, char **words,
                       gboolean json, GError **error);

/* Of a network card that is to be plugged: groups of the configuration are looked up, and where the sandbox
 * has no network and `spec` no policy, it is the one that the configuration gives the project. USAGE: that is
 * none. */
gboolean vm_net_complete_plug (VmContext *context, const VmRecord *record, VmPlugSpec *spec, GError **error);
