/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where the agent is, seen by the keeper, which has one thread and goes there for a moment: the parts of what
 * is added to running namespaces and containers. libc only. */
#pragma once

#include <sys/types.h>

#include "vmctl/keeper-enter.h"

typedef struct {
  uid_t uid;
  gid_t gid;
} KeeperRights;

/* 0: not there. */
pid_t keeper_inside_agent (const KeeperInside *inside);
/* To the mount namespace and the root directory of `pid`. 0, or -1 with errno and this process is where it
 * was. */
int keeper_inside_go (pid_t pid, int *ret_back);
/* One that cannot come back has no business anywhere, and aborts. Keeps errno. */
void keeper_inside_come_back (int back);
/* Rights to files. A container has ids of its own, which this takes on; in namespaces the user's are all
 * there are, and nothing changes. Returns those before, for another call. */
KeeperRights keeper_act_as (const KeeperInside *inside, uid_t uid, gid_t gid);
/* O_PATH; `resolve` as for openat2, and no magic links. -1 with errno. */
int keeper_open_dir (int root, const char *path, unsigned long long resolve);
/* A copy of what is mounted at `path` where `pid` is, with all that is mounted in it, mounted nowhere, and of
 * which the topmost mount can be written to. -1: not to be had. */
int keeper_inside_open_writable (pid_t pid, const char *path);
