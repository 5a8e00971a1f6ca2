/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/net/udp.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmctl/net/flows-parts.h"

enum { AT_ONCE = 32 /* datagrams of one flow before another has its turn */ };

typedef struct {
  uint64_t key; /* 0: free */
  int fd;
  size_t polled;              /* where it is in the poll; SIZE_MAX: nowhere */
  int64_t last_ms;            /* of either side */
  char *name;                 /* owned; what the address was learned for; may be NULL */
  uint8_t head[NET_MADE_UDP]; /* of the last frame: errors quote it */
} Flow;

struct NetUdp {
  NetFlows *flows;
  unsigned n;
  uint64_t keys[NET_FLOWS_UDP_MAX]; /* the flows', close together for the search */
  Flow all[NET_FLOWS_UDP_MAX];
};

NetUdp *
net_udp_new (NetFlows *flows)
{
  NetUdp *udp = calloc (1, sizeof *udp);

  if (udp == NULL)
    abort ();
  udp->flows = flows;
  return udp;
}

static uint32_t
address_of (const Flow *flow)
{
  return (uint32_t)(flow->key >> 32);
}

static uint16_t
port_of (const Flow *flow)
{
  return (uint16_t)flow->key;
}

static void
drop (NetUdp *udp, Flow *flow)
{
  if (flow->key == 0)
    return;
  (void)close (flow->fd);
  free (flow->name);
  udp->keys[flow - udp->all] = 0;
  *flow = (Flow){.fd = -1};
  udp->n--;
}

void
net_udp_free (NetUdp *udp)
{
  for (size_t i = 0; i < NET_FLOWS_UDP_MAX; i++)
    drop (udp, &udp->all[i]);
  free (udp);
}

/* The one that has been silent for longest; NULL: there is none. */
static Flow *
oldest (NetUdp *udp)
{
  Flow *found = NULL;

  for (size_t i = 0; i < NET_FLOWS_UDP_MAX; i++)
    if (udp->all[i].key != 0 && (found == NULL || udp->all[i].last_ms < found->last_ms))
      found = &udp->all[i];
  return found;
}

static Flow *
free_slot (NetUdp *udp)
{
  if (udp->n == NET_FLOWS_UDP_MAX)
    drop (udp, oldest (udp));
  for (size_t i = 0; i < NET_FLOWS_UDP_MAX; i++)
    if (udp->all[i].key == 0)
      return &udp->all[i];
  abort (); /* not reached */
}

/* -1 with errno. Where descriptors have run out, the oldest flow gives its own. */
static int
connected (NetUdp *udp, uint32_t address, uint16_t port)
{
  const struct sockaddr_in in = {
      .sin_family = AF_INET, .sin_port = htons (port), .sin_addr.s_addr = htonl (address)};
  int fd = socket (AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), err;

  if (fd < 0 && errno == EMFILE && udp->n > 0) {
    drop (udp, oldest (udp));
    fd = socket (AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  }
  if (fd < 0 || connect (fd, (const struct sockaddr *)&in, sizeof in) == 0)
    return fd;
  err = errno;
  (void)close (fd);
  errno = err;
  return -1;
}

static Flow *
open_flow (NetUdp *udp, const NetFrame *frame, uint64_t key)
{
  NetFlows *flows = udp->flows;
  NetShared *shared = flows->shared;
  const char *rule, *name;
  NetTarget target;
  Flow *flow;
  int fd;

  if (net_flows_judge (flows, IPPROTO_UDP, frame->destination, frame->destination_port, &target, &rule) !=
      NET_ALLOW) {
    net_flows_refuse (flows, frame, rule);
    return NULL;
  }
  fd = connected (udp, frame->destination, frame->destination_port);
  if (fd < 0) {
    net_flows_answer (flows, frame);
    return NULL;
  }
  name = net_learned_name (shared->learned, frame->destination, shared->now_ms);
  net_shared_allowed (shared, "udp", name, frame->destination, frame->destination_port, rule);
  flow = free_slot (udp);
  *flow = (Flow){.key = key, .fd = fd, .polled = SIZE_MAX, .name = name != NULL ? strdup (name) : NULL};
  udp->keys[flow - udp->all] = key;
  udp->n++;
  return flow;
}

static Flow *
find (NetUdp *udp, uint64_t key)
{
  for (size_t i = 0; i < NET_FLOWS_UDP_MAX; i++)
    if (udp->keys[i] == key)
      return &udp->all[i];
  return NULL;
}

/* Nobody is at that port: the sandbox is told as if the frame had met it. */
static void
tell_unreachable (NetUdp *udp, const Flow *flow)
{
  const NetFrame frame = {.bytes = flow->head,
                          .length = sizeof flow->head,
                          .kind = NET_UDP,
                          .source = NET_GUEST,
                          .destination = address_of (flow)};

  net_flows_answer (udp->flows, &frame);
}

void
net_udp_outgoing (NetUdp *udp, const NetFrame *frame)
{
  uint64_t key =
      (uint64_t)frame->destination << 32 | (uint32_t)frame->source_port << 16 | frame->destination_port;
  Flow *flow = find (udp, key);
  const uint8_t *payload = frame->bytes + NET_MADE_UDP;

  if (flow == NULL)
    flow = open_flow (udp, frame, key);
  if (flow == NULL)
    return;
  flow->last_ms = udp->flows->shared->now_ms;
  memcpy (flow->head, frame->bytes, sizeof flow->head);
  udp->flows->shared->count.bytes_out += frame->payload;
  if (send (flow->fd, payload, frame->payload, 0) >= 0 || errno != ECONNREFUSED)
    return;                     /* what there is no room for is lost: that is what networks do */
  tell_unreachable (udp, flow); /* about one before this */
  (void)send (flow->fd, payload, frame->payload, 0);
}

void
net_udp_policy_changed (NetUdp *udp)
{
  NetShared *shared = udp->flows->shared;

  for (size_t i = 0; i < NET_FLOWS_UDP_MAX; i++) {
    Flow *flow = &udp->all[i];
    const char *rule;
    NetTarget target;

    if (flow->key == 0)
      continue;
    if (flow->name != NULL) /* a flow keeps alive what its name was learned by */
      net_learned_add (shared->learned, flow->name, address_of (flow), NET_LEARNED_TTL_MIN, shared->now_ms);
    if (net_flows_judge (udp->flows, IPPROTO_UDP, address_of (flow), port_of (flow), &target, &rule) ==
        NET_ALLOW)
      continue;
    net_shared_refused (shared, "udp", flow->name, address_of (flow), port_of (flow), rule);
    tell_unreachable (udp, flow);
    drop (udp, flow);
  }
}

void
net_udp_fill (NetUdp *udp, NetPoll *poll)
{
  const Flow *first = udp->n > 0 ? oldest (udp) : NULL;

  for (size_t i = 0; udp->n > 0 && i < NET_FLOWS_UDP_MAX; i++)
    if (udp->all[i].key != 0)
      udp->all[i].polled = net_poll_add (poll, udp->all[i].fd, POLLIN);
  if (first != NULL)
    net_poll_until (poll, udp->flows->shared->now_ms, first->last_ms + NET_FLOWS_UDP_IDLE_MS);
}

static void
give_answer (NetUdp *udp, Flow *flow, uint8_t *frame, size_t payload)
{
  NetFlows *flows = udp->flows;
  const NetEnds ends = {.guest_mac = flows->shared->guest_mac,
                        .to_guest = true,
                        .source = address_of (flow),
                        .destination = NET_GUEST,
                        .source_port = port_of (flow),
                        .destination_port = (uint16_t)(flow->key >> 16)};

  flow->last_ms = flows->shared->now_ms;
  flows->shared->count.bytes_in += payload;
  flows->host->to_guest (flows->data, frame, net_make_udp (&ends, frame, payload));
}

static void
take_answers (NetUdp *udp, Flow *flow)
{
  static uint8_t frame[NET_MADE_UDP + NET_UDP_PAYLOAD_MAX + 1]; /* one more: what is too long shows */

  for (int i = 0; i < AT_ONCE; i++) {
    ssize_t n = recv (flow->fd, frame + NET_MADE_UDP, sizeof frame - NET_MADE_UDP, 0);

    if (n < 0 && errno == ECONNREFUSED)
      tell_unreachable (udp, flow);
    else if (n < 0)
      return;
    else if (n <= NET_UDP_PAYLOAD_MAX)
      give_answer (udp, flow, frame, (size_t)n);
  }
}

void
net_udp_serve (NetUdp *udp, const NetPoll *poll)
{
  for (size_t i = 0; udp->n > 0 && i < NET_FLOWS_UDP_MAX; i++) {
    Flow *flow = &udp->all[i];

    if (flow->key == 0)
      continue;
    if (flow->polled < poll->n && poll->fds[flow->polled].fd == flow->fd &&
        poll->fds[flow->polled].revents != 0)
      take_answers (udp, flow);
    if (udp->flows->shared->now_ms - flow->last_ms >= NET_FLOWS_UDP_IDLE_MS)
      drop (udp, flow);
  }
}

unsigned
net_udp_count (const NetUdp *udp)
{
  return udp->n;
}
