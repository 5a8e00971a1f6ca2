/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The sandbox's UDP: a connected socket a flow, so that only who was asked can answer, and a refusal comes
 * back as one. Part of flows.h. */
#pragma once

#include "vmctl/net/flows.h"

typedef struct NetUdp NetUdp;

NetUdp *net_udp_new (NetFlows *flows); /* borrowed */
void net_udp_free (NetUdp *udp);
void net_udp_outgoing (NetUdp *udp, const NetFrame *frame);
void net_udp_policy_changed (NetUdp *udp);
void net_udp_fill (NetUdp *udp, NetPoll *poll);
void net_udp_serve (NetUdp *udp, const NetPoll *poll);
unsigned net_udp_count (const NetUdp *udp);
