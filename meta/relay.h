/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One relayed connection (meta/frame.h, "Relays"): a stream socket on this side, a channel to the other. Both
 * sides are the same but for the numbers of the streams, so agent and supervisor share this file. libc only.
 *
 * The owner polls and hands in frames; this moves the bytes, keeps the account and says when it is over. It
 * never blocks and holds at most FRAME_WINDOW bytes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "meta/frame.h"

typedef enum { RELAY_AGENT, RELAY_HOST } RelaySide;

/* Queues a frame to the other side. */
typedef void (*RelaySend) (void *data, FrameType type, uint32_t channel, uint8_t stream, const void *payload,
                           size_t n);

typedef struct {
  uint32_t channel;
  uint8_t in, out; /* the streams that come from the other side, and that go there */
  RelaySend send;
  void *data;
  int fd;         /* owned; -1: not there yet, or closed */
  uint8_t *queue; /* owned; [start, end) of FRAME_WINDOW bytes waits to be written; NULL: nothing yet */
  size_t start, end;
  uint32_t window;          /* how much the other side may still send */
  uint32_t due;             /* got rid of, CREDIT not sent yet */
  uint32_t credit;          /* how much we may still send */
  bool in_ended;            /* EOF or CLOSE came: no more of `in` */
  bool in_dead;             /* nobody here reads: what comes is thrown away */
  bool shut;                /* and whoever reads our socket has been told so */
  bool out_ended;           /* no more of `out`: EOF was sent, or nobody over there reads it */
  bool out_unread;          /* the latter */
  bool closed, peer_closed; /* CLOSE was sent, has come */
} Relay;

/* A connection whose socket is not there yet; what comes for it waits. */
void relay_init (Relay *relay, uint32_t channel, RelaySide side, RelaySend send, void *data);
/* The socket, connected, non-blocking; owned from here on. */
void relay_set_socket (Relay *relay, int take_fd);
/* A frame of its channel. 0, or -EPROTO. */
int relay_frame (Relay *relay, const FrameHeader *header, const uint8_t *payload);
/* What to poll its socket for: events (perhaps none: then a hang-up is waited for), or -1: it must stay out
 * of the set. `room`: the link to the other side takes more DATA now. */
int relay_events (const Relay *relay, bool room);
/* What poll said. */
void relay_ready (Relay *relay, short revents, bool room);
/* This side has ended, or never was: closes the socket, throws away what waits, says CLOSE. */
void relay_shut (Relay *relay);
/* Both sides have said CLOSE: the number is free. The owner calls relay_clear. */
bool relay_is_over (const Relay *relay);
/* Lets go without a word to the other side. Can be repeated. */
void relay_clear (Relay *relay);
