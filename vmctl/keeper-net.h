/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The keeper's part of a sandbox's network (vmctl/keeper.c). libc only.
 *
 *   --netns lo|tap     COMMAND starts in a network namespace of its own: loopback only, or also `tap0` with
 *                      10.0.2.15/24 and a default route. COMMAND's programs must not make another.
 *   --packet FD        instead of a tap: our end of a datagram socket pair whose other end COMMAND has
 *   --net PROGRAM      vmctl-net, of the tap, --packet and plugged cards, in the keeper's network namespace
 *   --control FD, --net-log FD   what it gets beside it: vmctl/net/control.h
 *   --control-peer FD  the supervisor's end of --control, kept for one that comes later
 *   --net-user UID:GID whom it runs as if the keeper is real root
 *
 * It lives as long as the sandbox, whatever happens to the supervisor. If it dies before, the sandbox has no
 * network until a new one reads the same descriptor. Not replaced is one that ended by itself within a
 * second, the third in a row that was killed within one, and the eighth. */
#pragma once

#include <sys/types.h>

typedef struct {
  const char *program, *user;
  int own_namespace, tap;
  int packet, control, control_peer, log; /* -1: none */
  int pair[2];                            /* from the child with the tap to the keeper */
  pid_t pid;                              /* 0: does not run */
  unsigned starts, short_lives;           /* the latter in a row */
  long long started_ms;
} KeeperNet;

#define KEEPER_NET_INIT                                                                                      \
  {                                                                                                          \
    .packet = -1, .control = -1, .control_peer = -1, .log = -1, .pair = { -1, -1 }                           \
  }

/* 1: it was one of the above; 0: it is another's; -1: its value is wrong. */
int keeper_net_option (KeeperNet *net, const char *name, const char *value);
/* Before the fork, while still real root if so. 0, -1 with errno. */
int keeper_net_prepare (KeeperNet *net);
/* In the child, before it becomes COMMAND: the namespace, and the tap for the keeper. 0, -1 (said on stderr).
 */
int keeper_net_enter (KeeperNet *net);
/* In the keeper: waits for the tap, which may not come if the child fails, and starts vmctl-net. */
void keeper_net_start (KeeperNet *net);
/* A child has ended. 0: not vmctl-net. 1: vmctl-net, and `text` says what follows: "net restarted ..." or
 * "net down ...". */
int keeper_net_ended (KeeperNet *net, pid_t pid, int status, char *text, size_t size);
void keeper_net_stop (KeeperNet *net);
