/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/net/ping.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmctl/net/bytes.h"
#include "vmctl/net/flows-parts.h"

enum { ICMP_AT = 34, ICMP_HEADER = 8, AT_ONCE = 32 };

typedef struct {
  uint32_t address; /* 0: free */
  uint16_t identifier, sequence;
  int64_t sent_ms;
} Waiting;

struct NetPing {
  NetFlows *flows;
  int fd; /* -1: nothing waits */
  size_t polled;
  unsigned next; /* the oldest, if all are taken */
  Waiting all[NET_PING_WAITING_MAX];
};

NetPing *
net_ping_new (NetFlows *flows)
{
  NetPing *ping = calloc (1, sizeof *ping);

  if (ping == NULL)
    abort ();
  ping->flows = flows;
  ping->fd = -1;
  return ping;
}

static void
stop (NetPing *ping)
{
  if (ping->fd >= 0)
    (void)close (ping->fd);
  ping->fd = -1;
}

void
net_ping_free (NetPing *ping)
{
  stop (ping);
  free (ping);
}

/* The kernel puts its own identifier into what is sent; the answers have it. */
static bool
send_on (NetPing *ping, const NetFrame *frame)
{
  const struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl (frame->destination)};

  if (ping->fd < 0)
    ping->fd = socket (AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_ICMP);
  return ping->fd >= 0 && sendto (ping->fd, frame->bytes + ICMP_AT, frame->length - ICMP_AT, 0,
                                  (const struct sockaddr *)&in, sizeof in) >= 0;
}

void
net_ping_outgoing (NetPing *ping, const NetFrame *frame)
{
  NetShared *shared = ping->flows->shared;
  const char *rule;
  NetTarget target;

  if (net_flows_judge (ping->flows, IPPROTO_ICMP, frame->destination, 0, &target, &rule) != NET_ALLOW) {
    net_flows_refuse (ping->flows, frame, rule);
    return;
  }
  if (!send_on (ping, frame)) {
    net_flows_answer (ping->flows, frame);
    return;
  }
  ping->all[ping->next] = (Waiting){.address = frame->destination,
                                    .identifier = net_read16 (frame->bytes + ICMP_AT + 4),
                                    .sequence = net_read16 (frame->bytes + ICMP_AT + 6),
                                    .sent_ms = shared->now_ms};
  ping->next = (ping->next + 1) % NET_PING_WAITING_MAX;
}

/* The last one to be sent says until when the socket is needed. */
static int64_t
deadline (const NetPing *ping)
{
  int64_t last = -1;

  for (size_t i = 0; i < NET_PING_WAITING_MAX; i++)
    if (ping->all[i].address != 0 && ping->all[i].sent_ms > last)
      last = ping->all[i].sent_ms;
  return last < 0 ? 0 : last + NET_PING_WAIT_MS;
}

void
net_ping_fill (NetPing *ping, NetPoll *poll)
{
  if (ping->fd < 0)
    return;
  ping->polled = net_poll_add (poll, ping->fd, POLLIN);
  net_poll_until (poll, ping->flows->shared->now_ms, deadline (ping));
}

static Waiting *
find (NetPing *ping, uint32_t address, uint16_t sequence)
{
  for (unsigned i = 0; i < NET_PING_WAITING_MAX; i++) { /* from the oldest on */
    Waiting *waiting = &ping->all[(ping->next + i) % NET_PING_WAITING_MAX];

    if (waiting->address == address && waiting->sequence == sequence)
      return waiting;
  }
  return NULL;
}

static void
give_answer (NetPing *ping, uint32_t address, uint8_t *frame, size_t length)
{
  NetFlows *flows = ping->flows;
  const NetEnds ends = {
      .guest_mac = flows->shared->guest_mac, .to_guest = true, .source = address, .destination = NET_GUEST};
  uint16_t sequence = net_read16 (frame + ICMP_AT + 6);
  Waiting *waiting = frame[ICMP_AT] == 0 ? find (ping, address, sequence) : NULL;

  if (waiting == NULL)
    return;
  waiting->address = 0;
  flows->host->to_guest (flows->data, frame,
                         net_make_echo (&ends, waiting->identifier, sequence, frame, length - ICMP_HEADER));
}

static void
take_answers (NetPing *ping)
{
  static uint8_t frame[NET_FRAME_MAX + 1];

  for (int i = 0; i < AT_ONCE; i++) {
    struct sockaddr_in in;
    socklen_t size = sizeof in;
    ssize_t n =
        recvfrom (ping->fd, frame + ICMP_AT, sizeof frame - ICMP_AT, 0, (struct sockaddr *)&in, &size);

    if (n < 0)
      return;
    if (n >= ICMP_HEADER && n <= NET_FRAME_MAX - ICMP_AT)
      give_answer (ping, ntohl (in.sin_addr.s_addr), frame, (size_t)n);
  }
}

void
net_ping_serve (NetPing *ping, const NetPoll *poll)
{
  if (ping->fd < 0)
    return;
  if (ping->polled < poll->n && poll->fds[ping->polled].fd == ping->fd &&
      poll->fds[ping->polled].revents != 0)
    take_answers (ping);
  if (ping->flows->shared->now_ms >= deadline (ping)) {
    memset (ping->all, 0, sizeof ping->all);
    stop (ping);
  }
}
