/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The keeper as root for a user who started vmctl through sudo. libc only.
 *
 * How it works
 *
 * vmctl becomes the real user for good before it reads anything. Only this process stays root, and it waits
 * with one end of a socket pair; the other end goes from vmctl to the supervisor. The supervisor sends the
 * command line and the descriptors that it would give to a keeper of its own. They come from a process of
 * the user's, so they are not trusted: the command must be systemd-nspawn's from the system's own
 * directories, word for word as the nspawn driver writes it, for that user and no other, with our own agent
 * in it. So whoever gets hold of the socket can start containers that run programs as that user, and
 * nothing else. A keeper is a child of this process, which waits for another request, since the sandbox may
 * start again, and ends when the other end of the socket is closed: with the supervisor. */
#pragma once

#include <sys/types.h>

#include "vmctl/keeper-group.h"

/* `vmctl-keeper --root FD --uid N --gid N [PLACES]`: waits, in a process of its own, until it has been told,
 * again and again. Returns in a child each time: `group` knows its places (KEEPER_GROUP_WORDS, or none), and
 * *argc and *argv (owned, never freed) and all descriptors are as a keeper's. Does not return when nobody
 * asks any more, or for what must not be. */
void keeper_root_receive (int *argc, char ***argv, KeeperGroup *group);
