/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How it works
 *
 * A virtio port has no end of file and no second connection: while no host listens, poll() says POLLHUP (all
 * the time, so the port then stays out of the poll set and a timer asks), read() returns 0, and write() says
 * EAGAIN; afterwards it goes on as if nothing had been. Bytes of the old connection may still be in it, on
 * both sides: ours are thrown away here, the host's are what FRAME_PREAMBLE is for. A host that is replaced
 * while the guest does not run, or faster than the guest looks, goes unseen: the host side mends that by
 * connecting again when no preamble comes.
 *
 * Bulk output goes from a command's pipe to the port by splice(), by way of a pipe of our own. The detour is
 * needed twice: the header in front says how many bytes follow, so they have to be ours before it is written;
 * and virtio_console's splice_write hands QEMU a broken buffer (which ends the device) unless it is asked for
 * all that the pipe holds, which for a pipe that somebody writes to is never sure. */
#include "meta/agent/link.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "meta/agent/util.h"

enum { PORT_RETRY_MS = 50, PORT_EAGER_MS = 1, PORT_WRITE_MAX = 32768, DRAIN_READS = 64 };

int
link_init (Link *link, LinkKind kind, int fd)
{
  *link = (Link){.kind = kind, .fd = fd, .listen_fd = -1, .poll = -1, .pipe = {-1, -1}};
  if (kind == LINK_LISTEN) {
    link->listen_fd = fd;
    link->fd = -1;
  }
  (void)fcntl (fd, F_SETFD, FD_CLOEXEC);
  (void)fcntl (fd, F_SETFL, fcntl (fd, F_GETFL) | O_NONBLOCK);
  if (kind == LINK_PORT)
    (void)!pipe2 (link->pipe, O_CLOEXEC | O_NONBLOCK);
  link->in = malloc (FRAME_READER_SIZE);
  link->out_room = 2 * LINK_HIGH_WATER;
  link->out = malloc (link->out_room);
  if (!link->in || !link->out)
    return -ENOMEM;
  frame_reader_init (&link->reader, link->in);
  return 0;
}

void
link_free (Link *link)
{
  close_fd (&link->fd);
  close_fd (&link->listen_fd);
  close_fd (&link->pipe[0]);
  close_fd (&link->pipe[1]);
  free (link->in);
  free (link->out);
}

size_t
link_unsent (const Link *link)
{
  return link->out_end - link->out_start + link->spliced;
}

void
link_prepare_poll (Link *link, Poller *poller)
{
  short events = 0;

  link->poll = -1;
  if (link->state == LINK_DOWN && link->kind == LINK_LISTEN)
    link->poll = poller_add (poller, link->listen_fd, POLLIN);
  if (link->state == LINK_BROKEN)
    link->poll = poller_add (poller, link->fd, 0);
  if (link->state != LINK_UP)
    return;
  if (link_unsent (link) < 2 * LINK_HIGH_WATER)
    events |= POLLIN;
  if (link_unsent (link) > 0)
    events |= POLLOUT;
  link->poll = poller_add (poller, link->fd, events);
}

int
link_timeout (const Link *link)
{
  if (link->state != LINK_DOWN || link->kind == LINK_LISTEN)
    return -1;
  if (link->kind != LINK_PORT)
    return 0;
  return link->is_eager ? PORT_EAGER_MS : PORT_RETRY_MS;
}

static void
drain_input (Link *link)
{
  for (int i = 0; i < DRAIN_READS; i++)
    if (read (link->fd, link->in, FRAME_READER_SIZE) <= 0)
      return;
}

static bool
port_has_host (Link *link)
{
  struct pollfd fd = {.fd = link->fd, .events = POLLIN};

  drain_input (link);
  if (poll (&fd, 1, 0) < 0 || (fd.revents & (POLLHUP | POLLERR | POLLNVAL)))
    return false;
  drain_input (link); /* what came between the two */
  return true;
}

bool
link_try_up (Link *link, const Poller *poller)
{
  if (link->state != LINK_DOWN)
    return false;
  if (link->kind == LINK_LISTEN) {
    if (!poller_events (poller, link->poll))
      return false;
    link->fd = accept4 (link->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (link->fd < 0)
      return false;
    link->poll = -1; /* it was the listening one's */
  }
  if (link->kind == LINK_PORT && !port_has_host (link))
    return false;
  link->state = LINK_UP;
  link->is_eager = false;
  return true;
}

ssize_t
link_read (Link *link)
{
  size_t room;
  uint8_t *space = frame_reader_space (&link->reader, &room);
  ssize_t n = read (link->fd, space, room);

  if (n == 0)
    return -ECONNRESET;
  if (n < 0)
    return errno == EAGAIN || errno == EINTR ? 0 : -errno;
  frame_reader_filled (&link->reader, (size_t)n);
  return n;
}

/* Room for `n` more bytes at the end of the queue. */
static uint8_t *
queue_space (Link *link, size_t n)
{
  if (link->state != LINK_UP || link->failed)
    return NULL;
  if (link->out_room - link->out_end < n && link->out_start > 0) {
    memmove (link->out, link->out + link->out_start, link->out_end - link->out_start);
    link->out_end -= link->out_start;
    link->out_start = 0;
  }
  if (link->out_room - link->out_end < n) {
    size_t room = 2 * link->out_room + n;
    uint8_t *out = realloc (link->out, room);
    if (!out) {
      link->failed = true;
      return NULL;
    }
    link->out = out;
    link->out_room = room;
  }
  return link->out + link->out_end;
}

/* One write from the queue. 1: go on; 0: the host takes no more now. */
static int
write_queue (Link *link)
{
  size_t n = link->spliced > 0 ? link->before : link->out_end - link->out_start;
  ssize_t r;

  if (link->kind == LINK_PORT && n > PORT_WRITE_MAX)
    n = PORT_WRITE_MAX;
  r = write (link->fd, link->out + link->out_start, n);
  if (r < 0 && errno == EINTR)
    return 1;
  if (r <= 0)
    return r == 0 || errno == EAGAIN ? 0 : -errno;
  link->out_start += (size_t)r;
  link->before -= link->spliced > 0 ? (size_t)r : 0;
  return 1;
}

/* The port would not take it by splice(): then as all the rest, from the queue. */
static int
unsplice (Link *link)
{
  size_t n = link->spliced;
  uint8_t *at;

  link->spliced = 0;
  at = queue_space (link, n);
  if (!at)
    return -ENOBUFS;
  memmove (link->out + link->out_start + n, link->out + link->out_start, link->out_end - link->out_start);
  link->out_end += n;
  if (read (link->pipe[0], link->out + link->out_start, n) != (ssize_t)n)
    return -EIO;
  close_fd (&link->pipe[0]);
  close_fd (&link->pipe[1]);
  return 1;
}

static int
write_spliced (Link *link)
{
  ssize_t r =
      splice (link->pipe[0], NULL, link->fd, NULL, FRAME_PAYLOAD_MAX, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

  if (r == 0)
    return -EIO; /* the driver has lost them */
  if (r < 0 && (errno == EAGAIN || errno == EINTR))
    return 0;
  if (r < 0)
    return unsplice (link);
  link->spliced -= (size_t)r;
  return 1;
}

int
link_flush (Link *link)
{
  int r = 1;

  if (link->failed)
    return -ENOBUFS;
  while (link->state == LINK_UP && r > 0 && link_unsent (link) > 0)
    r = link->spliced > 0 && link->before == 0 ? write_spliced (link) : write_queue (link);
  if (link->out_start == link->out_end)
    link->out_start = link->out_end = 0;
  return r < 0 ? r : 0;
}

bool
link_gone (const Link *link, const Poller *poller)
{
  short events = poller_events (poller, link->poll);

  if (link->state != LINK_UP && link->state != LINK_BROKEN)
    return false;
  if (link->kind == LINK_PORT)
    return events & (POLLHUP | POLLERR | POLLNVAL);
  return (events & (POLLERR | POLLNVAL)) != 0; /* a socket's last bytes count: read() tells */
}

/* A port cannot be closed for the host to see. The bytes of the preamble are no frame, so the host's decoder
 * stumbles over them, and that is the sign. */
static void
say_goodbye (Link *link, const char *why)
{
  link_send (link, FRAME_LOG, FRAME_CHANNEL_CONTROL, 0, why, strlen (why));
  if (link->kind == LINK_PORT)
    link_send_raw (link, FRAME_PREAMBLE, FRAME_PREAMBLE_SIZE);
  (void)link_flush (link);
}

void
link_drop (Link *link, bool broken, const char *why)
{
  if (link->state == LINK_UP && broken && !link->failed)
    say_goodbye (link, why);
  while (link->spliced > 0 && read (link->pipe[0], link->in, FRAME_READER_SIZE) > 0)
    ;
  link->out_start = link->out_end = link->spliced = link->before = 0;
  link->failed = false;
  frame_reader_init (&link->reader, link->in);
  if (link->kind == LINK_PORT) {
    link->state = broken ? LINK_BROKEN : LINK_DOWN;
    return;
  }
  close_fd (&link->fd);
  link->state = link->kind == LINK_LISTEN ? LINK_DOWN : LINK_ENDED;
}

bool
link_has_room (const Link *link)
{
  return link->state == LINK_UP && !link->failed && link_unsent (link) < LINK_HIGH_WATER;
}

void
link_send_raw (Link *link, const void *data, size_t n)
{
  uint8_t *at = queue_space (link, n);

  if (!at)
    return;
  memcpy (at, data, n);
  link->out_end += n;
}

void
link_send (Link *link, FrameType type, uint32_t channel, uint8_t stream, const void *payload, size_t n)
{
  FrameHeader header = {.length = (uint32_t)n, .channel = channel, .type = (uint8_t)type, .stream = stream};
  uint8_t *at = queue_space (link, FRAME_HEADER_SIZE + n);

  if (!at)
    return;
  frame_header_encode (at, &header);
  if (n > 0)
    memcpy (at + FRAME_HEADER_SIZE, payload, n);
  link->out_end += FRAME_HEADER_SIZE + n;
}

uint8_t *
link_reserve (Link *link, size_t n)
{
  uint8_t *at = queue_space (link, FRAME_HEADER_SIZE + n);

  return at ? at + FRAME_HEADER_SIZE : NULL;
}

void
link_commit (Link *link, uint32_t channel, uint8_t stream, size_t n)
{
  FrameHeader header = {.length = (uint32_t)n, .channel = channel, .type = FRAME_DATA, .stream = stream};

  frame_header_encode (link->out + link->out_end, &header);
  link->out_end += FRAME_HEADER_SIZE + n;
}

ssize_t
link_splice (Link *link, uint32_t channel, uint8_t stream, int fd, size_t max)
{
  FrameHeader header = {.channel = channel, .type = FRAME_DATA, .stream = stream};
  uint8_t *at;
  ssize_t n;

  if (link->pipe[0] < 0 || link_flush (link) < 0 || link_unsent (link) > 0)
    return 0;
  at = queue_space (link, FRAME_HEADER_SIZE);
  if (!at)
    return 0;
  n = splice (fd, NULL, link->pipe[1], NULL, max, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  if (n <= 0)
    return n < 0 && errno == EAGAIN ? -EAGAIN : 0;
  header.length = (uint32_t)n;
  frame_header_encode (at, &header);
  link->out_end += FRAME_HEADER_SIZE;
  link->before = FRAME_HEADER_SIZE;
  link->spliced = (size_t)n;
  return n;
}
