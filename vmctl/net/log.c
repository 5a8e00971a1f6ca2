/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/net/log.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int64_t
now_ms (clockid_t clock)
{
  struct timespec now;

  (void)clock_gettime (clock, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool
has_room (NetLog *log)
{
  int64_t now = now_ms (CLOCK_MONOTONIC), passed = now - log->refilled_ms;

  if (log->refilled_ms == 0 || passed >= 1000) {
    int64_t more = log->refilled_ms == 0 ? NET_LOG_BURST : passed / 1000 * NET_LOG_PER_SECOND;

    log->room = log->room + more < NET_LOG_BURST ? log->room + (unsigned)more : NET_LOG_BURST;
    log->refilled_ms = now;
  }
  return log->room > 0;
}

static void
write_line (const NetLog *log, const char *line)
{
  struct stat st;

  if (fstat (log->fd, &st) == 0 && st.st_size + (off_t)strlen (line) > NET_LOG_LIMIT)
    (void)!ftruncate (log->fd, 0);
  (void)!write (log->fd, line, strlen (line)); /* a full disk is no reason to stop */
}

static const char *
protocol_name (const NetFrame *f, char buffer[8])
{
  switch (f->kind) {
  case NET_TCP:
    return "tcp";
  case NET_UDP:
    return "udp";
  case NET_ICMP:
    return "icmp";
  case NET_ARP:
    return "arp";
  case NET_OTHER:
    break;
  }
  (void)snprintf (buffer, 8, "%u", f->protocol);
  return buffer;
}

void
net_log_refused (NetLog *log, const NetFrame *f, const char *why)
{
  int64_t now = now_ms (CLOCK_REALTIME);
  uint32_t to = f->destination;
  char line[256], number[8];

  if (log->fd < 0)
    return;
  if (!has_room (log)) {
    log->left_out++;
    return;
  }
  log->room--;
  if (log->left_out > 0) {
    (void)snprintf (line, sizeof line, "%lld.%03d - %u more\n", (long long)(now / 1000), (int)(now % 1000),
                    log->left_out);
    write_line (log, line);
    log->left_out = 0;
  }
  (void)snprintf (line, sizeof line, "%lld.%03d refuse %s %u.%u.%u.%u %u %s\n", (long long)(now / 1000),
                  (int)(now % 1000), protocol_name (f, number), to >> 24, to >> 16 & 255, to >> 8 & 255,
                  to & 255, f->destination_port, why);
  write_line (log, line);
}
