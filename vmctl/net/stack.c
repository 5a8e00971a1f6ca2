/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/net/stack.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <time.h>

#include "vmctl/net/frame.h"
#include "vmctl/net/policy.h"

/* libslirp's windows are of 64 KiB at most, and it would send segments of half of that. Then the sandbox's
 * kernel offers a window of some bytes less than a segment, thinks that enough, and libslirp waits for more:
 * for five seconds, or ten. Of segments of a third of a window, two fit into whatever was read. */
enum { TIMERS_MAX = 8, IDLE_MS = 1000, SEGMENT_MAX = 21800 };

typedef struct {
  SlirpTimerCb call;
  void *data;
  int64_t expires_ms; /* -1: not set */
} Timer;

struct NetStack {
  Slirp *slirp;
  const NetStackHost *host;
  void *data;
  NetPoll *poll; /* while it is filled or looked at */
  Timer *timers[TIMERS_MAX];
};

static ssize_t
send_packet (const void *bytes, size_t length, void *data)
{
  NetStack *stack = data;

  stack->host->frame (stack->data, bytes, length);
  return (ssize_t)length;
}

static void
guest_error (const char *message, void *data)
{
}

static int64_t
clock_ns (void *data)
{
  struct timespec now;

  (void)clock_gettime (CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void *
timer_new (SlirpTimerCb call, void *call_data, void *data)
{
  NetStack *stack = data;

  for (size_t i = 0; i < TIMERS_MAX; i++)
    if (stack->timers[i] == NULL) {
      Timer *timer = calloc (1, sizeof *timer);

      if (timer == NULL)
        break;
      *timer = (Timer){.call = call, .data = call_data, .expires_ms = -1};
      return stack->timers[i] = timer;
    }
  abort (); /* libslirp makes one, for IPv6 */
}

static void
timer_free (void *timer, void *data)
{
  NetStack *stack = data;

  for (size_t i = 0; i < TIMERS_MAX; i++)
    if (stack->timers[i] == timer)
      stack->timers[i] = NULL;
  free (timer);
}

static void
timer_mod (void *timer, int64_t expires_ms, void *data)
{
  ((Timer *)timer)->expires_ms = expires_ms;
}

static void
opened (int fd, void *data)
{
  NetStack *stack = data;

  stack->host->opened (stack->data, fd);
}

static void
closed (int fd, void *data)
{
  NetStack *stack = data;

  stack->host->closed (stack->data, fd);
}

static void
notify (void *data)
{
}

static const SlirpCb callbacks = {
    .send_packet = send_packet,
    .guest_error = guest_error,
    .clock_get_ns = clock_ns,
    .timer_new = timer_new,
    .timer_free = timer_free,
    .timer_mod = timer_mod,
    .register_poll_fd = opened,
    .unregister_poll_fd = closed,
    .notify = notify,
};

static struct in_addr
address (uint32_t host_order)
{
  return (struct in_addr){htonl (host_order)};
}

NetStack *
net_stack_new (bool host_loopback, const NetStackHost *host, void *data)
{
  const SlirpConfig config = {
      .version = 4,
      .in_enabled = true,
      .vnetwork = address (NET_NETWORK),
      .vnetmask = address (0xffffffffU << (32 - NET_PREFIX)),
      .vhost = address (NET_GATEWAY),
      .vnameserver = address (NET_NAMESERVER),
      .vdhcp_start = address (NET_GUEST),
      .vhostname = "sandbox",
      .if_mtu = SEGMENT_MAX + 40,
      .if_mru = NET_MTU,
      .disable_host_loopback = !host_loopback,
      .disable_dns = true,
  };
  NetStack *stack = calloc (1, sizeof *stack);

  if (stack == NULL)
    abort (); /* the keeper starts another */
  stack->host = host;
  stack->data = data;
  stack->slirp = slirp_new (&config, &callbacks, stack);
  if (stack->slirp == NULL)
    abort ();
  return stack;
}

void
net_stack_free (NetStack *stack)
{
  if (stack == NULL)
    return;
  slirp_cleanup (stack->slirp);
  for (size_t i = 0; i < TIMERS_MAX; i++)
    free (stack->timers[i]);
  free (stack);
}

Slirp *
net_stack_slirp (NetStack *stack)
{
  return stack->slirp;
}

void
net_stack_input (NetStack *stack, const uint8_t *bytes, size_t length)
{
  slirp_input (stack->slirp, bytes, (int)length);
}

static int
add_poll (int fd, int events, void *data)
{
  NetStack *stack = data;
  short wanted = 0;

  if (events & SLIRP_POLL_IN)
    wanted |= POLLIN;
  if (events & SLIRP_POLL_OUT)
    wanted |= POLLOUT;
  if (events & SLIRP_POLL_PRI)
    wanted |= POLLPRI;
  return (int)net_poll_add (stack->poll, fd, wanted);
}

static int
get_events (int index, void *data)
{
  const NetStack *stack = data;
  short got = stack->poll->fds[index].revents;

  return (got & POLLIN ? SLIRP_POLL_IN : 0) | (got & POLLOUT ? SLIRP_POLL_OUT : 0) |
         (got & POLLPRI ? SLIRP_POLL_PRI : 0) | (got & POLLERR ? SLIRP_POLL_ERR : 0) |
         (got & POLLHUP ? SLIRP_POLL_HUP : 0);
}

/* libslirp wants to be called each second even if it has nothing to do: then it is not. */
void
net_stack_fill (NetStack *stack, NetPoll *poll, bool busy)
{
  int64_t now = clock_ns (NULL) / 1000000;
  uint32_t timeout = UINT32_MAX;
  size_t before = poll->n;

  stack->poll = poll;
  slirp_pollfds_fill (stack->slirp, &timeout, add_poll, stack);
  if (timeout < IDLE_MS || busy || poll->n > before)
    net_poll_until (poll, now, now + timeout);
  for (size_t i = 0; i < TIMERS_MAX; i++)
    if (stack->timers[i] != NULL && stack->timers[i]->expires_ms >= 0)
      net_poll_until (poll, now, stack->timers[i]->expires_ms);
}

static void
run_timers (NetStack *stack)
{
  int64_t now = clock_ns (NULL) / 1000000;

  for (size_t i = 0; i < TIMERS_MAX; i++)
    if (stack->timers[i] != NULL && stack->timers[i]->expires_ms >= 0 &&
        stack->timers[i]->expires_ms <= now) {
      stack->timers[i]->expires_ms = -1;
      stack->timers[i]->call (stack->timers[i]->data);
    }
}

void
net_stack_serve (NetStack *stack, NetPoll *poll)
{
  stack->poll = poll;
  slirp_pollfds_poll (stack->slirp, 0, get_events, stack);
  run_timers (stack);
}
