/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ports inside, for those outside (meta/frame.h, "Forwards"): each connection that the host has is made once
 * more, to the loopback address. */
#pragma once

#include "meta/dgram.h"
#include "meta/frame.h"
#include "meta/relay.h"

struct Agent;

typedef struct {
  bool used;
  bool is_udp; /* `dgram` counts, else `relay` */
  int fd;      /* owned; TCP: being connected, -1: it is, or has failed; UDP: connected */
  bool is_v6;  /* to ::1: nobody listens at 127.0.0.1 */
  uint16_t port;
  int poll;
  Relay relay;
  Dgram dgram;
} Forward;

void forwards_init (struct Agent *agent);
void forwards_free (struct Agent *agent);
bool forwards_is_channel (uint32_t channel);

int
forwards_frame (struct Agent *agent, const FrameHeader *header, const uint8_t *payload); /* 0 or -EPROTO */
void forwards_link_lost (struct Agent *agent);

/* Turns of the loop. */
void forwards_prepare_poll (struct Agent *agent);
void forwards_handle (struct Agent *agent);
