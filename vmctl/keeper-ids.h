/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The user namespace in which a distribution is put together: root and all other users of it are subordinate
 * ids of the user's (/etc/subuid), so what its packages' scripts do, they do as somebody who owns nothing.
 * libc only. The one directory that they may write is mounted at /var/tmp: they could not get to it by its
 * path. */
#pragma once

#include <sys/types.h>

/* --users FIRST:COUNT --groups FIRST:COUNT --tmp DIR -- COMMAND...: makes the namespaces, by newuidmap and
 * newgidmap, becomes root of them, and runs COMMAND in a cage (vmctl/keeper-cage.h). Its status; 1: the
 * namespaces cannot be made, and it has said why. */
int keeper_ids_run (int argc, char **argv, pid_t parent);
