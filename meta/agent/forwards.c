/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "meta/agent/forwards.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "meta/agent/agent.h"

void
forwards_init (Agent *agent)
{
  for (unsigned i = 0; i < FRAME_FORWARDS_MAX; i++)
    agent->forwards[i] = (Forward){.fd = -1, .poll = -1, .relay.fd = -1};
}

static void
free_forward (Forward *forward)
{
  if (forward->used)
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
send_frame (void *data, FrameType type, uint32_t channel, uint8_t stream, const void *payload, size_t n)
{
  Agent *agent = data;

  link_send (&agent->link, type, channel, stream, payload, n);
}

static void
settle (Forward *forward)
{
  if (forward->used && relay_is_over (&forward->relay))
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

  forward->fd = socket (forward->is_v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
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

/* Frames */

static int
open_forward (Agent *agent, Forward *forward, const FrameHeader *header, const uint8_t *payload)
{
  uint16_t port = header->length == 4 ? frame_get_u16 (payload) : 0;

  if (forward->used || port == 0 || frame_get_u16 (payload + 2) != 0)
    return -EPROTO;
  *forward = (Forward){.used = true, .fd = -1, .port = port, .poll = -1};
  relay_init (&forward->relay, header->channel, RELAY_AGENT, send_frame, agent);
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
  r = forward->used ? relay_frame (&forward->relay, header, payload) : -EPROTO;
  if (forward->used && forward->relay.closed)
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
    int events = !forward->used ? -1 : forward->fd >= 0 ? POLLOUT : relay_events (&forward->relay, room);
    int fd = forward->fd >= 0 ? forward->fd : forward->relay.fd;

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
    if (forward->fd < 0)
      relay_ready (&forward->relay, events, link_has_room (&agent->link));
    else if (events != 0)
      end_connect (forward);
    settle (forward);
  }
}
