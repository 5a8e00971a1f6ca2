/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How it works
 *
 * The two directions end apart, as those of a socket do. What came is written at once, the rest waits in
 * `queue`; once all of it is out after EOF, our socket is shut down for writing. A reader that has gone shows
 * as EPIPE here; an EOF on the stream that comes in tells the other side, which shuts its socket down for
 * reading, so that the writer over there gets EPIPE too.
 *
 * poll() tells a half close (end of file) from a full one (POLLHUP). A full one is worth a CLOSE, but only
 * when everything has been read. POLLHUP cannot be masked, so while there is no credit to read with, the
 * socket has to stay out of the set. */
#include "meta/relay.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CREDIT_STEP = FRAME_WINDOW / 4 };

void
relay_init (Relay *relay, uint32_t channel, RelaySide side, RelaySend send, void *data)
{
  *relay = (Relay){
      .channel = channel,
      .in = side == RELAY_AGENT ? FRAME_STDIN : FRAME_STDOUT,
      .out = side == RELAY_AGENT ? FRAME_STDOUT : FRAME_STDIN,
      .send = send,
      .data = data,
      .fd = -1,
      .window = FRAME_WINDOW,
      .credit = FRAME_WINDOW,
  };
}

void
relay_clear (Relay *relay)
{
  if (relay->fd >= 0)
    close (relay->fd);
  relay->fd = -1;
  free (relay->queue);
  relay->queue = NULL;
  relay->start = relay->end = 0;
}

bool
relay_is_over (const Relay *relay)
{
  return relay->closed && relay->peer_closed;
}

static void
say (Relay *relay, FrameType type, uint8_t stream, const void *payload, size_t n)
{
  relay->send (relay->data, type, relay->channel, stream, payload, n);
}

void
relay_shut (Relay *relay)
{
  relay_clear (relay);
  if (relay->closed)
    return;
  relay->closed = true;
  say (relay, FRAME_CLOSE, 0, NULL, 0);
}

static size_t
waiting (const Relay *relay)
{
  return relay->end - relay->start;
}

/* Passes on the ends of the streams. */
static void
settle (Relay *relay)
{
  bool done = relay->in_ended && waiting (relay) == 0;

  if (relay->closed)
    return;
  if (relay->out_ended && (done || relay->in_dead)) {
    relay_shut (relay);
    return;
  }
  if (done && relay->fd >= 0 && !relay->in_dead && !relay->shut) {
    (void)shutdown (relay->fd, SHUT_WR); /* who has gone need not be told */
    relay->shut = true;
  }
}

/* From the other side */

static void
die_in (Relay *relay)
{
  relay->in_dead = true;
  relay->start = relay->end = 0;
  if (!relay->in_ended)
    say (relay, FRAME_EOF, relay->in, NULL, 0);
}

static void
give_back (Relay *relay, size_t n)
{
  uint8_t payload[4];

  relay->due += (uint32_t)n;
  if (relay->due < CREDIT_STEP || relay->in_ended)
    return;
  frame_put_u32 (payload, relay->due);
  relay->window += relay->due;
  relay->due = 0;
  say (relay, FRAME_CREDIT, relay->in, payload, sizeof payload);
}

/* How many were written; when nobody will ever read them, all are gone. */
static size_t
put (Relay *relay, const uint8_t *data, size_t n)
{
  ssize_t r = relay->fd < 0 ? 0 : send (relay->fd, data, n, MSG_NOSIGNAL | MSG_DONTWAIT);

  if (r >= 0)
    return (size_t)r;
  if (errno == EAGAIN || errno == EINTR)
    return 0;
  die_in (relay);
  return n;
}

/* The window bounds what waits, so it always fits. */
static int
keep (Relay *relay, const uint8_t *data, size_t n)
{
  if (!relay->queue)
    relay->queue = malloc (FRAME_WINDOW);
  if (!relay->queue)
    return -ENOMEM;
  if (FRAME_WINDOW - relay->end < n) {
    memmove (relay->queue, relay->queue + relay->start, waiting (relay));
    relay->end -= relay->start;
    relay->start = 0;
  }
  memcpy (relay->queue + relay->end, data, n);
  relay->end += n;
  return 0;
}

static int
take_data (Relay *relay, const uint8_t *data, size_t n)
{
  size_t written = 0;

  if (relay->in_ended || n == 0 || n > relay->window)
    return -EPROTO;
  relay->window -= (uint32_t)n;
  if (relay->closed || relay->in_dead)
    return 0; /* it crossed what would have stopped it */
  if (waiting (relay) == 0)
    written = put (relay, data, n);
  if (written < n && keep (relay, data + written, n - written) < 0)
    relay_shut (relay);
  else if (!relay->in_dead)
    give_back (relay, written);
  settle (relay);
  return 0;
}

static void
flush (Relay *relay)
{
  size_t n = put (relay, relay->queue + relay->start, waiting (relay));

  if (relay->in_dead)
    return;
  relay->start += n;
  if (relay->start == relay->end)
    relay->start = relay->end = 0;
  if (n > 0)
    give_back (relay, n);
}

/* Whoever writes gets EPIPE from now on; but one that waits for room is woken only when there is some, so
 * what it has sent is taken out. */
static void
stop_reading (int fd)
{
  char block[4096];

  (void)shutdown (fd, SHUT_RD);
  while (recv (fd, block, sizeof block, MSG_DONTWAIT) > 0)
    ;
}

static int
take_eof (Relay *relay, uint8_t stream)
{
  if (stream == relay->in ? relay->in_ended : relay->out_unread)
    return -EPROTO;
  if (stream == relay->in) {
    relay->in_ended = true;
  } else {
    relay->out_unread = relay->out_ended = true;
    if (relay->fd >= 0)
      stop_reading (relay->fd);
  }
  settle (relay);
  return 0;
}

static int
take_credit (Relay *relay, uint8_t stream, uint32_t n)
{
  if (stream != relay->out || n == 0 || n > FRAME_WINDOW - relay->credit)
    return -EPROTO;
  relay->credit += n;
  return 0;
}

/* What was sent before it still counts. */
static int
take_close (Relay *relay)
{
  relay->peer_closed = true;
  relay->in_ended = relay->out_ended = true;
  settle (relay);
  return 0;
}

int
relay_frame (Relay *relay, const FrameHeader *header, const uint8_t *payload)
{
  if (relay->peer_closed)
    return -EPROTO;
  switch (header->type) {
  case FRAME_DATA:
    return header->stream == relay->in ? take_data (relay, payload, header->length) : -EPROTO;
  case FRAME_EOF:
    return header->stream <= FRAME_STDOUT && header->length == 0 ? take_eof (relay, header->stream) : -EPROTO;
  case FRAME_CREDIT:
    return header->length == 4 ? take_credit (relay, header->stream, frame_get_u32 (payload)) : -EPROTO;
  case FRAME_CLOSE:
    return header->stream == 0 && header->length == 0 ? take_close (relay) : -EPROTO;
  default:
    return -EPROTO;
  }
}

void
relay_set_socket (Relay *relay, int take_fd)
{
  if (relay->closed) {
    close (take_fd);
    return;
  }
  relay->fd = take_fd;
  if (relay->out_unread)
    stop_reading (relay->fd);
  if (waiting (relay) > 0)
    flush (relay);
  settle (relay);
}

/* To the other side */

static bool
reading (const Relay *relay, bool room)
{
  return room && !relay->out_ended && relay->credit > 0;
}

int
relay_events (const Relay *relay, bool room)
{
  int events = 0;

  if (relay->fd < 0)
    return -1;
  if (reading (relay, room))
    events |= POLLIN;
  if (waiting (relay) > 0)
    events |= POLLOUT;
  return events == 0 && !relay->out_ended ? -1 : events;
}

/* One read a turn, so that nobody waits long for another. */
static void
get (Relay *relay)
{
  uint8_t data[FRAME_PAYLOAD_MAX];
  size_t want = relay->credit < sizeof data ? relay->credit : sizeof data;
  ssize_t n = recv (relay->fd, data, want, MSG_DONTWAIT);

  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return;
  if (n > 0) {
    relay->credit -= (uint32_t)n;
    say (relay, FRAME_DATA, relay->out, data, (size_t)n);
    return;
  }
  relay->out_ended = true;
  say (relay, FRAME_EOF, relay->out, NULL, 0);
  settle (relay);
}

void
relay_ready (Relay *relay, short revents, bool room)
{
  if (relay->fd < 0 || revents == 0)
    return;
  if (waiting (relay) > 0 && (revents & (POLLOUT | POLLHUP | POLLERR)) != 0) {
    flush (relay);
    settle (relay);
  }
  if (relay->fd >= 0 && reading (relay, room) && (revents & (POLLIN | POLLHUP | POLLERR)) != 0)
    get (relay);
  if (relay->fd >= 0 && relay->out_ended && (revents & (POLLHUP | POLLERR)) != 0)
    relay_shut (relay);
}
