/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The connection to the host: a virtio-serial port, an inherited socket, or (for tests) a listening socket
 * that behaves as a port does. Knows frames, not what they mean. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "meta/agent/poller.h"
#include "meta/frame.h"

typedef enum { LINK_PORT, LINK_SOCKET, LINK_LISTEN } LinkKind;

typedef enum {
  LINK_DOWN,   /* no host */
  LINK_UP,     /* speaking */
  LINK_BROKEN, /* a port whose host broke the protocol: deaf and mute until it has disconnected */
  LINK_ENDED,  /* a socket: for good */
} LinkState;

/* Above this streams are not read: what the host does not take stays in the pipes. Twice this and the host is
 * not listened to either, since each of its frames may want an answer. */
enum { LINK_HIGH_WATER = 262144 };

typedef struct {
  LinkKind kind;
  LinkState state;
  int fd, listen_fd; /* owned; -1 */
  int poll;
  FrameReader reader;
  uint8_t *in;  /* owned, FRAME_READER_SIZE */
  uint8_t *out; /* owned; [start, end) waits to be written */
  size_t out_start, out_end, out_room;
  /* LINK_PORT: payload of a frame that is being sent without being copied. It goes out after the first
   * `before` bytes of the queue. */
  int pipe[2]; /* owned; -1: cannot be had */
  size_t spliced, before;
  bool is_eager; /* LINK_PORT: a host is sure to come at once */
  bool failed;   /* no memory for the queue, or writing failed: to be dropped */
} Link;

int link_init (Link *link, LinkKind kind, int fd); /* takes the descriptor. 0 or -ENOMEM */
void link_free (Link *link);

void link_prepare_poll (Link *link, Poller *poller);
int link_timeout (const Link *link); /* ms until link_try_up wants to be called, -1: poll tells */

/* LINK_DOWN: is there a host now? Then throws away what is left of an older connection. true: it is up. */
bool link_try_up (Link *link, const Poller *poller);
/* One read. Bytes read; 0: nothing now; -errno: the host has gone. */
ssize_t link_read (Link *link);
int link_flush (Link *link); /* writes what can be written. 0 or -errno: the host has gone */
bool link_gone (const Link *link, const Poller *poller); /* the host has disconnected */
/* Lets go of the connection. `broken`: by our will, since the host broke the protocol. */
void link_drop (Link *link, bool broken, const char *why);

size_t link_unsent (const Link *link);
bool link_has_room (const Link *link); /* up, and below the high water mark */
/* Queues; does nothing while there is no host. */
void link_send (Link *link, FrameType type, uint32_t channel, uint8_t stream, const void *payload, size_t n);
void link_send_raw (Link *link, const void *data, size_t n);
/* DATA read straight into the queue: room for a header and `n` bytes (points at the bytes), then what came.
 */
/* DATA moved from the pipe `fd` without reading it: bytes moved; 0: not now, read() it; -EAGAIN: it is empty.
 */
ssize_t link_splice (Link *link, uint32_t channel, uint8_t stream, int fd, size_t max);
uint8_t *link_reserve (Link *link, size_t n);
void link_commit (Link *link, uint32_t channel, uint8_t stream, size_t n);
