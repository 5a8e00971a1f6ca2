/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The other end of a framed connection, for tests: what it expects arrives while it turns the main context.
 */
#pragma once

#include <glib.h>

#include "meta/frame.h"

typedef struct {
  int fd; /* owned, non-blocking; -1: closed */
  FrameReader reader;
  guint8 *buffer;      /* owned */
  FrameHeader header;  /* the frame of the last peer_next() */
  GByteArray *payload; /* owned; and what was in it */
} Peer;

/* A connection: one end is the peer's, the other is returned (owned by the caller). */
int peer_connect (Peer *peer);
void peer_clear (Peer *peer);
void peer_close (Peer *peer);

void peer_send (Peer *peer, FrameType type, guint32 channel, FrameStream stream, const void *payload,
                gsize length);
void peer_send_u32 (Peer *peer, FrameType type, guint32 channel, FrameStream stream, guint32 value);
void peer_send_raw (Peer *peer, const void *bytes, gsize length);
void peer_exit (Peer *peer, guint32 channel, guint8 kind, guint32 value);

/* Waits for the next frame; FALSE at the end of the stream. Fails the test after 20 s. */
gboolean peer_next (Peer *peer);
/* The next frame must be this one. */
void peer_expect (Peer *peer, FrameType type, guint32 channel, FrameStream stream);
void peer_expect_text (Peer *peer, FrameType type, guint32 channel, FrameStream stream, const char *text);
void peer_expect_u32 (Peer *peer, FrameType type, guint32 channel, FrameStream stream, guint32 value);
/* Bytes of DATA on this stream until there are `length`. */
void peer_expect_data (Peer *peer, guint32 channel, FrameStream stream, gsize length);
void peer_expect_end (Peer *peer);
/* Everything that is under way arrives, and nothing is for this peer. */
void peer_expect_nothing (Peer *peer);

/* Turns the main context until nothing is ready. */
void turn (void);
