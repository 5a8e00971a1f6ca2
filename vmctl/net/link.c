/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/net/link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { QUEUED_MAX = 4 << 20 };

struct NetQueued {
  NetQueued *next;
  size_t length;
  unsigned char bytes[];
};

void
net_link_init (NetLink *link, int fd)
{
  *link = (NetLink){.fd = fd};
  link->last = &link->first;
}

/* False: not now. A frame that the other end does not take is gone: that is what networks do. */
static bool
try_write (NetLink *link, const void *bytes, size_t length)
{
  ssize_t n;

  do
    n = write (link->fd, bytes, length);
  while (n < 0 && errno == EINTR);
  return n >= 0 || (errno != EAGAIN && errno != ENOBUFS);
}

void
net_link_send (NetLink *link, const void *bytes, size_t length)
{
  NetQueued *frame;

  if (link->gone || (link->first == NULL && try_write (link, bytes, length)))
    return;
  if (link->queued + length > QUEUED_MAX || (frame = malloc (sizeof *frame + length)) == NULL)
    return;
  frame->next = NULL;
  frame->length = length;
  memcpy (frame->bytes, bytes, length);
  *link->last = frame;
  link->last = &frame->next;
  link->queued += length;
}

void
net_link_flush (NetLink *link)
{
  while (link->first != NULL && (link->gone || try_write (link, link->first->bytes, link->first->length))) {
    NetQueued *frame = link->first;

    link->first = frame->next;
    if (link->first == NULL)
      link->last = &link->first;
    link->queued -= frame->length;
    free (frame);
  }
}

ssize_t
net_link_receive (NetLink *link, void *bytes, size_t size)
{
  ssize_t n;

  do
    n = read (link->fd, bytes, size);
  while (n < 0 && errno == EINTR);
  if (n < 0 && errno != EAGAIN)
    link->gone = true;
  return n;
}
