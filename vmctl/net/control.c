/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/net/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { REPLY_MAX = 2048 };

static void
say (NetControl *control, const char *text)
{
  if (!control->gone)
    (void)send (control->fd, text, strlen (text), MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* The length of the next message; -1: there is none. One that is too long is longer than the buffer. */
static ssize_t
receive (NetControl *control, char *buffer, size_t size)
{
  ssize_t n;

  if (control->gone)
    return -1;
  do
    n = recv (control->fd, buffer, size, MSG_DONTWAIT | MSG_TRUNC);
  while (n < 0 && errno == EINTR);
  control->gone = n == 0 || (n < 0 && errno != EAGAIN);
  return n == 0 ? -1 : n;
}

void
net_control_hello (NetControl *control)
{
  char buffer[1];

  while (receive (control, buffer, sizeof buffer) >= 0)
    continue;
  say (control, "hello 1");
}

/* The serial of a policy, and where its text begins; NULL: it has none. */
static const char *
parse_serial (const char *text, size_t length, char serial[NET_CONTROL_SERIAL_MAX + 1])
{
  const char *end = memchr (text, '\n', length);
  size_t n = end != NULL ? (size_t)(end - text) : 0;

  if (n == 0 || n > NET_CONTROL_SERIAL_MAX)
    return NULL;
  for (size_t i = 0; i < n; i++)
    if (text[i] < '0' || text[i] > '9')
      return NULL;
  memcpy (serial, text, n);
  serial[n] = '\0';
  return end + 1;
}

static NetControlEvent
take_policy (NetControl *control, const char *text, size_t length, NetPolicy *policy)
{
  char serial[NET_CONTROL_SERIAL_MAX + 1], reply[64];
  const char *body = parse_serial (text, length, serial);
  NetPolicy new;
  unsigned line = 0;
  bool sound;

  if (body == NULL)
    return NET_CONTROL_NOTHING;
  sound = net_policy_parse (body, length - (size_t)(body - text), &new, &line);
  if (sound) {
    net_policy_clear (policy);
    *policy = new;
    memcpy (control->serial, serial, sizeof serial);
  } else {
    (void)snprintf (reply, sizeof reply, "policy %s bad %u", serial, line);
    say (control, reply);
  }
  return sound ? NET_CONTROL_POLICY : NET_CONTROL_NOTHING;
}

NetControlEvent
net_control_receive (NetControl *control, NetPolicy *policy)
{
  static const char policy_word[] = "policy ", stats_word[] = "stats";
  const size_t word = sizeof policy_word - 1;
  static char buffer[NET_CONTROL_MAX];
  ssize_t n = receive (control, buffer, sizeof buffer);

  if (n < 0)
    return NET_CONTROL_NOTHING;
  if ((size_t)n > sizeof buffer) { /* it was cut: what is left of it is no policy */
    say (control, "policy 0 bad 0");
    return NET_CONTROL_NOTHING;
  }
  if ((size_t)n > word && memcmp (buffer, policy_word, word) == 0)
    return take_policy (control, buffer + word, (size_t)n - word, policy);
  return (size_t)n == sizeof stats_word - 1 && memcmp (buffer, stats_word, (size_t)n) == 0
             ? NET_CONTROL_STATS
             : NET_CONTROL_NOTHING;
}

static bool
has_room (NetControl *control, int64_t now_ms)
{
  if (control->second != now_ms / 1000) {
    control->second = now_ms / 1000;
    control->refusals = 0;
  }
  return control->refusals++ < NET_CONTROL_REFUSALS_PER_SECOND;
}

void
net_control_refused (NetControl *control, int64_t now_ms, const char *protocol, const char *name,
                     uint32_t address, uint16_t port, const char *rule)
{
  char text[REPLY_MAX], where[16] = "-";

  if (control->gone || !has_room (control, now_ms))
    return;
  if (address != 0)
    (void)snprintf (where, sizeof where, "%u.%u.%u.%u", address >> 24, address >> 16 & 255,
                    address >> 8 & 255, address & 255);
  (void)snprintf (text, sizeof text, "refused %s %s %s %u %s", protocol, name != NULL ? name : "-", where,
                  port, rule);
  say (control, text);
}

void
net_control_done (NetControl *control)
{
  char reply[64];

  (void)snprintf (reply, sizeof reply, "policy %s ok", control->serial);
  say (control, reply);
}

void
net_control_stats (NetControl *control, const char *words)
{
  char text[REPLY_MAX];

  (void)snprintf (text, sizeof text, "stats %s", words);
  say (control, text);
}
