/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "frame-peer.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmctl/base/fd.h"

enum { PATIENCE_US = 60 * G_USEC_PER_SEC };

int
peer_connect (Peer *peer)
{
  int ends[2];

  memset (peer, 0, sizeof *peer);
  g_assert_true (vm_fd_socketpair (SOCK_STREAM, ends, NULL));
  g_assert_true (vm_fd_set_nonblocking (ends[0], TRUE, NULL));
  peer->fd = ends[0];
  peer->buffer = g_malloc (FRAME_READER_SIZE);
  peer->payload = g_byte_array_new ();
  frame_reader_init (&peer->reader, peer->buffer);
  return ends[1];
}

void
peer_close (Peer *peer)
{
  vm_fd_clear (&peer->fd);
}

void
peer_clear (Peer *peer)
{
  if (peer->buffer == NULL)
    return;
  peer_close (peer);
  g_clear_pointer (&peer->buffer, g_free);
  g_clear_pointer (&peer->payload, g_byte_array_unref);
}

void
turn (void)
{
  while (g_main_context_iteration (NULL, FALSE))
    ;
}

void
peer_send_raw (Peer *peer, const void *bytes, gsize length)
{
  const guint8 *at = bytes;
  gint64 end = g_get_monotonic_time () + PATIENCE_US;

  while (length > 0) {
    ssize_t n = send (peer->fd, at, length, MSG_NOSIGNAL);

    if (n < 0 && errno != EAGAIN)
      return; /* the other side closed: the test will see that */
    if (n > 0) {
      at += n;
      length -= (gsize)n;
    }
    turn ();
    g_assert_cmpint (g_get_monotonic_time (), <, end);
  }
}

void
peer_send (Peer *peer, FrameType type, guint32 channel, FrameStream stream, const void *payload, gsize length)
{
  FrameHeader header = {.length = (guint32)length, .channel = channel, .type = type, .stream = stream};
  guint8 encoded[FRAME_HEADER_SIZE];

  frame_header_encode (encoded, &header);
  peer_send_raw (peer, encoded, sizeof encoded);
  peer_send_raw (peer, payload, length);
}

void
peer_send_u32 (Peer *peer, FrameType type, guint32 channel, FrameStream stream, guint32 value)
{
  guint8 payload[4];

  frame_put_u32 (payload, value);
  peer_send (peer, type, channel, stream, payload, sizeof payload);
}

void
peer_exit (Peer *peer, guint32 channel, guint8 kind, guint32 value)
{
  guint8 payload[8] = {kind};

  frame_put_u32 (payload + 4, value);
  peer_send (peer, FRAME_EXIT, channel, FRAME_STDIN, payload, sizeof payload);
}

/* 1: a frame; 0: nothing now; -1: the end. */
static int
poll_frame (Peer *peer)
{
  const uint8_t *payload;
  uint8_t *space;
  size_t room;
  ssize_t n;
  int r = frame_reader_next (&peer->reader, &peer->header, &payload);

  g_assert_cmpint (r, >=, 0);
  if (r == 1) {
    g_byte_array_set_size (peer->payload, 0);
    g_byte_array_append (peer->payload, payload, peer->header.length);
    return 1;
  }
  space = frame_reader_space (&peer->reader, &room);
  n = recv (peer->fd, space, room, 0);
  if (n > 0) {
    frame_reader_filled (&peer->reader, (size_t)n);
    return poll_frame (peer);
  }
  return n < 0 && errno == EAGAIN ? 0 : -1;
}

gboolean
peer_next (Peer *peer)
{
  gint64 end = g_get_monotonic_time () + PATIENCE_US;
  int r;

  while ((r = poll_frame (peer)) == 0) {
    if (!g_main_context_iteration (NULL, FALSE))
      g_usleep (200); /* a timer may be what is awaited */
    g_assert_cmpint (g_get_monotonic_time (), <, end);
  }
  return r == 1;
}

void
peer_expect (Peer *peer, FrameType type, guint32 channel, FrameStream stream)
{
  g_assert_true (peer_next (peer));
  g_assert_cmpint (peer->header.type, ==, type);
  g_assert_cmpuint (peer->header.channel, ==, channel);
  g_assert_cmpint (peer->header.stream, ==, stream);
}

void
peer_expect_text (Peer *peer, FrameType type, guint32 channel, FrameStream stream, const char *text)
{
  peer_expect (peer, type, channel, stream);
  g_assert_cmpmem (peer->payload->data, peer->payload->len, text, strlen (text));
}

void
peer_expect_u32 (Peer *peer, FrameType type, guint32 channel, FrameStream stream, guint32 value)
{
  peer_expect (peer, type, channel, stream);
  g_assert_cmpuint (peer->payload->len, ==, 4);
  g_assert_cmpuint (frame_get_u32 (peer->payload->data), ==, value);
}

void
peer_expect_data (Peer *peer, guint32 channel, FrameStream stream, gsize length)
{
  for (gsize got = 0; got < length; got += peer->payload->len) {
    peer_expect (peer, FRAME_DATA, channel, stream);
    g_assert_cmpuint (got + peer->payload->len, <=, length);
  }
}

void
peer_expect_end (Peer *peer)
{
  if (peer_next (peer))
    g_error ("a frame of type %d on channel %u where the end was expected", peer->header.type,
             peer->header.channel);
}

void
peer_expect_nothing (Peer *peer)
{
  int r;

  turn ();
  r = poll_frame (peer);
  if (r != 0)
    g_error ("%s (type %d, channel %u) where nothing was expected", r > 0 ? "a frame" : "the end",
             peer->header.type, peer->header.channel);
}
