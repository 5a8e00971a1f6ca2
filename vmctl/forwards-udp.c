/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How it works
 *
 * All peers of a UDP port come to one socket. Each has a flow of its own, a channel with a port of its own
 * inside, so that answers find their way back. Nobody says when a flow is over: it is when nothing has passed
 * for a minute. A datagram that finds no free channel, or no credit, is lost. */
#include "vmctl/forwards-private.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

enum { BURST = 32, LOOK_MS = 10000, IDLE_US = 60000000 };

static gboolean
end_idle (gpointer data)
{
  VmForwards *forwards = data;
  gint64 now = g_get_monotonic_time ();
  gboolean any = FALSE;

  for (guint i = 0; i < FRAME_FORWARDS_MAX; i++) {
    Connection *c = &forwards->connections[i];

    if (!c->used || !c->is_udp)
      continue;
    any = TRUE;
    if (now - c->last > IDLE_US)
      dgram_shut (&c->dgram);
  }
  if (any)
    return G_SOURCE_CONTINUE;
  forwards->idle_timer = 0;
  return G_SOURCE_REMOVE;
}

static Connection *
find_flow (Listener *l, const struct sockaddr_in *peer)
{
  for (guint i = 0; i < FRAME_FORWARDS_MAX; i++) {
    Connection *c = &l->owner->connections[i];

    if (c->used && c->is_udp && c->listener == l && !c->dgram.closed && c->peer.sin_port == peer->sin_port &&
        c->peer.sin_addr.s_addr == peer->sin_addr.s_addr)
      return c;
  }
  return NULL;
}

static Connection *
new_flow (Listener *l, const struct sockaddr_in *peer)
{
  VmForwards *forwards = l->owner;
  Connection *c = vm_forwards_unused (forwards);
  guint32 channel;

  if (c == NULL)
    return NULL;
  channel = FRAME_CHANNEL_FORWARD + (guint32)(c - forwards->connections);
  *c = (Connection){.owner = forwards, .listener = l, .used = TRUE, .is_udp = TRUE, .peer = *peer};
  dgram_init (&c->dgram, channel, RELAY_HOST, vm_forwards_send, c);
  vm_forwards_open (c, channel, c->listener->port);
  if (forwards->idle_timer == 0)
    forwards->idle_timer = g_timeout_add (LOOK_MS, end_idle, forwards);
  return c;
}

void
vm_forwards_udp_ready (Listener *l)
{
  static guint8 bytes[FRAME_PAYLOAD_MAX];
  struct sockaddr_in peer;
  socklen_t length = sizeof peer;
  ssize_t n;

  for (guint i = 0; i < BURST; i++, length = sizeof peer) {
    Connection *c;

    n = recvfrom (l->fd, bytes, sizeof bytes, MSG_DONTWAIT, (struct sockaddr *)&peer, &length);
    if (n < 0 || length != sizeof peer)
      return;
    c = find_flow (l, &peer);
    if (c == NULL)
      c = new_flow (l, &peer);
    if (c == NULL)
      continue;
    c->last = g_get_monotonic_time ();
    (void)dgram_give (&c->dgram, bytes, (gsize)n);
  }
}

int
vm_forwards_udp_frame (Connection *c, const FrameHeader *header, const guint8 *payload)
{
  int r = dgram_frame (&c->dgram, header, payload);

  if (r < 0)
    return r;
  if (r > 0 && c->listener != NULL) {
    c->last = g_get_monotonic_time ();
    (void)sendto (c->listener->fd, payload, header->length, MSG_NOSIGNAL | MSG_DONTWAIT,
                  (const struct sockaddr *)&c->peer, sizeof c->peer);
  }
  if (dgram_is_over (&c->dgram))
    vm_forwards_forget (c);
  return 0;
}
