/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The sandbox's echo requests, by one socket of the kernel's for pings. (libslirp keeps a socket for each
 * that is not answered, for minutes: a flood would use all descriptors up.) Part of flows.h. */
#pragma once

#include "vmctl/net/flows.h"

enum { NET_PING_WAITING_MAX = 32, NET_PING_WAIT_MS = 20000 };

typedef struct NetPing NetPing;

NetPing *net_ping_new (NetFlows *flows); /* borrowed */
void net_ping_free (NetPing *ping);
void net_ping_outgoing (NetPing *ping, const NetFrame *frame);
void net_ping_fill (NetPing *ping, NetPoll *poll);
void net_ping_serve (NetPing *ping, const NetPoll *poll);
