/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* TCP frames, on both ways. */
#include "vmctl/net/flows-parts.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "vmctl/net/bytes.h"

void
net_tcp_ends (const NetFlows *flows, const NetTcpFlow *flow, bool to_guest, NetEnds *ret)
{
  *ret = (NetEnds){.guest_mac = flows->shared->guest_mac,
                   .to_guest = to_guest,
                   .source = to_guest ? flow->address : NET_GUEST,
                   .destination = to_guest ? NET_GUEST : flow->address,
                   .source_port = to_guest ? flow->port : flow->guest_port,
                   .destination_port = to_guest ? flow->guest_port : flow->port};
}

/* libslirp would take data that come with a SYN: nobody has looked at them. They are cut off; who sent them
 * sends them again. */
static void
feed_syn (NetFlows *flows, const NetFrame *syn)
{
  uint8_t out[NET_MADE_SYN_MAX];

  if (syn->payload == 0)
    flows->host->to_slirp (flows->data, syn->bytes, syn->length);
  else
    flows->host->to_slirp (flows->data, out, net_make_syn (syn, 0, out));
}

/* libslirp says that it takes no larger segments than it sends (stack.c); it does. */
static void
give_syn (NetFlows *flows, const uint8_t *bytes, size_t length)
{
  uint8_t out[NET_MADE_SYN_MAX];
  const char *why;
  NetFrame syn;

  if (net_frame_parse (bytes, length, &syn, &why))
    flows->host->to_guest (flows->data, out, net_make_syn (&syn, NET_MTU - 40, out));
}

static void
open_flow (NetFlows *flows, const NetFrame *syn)
{
  NetShared *shared = flows->shared;
  const char *rule, *name;
  NetTarget target;
  NetDecision decision =
      net_flows_judge (flows, IPPROTO_TCP, syn->destination, syn->destination_port, &target, &rule);
  NetTcpFlow *flow = decision != NET_DENY ? net_tcp_add (flows, syn) : NULL;

  if (flow == NULL) {
    net_flows_refuse (flows, syn, decision == NET_DENY ? rule : "too many connections at once");
    return;
  }
  name = net_learned_name (shared->learned, flow->address, shared->now_ms);
  flow->inspect = decision == NET_INSPECT;
  flow->name = name != NULL ? strdup (name) : NULL;
  if (decision == NET_ALLOW)
    net_shared_allowed (shared, "tcp", name, flow->address, flow->port, rule);
  flows->opening = flow;
  feed_syn (flows, syn);
  flows->opening = NULL;
  if (flow->state == NET_TCP_ASKED && flow->fd < 0) /* it got no socket, and has said so */
    net_tcp_remove (flows, flow);
}

/* A frame of a flow that is there. */
static void
pass (NetFlows *flows, NetTcpFlow *flow, const NetFrame *frame)
{
  flow->last_ms = flows->shared->now_ms;
  flow->window = frame->window;
  if (frame->flags & NET_ACK)
    flow->guest_acknowledged = frame->acknowledged;
  if (flow->state == NET_TCP_ANSWERED && (frame->flags & (NET_ACK | NET_SYN | NET_RST)) == NET_ACK)
    net_tcp_state (flows, flow, NET_TCP_OPEN);
  flows->shared->count.bytes_out += frame->payload;
  if (flow->inspect && flow->said != NET_TCP_INSPECTED) {
    net_tcp_inspect (flows, flow, frame);
    return;
  }
  if (flow->said == NET_TCP_SILENT && frame->payload > 0)
    net_tcp_peek (flows, flow, frame);
  flows->host->to_slirp (flows->data, frame->bytes, frame->length);
}

/* A SYN of a flow that is there: sent again, or of a new one with the same ports. */
static void
take_syn (NetFlows *flows, NetTcpFlow *flow, const NetFrame *syn)
{
  if (syn->sequence + 1 == flow->first) {
    if (flow->state == NET_TCP_ANSWERED)
      feed_syn (flows, syn);
    return;
  }
  net_tcp_cut (flows, flow);
  if (flow->state == NET_TCP_FREE)
    open_flow (flows, syn);
}

void
net_tcp_outgoing (NetFlows *flows, const NetFrame *frame)
{
  const uint8_t flags = frame->flags & (NET_SYN | NET_FIN | NET_RST | NET_URG | NET_ACK);
  NetTcpFlow *flow = net_tcp_find (flows, frame->source_port, frame->destination, frame->destination_port);

  if (flow == NULL && flags == NET_SYN)
    open_flow (flows, frame);
  else if (flow == NULL) /* the end of one that is long gone, or of a helper that was before us */
    net_flows_answer (flows, frame);
  else if (flags == NET_SYN && flow->state != NET_TCP_CUT)
    take_syn (flows, flow, frame);
  else if (flow->state == NET_TCP_CUT) { /* a SYN is sent again later, and then there is room */
    if ((flags & NET_SYN) == 0)
      net_flows_answer (flows, frame);
  } else if ((flags & NET_SYN) == 0 && flow->state != NET_TCP_ASKED)
    pass (flows, flow, frame);
}

static void
take_acknowledged (NetFlows *flows, NetTcpFlow *flow, uint32_t acknowledged)
{
  flow->expected = acknowledged;
  if (flow->said == NET_TCP_RELEASED && !net_before (acknowledged, flow->first + (uint32_t)flow->n_held))
    net_tcp_said (flows, flow, NET_TCP_INSPECTED);
}

/* Frames of libslirp's own; they are well-formed. */
void
net_tcp_incoming (NetFlows *flows, const uint8_t *bytes, size_t length)
{
  enum { TCP_AT = 34 };
  const uint8_t *tcp = bytes + TCP_AT, flags = tcp[13];
  uint32_t sequence = net_read32 (tcp + 4), header = (uint32_t)(tcp[12] >> 4) * 4;
  size_t end = 14U + net_read16 (bytes + 16) < length ? 14U + net_read16 (bytes + 16) : length;
  uint32_t payload = end > TCP_AT + header ? (uint32_t)(end - TCP_AT - header) : 0, next;
  NetTcpFlow *flow = net_tcp_find (flows, net_read16 (tcp + 2), net_read32 (bytes + 26), net_read16 (tcp));

  if (flow == NULL) { /* a socket that is gone sends its reset last */
    if (flags & NET_RST)
      flows->host->to_guest (flows->data, bytes, length);
    return;
  }
  next = sequence + payload + ((flags & NET_SYN) != 0) + ((flags & NET_FIN) != 0);
  if ((flags & NET_SYN) || net_before (flow->sent, next))
    flow->sent = next;
  flow->our_window = net_read16 (tcp + 14);
  if (flags & NET_ACK)
    take_acknowledged (flows, flow, net_read32 (tcp + 8));
  if (flow->state == NET_TCP_CUT) {
    flow->reset_due = (flags & NET_RST) == 0;
    return;
  }
  flow->last_ms = flows->shared->now_ms;
  if (flow->state == NET_TCP_ASKED && (flags & NET_SYN))
    net_tcp_state (flows, flow, NET_TCP_ANSWERED);
  flows->shared->count.bytes_in += payload;
  if (flags & NET_SYN)
    give_syn (flows, bytes, length);
  else
    flows->host->to_guest (flows->data, bytes, length);
}
