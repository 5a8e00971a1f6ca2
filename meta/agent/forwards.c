/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "meta/agent/forwards.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "meta/agent/agent.h"

enum { UDP_BURST = 16 };

void
forwards_init (Agent *agent)
{
  for (unsigned i = 0; i < FRAME_FORWARDS_MAX; i++)
    agent->forwards[i] = (Forward){.fd = -1, .poll = -1, .relay.fd = -1};
}

static void
free_forward (Forward *forward)
{
  if (forward->used && !forward->is_udp)
    relay_clear (&forward->relay);
  close_fd (&forward->fd);
  forward->used = false;
}

void
forwards_free (Agent *agent)
{
  forwards_link_lost (agent);
}

void
forwards_link_lost (Agent *agent)
{
  for (unsigned i = 0; i < FRAME_FORWARDS_MAX; i++)
    free_forward (&agent->forwards[i]);
}

bool
forwards_is_channel (uint32_t channel)
{
  return channel >= FRAME_CHANNEL_FORWARD && channel < FRAME_CHANNEL_FORWARD + FRAME_FORWARDS_MAX;
}

static void
settle (Forward *forward)
{
  if (forward->used && (forward->is_udp ? dgram_is_over (&forward->dgram) : relay_is_over (&forward->relay)))
    free_forward (forward);
}

/* Connecting */

static int
begin_connect (Forward *forward)
{
  struct sockaddr_in v4 = {
      .sin_family = AF_INET, .sin_port = htons (forward->port), .sin_addr.s_addr = htonl (INADDR_LOOPBACK)};
  struct sockaddr_in6 v6 = {
      .sin6_family = AF_INET6, .sin6_port = htons (forward->port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  int r;

  forward->fd = socket (forward->is_v6 ? AF_INET6 : AF_INET,
                        (forward->is_udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (forward->fd < 0)
    return -errno;
  r = forward->is_v6 ? connect (forward->fd, (struct sockaddr *)&v6, sizeof v6)
                     : connect (forward->fd, (struct sockaddr *)&v4, sizeof v4);
  return r < 0 && errno != EINPROGRESS ? -errno : 0;
}

/* At 127.0.0.1, then at ::1: some servers listen at what "localhost" means first. */
static void
try_connect (Forward *forward)
{
  while (begin_connect (forward) < 0) {
    close_fd (&forward->fd);
    if (forward->is_v6) {
      relay_shut (&forward->relay);
      return;
    }
    forward->is_v6 = true;
  }
}

static void
end_connect (Forward *forward)
{
  int error = 0, fd = forward->fd;
  socklen_t n = sizeof error;

  if (getsockopt (fd, SOL_SOCKET, SO_ERROR, &error, &n) == 0 && error == 0) {
    forward->fd = -1;
    relay_set_socket (&forward->relay, fd);
    return;
  }
  close_fd (&forward->fd);
  if (forward->is_v6) {
    relay_shut (&forward->relay);
  } else {
    forward->is_v6 = true;
    try_connect (forward);
  }
}

/* Datagrams */

/* Connected, so that only that port can answer; whether anybody is there shows by and by, and does not
 * matter. */
static void
open_udp (Agent *agent, Forward *forward, uint32_t channel)
{
  dgram_init (&forward->dgram, channel, RELAY_AGENT, relays_send, agent);
  if (agent->state != AGENT_UP || begin_connect (forward) < 0) {
    close_fd (&forward->fd);
    dgram_shut (&forward->dgram);
  }
}

static int
udp_frame (Forward *forward, const FrameHeader *header, const uint8_t *payload)
{
  int r = dgram_frame (&forward->dgram, header, payload);

  if (r > 0 && forward->fd >= 0)
    (void)send (forward->fd, payload, header->length, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (forward->dgram.closed)
    close_fd (&forward->fd);
  return r < 0 ? r : 0;
}

/* Some a turn, so that nobody waits long for another. An error is that of an earlier one that nobody took. */
static void
udp_ready (Forward *forward)
{
  static uint8_t bytes[FRAME_PAYLOAD_MAX];
  ssize_t n;

  for (int i = 0; i < UDP_BURST && (n = recv (forward->fd, bytes, sizeof bytes, MSG_DONTWAIT)) != -1; i++)
    (void)dgram_give (&forward->dgram, bytes, (size_t)n);
}

/* Frames */

static int
open_forward (Agent *agent, Forward *forward, const FrameHeader *header, const uint8_t *payload)
{
  uint16_t port = header->length == 4 ? frame_get_u16 (payload) : 0;
  uint16_t flags = port != 0 ? frame_get_u16 (payload + 2) : 0;

  if (forward->used || port == 0 || (flags & ~FRAME_FORWARD_UDP) != 0)
    return -EPROTO;
  *forward =
      (Forward){.used = true, .is_udp = flags != 0, .fd = -1, .port = port, .poll = -1, .relay.fd = -1};
  if (forward->is_udp) {
    open_udp (agent, forward, header->channel);
    return 0;
  }
  relay_init (&forward->relay, header->channel, RELAY_AGENT, relays_send, agent);
  if (agent->state == AGENT_UP)
    try_connect (forward);
  else
    relay_shut (&forward->relay);
  return 0;
}

int
forwards_frame (Agent *agent, const FrameHeader *header, const uint8_t *payload)
{
  Forward *forward = &agent->forwards[header->channel - FRAME_CHANNEL_FORWARD];
  int r;

  if (header->type == FRAME_FORWARD_OPEN)
    return open_forward (agent, forward, header, payload);
  if (!forward->used)
    return -EPROTO;
  r = forward->is_udp ? udp_frame (forward, header, payload) : relay_frame (&forward->relay, header, payload);
  if (!forward->is_udp && forward->relay.closed)
    close_fd (&forward->fd); /* the host has gone before it was connected */
  settle (forward);
  return r;
}

/* Turns */

void
forwards_prepare_poll (Agent *agent)
{
  bool room = link_has_room (&agent->link);

  for (unsigned i = 0; i < FRAME_FORWARDS_MAX; i++) {
    Forward *forward = &agent->forwards[i];
    int fd = forward->fd >= 0 ? forward->fd : forward->relay.fd, events;

    if (!forward->used)
      events = -1;
    else if (forward->is_udp)
      events = room && fd >= 0 ? POLLIN : -1;
    else
      events = forward->fd >= 0 ? POLLOUT : relay_events (&forward->relay, room);
    forward->poll = events < 0 ? -1 : poller_add (&agent->poller, fd, (short)events);
  }
}

void
forwards_handle (Agent *agent)
{
  for (unsigned i = 0; i < FRAME_FORWARDS_MAX; i++) {
    Forward *forward = &agent->forwards[(agent->turn + i) % FRAME_FORWARDS_MAX];
    short events = poller_events (&agent->poller, forward->poll);

    if (!forward->used)
      continue;
    if (forward->is_udp) {
      if (forward->fd >= 0 && events != 0)
        udp_ready (forward);
    } else if (forward->fd < 0)
      relay_ready (&forward->relay, events, link_has_room (&agent->link));
    else if (events != 0)
      end_connect (forward);
    settle (forward);
  }
}
