/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "meta/agent/relays.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "meta/agent/agent.h"

void
relays_init (Relays *relays)
{
  for (unsigned i = 0; i < FRAME_RELAYS_MAX; i++) {
    relays->listeners[i].fd = relays->listeners[i].poll = -1;
    relays->slots[i] = (RelaySlot){.poll = -1, .relay.fd = -1};
  }
}

static void
free_slot (RelaySlot *slot)
{
  if (slot->used)
    relay_clear (&slot->relay);
  slot->used = false;
}

void
relays_free (Relays *relays)
{
  for (unsigned i = 0; i < FRAME_RELAYS_MAX; i++) {
    free_slot (&relays->slots[i]);
    close_fd (&relays->listeners[i].fd);
  }
}

int
relays_add (Relays *relays, uint32_t index, int take_fd)
{
  if (index >= FRAME_RELAYS_MAX || relays->listeners[index].fd >= 0) {
    close_fd (&take_fd);
    return -EEXIST;
  }
  relays->listeners[index].fd = take_fd;
  return 0;
}

bool
relays_is_channel (uint32_t channel)
{
  return channel >= FRAME_CHANNEL_RELAY && channel < FRAME_CHANNEL_RELAY + FRAME_RELAYS_MAX;
}

void
relays_send (void *data, FrameType type, uint32_t channel, uint8_t stream, const void *payload, size_t n)
{
  Agent *agent = data;

  link_send (&agent->link, type, channel, stream, payload, n);
}

static void
settle (RelaySlot *slot)
{
  if (slot->used && relay_is_over (&slot->relay))
    free_slot (slot);
}

int
relays_frame (Agent *agent, const FrameHeader *header, const uint8_t *payload)
{
  RelaySlot *slot = &agent->relays.slots[header->channel - FRAME_CHANNEL_RELAY];
  int r = slot->used ? relay_frame (&slot->relay, header, payload) : -EPROTO;

  settle (slot);
  return r;
}

void
relays_link_lost (Agent *agent)
{
  for (unsigned i = 0; i < FRAME_RELAYS_MAX; i++)
    free_slot (&agent->relays.slots[i]);
}

static RelaySlot *
unused_slot (Relays *relays)
{
  for (unsigned i = 0; i < FRAME_RELAYS_MAX; i++)
    if (!relays->slots[i].used)
      return &relays->slots[i];
  return NULL;
}

void
relays_prepare_poll (Agent *agent)
{
  Relays *relays = &agent->relays;
  bool room = link_has_room (&agent->link);
  bool accepting = room && agent->state == AGENT_UP && unused_slot (relays) != NULL;

  for (unsigned i = 0; i < FRAME_RELAYS_MAX; i++) {
    RelaySlot *slot = &relays->slots[i];
    int events = slot->used ? relay_events (&slot->relay, room) : -1;

    relays->listeners[i].poll = accepting ? poller_add (&agent->poller, relays->listeners[i].fd, POLLIN) : -1;
    slot->poll = events < 0 ? -1 : poller_add (&agent->poller, slot->relay.fd, (short)events);
  }
}

static void
accept_one (Agent *agent, unsigned index)
{
  RelaySlot *slot = unused_slot (&agent->relays);
  uint32_t channel;
  uint8_t payload[4];
  int fd;

  if (slot == NULL || !link_has_room (&agent->link))
    return;
  fd = accept4 (agent->relays.listeners[index].fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0)
    return;
  channel = FRAME_CHANNEL_RELAY + (uint32_t)(slot - agent->relays.slots);
  slot->used = true;
  slot->poll = -1;
  frame_put_u32 (payload, index);
  link_send (&agent->link, FRAME_RELAY_OPEN, channel, 0, payload, sizeof payload);
  relay_init (&slot->relay, channel, RELAY_AGENT, relays_send, agent);
  relay_set_socket (&slot->relay, fd);
}

void
relays_handle (Agent *agent)
{
  Relays *relays = &agent->relays;

  for (unsigned i = 0; i < FRAME_RELAYS_MAX; i++) {
    RelaySlot *slot = &relays->slots[(agent->turn + i) % FRAME_RELAYS_MAX];

    if (!slot->used)
      continue;
    relay_ready (&slot->relay, poller_events (&agent->poller, slot->poll), link_has_room (&agent->link));
    settle (slot);
  }
  for (unsigned i = 0; i < FRAME_RELAYS_MAX; i++)
    if (poller_events (&agent->poller, relays->listeners[i].poll))
      accept_one (agent, i);
}
