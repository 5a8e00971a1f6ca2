/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One forwarded flow of datagrams (meta/frame.h, "Forwards"): a peer outside, a port inside, a channel
 * between them. Both sides share this file. libc only. A datagram is one DATA; what finds no credit is lost,
 * as datagrams are. */
#pragma once

#include "meta/relay.h"

typedef struct {
  uint32_t channel;
  uint8_t in, out; /* the streams that come from the other side, and that go there */
  RelaySend send;
  void *data;
  uint32_t window; /* how much the other side may still send */
  uint32_t due;    /* got rid of, CREDIT not sent yet */
  uint32_t credit; /* how much we may still send */
  bool closed, peer_closed;
} Dgram;

void dgram_init (Dgram *dgram, uint32_t channel, RelaySide side, RelaySend send, void *data);
/* A frame of its channel. 1: a datagram, for the owner to pass on; 0: taken; -EPROTO. */
int dgram_frame (Dgram *dgram, const FrameHeader *header, const uint8_t *payload);
/* To the other side; false: there is no credit, or it is over. */
bool dgram_give (Dgram *dgram, const uint8_t *bytes, size_t n);
void dgram_shut (Dgram *dgram); /* says CLOSE, once */
bool dgram_is_over (const Dgram *dgram);
