/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Flows that are allowed for what they say first.
 *
 * What the sandbox says is kept here, byte by byte in order, until it is known whom it is for. Then libslirp
 * gets exactly these bytes: until it has acknowledged them, whatever the sandbox sends again in their place
 * is replaced by what was judged. Frames without data pass all the time, so a server may speak first. */
#include "vmctl/net/flows-parts.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

enum { HTTPS = 443, TCP_AT = 34 };

void
net_tcp_feed_held (NetFlows *flows, NetTcpFlow *flow)
{
  const NetSegment segment = {.sequence = flow->first,
                              .acknowledged = flow->guest_acknowledged,
                              .flags = NET_PSH | NET_ACK,
                              .window = flow->window};
  uint8_t out[NET_MADE_TCP + NET_HELLO_MAX];
  NetEnds ends;

  net_tcp_ends (flows, flow, false, &ends);
  memcpy (out + NET_MADE_TCP, flow->held, flow->n_held);
  flows->host->to_slirp (flows->data, out, net_make_tcp (&ends, &segment, out, flow->n_held));
}

void
net_tcp_release (NetFlows *flows, NetTcpFlow *flow)
{
  net_tcp_said (flows, flow, NET_TCP_RELEASED);
  net_tcp_feed_held (flows, flow);
}

static const uint8_t *
payload_of (const NetFrame *frame)
{
  return frame->bytes + frame->length - frame->payload;
}

/* False: no memory. */
static bool
hold (NetTcpFlow *flow, const uint8_t *bytes, size_t length)
{
  size_t room = flow->held_room;

  if (length > NET_HELLO_MAX - flow->n_held)
    length = NET_HELLO_MAX - flow->n_held;
  while (room < flow->n_held + length)
    room = room == 0 ? 1024 : room * 2;
  if (room != flow->held_room) {
    uint8_t *more = realloc (flow->held, room);

    if (more == NULL)
      return false;
    flow->held = more;
    flow->held_room = room;
  }
  memcpy (flow->held + flow->n_held, bytes, length);
  flow->n_held += length;
  return true;
}

static void
acknowledge_held (NetFlows *flows, const NetTcpFlow *flow)
{
  const NetSegment segment = {.sequence = flow->sent,
                              .acknowledged = flow->first + (uint32_t)flow->n_held,
                              .flags = NET_ACK,
                              .window = flow->our_window};
  uint8_t out[NET_MADE_TCP];
  NetEnds ends;

  net_tcp_ends (flows, flow, true, &ends);
  flows->host->to_guest (flows->data, out, net_make_tcp (&ends, &segment, out, 0));
}

/* Returns whether it may pass; MORE is none of its cases. */
static bool
judge (NetFlows *flows, NetTcpFlow *flow, NetHelloKind kind, const NetHello *hello, const char **ret_rule)
{
  const NetShared *shared = flows->shared;
  const NetTarget target = {.protocol = IPPROTO_TCP, .address = flow->address, .port = flow->port};

  *ret_rule = "what it says first cannot be understood";
  if (kind == NET_HELLO_MALFORMED)
    return false;
  *ret_rule = "an encrypted server name";
  if (hello->encrypted)
    return false;
  *ret_rule = "neither TLS nor SSH at port 443";
  if (kind == NET_HELLO_OTHER && flow->port == HTTPS && shared->policy.mode == NET_MODE_LIST)
    return false;
  flow->nameless = kind != NET_HELLO_TLS && kind != NET_HELLO_HTTP;
  return net_policy_judge_said (&shared->policy, shared->learned, &target,
                                flow->nameless ? NULL : hello->name, shared->now_ms, ret_rule);
}

static void
set_name (NetTcpFlow *flow, const char *name)
{
  free (flow->name);
  flow->name = strdup (name);
}

/* All is there; `frame` is the last one of it, and begins where the ones before ended if `is_next`. */
static void
decide (NetFlows *flows, NetTcpFlow *flow, NetHelloKind kind, const NetHello *hello, const NetFrame *frame,
        bool is_next)
{
  bool has_more = (frame->flags & NET_FIN) != 0 ||
                  frame->sequence + frame->payload != flow->first + (uint32_t)flow->n_held;
  NetShared *shared = flows->shared;
  const char *rule;

  if (!judge (flows, flow, kind, hello, &rule)) {
    net_tcp_refuse (flows, flow, hello->name, rule);
    return;
  }
  if (!flow->nameless)
    set_name (flow, hello->name);
  net_shared_allowed (shared, "tcp", flow->name != NULL && *flow->name != '\0' ? flow->name : NULL,
                      flow->address, flow->port, rule);
  net_tcp_release (flows, flow);
  if (is_next && has_more && flow->state == NET_TCP_OPEN)
    flows->host->to_slirp (flows->data, frame->bytes, frame->length);
}

static void
take_data (NetFlows *flows, NetTcpFlow *flow, const NetFrame *frame)
{
  uint32_t next = flow->first + (uint32_t)flow->n_held, known = next - frame->sequence;
  NetHelloKind kind;
  NetHello hello;

  if (net_before (next, frame->sequence) || known >= frame->payload) {
    acknowledge_held (flows, flow); /* in order only: the rest is sent again */
    return;
  }
  if (flow->n_held == 0)
    flow->held_ms = flows->shared->now_ms;
  net_tcp_said (flows, flow, NET_TCP_HOLDING);
  if (!hold (flow, payload_of (frame) + known, frame->payload - known))
    return;
  kind = net_hello_read (flow->held, flow->n_held, &hello);
  if (kind == NET_HELLO_MORE && (frame->flags & NET_FIN))
    kind = NET_HELLO_MALFORMED;
  if (kind == NET_HELLO_MORE)
    acknowledge_held (flows, flow);
  else
    decide (flows, flow, kind, &hello, frame, known == 0);
}

/* The rest of a frame that may pass: what was judged goes first, in case that libslirp has lost it. */
static void
pass_released (NetFlows *flows, NetTcpFlow *flow, const NetFrame *frame)
{
  uint32_t next = flow->first + (uint32_t)flow->n_held;

  if (frame->payload > 0 && (frame->flags & NET_RST) == 0)
    net_tcp_feed_held (flows, flow);
  if (flow->state == NET_TCP_OPEN && (frame->payload == 0 || !net_before (frame->sequence, next)))
    flows->host->to_slirp (flows->data, frame->bytes, frame->length);
}

void
net_tcp_inspect (NetFlows *flows, NetTcpFlow *flow, const NetFrame *frame)
{
  uint32_t next = flow->first + (uint32_t)flow->n_held;

  /* Urgent bytes may be taken out of the order by the other side: what it reads is not what was judged. */
  if (frame->flags & NET_URG)
    net_tcp_refuse (flows, flow, NULL, "urgent data in what names matter for");
  else if (flow->said == NET_TCP_RELEASED)
    pass_released (flows, flow, frame);
  else if (frame->flags & NET_RST)
    flows->host->to_slirp (flows->data, frame->bytes, frame->length);
  else if (frame->payload > 0)
    take_data (flows, flow, frame);
  else if (flow->said == NET_TCP_SILENT || (frame->flags & NET_FIN) == 0)
    flows->host->to_slirp (flows->data, frame->bytes, frame->length);
  else if (frame->sequence == next)
    net_tcp_refuse (flows, flow, NULL, "it ended before it said whom it is for");
}

void
net_tcp_peek (NetFlows *flows, NetTcpFlow *flow, const NetFrame *frame)
{
  NetHelloKind kind;
  NetHello hello;

  net_tcp_said (flows, flow, NET_TCP_UNSEEN);
  if (frame->sequence != flow->first)
    return;
  kind = net_hello_read (payload_of (frame), frame->payload, &hello);
  flow->nameless = kind == NET_HELLO_SSH || kind == NET_HELLO_OTHER;
  if (kind == NET_HELLO_TLS || kind == NET_HELLO_HTTP)
    set_name (flow, hello.name);
}
