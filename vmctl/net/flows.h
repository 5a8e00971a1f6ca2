/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Every TCP and UDP flow and every ping of the sandbox, from its first frame to its end: judged, counted,
 * inspected, bounded, cut.
 *
 * TCP is libslirp's; UDP and pings are relayed here (udp.h, ping.h). A flow that no policy allows any more
 * ends at once: a reset to the sandbox and one to libslirp, as if the sandbox had sent it.
 *
 * A TCP flow lives as long as libslirp has its socket, which is why it must be told of these. */
#pragma once

#include "vmctl/net/frame.h"
#include "vmctl/net/poll.h"
#include "vmctl/net/shared.h"

enum {
  NET_FLOWS_TCP_MAX = 768,       /* the one that was silent for longest goes */
  NET_FLOWS_HALF_OPEN_MAX = 128, /* the handshake is not over; the oldest goes */
  NET_FLOWS_ENDING_MAX = 128,    /* were cut, and libslirp has yet to notice */
  NET_FLOWS_UDP_MAX = 128,       /* sockets; the one that was silent for longest goes */
  NET_FLOWS_UDP_IDLE_MS = 120000,
  NET_FLOWS_INSPECT_MS = 10000, /* from the first byte until it is known whom it is for */
};

typedef struct NetFlows NetFlows;

typedef struct {
  void (*to_slirp) (void *data, const uint8_t *bytes, size_t length);
  void (*to_guest) (void *data, const uint8_t *bytes, size_t length);
  bool (*is_local) (uint32_t address);
} NetFlowsHost;

NetFlows *net_flows_new (NetShared *shared, const NetFlowsHost *host, void *data); /* `host` borrowed */
void net_flows_free (NetFlows *flows);
/* A parsed TCP, UDP or ICMP frame of the sandbox that is not for one of the helper's own services. */
void net_flows_outgoing (NetFlows *flows, const NetFrame *frame);
/* A frame that libslirp made. */
void net_flows_incoming (NetFlows *flows, const uint8_t *bytes, size_t length);
/* libslirp made a socket, for the frame that it was just given; or closes it. */
void net_flows_opened (NetFlows *flows, int fd);
void net_flows_closed (NetFlows *flows, int fd);
/* shared->policy is another one: flows that it does not allow are cut. */
void net_flows_policy_changed (NetFlows *flows);
/* Cuts all TCP: libslirp is about to be made anew. */
void net_flows_cut_tcp (NetFlows *flows);
void net_flows_fill (NetFlows *flows, NetPoll *poll);
void net_flows_serve (NetFlows *flows, const NetPoll *poll);

typedef struct {
  unsigned tcp, half_open, udp;
} NetFlowsCount;
void net_flows_count (const NetFlows *flows, NetFlowsCount *ret);
