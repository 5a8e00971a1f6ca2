/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A pid namespace around what the keeper starts. libc only.
 *
 * bubblewrap ties its processes to their parents, but by prctl(), which each does some time after it was
 * made, and again whenever its credentials change: whoever is killed in between leaves a QEMU behind. So
 * there is a first process above it that does nothing but wait, changes nothing of itself, and is tied to the
 * keeper before it starts anything. With it the kernel ends everything in the namespace. */
#pragma once

#include <sys/types.h>

/* Forks; `run` is called in a child of the namespace's first process, and must not return. Returns the first
 * process, which ends as that child does: with its status, or 128 + its signal. -1: errno. */
pid_t keeper_cage_fork (void (*run) (void *data), void *data);

/* Writes microseconds since the epoch, as an int64_t, and becomes the command. 127: it cannot. */
int keeper_cage_stamp (int fd, char **command);

/* Runs `command` so, and waits: it ends with this process, and this process with `parent`, who started it.
 * Its status, as above. */
int keeper_cage_run (char **command, pid_t parent);

/* bubblewrap that is killed while it starts may not yet have tied its child to itself. Whatever has lost its
 * parent comes to this process, the subreaper, and ends here. */
void keeper_cage_end_orphans (void);
