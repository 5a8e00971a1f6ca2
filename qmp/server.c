/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How it works: what a peer sends is cut into inputs, each a message or a complaint, in `inbox`. peer_run
 * takes them in order and stops while PENDING_MAX requests wait for their answer; reading stops as long as
 * the inbox is not empty, so it never holds more than one piece of input. A request knows its peer, and the
 * peer its requests, so that an answer to a peer that has gone is dropped.
 *
 * Server and peers are counted: handlers may free the server at any time. A peer that only closed its sending
 * side (echo ... | socat) still gets its answers; it is closed after the last one. */
#include "qmp/server.h"

#include <errno.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

#include <glib-unix.h>

#include "qmp/message.h"
#include "qmp/stream.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/json.h"

enum { FDS_MAX = 16, ACCEPT_PAUSE_MS = 500 };

struct QmpServer {
  int refs;
  gboolean freed;
  int listen_fd;
  GMainContext *context;
  GSource *listener; /* accepts, or waits to accept again */
  json_object *version;
  QmpServerHandlers handlers;
  gpointer data;
  GQueue peers; /* of QmpPeer, counted */
};

struct QmpPeer {
  int refs;
  QmpServer *server; /* counted */
  QmpStream *stream; /* NULL once gone */
  QmpReader *reader;
  GArray *fds;     /* of the message that is not whole yet */
  GQueue inbox;    /* of Input */
  GQueue requests; /* of QmpRequest, borrowed: unanswered */
  GSource *resume;
  gboolean negotiated;
  gboolean running; /* in peer_run */
  gboolean ended;
  GList link; /* in server->peers */
};

typedef struct {
  QmpRead kind; /* MESSAGE or BAD */
  json_object *message;
  char *complaint;
  GArray *fds; /* may be NULL */
} Input;

struct QmpRequest {
  QmpPeer *peer; /* NULL once gone */
  gboolean has_id;
  json_object *id;
  GArray *fds; /* may be NULL */
  guint next_fd;
  GList link; /* in peer->requests */
};

static void listen_now (QmpServer *server);
static gboolean accept_later (gpointer data);

static void
close_fds (GArray **fds, guint from)
{
  for (guint i = from; *fds != NULL && i < (*fds)->len; i++)
    (void)close (g_array_index (*fds, int, i));
  g_clear_pointer (fds, g_array_unref);
}

static void
server_unref (QmpServer *server)
{
  if (--server->refs > 0)
    return;
  json_object_put (server->version);
  g_main_context_unref (server->context);
  g_free (server);
}

static void
input_free (gpointer data)
{
  Input *input = data;

  json_object_put (input->message);
  g_free (input->complaint);
  close_fds (&input->fds, 0);
  g_free (input);
}

static void
peer_unref (QmpPeer *peer)
{
  if (--peer->refs > 0)
    return;
  server_unref (peer->server);
  g_free (peer);
}

static void
clear_source (GSource **source)
{
  if (*source == NULL)
    return;
  g_source_destroy (*source);
  g_clear_pointer (source, g_source_unref);
}

/* The end of every peer. */
static void
peer_gone (QmpPeer *peer)
{
  QmpServer *server = peer->server;
  GList *link;

  if (peer->stream == NULL)
    return;
  g_clear_pointer (&peer->stream, qmp_stream_free);
  clear_source (&peer->resume);
  g_queue_unlink (&server->peers, &peer->link);
  while ((link = g_queue_pop_head_link (&peer->requests)) != NULL)
    ((QmpRequest *)link->data)->peer = NULL;
  g_queue_clear_full (&peer->inbox, input_free);
  g_clear_pointer (&peer->reader, qmp_reader_free);
  close_fds (&peer->fds, 0);
  if (server->handlers.peer_closed != NULL)
    server->handlers.peer_closed (server, peer, server->data);
  peer_unref (peer);
}

static void
peer_send_bytes (QmpPeer *peer, GBytes *bytes)
{
  if (!qmp_stream_send (peer->stream, bytes, NULL, 0))
    qmp_stream_fail (peer->stream, g_error_new_literal (QMP_ERROR, QMP_ERROR_DISCONNECTED,
                                                        "the peer does not read its answers"));
}

static void
peer_send (QmpPeer *peer, json_object *message)
{
  g_autoptr (GBytes) bytes = qmp_message_to_bytes (message);

  peer_send_bytes (peer, bytes);
}

/* The answer of the server itself: `id_from` is the message it belongs to, NULL if none. */
static void peer_error (QmpPeer *peer, json_object *id_from, const char *class_name, const char *format, ...)
    G_GNUC_PRINTF (4, 5);

static void
peer_error (QmpPeer *peer, json_object *id_from, const char *class_name, const char *format, ...)
{
  g_autofree char *desc = NULL;
  g_autoptr (json_object) message = NULL;
  json_object *id = NULL;
  va_list ap;

  va_start (ap, format);
  desc = g_strdup_vprintf (format, ap);
  va_end (ap);
  message = qmp_message_error (class_name, desc);
  if (json_object_is_type (id_from, json_type_object) && json_object_object_get_ex (id_from, "id", &id))
    vm_json_add (message, "id", json_object_get (id));
  peer_send (peer, message);
}

static QmpRequest *
request_new (QmpPeer *peer, json_object *message, GArray *take_fds)
{
  QmpRequest *request = g_new0 (QmpRequest, 1);

  request->peer = peer;
  request->has_id = json_object_object_get_ex (message, "id", &request->id);
  json_object_get (request->id);
  request->fds = take_fds;
  request->link.data = request;
  g_queue_push_tail_link (&peer->requests, &request->link);
  return request;
}

static void
negotiate (QmpPeer *peer, json_object *message, const char *name)
{
  g_autoptr (GError) error = NULL;

  if (g_strcmp0 (name, "qmp_capabilities") != 0) {
    peer_error (peer, message, "CommandNotFound",
                "Expecting capabilities negotiation with 'qmp_capabilities'");
  } else if (peer->negotiated) {
    peer_error (peer, message, "CommandNotFound",
                "Capabilities negotiation is already complete, command ignored");
  } else if (!qmp_message_check_capabilities (message, &error)) {
    peer_error (peer, message, NULL, "%s", error->message);
  } else {
    peer->negotiated = TRUE;
    qmp_request_return (request_new (peer, message, NULL), NULL);
  }
}

static void
peer_handle (QmpPeer *peer, Input *input)
{
  QmpServer *server = peer->server;
  g_autoptr (GError) error = NULL;
  const char *name;

  if (input->kind == QMP_READ_BAD) {
    peer_error (peer, NULL, NULL, "JSON parse error, %s", input->complaint);
    return;
  }
  if (!qmp_message_check_command (input->message, &error)) {
    peer_error (peer, input->message, NULL, "%s", error->message);
    return;
  }
  name = vm_json_str (input->message, "execute", "");
  if (!peer->negotiated || g_strcmp0 (name, "qmp_capabilities") == 0)
    negotiate (peer, input->message, name);
  else
    server->handlers.command (server, peer, name, vm_json_object (input->message, "arguments"),
                              request_new (peer, input->message, g_steal_pointer (&input->fds)),
                              server->data);
}

/* Handles what may be handled now, then sets whether more is read. */
static void
peer_run (QmpPeer *peer)
{
  gboolean busy = FALSE;

  if (peer->running || peer->stream == NULL)
    return;
  peer->running = TRUE;
  peer->refs++;
  while (peer->stream != NULL && !busy && !g_queue_is_empty (&peer->inbox)) {
    busy = peer->requests.length >= QMP_SERVER_PENDING_MAX;
    if (!busy) {
      Input *input = g_queue_pop_head (&peer->inbox);

      peer_handle (peer, input);
      input_free (input);
    }
  }
  peer->running = FALSE;
  if (peer->stream != NULL) {
    qmp_stream_set_reading (peer->stream, g_queue_is_empty (&peer->inbox) &&
                                              peer->requests.length < QMP_SERVER_PENDING_MAX);
    if (peer->ended && g_queue_is_empty (&peer->inbox) && g_queue_is_empty (&peer->requests) &&
        qmp_stream_queued (peer->stream) == 0)
      peer_gone (peer);
  }
  peer_unref (peer);
}

static gboolean
peer_resume (gpointer data)
{
  QmpPeer *peer = data;

  clear_source (&peer->resume);
  peer_run (peer);
  return G_SOURCE_REMOVE;
}

/* An answer was given from outside peer_run: go on from the main context, so that the handler is not entered
 * from inside qmp_request_return. */
static void
peer_schedule (QmpPeer *peer)
{
  if (peer->running || peer->resume != NULL)
    return;
  peer->resume = g_idle_source_new ();
  g_source_set_priority (peer->resume, G_PRIORITY_DEFAULT);
  g_source_set_callback (peer->resume, peer_resume, peer, NULL);
  g_source_attach (peer->resume, peer->server->context);
}

static void
request_finish (QmpRequest *request, json_object *take_message)
{
  QmpPeer *peer = request->peer;

  if (peer != NULL) {
    g_queue_unlink (&peer->requests, &request->link);
    if (request->has_id)
      vm_json_add (take_message, "id", json_object_get (request->id));
    peer_send (peer, take_message);
    peer_schedule (peer);
  }
  json_object_put (take_message);
  json_object_put (request->id);
  close_fds (&request->fds, request->next_fd);
  g_free (request);
}

void
qmp_request_return (QmpRequest *take_request, json_object *take_ret)
{
  request_finish (take_request, qmp_message_return (take_ret));
}

void
qmp_request_error (QmpRequest *take_request, const char *class_name, const char *format, ...)
{
  g_autofree char *desc = NULL;
  va_list ap;

  va_start (ap, format);
  desc = g_strdup_vprintf (format, ap);
  va_end (ap);
  request_finish (take_request, qmp_message_error (class_name, desc));
}

void
qmp_request_error_from (QmpRequest *take_request, const GError *error)
{
  request_finish (take_request, qmp_message_error (qmp_error_class (error), error->message));
}

void
qmp_request_forward (QmpRequest *take_request, json_object *reply)
{
  static const char *const keys[] = {"return", "error"};
  json_object *value;

  for (guint i = 0; i < G_N_ELEMENTS (keys); i++)
    if (json_object_is_type (reply, json_type_object) && json_object_object_get_ex (reply, keys[i], &value)) {
      json_object *message = json_object_new_object ();

      vm_json_add (message, keys[i], json_object_get (value));
      request_finish (take_request, message);
      return;
    }
  request_finish (take_request, qmp_message_error (NULL, "no reply to pass on"));
}

int
qmp_request_take_fd (QmpRequest *request)
{
  if (request->fds == NULL || request->next_fd >= request->fds->len)
    return -1;
  return g_array_index (request->fds, int, request->next_fd++);
}

QmpPeer *
qmp_request_peer (QmpRequest *request)
{
  return request->peer;
}

/* Descriptors belong to the last message that begins in their piece of input: the kernel ends a piece after
 * the bytes that carried some. No more than FDS_MAX a message. */
static void
give_fds (GArray **to, GArray *fds)
{
  if (fds->len == 0)
    return;
  if (*to == NULL)
    *to = g_array_new (FALSE, FALSE, sizeof (int));
  if ((*to)->len + fds->len > FDS_MAX)
    return; /* the stream closes them */
  g_array_append_vals (*to, fds->data, fds->len);
  g_array_set_size (fds, 0);
}

static Input *
read_input (QmpPeer *peer)
{
  g_autoptr (GError) error = NULL;
  json_object *message = NULL;
  QmpRead kind = qmp_reader_next (peer->reader, &message, &error);
  Input *input;

  if (kind == QMP_READ_TOO_LONG)
    qmp_stream_fail (peer->stream, g_steal_pointer (&error));
  if (kind != QMP_READ_MESSAGE && kind != QMP_READ_BAD)
    return NULL;
  input = g_new0 (Input, 1);
  input->kind = kind;
  input->message = message;
  input->complaint = error != NULL ? g_strdup (error->message) : NULL;
  input->fds = g_steal_pointer (&peer->fds);
  g_queue_push_tail (&peer->inbox, input);
  return input;
}

static void
on_input (QmpStream *stream, const char *bytes, gsize length, GArray *fds, gpointer data)
{
  QmpPeer *peer = data;
  Input *last = NULL, *input;

  qmp_reader_feed (peer->reader, bytes, length);
  while ((input = read_input (peer)) != NULL)
    last = input;
  give_fds (last != NULL && !qmp_reader_is_partial (peer->reader) ? &last->fds : &peer->fds, fds);
  peer_run (peer);
}

static void
on_ended (QmpStream *stream, gpointer data)
{
  QmpPeer *peer = data;

  peer->ended = TRUE;
  peer_run (peer);
}

static void
on_drained (QmpStream *stream, gpointer data)
{
  QmpPeer *peer = data;

  if (peer->ended)
    peer_run (peer);
}

static void
on_closed (QmpStream *stream, const GError *error, gpointer data)
{
  peer_gone (data);
}

static const QmpStreamHandlers stream_handlers = {
    .input = on_input, .ended = on_ended, .drained = on_drained, .closed = on_closed};

static void
peer_new (QmpServer *server, int take_fd)
{
  QmpPeer *peer = g_new0 (QmpPeer, 1);
  g_autoptr (json_object) greeting = qmp_message_greeting (json_object_get (server->version));

  peer->refs = 1;
  peer->server = server;
  server->refs++;
  peer->reader = qmp_reader_new ();
  g_queue_init (&peer->inbox);
  g_queue_init (&peer->requests);
  peer->link.data = peer;
  g_queue_push_tail_link (&server->peers, &peer->link);
  peer->stream = qmp_stream_new (take_fd, QMP_SERVER_QUEUE_MAX, &stream_handlers, peer);
  peer_send (peer, greeting);
}

/* Ours and root. */
static gboolean
peer_is_allowed (int fd)
{
  uid_t uid;

  return vm_fd_peer_uid (fd, &uid, NULL) && (uid == geteuid () || uid == 0);
}

static gboolean
on_accept (int listen_fd, GIOCondition condition, gpointer data)
{
  QmpServer *server = data;
  vm_autofd fd = accept4 (listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

  if (fd >= 0) {
    if (server->peers.length < QMP_SERVER_PEERS_MAX && peer_is_allowed (fd))
      peer_new (server, vm_fd_steal (&fd));
  } else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
    /* Out of descriptors, most likely: the connection stays readable, so do not spin. */
    clear_source (&server->listener);
    server->listener = g_timeout_source_new (ACCEPT_PAUSE_MS);
    g_source_set_callback (server->listener, G_SOURCE_FUNC (accept_later), server, NULL);
    g_source_attach (server->listener, server->context);
    return G_SOURCE_REMOVE;
  }
  return G_SOURCE_CONTINUE;
}

static gboolean
accept_later (gpointer data)
{
  QmpServer *server = data;

  clear_source (&server->listener);
  listen_now (server);
  return G_SOURCE_REMOVE;
}

static void
listen_now (QmpServer *server)
{
  server->listener = g_unix_fd_source_new (server->listen_fd, G_IO_IN);
  g_source_set_callback (server->listener, G_SOURCE_FUNC (on_accept), server, NULL);
  g_source_attach (server->listener, server->context);
}

QmpServer *
qmp_server_new (int take_listen_fd, json_object *take_version, const QmpServerHandlers *handlers,
                gpointer data)
{
  QmpServer *server = g_new0 (QmpServer, 1);

  server->refs = 1;
  server->context = g_main_context_ref_thread_default ();
  server->listen_fd = take_listen_fd;
  server->version = take_version;
  server->handlers = *handlers;
  server->data = data;
  g_queue_init (&server->peers);
  (void)vm_fd_set_nonblocking (take_listen_fd, TRUE,
                               NULL); /* only guards against a connection that went away */
  listen_now (server);
  return server;
}

void
qmp_server_free (QmpServer *server)
{
  GList *link;

  if (server == NULL || server->freed)
    return;
  server->freed = TRUE;
  clear_source (&server->listener);
  vm_fd_clear (&server->listen_fd);
  while ((link = g_queue_peek_head_link (&server->peers)) != NULL)
    peer_gone (link->data);
  server_unref (server);
}

void
qmp_server_set_version (QmpServer *server, json_object *take_version)
{
  json_object_put (server->version);
  server->version = take_version;
}

guint
qmp_server_n_peers (QmpServer *server)
{
  return server->peers.length;
}

void
qmp_server_forward_event (QmpServer *server, json_object *message)
{
  g_autoptr (GBytes) bytes = qmp_message_to_bytes (message);

  for (GList *link = server->peers.head; link != NULL; link = link->next) {
    QmpPeer *peer = link->data;

    if (peer->negotiated)
      peer_send_bytes (peer, bytes);
  }
}

void
qmp_server_emit (QmpServer *server, const char *name, json_object *take_event_data)
{
  g_autoptr (json_object) message = qmp_message_event (name, take_event_data);

  qmp_server_forward_event (server, message);
}
