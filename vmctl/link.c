/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/link.h"

#include <errno.h>
#include <glib-unix.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "vmctl/base/fd.h"

enum {
  SOCKET_BUFFER = 1 << 20,
  COMPACT_AT = 1 << 16,
  READS_A_TURN = 16,    /* so that one busy peer does not starve the others */
  READS_TO_DRAIN = 256, /* more than a socket holds */
  /* Flow control keeps the queue far below this; a peer that makes us answer and does not read ends here. */
  QUEUE_MAX = 32 << 20,
};

struct VmLink {
  int fd; /* owned */
  const VmLinkHandlers *handlers;
  gpointer data;
  GSource *source; /* owned */
  gpointer tag;
  FrameReader reader;
  guint8 *buffer;    /* owned */
  GByteArray *queue; /* owned; bytes from `sent` on wait */
  gsize sent;
  gboolean wants_preamble, dead, wants_output;
  gboolean finishing; /* nothing more will be sent: the peer sees the end once the queue is out */
  gboolean mute;      /* the peer takes nothing any more */
  gboolean overflow;  /* the queue grew beyond bounds: to be closed at the next turn */
  unsigned preamble_state;
  int *freed; /* set while a callback runs: where to note that the link is gone */
};

typedef struct {
  GSource source;
  VmLink *link;
} LinkSource;

static void
watch_output (VmLink *link, gboolean on)
{
  if (link->dead || link->wants_output == on)
    return;
  link->wants_output = on;
  g_source_modify_unix_fd (link->source, link->tag, on ? G_IO_IN | G_IO_OUT : G_IO_IN);
}

/* FALSE if a callback freed the link. */
static gboolean
die (VmLink *link, const char *why)
{
  int freed = 0, *outer = link->freed;

  if (link->dead)
    return TRUE;
  link->dead = TRUE;
  g_source_destroy (link->source);
  link->freed = &freed;
  link->handlers->closed (link, why, link->data);
  if (freed) {
    if (outer != NULL)
      *outer = 1;
    return FALSE;
  }
  link->freed = outer;
  return TRUE;
}

static void
end_sending (VmLink *link)
{
  if (link->finishing && !link->dead && link->queue->len == 0)
    (void)shutdown (link->fd, SHUT_WR); /* the peer may be gone: then that is seen anyway */
}

static void
flush (VmLink *link)
{
  while (!link->dead && link->sent < link->queue->len) {
    ssize_t n = send (link->fd, link->queue->data + link->sent, link->queue->len - link->sent, MSG_NOSIGNAL);

    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      break;
    link->sent += (gsize)n;
  }
  /* A peer that only stopped reading would make the socket writable for ever. Whether it has gone shows on
   * the reading side, behind its last words. */
  link->mute |= link->sent < link->queue->len && errno != EAGAIN;
  if (link->sent == link->queue->len || link->mute) {
    g_byte_array_set_size (link->queue, 0);
    link->sent = 0;
  } else if (link->sent >= COMPACT_AT) {
    g_byte_array_remove_range (link->queue, 0, (guint)link->sent);
    link->sent = 0;
  }
  watch_output (link, link->queue->len > 0);
  end_sending (link);
}

/* FALSE if the link died or was freed. */
static gboolean
deliver (VmLink *link)
{
  FrameHeader header;
  const uint8_t *payload;
  int r;

  while ((r = frame_reader_next (&link->reader, &header, &payload)) == 1) {
    int freed = 0;

    link->freed = &freed;
    link->handlers->frame (link, &header, payload, link->data);
    if (freed)
      return FALSE;
    link->freed = NULL;
    if (link->dead)
      return FALSE;
  }
  if (r < 0)
    return die (link, "malformed frame") && FALSE;
  return TRUE;
}

/* Bytes before the preamble are thrown away; those behind it move to the front. FALSE if the link was freed.
 */
static gboolean
skip_preamble (VmLink *link)
{
  int found = 0, freed = 0;
  size_t used = frame_preamble_find (&link->preamble_state, link->reader.buffer + link->reader.start,
                                     link->reader.end - link->reader.start, &found);

  link->reader.start += used;
  if (!found)
    return TRUE;
  link->wants_preamble = FALSE;
  if (link->handlers->greeted == NULL)
    return TRUE;
  link->freed = &freed;
  link->handlers->greeted (link, link->data);
  if (freed)
    return FALSE;
  link->freed = NULL;
  return TRUE;
}

/* FALSE if there is nothing more to read now, or no link any more. */
static gboolean
read_some (VmLink *link)
{
  size_t room;
  uint8_t *space = frame_reader_space (&link->reader, &room);
  ssize_t n = recv (link->fd, space, room, MSG_DONTWAIT);

  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return FALSE;
  if (n <= 0) {
    (void)die (link, n < 0 ? g_strerror (errno) : NULL);
    return FALSE;
  }
  frame_reader_filled (&link->reader, (size_t)n);
  if (link->wants_preamble && !skip_preamble (link))
    return FALSE;
  if (!link->wants_preamble && !deliver (link))
    return FALSE;
  return (size_t)n == room;
}

static gboolean
dispatch (GSource *source, GSourceFunc callback, gpointer user_data)
{
  VmLink *link = ((LinkSource *)source)->link;
  GIOCondition condition = g_source_query_unix_fd (source, link->tag);

  if (link->overflow) {
    (void)die (link, "too much waits to be sent");
    return G_SOURCE_CONTINUE;
  }
  if ((condition & G_IO_OUT) != 0)
    flush (link);
  if ((condition & (G_IO_IN | G_IO_HUP | G_IO_ERR)) != 0)
    for (int i = 0; i < READS_A_TURN && !g_source_is_destroyed (source) && read_some (link); i++)
      ;
  return G_SOURCE_CONTINUE;
}

static GSourceFuncs source_funcs = {.dispatch = dispatch};

VmLink *
vm_link_new (int take_fd, gboolean wants_preamble, const VmLinkHandlers *handlers, gpointer data)
{
  VmLink *link = g_new0 (VmLink, 1);
  int size = SOCKET_BUFFER;

  link->fd = take_fd;
  link->handlers = handlers;
  link->data = data;
  link->wants_preamble = wants_preamble;
  link->buffer = g_malloc (FRAME_READER_SIZE);
  link->queue = g_byte_array_new ();
  frame_reader_init (&link->reader, link->buffer);
  (void)vm_fd_set_nonblocking (take_fd, TRUE, NULL);
  /* Larger buffers mean fewer turns for bulk data; the default also works. */
  (void)setsockopt (take_fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  link->source = g_source_new (&source_funcs, sizeof (LinkSource));
  ((LinkSource *)link->source)->link = link;
  link->tag = g_source_add_unix_fd (link->source, take_fd, G_IO_IN);
  g_source_attach (link->source, g_main_context_get_thread_default ());
  return link;
}

void
vm_link_free (VmLink *link)
{
  if (link == NULL)
    return;
  if (link->freed != NULL)
    *link->freed = 1;
  g_source_destroy (link->source);
  g_source_unref (link->source);
  vm_fd_clear (&link->fd);
  g_byte_array_unref (link->queue);
  g_free (link->buffer);
  g_free (link);
}

/* The usual case: nothing waits, and header and payload go out in one call without being copied. Returns what
 * was sent. */
static gsize
send_now (VmLink *link, const guint8 *header, const void *payload, gsize length)
{
  struct iovec parts[2] = {{.iov_base = (void *)(guintptr)header, .iov_len = FRAME_HEADER_SIZE},
                           {.iov_base = (void *)(guintptr)payload, .iov_len = length}};
  struct msghdr message = {.msg_iov = parts, .msg_iovlen = length > 0 ? 2 : 1};
  ssize_t n;

  do
    n = sendmsg (link->fd, &message, MSG_NOSIGNAL);
  while (n < 0 && errno == EINTR);
  return n > 0 ? (gsize)n : 0;
}

void
vm_link_send (VmLink *link, FrameType type, guint32 channel, FrameStream stream, const void *payload,
              gsize length)
{
  FrameHeader header = {.length = (guint32)length, .channel = channel, .type = type, .stream = stream};
  guint8 encoded[FRAME_HEADER_SIZE];
  gsize done = 0;

  g_return_if_fail (length <= FRAME_PAYLOAD_MAX && !link->finishing);
  if (link->dead || link->overflow || link->mute)
    return;
  if (link->queue->len - link->sent > QUEUE_MAX) {
    /* Not now: the sender is in the middle of something with this link. */
    link->overflow = TRUE;
    g_source_set_ready_time (link->source, 0);
    return;
  }
  frame_header_encode (encoded, &header);
  if (link->queue->len == 0)
    done = send_now (link, encoded, payload, length);
  if (done < FRAME_HEADER_SIZE)
    g_byte_array_append (link->queue, encoded + done, (guint)(FRAME_HEADER_SIZE - done));
  done = done > FRAME_HEADER_SIZE ? done - FRAME_HEADER_SIZE : 0;
  if (done < length)
    g_byte_array_append (link->queue, (const guint8 *)payload + done, (guint)(length - done));
  watch_output (link, link->queue->len > 0);
}

void
vm_link_send_u32 (VmLink *link, FrameType type, guint32 channel, FrameStream stream, guint32 value)
{
  guint8 payload[4];

  frame_put_u32 (payload, value);
  vm_link_send (link, type, channel, stream, payload, sizeof payload);
}

void
vm_link_send_size (VmLink *link, guint32 channel, guint16 rows, guint16 columns)
{
  guint8 payload[4];

  frame_put_u16 (payload, rows);
  frame_put_u16 (payload + 2, columns);
  vm_link_send (link, FRAME_RESIZE, channel, FRAME_STDIN, payload, sizeof payload);
}

void
vm_link_append_field (GByteArray *payload, FrameTag tag, const void *value, gsize length)
{
  guint8 header[FRAME_FIELD_HEADER];

  frame_field_encode (header, tag, (guint32)length);
  g_byte_array_append (payload, header, sizeof header);
  if (length > 0)
    g_byte_array_append (payload, value, (guint)length);
}

void
vm_link_finish (VmLink *link)
{
  link->finishing = TRUE;
  end_sending (link);
}

gsize
vm_link_queued (VmLink *link)
{
  return link->queue->len - link->sent;
}

void
vm_link_drain (VmLink *link)
{
  for (int i = 0; i < READS_TO_DRAIN && read_some (link); i++)
    ;
}

void
vm_link_flush (VmLink *link, int timeout_ms)
{
  gint64 end = g_get_monotonic_time () + (gint64)timeout_ms * 1000;

  flush (link);
  while (!link->dead && vm_link_queued (link) > 0 && g_get_monotonic_time () < end) {
    struct pollfd p = {.fd = link->fd, .events = POLLOUT};

    if (poll (&p, 1, (int)MAX (0, (end - g_get_monotonic_time ()) / 1000)) < 0 && errno != EINTR)
      return;
    if ((p.revents & (POLLERR | POLLHUP)) != 0)
      return;
    flush (link);
  }
}
