/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The keeper's part of network cards that are plugged: a vmctl-net for each, started as the first one, kept
 * as that one is, and ended with its card or with the keeper. libc only.
 *
 * Request: nic NAME, with four descriptors: its end of the datagram pair that QEMU has the other of, its
 * control socket, the supervisor's end of that, and the log. */
#pragma once

#include "vmctl/keeper-net.h"

enum { KEEPER_NICS_MAX = 32, KEEPER_NIC_NAME_MAX = 20, KEEPER_NIC_FDS = 4 };

typedef struct {
  KeeperNet nets[KEEPER_NICS_MAX]; /* valid where the name is not empty */
  char names[KEEPER_NICS_MAX][KEEPER_NIC_NAME_MAX + 1];
} KeeperNics;

/* Program and user are those of `like`; `fds` are the caller's. 0; -1 with errno (EEXIST: the name is taken).
 */
int
keeper_nics_add (KeeperNics *nics, const KeeperNet *like, const char *name, const int fds[KEEPER_NIC_FDS]);
/* 0; -1 with errno. */
int keeper_nics_remove (KeeperNics *nics, const char *name);
/* The supervisor's end of its control socket; -1: there is no such card. */
int keeper_nics_control (const KeeperNics *nics, const char *name);
/* As keeper_net_ended; `text` is "nic NAME restarted ..." or "nic NAME down ...". */
int keeper_nics_ended (KeeperNics *nics, pid_t pid, int status, char *text, size_t size);
void keeper_nics_stop (KeeperNics *nics);
