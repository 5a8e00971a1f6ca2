/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Standing still for a snapshot: between freeze and thaw nothing is written to the file system of the scratch
 * disk, or of an image's root, and what was written before is on the disk. Programs that write wait
 * meanwhile. So it is with what else is mounted of an image's disk and, where disks that were plugged are in
 * the snapshot, with every file system that is mounted of a block device. What is mounted in a mount
 * namespace other than the agent's is not seen.
 *
 * A root that stays frozen is a dead sandbox, and whoever asks may die. So a guard, a process of its own,
 * thaws when the time is over. Who thaws first, it or the request, is decided by one word that all of the
 * agent's processes share: a thaw that comes second is told that nothing stood still to its end. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct Agent;

/* Before the first process that does any of it is made; once is enough. 0 or -errno. */
int freeze_prepare (void);
/* These two in a process of their own; 0 or -errno. `ms` is a word of CHANGE (change.h); `all`: of every
 * disk.
 *
 * EOPNOTSUPP: there is no scratch disk. EBUSY: somebody has frozen it, or writes to a file system that can
 * only be made read-only. ETIMEDOUT: what waited to be written took too long, and it is not frozen. */
int freeze_do (const struct Agent *agent, const char *ms, bool all);
/* `text`: for how many microseconds it stood still. ETIMEDOUT: it has not until now; EINVAL: it did not. */
int freeze_thaw (const struct Agent *agent, char *text, unsigned long size);

/* freeze-disk.c: what else is mounted, of the disk of an image's root or of all. */
enum { FREEZE_OTHERS_MAX = 32 };

typedef enum { FREEZE_NOT, FREEZE_FROZEN, FREEZE_READ_ONLY } FreezeState;

typedef struct {
  dev_t device;
  int fd; /* of the process that looked, and of its children */
  FreezeState state;
} FreezeOther;

/* In the order in which they were mounted. `others` has room for FREEZE_OTHERS_MAX. The count, or -errno;
 * E2BIG: there are more; EBUSY: one is mounted where nothing leads to it. `all`: of every block device, else
 * of the root's disk. */
int freeze_others_find (int root_fd, bool all, FreezeOther *others);
/* Writes the most of what waits, as long as everybody may still go on. 0 or -errno. */
int freeze_others_flush (const FreezeOther *others, unsigned n);
/* 0 or -errno, and then some of them may stand still. EBUSY: one cannot be frozen, and is written to. */
int freeze_others_stop (FreezeOther *others, unsigned n);
/* 0, or -errno if one did not stand still. */
int freeze_others_thaw (const FreezeOther *others, unsigned n);
