/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The system calls that a container may make: an allow list, for the agent and all that it starts.
 *
 * systemd-nspawn has such a list, and spends 40 ms of a start of 60 on it: libseccomp sorts every rule into
 * its place, for three architectures. vmctl tells it to leave that out (SYSTEMD_SECCOMP=0) and has the same
 * list here, where it takes some microseconds. Two things are stricter: there is one architecture, the
 * agent's own, and what is on no list is unknown (ENOSYS), so that programs do without it. */
#pragma once

#include <linux/filter.h>
#include <stddef.h>

enum { ALLOW_LIST_MAX = 1024 };

/* The filter (seccomp(2)), in at most ALLOW_LIST_MAX instructions; how many. 0: for this architecture there
 * is none. */
size_t allow_list_build (struct sock_filter *out);
/* From now on, for this process and its children. Sets no_new_privs. 0 or -errno. */
int allow_list_use (void);
