/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/net/upstream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DNS_PORT = 53 };

void
net_upstream_init (NetUpstream *upstream)
{
  memset (upstream, 0, sizeof *upstream);
  upstream->fd = -1;
}

void
net_upstream_close (NetUpstream *upstream)
{
  if (upstream->fd >= 0)
    (void)close (upstream->fd);
  free (upstream->in);
  net_upstream_init (upstream);
}

static bool
is_only_slow (void)
{
  return errno == EAGAIN || errno == EINTR || errno == EINPROGRESS;
}

/* Connected, so that the kernel takes messages from nobody else; not bound, so that it takes a random port.
 */
bool
net_upstream_ask (NetUpstream *upstream, uint32_t server, bool tcp, const uint8_t *message, size_t length)
{
  const struct sockaddr_in to = {
      .sin_family = AF_INET, .sin_port = htons (DNS_PORT), .sin_addr.s_addr = htonl (server)};

  net_upstream_close (upstream);
  upstream->tcp = tcp;
  upstream->fd = socket (AF_INET, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (upstream->fd < 0)
    return false;
  upstream->out[0] = (uint8_t)(length >> 8);
  upstream->out[1] = (uint8_t)length;
  memcpy (upstream->out + 2, message, length);
  upstream->out_length = 2 + length;
  if ((connect (upstream->fd, (const struct sockaddr *)&to, sizeof to) == 0 || (tcp && is_only_slow ())) &&
      (tcp || send (upstream->fd, message, length, MSG_NOSIGNAL) == (ssize_t)length))
    return true;
  net_upstream_close (upstream);
  return false;
}

short
net_upstream_events (const NetUpstream *upstream)
{
  return upstream->tcp && upstream->sent < upstream->out_length ? POLLOUT : POLLIN;
}

static NetUpstreamState
serve_udp (NetUpstream *upstream, const uint8_t **ret_message, size_t *ret_length)
{
  static uint8_t datagram[NET_DNS_MAX];
  ssize_t n = recv (upstream->fd, datagram, sizeof datagram, 0);

  if (n < 0)
    return is_only_slow () ? NET_UPSTREAM_MORE : NET_UPSTREAM_FAILED; /* such as: nobody listens there */
  *ret_message = datagram;
  *ret_length = (size_t)n;
  return NET_UPSTREAM_MESSAGE;
}

static NetUpstreamState
send_rest (NetUpstream *upstream)
{
  ssize_t n = send (upstream->fd, upstream->out + upstream->sent, upstream->out_length - upstream->sent,
                    MSG_NOSIGNAL);

  if (n < 0)
    return is_only_slow () ? NET_UPSTREAM_MORE : NET_UPSTREAM_FAILED;
  upstream->sent += (size_t)n;
  return NET_UPSTREAM_MORE;
}

/* How many bytes there will be, as far as it can be said. */
static size_t
wanted (const NetUpstream *upstream)
{
  return upstream->got < 2 ? 2 : 2U + (size_t)(upstream->in[0] << 8 | upstream->in[1]);
}

static NetUpstreamState
serve_tcp (NetUpstream *upstream, const uint8_t **ret_message, size_t *ret_length)
{
  ssize_t n;

  if (upstream->sent < upstream->out_length)
    return send_rest (upstream);
  if (upstream->in == NULL)
    upstream->in = malloc (2 + NET_DNS_MAX); /* untouched pages cost nothing */
  if (upstream->in == NULL)
    return NET_UPSTREAM_FAILED;
  n = recv (upstream->fd, upstream->in + upstream->got, wanted (upstream) - upstream->got, 0);
  if (n <= 0)
    return n < 0 && is_only_slow () ? NET_UPSTREAM_MORE : NET_UPSTREAM_FAILED;
  upstream->got += (size_t)n;
  if (upstream->got < 2 || upstream->got < wanted (upstream))
    return NET_UPSTREAM_MORE;
  *ret_message = upstream->in + 2;
  *ret_length = upstream->got - 2;
  return NET_UPSTREAM_MESSAGE;
}

NetUpstreamState
net_upstream_serve (NetUpstream *upstream, const uint8_t **ret_message, size_t *ret_length)
{
  return upstream->tcp ? serve_tcp (upstream, ret_message, ret_length)
                       : serve_udp (upstream, ret_message, ret_length);
}
