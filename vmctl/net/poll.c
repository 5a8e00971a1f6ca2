/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/net/poll.h"

#include <stdlib.h>

size_t
net_poll_add (NetPoll *poll, int fd, short events)
{
  if (poll->n == poll->room) {
    size_t room = poll->room * 2 + 64;
    struct pollfd *more = realloc (poll->fds, room * sizeof *more);

    if (more == NULL)
      abort (); /* the keeper starts another */
    poll->fds = more;
    poll->room = room;
  }
  poll->fds[poll->n] = (struct pollfd){.fd = fd, .events = events};
  return poll->n++;
}

void
net_poll_until (NetPoll *poll, int64_t now_ms, int64_t deadline_ms)
{
  int64_t left = deadline_ms > now_ms ? deadline_ms - now_ms : 0;

  if (left > INT32_MAX)
    left = INT32_MAX;
  if (poll->timeout_ms < 0 || left < poll->timeout_ms)
    poll->timeout_ms = (int)left;
}
