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
has_room (NetLogRate *rate)
{
  int64_t now = now_ms (CLOCK_MONOTONIC), passed = now - rate->refilled_ms;

  if (rate->refilled_ms == 0 || passed >= 1000) {
    int64_t more = rate->refilled_ms == 0 ? NET_LOG_BURST : passed / 1000 * NET_LOG_PER_SECOND;

    rate->room = rate->room + more < NET_LOG_BURST ? rate->room + (unsigned)more : NET_LOG_BURST;
    rate->refilled_ms = now;
  }
  return rate->room > 0;
}

static void
write_line (const NetLog *log, const char *line)
{
  struct stat st;

  if (fstat (log->fd, &st) == 0 && st.st_size + (off_t)strlen (line) > NET_LOG_LIMIT)
    (void)!ftruncate (log->fd, 0);
  (void)!write (log->fd, line, strlen (line)); /* a full disk is no reason to stop */
}

static void
write_address (uint32_t address, char *out, size_t size)
{
  if (address == 0)
    (void)snprintf (out, size, "-");
  else
    (void)snprintf (out, size, "%u.%u.%u.%u", address >> 24, address >> 16 & 255, address >> 8 & 255,
                    address & 255);
}

bool
net_log_write (NetLog *log, bool allowed, const char *protocol, const char *name, uint32_t address,
               uint16_t port, const char *rule)
{
  enum { LINE = 2048 }; /* a rule's text is shorter than its line in the policy */
  NetLogRate *rate = allowed ? &log->allowed : &log->refused;
  const char *verdict = allowed ? "allow" : "refuse";
  int64_t now = now_ms (CLOCK_REALTIME);
  char line[LINE], stamp[32], where[16];

  if (log->fd < 0)
    return false;
  if (!has_room (rate)) {
    rate->left_out++;
    return false;
  }
  rate->room--;
  (void)snprintf (stamp, sizeof stamp, "%lld.%03d", (long long)(now / 1000), (int)(now % 1000));
  if (rate->left_out > 0) {
    (void)snprintf (line, sizeof line, "%s %s %u more\n", stamp, verdict, rate->left_out);
    write_line (log, line);
    rate->left_out = 0;
  }
  write_address (address, where, sizeof where);
  (void)snprintf (line, sizeof line, "%s %s %s %s %s %u %s\n", stamp, verdict, protocol,
                  name != NULL ? name : "-", where, port, rule);
  write_line (log, line);
  return true;
}
