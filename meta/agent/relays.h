/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sockets of the host inside (meta/frame.h, "Relays"): the sockets that are listened on, and the connections.
 * A host that goes ends the connections; the listening ones stay, and who comes meanwhile waits in them. */
#pragma once

#include "meta/frame.h"
#include "meta/relay.h"

struct Agent;

typedef struct {
  int fd; /* owned; -1: none of this index */
  int poll;
} RelayListener;

typedef struct {
  bool used;
  int poll;
  Relay relay;
} RelaySlot;

typedef struct {
  RelayListener listeners[FRAME_RELAYS_MAX]; /* by index */
  RelaySlot slots[FRAME_RELAYS_MAX];         /* slot N has the channel FRAME_CHANNEL_RELAY + N */
} Relays;

void relays_init (Relays *relays);
void relays_free (Relays *relays);
/* A listening, non-blocking socket; owned from here on. -EEXIST if the index has one (it is closed then). */
int relays_add (Relays *relays, uint32_t index, int take_fd);
bool relays_is_channel (uint32_t channel);

int relays_frame (struct Agent *agent, const FrameHeader *header, const uint8_t *payload); /* 0 or -EPROTO */
void relays_link_lost (struct Agent *agent);
/* A RelaySend whose `data` is the agent; forwards.c has it too. */
void
relays_send (void *data, FrameType type, uint32_t channel, uint8_t stream, const void *payload, size_t n);

/* Turns of the loop. */
void relays_prepare_poll (struct Agent *agent);
void relays_handle (struct Agent *agent);
