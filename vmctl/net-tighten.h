/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A project's own `net`: whoever writes in the project writes it, so it may only take away. Pure. */
#pragma once

#include "vmctl/net-words.h"

/* Leaves of `set` what `asked` allows as well, and denies what it denies. *ret_dropped (transfer full): the
 * words of `asked` that would have been more than `set` ("public", "allow:ITEM"), which have no effect.
 * Errors: an unknown group. */
gboolean
vm_net_tighten (VmNetSaid *set, const VmNetSaid *asked, char **groups, char ***ret_dropped, GError **error);
