/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Every TCP and UDP flow of the sandbox, from its first frame to its end: judged, counted, inspected,
 * bounded, cut.
 *
 * TCP is libslirp's, UDP is relayed here (udp.h). A flow that no policy allows any more ends at once: a reset
 * to the sandbox and one to libslirp, as if the sandbox had sent it. */
#pragma once

#include "vmctl/net/frame.h"
#include "vmctl/net/poll.h"
#include "vmctl/net/shared.h"

enum {
  NET_FLOWS_TCP_MAX = 768,
  NET_FLOWS_HALF_OPEN_MAX = 128, /* no answer from the other side yet; the oldest goes */
  NET_FLOWS_UDP_MAX = 128,       /* sockets; the one that was silent for longest goes */
  NET_FLOWS_UDP_IDLE_MS = 120000,
  NET_FLOWS_INSPECT_MS = 10000,
};

typedef struct NetFlows NetFlows;

typedef struct {
  void (*to_slirp) (void *data, const uint8_t *bytes, size_t length);
  void (*to_guest) (void *data, const uint8_t *bytes, size_t length);
  void (*refused) (void *data, const NetFrame *frame, const char *name,
                   const char *rule); /* log and control */
  bool (*is_local) (uint32_t address);
} NetFlowsHost;

NetFlows *net_flows_new (NetShared *shared, const NetFlowsHost *host, void *data); /* `host` borrowed */
void net_flows_free (NetFlows *flows);
/* A parsed TCP, UDP or ICMP frame of the sandbox that is not for one of the helper's own services. */
void net_flows_outgoing (NetFlows *flows, const NetFrame *frame);
/* A frame that libslirp made. */
void net_flows_incoming (NetFlows *flows, const uint8_t *bytes, size_t length);
/* shared->policy is another one: flows that it does not allow are cut. */
void net_flows_policy_changed (NetFlows *flows);
void net_flows_fill (NetFlows *flows, NetPoll *poll);
void net_flows_serve (NetFlows *flows, const NetPoll *poll);

typedef struct {
  unsigned tcp, half_open, udp;
} NetFlowsCount;
void net_flows_count (const NetFlows *flows, NetFlowsCount *ret);
