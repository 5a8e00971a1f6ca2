/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The packet descriptor: a tap, or a datagram socket to QEMU. One read or write, one frame. libc only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

typedef struct NetQueued NetQueued;

typedef struct {
  int fd;                   /* borrowed; non-blocking */
  bool gone;                /* the other end is */
  NetQueued *first, **last; /* frames that wait for room */
  size_t queued;            /* their bytes */
} NetLink;

void net_link_init (NetLink *link, int fd);
/* Now, or as soon as there is room; thrown away when far too many wait (TCP sends again). */
void net_link_send (NetLink *link, const void *bytes, size_t length);
/* When the descriptor has room. */
void net_link_flush (NetLink *link);
/* -1: nothing there. */
ssize_t net_link_receive (NetLink *link, void *bytes, size_t size);
