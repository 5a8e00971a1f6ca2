/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A nonblocking byte stream over a connected socket, both ways, with descriptors (SCM_RIGHTS), on the
 * thread-default main context. It wakes up only when there is something to do. Handlers may free the stream
 * and may run the main context themselves. */
#pragma once

#include <glib.h>

typedef struct QmpStream QmpStream;

typedef struct {
  /* Bytes came. `fds` (element type int) holds the descriptors that came with them: the kernel never puts
   * bytes after those of the message that carried them into the same piece. The callee takes them by emptying
   * the array; what it leaves is closed. Required. */
  void (*input) (QmpStream *stream, const char *bytes, gsize length, GArray *fds, gpointer data);
  /* The peer sends no more but still reads (half-closed). NULL: the stream is closed then. */
  void (*ended) (QmpStream *stream, gpointer data);
  /* The output queue has become empty. May be NULL. */
  void (*drained) (QmpStream *stream, gpointer data);
  /* Once, the last call: `error` is QMP_ERROR. Bytes that came before were handed out. Never called from
   * inside a function below. Required. */
  void (*closed) (QmpStream *stream, const GError *error, gpointer data);
} QmpStreamHandlers;

/* Takes `fd`; `handlers` is borrowed for ever. At most `queue_max` bytes wait to be written. */
QmpStream *qmp_stream_new (int take_fd, gsize queue_max, const QmpStreamHandlers *handlers, gpointer data);
/* Closes; drops what is queued; no handler is called any more. NULL is fine. */
void qmp_stream_free (QmpStream *stream);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (QmpStream, qmp_stream_free)

/* Writes or queues all of it. `fds` (borrowed, duplicated; at most 16) go with the first byte. FALSE, and
 * nothing of it is sent, if the queue would grow beyond its bound or a descriptor cannot be duplicated. On a
 * stream that is about to be closed it is dropped. */
gboolean qmp_stream_send (QmpStream *stream, GBytes *bytes, const int *fds, guint n_fds);

gsize qmp_stream_queued (QmpStream *stream); /* bytes */

/* Reading on (the start) or off. Off, a peer that has gone altogether is still noticed. */
void qmp_stream_set_reading (QmpStream *stream, gboolean reading);

/* Gives the connection up: `closed` will be called with this error from the main context. */
void qmp_stream_fail (QmpStream *stream, GError *take_error);
