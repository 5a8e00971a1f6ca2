/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Under sudo: the sandbox's control group, made by the keeper that stays root, since the user may make none.
 * libc only.
 *
 * How it works
 *
 * Where groups may be made is found by vmctl while it is still root, so it is trusted; which one, and how
 * much, is the user's say, so it is an id and numbers. The group is `vmctl-ID.sudo`. Its limits are root's;
 * the one file of it that is given to the user stops and continues it. Counts can be read by everybody. The
 * keeper removes it at its end. It holds a lock on the directory: one without a lock lost its keeper, and the
 * next that is started removes it, with what is in it. */
#pragma once

#include <sys/types.h>

enum { KEEPER_GROUP_MEMORY, KEEPER_GROUP_CPU, KEEPER_GROUP_PIDS, KEEPER_GROUP_FREEZER, KEEPER_GROUP_PARTS };

/* The words behind `--root FD --uid N --gid N`: a kind, and a directory for each part, "-": none. */
enum { KEEPER_GROUP_WORDS = 1 + KEEPER_GROUP_PARTS };

typedef struct {
  int is_v1;
  const char *parents[KEEPER_GROUP_PARTS]; /* borrowed; NULL: this part cannot be had */
  char name[32];                           /* "": none is to be made */
  unsigned long long memory;               /* bytes; 0: no limit */
  unsigned cpus, processes;                /* 0: no limit */
  int dirs[KEEPER_GROUP_PARTS];            /* owned; open, locked; -1: none */
} KeeperGroup;

/* Takes KEEPER_GROUP_WORDS words. -1: bad ones. */
int keeper_group_places (KeeperGroup *g, char **words);
/* Takes "ID:MEMORY:CPUS:PROCESSES", the value of --make-group. -1: bad, or there is no place for it. */
int keeper_group_want (KeeperGroup *g, const char *value);
/* For a user who is not root, to whom the directory `runtime` belongs: removes what other keepers left, and
 * makes the group with its limits, which the user may stop and continue; a scope that systemd made for this
 * process likewise. -1, and a complaint. */
int keeper_group_make (KeeperGroup *g, int runtime);
enum { KEEPER_GROUP_BAD = -2 }; /* no group of its own, no numbers; as KEEPER_DOOR_BAD */

/* Changes those of its limits that are not 0, while it runs: of root's group, too, the user says how much. 0;
 * -1 with errno; KEEPER_GROUP_BAD. */
int keeper_group_limit (KeeperGroup *g, const char *memory, const char *cpus);
/* In the child: enters it. -1: errno says why. */
int keeper_group_enter (const KeeperGroup *g);
/* Kills what is left in it, and removes it, with root's rights to files whatever they are now. */
void keeper_group_remove (KeeperGroup *g);
