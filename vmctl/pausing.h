/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What `pause` and `resume` have in common. */
#pragma once

#include <glib.h>

#include "vmctl/dirs.h"

/* Each of `words` names a sandbox that runs (none: that of this directory). All of them are looked up before
 * one is touched. */
gboolean vm_pausing_run (const VmDirs *dirs, char **words, gboolean paused, GError **error);
