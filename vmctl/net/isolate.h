/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What vmctl-net gives up before it looks at the first frame. */
#pragma once

#include <sys/types.h>

/* Everything but sockets of the internet: a mount namespace whose root is an empty, read-only tmpfs, all
 * capabilities, new privileges, being looked at by its own user, all system calls but those of its loop.
 * `uid`, `gid`: whom to become first, for real root; -1: nobody else. 0, or -1 with errno, and *ret_what says
 * at what. (static) */
int net_isolate (uid_t uid, gid_t gid, const char **ret_what);
