/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the loop of vmctl-net waits for: each module adds its descriptors before, and looks at them after. */
#pragma once

#include <poll.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
  struct pollfd *fds; /* owned */
  size_t n, room;
  int timeout_ms; /* -1: none; the least of what was asked for */
} NetPoll;

/* The index of the new entry. Aborts without memory: the keeper starts another. */
size_t net_poll_add (NetPoll *poll, int fd, short events);
/* Wakes at `deadline_ms` (of `now_ms`'s clock) at the latest. */
void net_poll_until (NetPoll *poll, int64_t now_ms, int64_t deadline_ms);
