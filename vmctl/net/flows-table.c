/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of TCP flows, and who must go when there are too many. */
#include "vmctl/net/flows-parts.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

void
net_tcp_table_init (NetFlows *flows)
{
  memset (flows->buckets, 0xff, sizeof flows->buckets);
  memset (flows->by_fd, 0xff, sizeof flows->by_fd);
  (void)!getrandom (&flows->seed, sizeof flows->seed, GRND_NONBLOCK);
  flows->free = 0;
  for (int16_t i = 0; i < NET_TCP_SLOTS; i++)
    flows->tcp[i].next = (int16_t)(i + 1 < NET_TCP_SLOTS ? i + 1 : -1);
}

static int16_t *
bucket (NetFlows *flows, uint16_t guest_port, uint32_t address, uint16_t port)
{
  uint64_t key = (uint64_t)address << 32 | (uint32_t)guest_port << 16 | port;

  key = (key ^ flows->seed) * 0x9e3779b97f4a7c15U;
  return &flows->buckets[(key >> 40) % NET_TCP_BUCKETS];
}

NetTcpFlow *
net_tcp_find (NetFlows *flows, uint16_t guest_port, uint32_t address, uint16_t port)
{
  for (int16_t i = *bucket (flows, guest_port, address, port); i >= 0; i = flows->tcp[i].next) {
    NetTcpFlow *flow = &flows->tcp[i];

    if (flow->address == address && flow->port == port && flow->guest_port == guest_port)
      return flow;
  }
  return NULL;
}

static bool
is_half_open (NetTcpState state)
{
  return state == NET_TCP_ASKED || state == NET_TCP_ANSWERED;
}

static bool
is_live (NetTcpState state)
{
  return state != NET_TCP_FREE && state != NET_TCP_CUT;
}

void
net_tcp_state (NetFlows *flows, NetTcpFlow *flow, NetTcpState state)
{
  flows->n_half_open += (unsigned)is_half_open (state) - (unsigned)is_half_open (flow->state);
  flows->n_live += (unsigned)is_live (state) - (unsigned)is_live (flow->state);
  flows->n_cut += (unsigned)(state == NET_TCP_CUT) - (unsigned)(flow->state == NET_TCP_CUT);
  flow->state = state;
}

void
net_tcp_said (NetFlows *flows, NetTcpFlow *flow, NetTcpSaid said)
{
  flows->n_holding += (unsigned)(said == NET_TCP_HOLDING) - (unsigned)(flow->said == NET_TCP_HOLDING);
  flow->said = said;
  if (said == NET_TCP_HOLDING || said == NET_TCP_RELEASED)
    return;
  free (flow->held);
  flow->held = NULL;
  flow->n_held = flow->held_room = 0;
}

static void
evict (NetFlows *flows, bool half_open)
{
  NetTcpFlow *worst = NULL;

  for (size_t i = 0; i < NET_TCP_SLOTS; i++) {
    NetTcpFlow *flow = &flows->tcp[i];

    if (half_open ? !is_half_open (flow->state) : !is_live (flow->state))
      continue;
    if (worst == NULL || (half_open ? flow->number < worst->number : flow->last_ms < worst->last_ms))
      worst = flow;
  }
  if (worst != NULL)
    net_tcp_cut (flows, worst);
}

NetTcpFlow *
net_tcp_add (NetFlows *flows, const NetFrame *syn)
{
  int16_t *head = bucket (flows, syn->source_port, syn->destination, syn->destination_port);
  NetTcpFlow *flow;

  if (flows->n_half_open >= NET_FLOWS_HALF_OPEN_MAX)
    evict (flows, true);
  if (flows->n_live >= NET_FLOWS_TCP_MAX)
    evict (flows, false);
  if (flows->free < 0)
    return NULL;
  flow = &flows->tcp[flows->free];
  flows->free = flow->next;
  *flow = (NetTcpFlow){.address = syn->destination,
                       .port = syn->destination_port,
                       .guest_port = syn->source_port,
                       .next = *head,
                       .fd = -1,
                       .window = syn->window,
                       .first = syn->sequence + 1,
                       .expected = syn->sequence + 1,
                       .last_ms = flows->shared->now_ms,
                       .number = ++flows->numbers};
  *head = (int16_t)(flow - flows->tcp);
  net_tcp_state (flows, flow, NET_TCP_ASKED);
  return flow;
}

void
net_tcp_remove (NetFlows *flows, NetTcpFlow *flow)
{
  int16_t index = (int16_t)(flow - flows->tcp);
  int16_t *at = bucket (flows, flow->guest_port, flow->address, flow->port);

  while (*at >= 0 && *at != index)
    at = &flows->tcp[*at].next;
  if (*at == index)
    *at = flow->next;
  if (flow->fd >= 0)
    flows->by_fd[flow->fd] = -1;
  net_tcp_said (flows, flow, NET_TCP_SILENT);
  free (flow->name);
  flow->name = NULL;
  net_tcp_state (flows, flow, NET_TCP_FREE);
  flow->next = flows->free;
  flows->free = index;
}
