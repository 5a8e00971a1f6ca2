/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How it works: one GSource polls the descriptor for what is wanted: input while reading is on, output while
 * the queue is not empty. Errors are only noted where they are found; the source then becomes ready by itself
 * and reports them, so `closed` never comes from inside a call of the user. A failed write does not end the
 * stream before what the peer has sent is read: QEMU says why it goes (SHUTDOWN, the reply to quit), then it
 * goes. */
#include "qmp/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "qmp/client.h"
#include "vmctl/base/fd.h"

enum { PIECE = 32768 };

typedef struct {
  GBytes *bytes;
  gsize offset;
  GArray *fds; /* owned descriptors; NULL when none, or when they are on their way */
} Chunk;

struct QmpStream {
  int refs;
  int fd;
  const QmpStreamHandlers *handlers; /* borrowed */
  gpointer data;
  GSource *source;
  gpointer tag; /* of fd in source; NULL when it is not polled */
  GQueue queue; /* of Chunk */
  gsize queued;
  gsize queue_max;
  gboolean reading;
  gboolean ended;
  gboolean write_failed;
  gboolean freed;
  gboolean reported;
  GError *failure;
};

typedef struct {
  GSource base;
  QmpStream *stream; /* borrowed: the stream destroys its source */
} StreamSource;

static void
close_fds (GArray *fds)
{
  for (guint i = 0; i < fds->len; i++)
    (void)close (g_array_index (fds, int, i));
  g_array_set_size (fds, 0);
}

static void
chunk_free (gpointer data)
{
  Chunk *chunk = data;

  g_bytes_unref (chunk->bytes);
  if (chunk->fds != NULL) {
    close_fds (chunk->fds);
    g_array_unref (chunk->fds);
  }
  g_free (chunk);
}

static void
drop_queue (QmpStream *stream)
{
  g_queue_clear_full (&stream->queue, chunk_free);
  stream->queued = 0;
}

static void
stream_unref (QmpStream *stream)
{
  if (--stream->refs > 0)
    return;
  g_clear_error (&stream->failure);
  g_free (stream);
}

/* Makes the source run once although nothing happens on the descriptor. */
static void
wake (QmpStream *stream)
{
  g_source_set_ready_time (stream->source, 0);
}

static void
update (QmpStream *stream)
{
  GIOCondition wanted = G_IO_HUP | G_IO_ERR;

  if (stream->tag == NULL)
    return;
  if (stream->failure != NULL) {
    g_source_remove_unix_fd (stream->source, g_steal_pointer (&stream->tag));
    wake (stream);
    return;
  }
  if (stream->reading && !stream->ended)
    wanted |= G_IO_IN;
  if (!g_queue_is_empty (&stream->queue))
    wanted |= G_IO_OUT;
  g_source_modify_unix_fd (stream->source, stream->tag, wanted);
}

void
qmp_stream_fail (QmpStream *stream, GError *take_error)
{
  if (stream->failure != NULL || stream->freed) {
    g_error_free (take_error);
    return;
  }
  stream->failure = take_error;
  drop_queue (stream);
  update (stream);
}

static void
fail_errno (QmpStream *stream, int err)
{
  qmp_stream_fail (
      stream, g_error_new (QMP_ERROR, QMP_ERROR_DISCONNECTED, "the connection broke: %s", g_strerror (err)));
}

static void
fail_gone (QmpStream *stream)
{
  qmp_stream_fail (stream, g_error_new_literal (QMP_ERROR, QMP_ERROR_DISCONNECTED,
                                                "the other side closed the connection"));
}

/* The rest of the input is still read; what cannot be written is dropped. */
static void
write_failed (QmpStream *stream)
{
  stream->write_failed = TRUE;
  drop_queue (stream);
  wake (stream);
}

static void
write_queue (QmpStream *stream)
{
  Chunk *chunk;

  while ((chunk = g_queue_peek_head (&stream->queue)) != NULL) {
    gsize size;
    const char *bytes = g_bytes_get_data (chunk->bytes, &size);
    gssize n = vm_fd_send (stream->fd, bytes + chunk->offset, size - chunk->offset,
                           chunk->fds != NULL ? (const int *)(void *)chunk->fds->data : NULL,
                           chunk->fds != NULL ? chunk->fds->len : 0);

    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
      return;
    if (n < 0) {
      write_failed (stream);
      return;
    }
    if (chunk->fds != NULL) {
      close_fds (chunk->fds);
      g_clear_pointer (&chunk->fds, g_array_unref);
    }
    chunk->offset += (gsize)n;
    stream->queued -= (gsize)n;
    if (chunk->offset == size)
      chunk_free (g_queue_pop_head (&stream->queue));
  }
}

static void
input_ended (QmpStream *stream, GIOCondition now)
{
  stream->ended = TRUE;
  if (stream->handlers->ended == NULL || (now & (G_IO_HUP | G_IO_ERR)) != 0)
    fail_gone (stream);
  else
    stream->handlers->ended (stream, stream->data);
}

static void
read_piece (QmpStream *stream, GIOCondition now)
{
  g_autofree char *piece = g_malloc (PIECE);
  g_autoptr (GArray) fds = g_array_new (FALSE, FALSE, sizeof (int));
  gssize n = vm_fd_recv (stream->fd, piece, PIECE, fds);

  if (n > 0) {
    stream->handlers->input (stream, piece, (gsize)n, fds, stream->data);
    close_fds (fds);
  } else if (n == 0) {
    input_ended (stream, now);
  } else if (errno != EAGAIN && errno != EWOULDBLOCK) {
    fail_errno (stream, errno);
  } else if (stream->write_failed) {
    fail_gone (stream);
  }
}

static void
report (QmpStream *stream)
{
  stream->reported = TRUE;
  stream->handlers->closed (stream, stream->failure, stream->data);
}

static gboolean
stream_dispatch (GSource *source, GSourceFunc callback, gpointer user_data)
{
  QmpStream *stream = ((StreamSource *)(void *)source)->stream;
  GIOCondition now = stream->tag != NULL ? g_source_query_unix_fd (source, stream->tag) : 0;
  gboolean had_output = !g_queue_is_empty (&stream->queue);

  stream->refs++;
  g_source_set_ready_time (source, -1);
  if (stream->failure == NULL && (now & G_IO_OUT) != 0)
    write_queue (stream);
  if (stream->failure == NULL && stream->reading && !stream->ended &&
      (stream->write_failed || (now & (G_IO_IN | G_IO_HUP | G_IO_ERR)) != 0))
    read_piece (stream, now);
  else if (stream->failure == NULL && (stream->write_failed || (now & (G_IO_HUP | G_IO_ERR)) != 0))
    fail_gone (stream);
  if (!stream->freed && stream->failure == NULL && had_output && g_queue_is_empty (&stream->queue) &&
      stream->handlers->drained != NULL)
    stream->handlers->drained (stream, stream->data);
  if (!stream->freed && stream->failure == NULL)
    update (stream);
  if (!stream->freed && stream->failure != NULL && !stream->reported)
    report (stream);
  stream_unref (stream);
  return G_SOURCE_CONTINUE;
}

static GSourceFuncs source_funcs = {.dispatch = stream_dispatch};

QmpStream *
qmp_stream_new (int take_fd, gsize queue_max, const QmpStreamHandlers *handlers, gpointer data)
{
  QmpStream *stream = g_new0 (QmpStream, 1);
  g_autoptr (GError) error = NULL;

  stream->refs = 1;
  stream->fd = take_fd;
  stream->handlers = handlers;
  stream->data = data;
  stream->queue_max = queue_max;
  stream->reading = TRUE;
  g_queue_init (&stream->queue);
  stream->source = g_source_new (&source_funcs, sizeof (StreamSource));
  ((StreamSource *)(void *)stream->source)->stream = stream;
  g_source_set_static_name (stream->source, "qmp-stream");
  /* A handler may wait for the answer to a command of its own. */
  g_source_set_can_recurse (stream->source, TRUE);
  if (vm_fd_set_nonblocking (take_fd, TRUE, &error))
    stream->tag = g_source_add_unix_fd (stream->source, take_fd, G_IO_IN | G_IO_HUP | G_IO_ERR);
  g_source_attach (stream->source, g_main_context_get_thread_default ());
  if (stream->tag == NULL) {
    stream->failure = g_error_new_literal (QMP_ERROR, QMP_ERROR_DISCONNECTED, error->message);
    wake (stream);
  }
  return stream;
}

void
qmp_stream_free (QmpStream *stream)
{
  if (stream == NULL || stream->freed)
    return;
  stream->freed = TRUE;
  g_source_destroy (stream->source);
  g_clear_pointer (&stream->source, g_source_unref);
  stream->tag = NULL;
  drop_queue (stream);
  vm_fd_clear (&stream->fd);
  stream_unref (stream);
}

/* NULL if one cannot be duplicated. */
static GArray *
duplicate_fds (const int *fds, guint n_fds)
{
  g_autoptr (GArray) copies = g_array_sized_new (FALSE, FALSE, sizeof (int), n_fds);

  for (guint i = 0; i < n_fds; i++) {
    int fd = fcntl (fds[i], F_DUPFD_CLOEXEC, 3);

    if (fd < 0) {
      close_fds (copies);
      return NULL;
    }
    g_array_append_val (copies, fd);
  }
  return g_steal_pointer (&copies);
}

gboolean
qmp_stream_send (QmpStream *stream, GBytes *bytes, const int *fds, guint n_fds)
{
  gsize size = g_bytes_get_size (bytes);
  Chunk *chunk;
  GArray *copies = NULL;

  if (stream->failure != NULL || stream->write_failed || size == 0)
    return TRUE;
  if (size > stream->queue_max - stream->queued || n_fds > 16)
    return FALSE;
  if (n_fds > 0 && (copies = duplicate_fds (fds, n_fds)) == NULL)
    return FALSE;
  chunk = g_new0 (Chunk, 1);
  chunk->bytes = g_bytes_ref (bytes);
  chunk->fds = copies;
  g_queue_push_tail (&stream->queue, chunk);
  stream->queued += size;
  if (stream->queue.length == 1)
    write_queue (stream);
  update (stream);
  return TRUE;
}

gsize
qmp_stream_queued (QmpStream *stream)
{
  return stream->queued;
}

void
qmp_stream_set_reading (QmpStream *stream, gboolean reading)
{
  stream->reading = reading;
  update (stream);
}
