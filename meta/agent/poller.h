/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The set of descriptors of one turn of the loop. Filled anew each turn; a descriptor in it with no events
 * would still report POLLHUP for ever, so who is not interested stays out (index -1). */
#pragma once

#include <poll.h>

enum { POLLER_MAX = 440 };

typedef struct {
  struct pollfd fds[POLLER_MAX];
  int n;
} Poller;

static inline int
poller_add (Poller *poller, int fd, short events)
{
  if (fd < 0 || poller->n >= POLLER_MAX)
    return -1;
  poller->fds[poller->n] = (struct pollfd){.fd = fd, .events = events};
  return poller->n++;
}

static inline short
poller_events (const Poller *poller, int index)
{
  return index >= 0 && index < poller->n ? poller->fds[index].revents : 0;
}
