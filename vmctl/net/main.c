/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl-net: the network of one sandbox.
 *
 *   vmctl-net --packet FD --control FD --log FD [--user UID:GID]
 *
 * How it works
 *
 * The frames of the sandbox come on --packet. Each is parsed (frame.c) and judged (guard.c); what may pass
 * goes to libslirp, which makes connections out of it; what may not is answered at once with a reset or an
 * ICMP error. libslirp itself is told to keep away from loopback, too. The policy comes by --control
 * (control.h); until it has come nothing is read.
 *
 * It is started by the keeper and killed by it. It has nothing but these descriptors, and gives up everything
 * else (isolate.c) before it reads a frame. libc and libslirp only. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <slirp/libslirp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "vmctl/net/control.h"
#include "vmctl/net/guard.h"
#include "vmctl/net/isolate.h"
#include "vmctl/net/link.h"
#include "vmctl/net/log.h"

enum { FRAMES_AT_ONCE = 64, TIMERS_MAX = 8 };

typedef struct {
  SlirpTimerCb call;
  void *data;
  int64_t expires_ms; /* -1: not set */
} Timer;

typedef struct {
  int packet, control_fd, log_fd;
  NetControl control;
  bool has_policy;
  long uid, gid; /* -1: as it is */
  NetGuard guard;
  NetLink link;
  NetLog log;
  Slirp *slirp;
  Timer *timers[TIMERS_MAX];
  struct pollfd *fds;
  size_t n_fds, room;
} Net;

static int
fail (const char *what)
{
  fprintf (stderr, "vmctl-net: %s: %s\n", what, strerror (errno));
  return 1;
}

/* libslirp's calls */

static ssize_t
send_packet (const void *bytes, size_t length, void *data)
{
  Net *net = data;

  if (net_guard_incoming (&net->guard, bytes, length))
    net_link_send (&net->link, bytes, length);
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
  Net *net = data;

  for (size_t i = 0; i < TIMERS_MAX; i++)
    if (net->timers[i] == NULL) {
      Timer *timer = calloc (1, sizeof *timer);

      if (timer == NULL)
        break;
      *timer = (Timer){.call = call, .data = call_data, .expires_ms = -1};
      return net->timers[i] = timer;
    }
  abort (); /* libslirp makes one, for IPv6 */
}

static void
timer_free (void *timer, void *data)
{
  Net *net = data;

  for (size_t i = 0; i < TIMERS_MAX; i++)
    if (net->timers[i] == timer)
      net->timers[i] = NULL;
  free (timer);
}

static void
timer_mod (void *timer, int64_t expires_ms, void *data)
{
  ((Timer *)timer)->expires_ms = expires_ms;
}

static void
ignore_fd (int fd, void *data)
{
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
    .register_poll_fd = ignore_fd,
    .unregister_poll_fd = ignore_fd,
    .notify = notify,
};

static struct in_addr
address (uint32_t host_order)
{
  return (struct in_addr){htonl (host_order)};
}

static bool
make_slirp (Net *net)
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
      .if_mtu = NET_MTU,
      .if_mru = NET_MTU,
      .disable_host_loopback = true,
  };

  net->slirp = slirp_new (&config, &callbacks, net);
  return net->slirp != NULL;
}

/* The loop */

static int
add_poll (int fd, int events, void *data)
{
  Net *net = data;
  short wanted = 0;

  if (net->n_fds == net->room) {
    struct pollfd *more = realloc (net->fds, (net->room * 2 + 64) * sizeof *more);

    if (more == NULL)
      abort (); /* the keeper starts another */
    net->fds = more;
    net->room = net->room * 2 + 64;
  }
  if (events & SLIRP_POLL_IN)
    wanted |= POLLIN;
  if (events & SLIRP_POLL_OUT)
    wanted |= POLLOUT;
  if (events & SLIRP_POLL_PRI)
    wanted |= POLLPRI;
  net->fds[net->n_fds] = (struct pollfd){.fd = fd, .events = wanted};
  return (int)net->n_fds++;
}

static int
get_events (int index, void *data)
{
  const Net *net = data;
  short got = net->fds[index].revents;

  return (got & POLLIN ? SLIRP_POLL_IN : 0) | (got & POLLOUT ? SLIRP_POLL_OUT : 0) |
         (got & POLLPRI ? SLIRP_POLL_PRI : 0) | (got & POLLERR ? SLIRP_POLL_ERR : 0) |
         (got & POLLHUP ? SLIRP_POLL_HUP : 0);
}

static int64_t
now_ms (void)
{
  return clock_ns (NULL) / 1000000;
}

/* libslirp wants to be called each second even if it has nothing to do: then it is not. */
static uint32_t
until_needed (const Net *net, uint32_t timeout)
{
  enum { IDLE_MS = 1000 };

  return net->n_fds <= 2 && timeout >= IDLE_MS ? UINT32_MAX : timeout;
}

static uint32_t
until_next_timer (const Net *net, uint32_t timeout)
{
  for (size_t i = 0; i < TIMERS_MAX; i++)
    if (net->timers[i] != NULL && net->timers[i]->expires_ms >= 0) {
      int64_t left = net->timers[i]->expires_ms - now_ms ();

      if (left < timeout)
        timeout = left > 0 ? (uint32_t)left : 0;
    }
  return timeout;
}

static void
run_timers (Net *net)
{
  for (size_t i = 0; i < TIMERS_MAX; i++)
    if (net->timers[i] != NULL && net->timers[i]->expires_ms >= 0 &&
        net->timers[i]->expires_ms <= now_ms ()) {
      net->timers[i]->expires_ms = -1;
      net->timers[i]->call (net->timers[i]->data);
    }
}

static void
take_frame (Net *net, const void *bytes, size_t length)
{
  uint8_t refusal[NET_REFUSAL_MAX];
  const char *why;
  NetFrame frame;
  NetVerdict verdict;
  size_t n;

  if (!net_frame_parse (bytes, length, &frame, &why))
    return;
  n = net_frame_answer_arp (&frame, refusal);
  if (n > 0)
    net_link_send (&net->link, refusal, n);
  verdict = net_guard_outgoing (&net->guard, &frame, &why);
  if (verdict == NET_PASS)
    slirp_input (net->slirp, frame.bytes, (int)frame.length);
  if (verdict != NET_REFUSE)
    return;
  n = net_frame_refuse (&frame, refusal);
  if (n > 0)
    net_link_send (&net->link, refusal, n);
  (void)net_log_write (&net->log, false,
                       frame.kind == NET_TCP   ? "tcp"
                       : frame.kind == NET_UDP ? "udp"
                                               : "icmp",
                       NULL, frame.destination, frame.destination_port, why);
  net_control_refused (&net->control, now_ms (),
                       frame.kind == NET_TCP   ? "tcp"
                       : frame.kind == NET_UDP ? "udp"
                                               : "icmp",
                       NULL, frame.destination, frame.destination_port, why);
}

static void
take_frames (Net *net)
{
  static uint8_t bytes[NET_FRAME_MAX + 1]; /* one more: what is too long shows */
  ssize_t n;

  for (int i = 0; i < FRAMES_AT_ONCE && (n = net_link_receive (&net->link, bytes, sizeof bytes)) >= 0; i++)
    take_frame (net, bytes, (size_t)n);
}

static void
take_control (Net *net)
{
  switch (net_control_receive (&net->control, &net->guard.policy)) {
  case NET_CONTROL_POLICY:
    net->has_policy = true;
    break;
  case NET_CONTROL_STATS:
    net_control_stats (&net->control,
                       "flows=0 half_open=0 udp=0 refused=0 allowed=0 bytes_in=0 bytes_out=0 dns=0");
    break;
  case NET_CONTROL_NOTHING:
    break;
  }
}

static int
serve (Net *net)
{
  while (!net->link.gone) {
    uint32_t timeout = UINT32_MAX;
    int r;

    net->n_fds = 0;
    (void)add_poll (net->packet,
                    (net->has_policy ? SLIRP_POLL_IN : 0) | (net->link.first != NULL ? SLIRP_POLL_OUT : 0),
                    net);
    if (!net->control.gone)
      (void)add_poll (net->control_fd, SLIRP_POLL_IN, net);
    slirp_pollfds_fill (net->slirp, &timeout, add_poll, net);
    timeout = until_next_timer (net, until_needed (net, timeout));
    r = poll (net->fds, net->n_fds, timeout > INT32_MAX ? -1 : (int)timeout);
    if (r < 0 && errno != EINTR)
      return fail ("cannot wait for frames");
    slirp_pollfds_poll (net->slirp, r < 0, get_events, net);
    run_timers (net);
    take_control (net);
    if (r > 0 && net->fds[0].revents & POLLOUT)
      net_link_flush (&net->link);
    if (r > 0 && net->has_policy && net->fds[0].revents & ~POLLOUT)
      take_frames (net);
  }
  /* The sandbox has ended, and the keeper will soon say so. */
  for (;;)
    (void)pause ();
}

/* The beginning */

static int
parse_fd (const char *text)
{
  char *end;
  long value = strtol (text, &end, 10);

  return *text == '\0' || *end != '\0' || value < 0 || value > 1 << 20 ? -1 : (int)value;
}

static bool
parse_user (Net *net, const char *text)
{
  char *end;

  net->uid = strtol (text, &end, 10);
  if (end == text || *end != ':')
    return false;
  text = end + 1;
  net->gid = strtol (text, &end, 10);
  return end != text && *end == '\0' && net->uid > 0 && net->gid > 0;
}

static bool
parse_arguments (Net *net, int argc, char **argv)
{
  int i;

  for (i = 1; i + 1 < argc; i += 2) {
    if (strcmp (argv[i], "--packet") == 0)
      net->packet = parse_fd (argv[i + 1]);
    else if (strcmp (argv[i], "--control") == 0)
      net->control_fd = parse_fd (argv[i + 1]);
    else if (strcmp (argv[i], "--log") == 0)
      net->log_fd = parse_fd (argv[i + 1]);
    else if (strcmp (argv[i], "--user") != 0 || !parse_user (net, argv[i + 1]))
      return false;
  }
  return i == argc && net->packet > 2 && net->control_fd > 2 && net->log_fd > 2;
}

/* Whatever else was left open is none of ours. */
static int
close_others (const Net *net)
{
  for (int fd = 3; fd < 64; fd++)
    if (fd != net->packet && fd != net->control_fd && fd != net->log_fd)
      (void)close (fd);
  return (int)syscall (SYS_close_range, 64U, ~0U, 0U);
}

static void
resolv_conf (const NetPolicy *policy, char *out, size_t size)
{
  size_t used = 0;

  out[0] = '\0';
  for (unsigned i = 0; i < policy->n_resolvers && used < size; i++) {
    uint32_t a = policy->resolvers[i];

    used += (size_t)snprintf (out + used, size - used, "nameserver %u.%u.%u.%u\n", a >> 24, a >> 16 & 255,
                              a >> 8 & 255, a & 255);
  }
}

static bool
isolate (Net *net)
{
  char text[256];
  const char *what;
  pid_t keeper = getppid ();

  resolv_conf (&net->guard.policy, text, sizeof text);
  if (net_isolate ((uid_t)net->uid, (gid_t)net->gid, text, &what) < 0) {
    (void)fail (what);
    return false;
  }
  return getppid () == keeper;
}

int
main (int argc, char **argv)
{
  static Net net = {.packet = -1, .control_fd = -1, .log_fd = -1, .uid = -1, .gid = -1};

  if (argc == 2 && strcmp (argv[1], "--version") == 0) /* for vmctl doctor */
    return printf ("libslirp %s\n", slirp_version_string ()) < 0;
  if (!parse_arguments (&net, argc, argv)) {
    fprintf (stderr, "vmctl-net: a part of vmctl, not for use by hand\n");
    return 2;
  }
  (void)signal (SIGPIPE, SIG_IGN);
  if (close_others (&net) < 0 || fcntl (net.packet, F_SETFL, O_RDWR | O_NONBLOCK) < 0)
    return fail ("cannot use the descriptors");
  net.guard.is_local = net_guard_is_local;
  net.log.fd = net.log_fd;
  net_link_init (&net.link, net.packet);
  net.control.fd = net.control_fd;
  net.guard.learned = net_learned_new ();
  if (!make_slirp (&net) || !isolate (&net))
    return 1;
  net_control_hello (&net.control);
  return serve (&net);
}
