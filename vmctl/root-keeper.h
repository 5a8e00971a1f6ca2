/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl's side of vmctl/keeper-root.h: under sudo, the one process that stays root. */
#pragma once

#include <glib.h>

#include "vmctl/base/argv.h"
#include "vmctl/group.h"

/* Called first thing in main, while still root. Under sudo (uid 0 with SUDO_UID) starts the waiting keeper;
 * *ret_fd (owned by the caller) is its socket. Else -1. Where it must not be started (vmctl's programs could
 * be changed by others than root) -1 too, and *ret_why (transfer full) says so: it is an error only for those
 * who need it. */
/* `ret_groups` (owned by the caller) is where it can make control groups. */
void vm_root_keeper_start (int *ret_fd, char **ret_why, VmGroups *ret_groups);

/* Nobody but root can change the file `path` (absolute, no link), what lies beside it, or the directories
 * above. */
gboolean vm_root_keeper_is_safe (const char *path);

/* Has the waiting keeper start the keeper of `argv`, as root. All slots must be bound. It can be asked again
 * as long as `fd` is open. */
gboolean vm_root_keeper_run (int fd, VmArgv *argv, pid_t *ret_pid, GError **error);
