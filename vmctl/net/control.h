/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The helper's end of the control socket: a policy comes, refusals and figures go. One message a datagram:
 *
 *   supervisor: "policy SERIAL\n" TEXT     TEXT as in policy.h
 *               "stats"
 *   helper:     "hello 1"                  once, isolated: now it wants a policy
 *               "policy SERIAL ok", "policy SERIAL bad LINE"
 *               "refused PROTOCOL NAME ADDRESS PORT RULE..."     NAME or ADDRESS "-": there is none
 *               "stats WORD=NUMBER ..."
 *
 * Several helpers have the same socket, one after the other. What was said to the one before is thrown away
 * before hello, so that none ever works by a policy that is older than itself. Nothing here waits: what does
 * not fit into the socket is left out. libc only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmctl/net/policy.h"

enum { NET_CONTROL_MAX = 128 << 10, NET_CONTROL_REFUSALS_PER_SECOND = 20 };

enum { NET_CONTROL_SERIAL_MAX = 10 };

typedef struct {
  int fd;            /* borrowed; SOCK_SEQPACKET */
  bool gone;         /* the other end is */
  unsigned refusals; /* in this second */
  int64_t second;
  char serial[NET_CONTROL_SERIAL_MAX + 1]; /* of the policy that was taken last */
} NetControl;

typedef enum { NET_CONTROL_NOTHING, NET_CONTROL_POLICY, NET_CONTROL_STATS } NetControlEvent;

void net_control_hello (NetControl *control);
/* One message, if there is one. POLICY: *policy is the new one, what was in it is released, and
 * net_control_done() is to be called when it holds for what is open, too; a bad one is answered and leaves it
 * as it is. NOTHING with `gone`: nobody will say anything any more. */
NetControlEvent net_control_receive (NetControl *control, NetPolicy *policy);
void net_control_refused (NetControl *control, int64_t now_ms, const char *protocol, const char *name,
                          uint32_t address, uint16_t port, const char *rule);
/* "policy SERIAL ok" */
void net_control_done (NetControl *control);
/* `words`: "flows=3 ..." */
void net_control_stats (NetControl *control, const char *words);
