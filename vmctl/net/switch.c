/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/net/switch.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "vmctl/net/bytes.h"
#include "vmctl/net/control.h"
#include "vmctl/net/dnstcp.h"
#include "vmctl/net/flows.h"
#include "vmctl/net/guard.h"
#include "vmctl/net/link.h"
#include "vmctl/net/make.h"
#include "vmctl/net/resolver.h"
#include "vmctl/net/stack.h"

enum { FRAMES_AT_ONCE = 64, DNS_PORT = 53, NOT_POLLED = -1 };

typedef struct {
  NetShared shared;
  NetControl control;
  NetLink link;
  NetPoll poll;
  NetResolver *resolver;
  NetFlows *flows;
  bool has_policy, host_loopback;
  NetStack *stack; /* since there is a policy */
  NetDnsTcp *dnstcp;
} Switch;

static int64_t
now_ms (void)
{
  struct timespec now;

  (void)clock_gettime (CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void
to_guest (void *data, const uint8_t *bytes, size_t length)
{
  net_link_send (&((Switch *)data)->link, bytes, length);
}

static void
to_slirp (void *data, const uint8_t *bytes, size_t length)
{
  net_stack_input (((Switch *)data)->stack, bytes, length);
}

static void
tell_refused (void *data, const char *protocol, const char *name, uint32_t address, uint16_t port,
              const char *rule)
{
  Switch *self = data;

  net_control_refused (&self->control, self->shared.now_ms, protocol, name, address, port, rule);
}

/* What libslirp has for the sandbox. */
static void
from_slirp (void *data, const uint8_t *bytes, size_t length)
{
  enum { SOURCE = 26, TYPE = 12, IPV4 = 0x0800 };
  static uint8_t copy[NET_FRAME_MAX];
  Switch *self = data;

  if (length < SOURCE + 8 || length > sizeof copy || net_read16 (bytes + TYPE) != IPV4 ||
      net_read32 (bytes + SOURCE) != NET_DNSTCP_ADDRESS) {
    net_flows_incoming (self->flows, bytes, length);
    return;
  }
  memcpy (copy, bytes, length);
  if (net_dnstcp_incoming (self->dnstcp, copy, length))
    to_guest (self, copy, length);
}

static void
opened (void *data, int fd)
{
  net_flows_opened (((Switch *)data)->flows, fd);
}

static void
closed (void *data, int fd)
{
  net_flows_closed (((Switch *)data)->flows, fd);
}

static const NetFlowsHost flows_host = {
    .to_slirp = to_slirp, .to_guest = to_guest, .is_local = net_guard_is_local};
static const NetStackHost stack_host = {.frame = from_slirp, .opened = opened, .closed = closed};

/* An answer of the resolver's. */
static void
reply (void *data, const NetAsker *asker, const uint8_t *message, size_t length)
{
  static uint8_t frame[NET_MADE_UDP + NET_UDP_PAYLOAD_MAX];
  Switch *self = data;
  const NetEnds ends = {.guest_mac = self->shared.guest_mac,
                        .to_guest = true,
                        .source = NET_NAMESERVER,
                        .destination = NET_GUEST,
                        .source_port = DNS_PORT,
                        .destination_port = asker->port};

  if (asker->tcp) {
    net_dnstcp_reply (self->dnstcp, asker, message, length);
  } else if (length <= NET_UDP_PAYLOAD_MAX) {
    memcpy (frame + NET_MADE_UDP, message, length);
    to_guest (self, frame, net_make_udp (&ends, frame, length));
  }
}

/* The policy */

/* libslirp itself keeps away from this host's loopback as long as no policy has had a port of it: it is made
 * when the first one comes, and made anew, which cuts what it has, when the first port does. */
static void
make_stack (Switch *self)
{
  bool host_loopback = self->host_loopback || self->shared.policy.n_host_ports > 0;

  if (self->stack != NULL && host_loopback == self->host_loopback)
    return;
  if (self->stack != NULL) {
    net_flows_cut_tcp (self->flows);
    net_stack_free (self->stack);
    net_dnstcp_free (self->dnstcp);
  }
  self->host_loopback = host_loopback;
  self->stack = net_stack_new (host_loopback, &stack_host, self);
  self->dnstcp =
      net_dnstcp_new (net_stack_slirp (self->stack), &self->shared, self->resolver, to_guest, self);
}

static void
tell_stats (Switch *self)
{
  const NetShared *shared = &self->shared;
  char words[512];
  NetFlowsCount count;

  net_flows_count (self->flows, &count);
  (void)snprintf (words, sizeof words,
                  "flows=%u half_open=%u udp=%u allowed=%" PRIu64 " refused=%" PRIu64 " bytes_in=%" PRIu64
                  " bytes_out=%" PRIu64 " dns=%" PRIu64,
                  count.tcp, count.half_open, count.udp, shared->count.allowed, shared->count.refused,
                  shared->count.bytes_in, shared->count.bytes_out, shared->count.questions);
  net_control_stats (&self->control, words);
}

static void
take_control (Switch *self)
{
  NetControlEvent event = net_control_receive (&self->control, &self->shared.policy);

  if (event == NET_CONTROL_STATS)
    tell_stats (self);
  if (event != NET_CONTROL_POLICY)
    return;
  self->has_policy = true;
  make_stack (self);
  net_flows_policy_changed (self->flows);
  net_control_done (&self->control);
}

/* Frames */

static void
ask (Switch *self, const NetFrame *frame)
{
  const NetAsker asker = {.port = frame->source_port};

  if (frame->kind == NET_UDP)
    net_resolver_ask (self->resolver, &asker, frame->bytes + NET_MADE_UDP, frame->payload);
  else
    net_dnstcp_outgoing (self->dnstcp, frame);
}

static void
refuse (Switch *self, const NetFrame *frame, const char *why)
{
  static const char *const protocols[] = {[NET_TCP] = "tcp", [NET_UDP] = "udp", [NET_ICMP] = "icmp"};
  uint8_t out[NET_REFUSAL_MAX];
  size_t n = net_frame_refuse (frame, out);
  char number[4];

  (void)snprintf (number, sizeof number, "%u", frame->protocol);
  net_shared_refused (&self->shared, frame->kind == NET_OTHER ? number : protocols[frame->kind], NULL,
                      frame->destination, frame->destination_port, why);
  if (n > 0)
    to_guest (self, out, n);
}

static void
take_frame (Switch *self, const uint8_t *bytes, size_t length)
{
  uint8_t answer[NET_REFUSAL_MAX];
  const char *why;
  NetFrame frame;
  size_t n;

  if (!net_frame_parse (bytes, length, &frame, &why))
    return;
  memcpy (self->shared.guest_mac, frame.bytes + 6, sizeof self->shared.guest_mac);
  n = net_frame_answer_arp (&frame, answer);
  if (n > 0)
    to_guest (self, answer, n);
  switch (net_guard_route (&frame, &why)) {
  case NET_ROUTE_DROP:
    break;
  case NET_ROUTE_REFUSE:
    refuse (self, &frame, why);
    break;
  case NET_ROUTE_SLIRP:
    net_stack_input (self->stack, frame.bytes, frame.length);
    break;
  case NET_ROUTE_NAMES:
    ask (self, &frame);
    break;
  case NET_ROUTE_FLOWS:
    net_flows_outgoing (self->flows, &frame);
    break;
  }
}

static void
take_frames (Switch *self)
{
  static uint8_t bytes[NET_FRAME_MAX + 1]; /* one more: what is too long shows */
  ssize_t n;

  for (int i = 0; i < FRAMES_AT_ONCE && (n = net_link_receive (&self->link, bytes, sizeof bytes)) >= 0; i++)
    take_frame (self, bytes, (size_t)n);
}

/* The loop */

typedef struct {
  int packet, control; /* where they are in the poll; NOT_POLLED */
} Polled;

static Polled
fill (Switch *self)
{
  Polled polled = {NOT_POLLED, NOT_POLLED};
  NetFlowsCount count;

  self->poll.n = 0;
  self->poll.timeout_ms = -1;
  if (!self->control.gone)
    polled.control = (int)net_poll_add (&self->poll, self->control.fd, POLLIN);
  if (!self->has_policy)
    return polled;
  polled.packet = (int)net_poll_add (&self->poll, self->link.fd,
                                     (short)(POLLIN | (self->link.first != NULL ? POLLOUT : 0)));
  net_flows_count (self->flows, &count);
  net_stack_fill (self->stack, &self->poll, count.tcp > 0 || net_dnstcp_busy (self->dnstcp));
  net_flows_fill (self->flows, &self->poll);
  net_resolver_fill (self->resolver, &self->poll);
  return polled;
}

static short
events (const Switch *self, int index)
{
  return index == NOT_POLLED ? 0 : self->poll.fds[index].revents;
}

static void
serve (Switch *self, Polled polled)
{
  if (self->has_policy) {
    net_stack_serve (self->stack, &self->poll);
    net_flows_serve (self->flows, &self->poll);
    net_resolver_serve (self->resolver, &self->poll);
  }
  if (events (self, polled.packet) & POLLOUT)
    net_link_flush (&self->link);
  if (events (self, polled.packet) & ~POLLOUT)
    take_frames (self);
  if (events (self, polled.control) != 0) /* last: it may change all that was polled */
    take_control (self);
}

void
net_switch_serve (int packet, int control, int log)
{
  static Switch self;

  self.shared.learned = net_learned_new ();
  self.shared.log.fd = log;
  self.shared.now_ms = now_ms ();
  self.shared.tell_refused = tell_refused;
  self.shared.tell_data = &self;
  self.control.fd = control;
  net_link_init (&self.link, packet);
  self.resolver = net_resolver_new (&self.shared, reply, &self);
  self.flows = net_flows_new (&self.shared, &flows_host, &self);
  net_control_hello (&self.control);
  while (!self.link.gone) {
    Polled polled = fill (&self);
    int r = poll (self.poll.fds, self.poll.n, self.poll.timeout_ms);

    if (r < 0 && errno != EINTR)
      return;
    self.shared.now_ms = now_ms ();
    if (r >= 0)
      serve (&self, polled);
  }
  /* The sandbox has ended, and the keeper will soon say so. */
  for (;;)
    (void)pause ();
}
