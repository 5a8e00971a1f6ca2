/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/net/flows-parts.h"

#include <netinet/in.h>
#include <stdlib.h>

#include "vmctl/net/bytes.h"

NetFlows *
net_flows_new (NetShared *shared, const NetFlowsHost *host, void *data)
{
  NetFlows *flows = calloc (1, sizeof *flows);

  if (flows == NULL)
    abort (); /* the keeper starts another */
  flows->shared = shared;
  flows->host = host;
  flows->data = data;
  flows->udp = net_udp_new (flows);
  flows->ping = net_ping_new (flows);
  net_tcp_table_init (flows);
  return flows;
}

void
net_flows_free (NetFlows *flows)
{
  if (flows == NULL)
    return;
  for (size_t i = 0; i < NET_TCP_SLOTS; i++)
    if (flows->tcp[i].state != NET_TCP_FREE)
      net_tcp_remove (flows, &flows->tcp[i]);
  net_udp_free (flows->udp);
  net_ping_free (flows->ping);
  free (flows);
}

/* libslirp takes 10.0.2.2 and the broadcast address for this host's loopback, if it was told that there are
 * ports to be had. The policy knows; but it is looked at here once more, for all the rest depends on it. */
static bool
is_closed_here (const NetPolicy *policy, uint8_t protocol, uint32_t address, uint16_t port)
{
  const uint32_t mask = ~(uint32_t)0 << (32 - NET_PREFIX);

  if (address != NET_GATEWAY)
    return address == ~(uint32_t)0 || (address & mask) == NET_NETWORK;
  for (unsigned i = 0; i < policy->n_host_ports && protocol == IPPROTO_TCP; i++)
    if (policy->host_ports[i] == port)
      return false;
  return true;
}

NetDecision
net_flows_judge (NetFlows *flows, uint8_t protocol, uint32_t address, uint16_t port, NetTarget *ret_target,
                 const char **ret_rule)
{
  const NetShared *shared = flows->shared;
  NetDecision decision;

  *ret_target = (NetTarget){.protocol = protocol, .address = address, .port = port};
  *ret_rule = "this host";
  if (is_closed_here (&shared->policy, protocol, address, port))
    return NET_DENY;
  if (address != NET_GATEWAY)
    ret_target->is_local = flows->host->is_local (address);
  decision = net_policy_judge (&shared->policy, shared->learned, ret_target, shared->now_ms, ret_rule);
  return decision == NET_INSPECT && protocol != IPPROTO_TCP ? NET_DENY : decision;
}

void
net_flows_answer (NetFlows *flows, const NetFrame *frame)
{
  uint8_t out[NET_REFUSAL_MAX];
  size_t n = net_frame_refuse (frame, out);

  if (n > 0)
    flows->host->to_guest (flows->data, out, n);
}

void
net_flows_refuse (NetFlows *flows, const NetFrame *frame, const char *rule)
{
  NetShared *shared = flows->shared;
  const char *protocol = frame->kind == NET_TCP ? "tcp" : frame->kind == NET_UDP ? "udp" : "icmp";
  const char *name = net_learned_name (shared->learned, frame->destination, shared->now_ms);

  net_shared_refused (shared, protocol, name, frame->destination, frame->destination_port, rule);
  net_flows_answer (flows, frame);
}

void
net_flows_outgoing (NetFlows *flows, const NetFrame *frame)
{
  if (frame->kind == NET_TCP)
    net_tcp_outgoing (flows, frame);
  else if (frame->kind == NET_UDP)
    net_udp_outgoing (flows->udp, frame);
  else if (frame->kind == NET_ICMP)
    net_ping_outgoing (flows->ping, frame);
}

void
net_flows_incoming (NetFlows *flows, const uint8_t *bytes, size_t length)
{
  enum { ETHER = 14, IPV4 = 0x0800, DHCP_SERVER = 67 };
  uint8_t protocol = 0;

  if (length >= ETHER + 20 + 8 && net_read16 (bytes + 12) == IPV4)
    protocol = bytes[ETHER + 9];
  if (protocol == IPPROTO_TCP) {
    if (length >= ETHER + 20 + 20)
      net_tcp_incoming (flows, bytes, length);
    return;
  }
  /* The only UDP that libslirp has to do with. */
  if (protocol == IPPROTO_UDP &&
      (net_read32 (bytes + 26) != NET_GATEWAY || net_read16 (bytes + 34) != DHCP_SERVER))
    return;
  flows->host->to_guest (flows->data, bytes, length);
}

void
net_flows_opened (NetFlows *flows, int fd)
{
  NetTcpFlow *flow = flows->opening;

  if (flow == NULL || flow->fd >= 0 || fd < 0 || fd >= NET_TCP_FDS)
    return;
  flow->fd = fd;
  flows->by_fd[fd] = (int16_t)(flow - flows->tcp);
}

void
net_flows_closed (NetFlows *flows, int fd)
{
  if (fd >= 0 && fd < NET_TCP_FDS && flows->by_fd[fd] >= 0)
    net_tcp_remove (flows, &flows->tcp[flows->by_fd[fd]]);
}

void
net_flows_policy_changed (NetFlows *flows)
{
  net_tcp_policy_changed (flows);
  net_udp_policy_changed (flows->udp);
}

void
net_flows_cut_tcp (NetFlows *flows)
{
  for (size_t i = 0; i < NET_TCP_SLOTS; i++)
    net_tcp_cut (flows, &flows->tcp[i]);
}

void
net_flows_fill (NetFlows *flows, NetPoll *poll)
{
  int64_t now = flows->shared->now_ms, first = INT64_MAX;

  for (size_t i = 0; flows->n_holding > 0 && i < NET_TCP_SLOTS; i++)
    if (flows->tcp[i].said == NET_TCP_HOLDING && flows->tcp[i].held_ms < first)
      first = flows->tcp[i].held_ms;
  if (first != INT64_MAX)
    net_poll_until (poll, now, first + NET_FLOWS_INSPECT_MS);
  net_udp_fill (flows->udp, poll);
  net_ping_fill (flows->ping, poll);
}

static void
serve_tcp (NetFlows *flows, NetTcpFlow *flow)
{
  if (flow->state == NET_TCP_CUT && flow->reset_due)
    net_tcp_reset_slirp (flows, flow);
  if (flow->said == NET_TCP_HOLDING && flows->shared->now_ms - flow->held_ms >= NET_FLOWS_INSPECT_MS)
    net_tcp_refuse (flows, flow, NULL, "it did not say in time whom it is for");
}

void
net_flows_serve (NetFlows *flows, const NetPoll *poll)
{
  for (size_t i = 0; flows->n_holding + flows->n_cut > 0 && i < NET_TCP_SLOTS; i++)
    serve_tcp (flows, &flows->tcp[i]);
  net_udp_serve (flows->udp, poll);
  net_ping_serve (flows->ping, poll);
}

void
net_flows_count (const NetFlows *flows, NetFlowsCount *ret)
{
  *ret = (NetFlowsCount){
      .tcp = flows->n_live, .half_open = flows->n_half_open, .udp = net_udp_count (flows->udp)};
}
