/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How it works: a Call lives from qmp_client_send until its callback has run. All calls are in `calls`, in
 * the order of their ids; those not yet written are in `waiting` too, the others in `in_flight`, by id.
 * Whatever ends a call (reply, timeout, disconnect, free) goes through call_finish, which takes it out of all
 * three before the callback runs: that is why each callback runs once.
 *
 * The client is counted: the owner and each call hold it. qmp_client_free gives up the owner's hold, so a
 * callback may free the client while functions further up the stack still use it. */
#include "qmp/client.h"

#include <fcntl.h>
#include <unistd.h>

#include "qmp/message.h"
#include "qmp/stream.h"
#include "vmctl/base/json.h"

enum { CLIENT_QUEUE_MAX = 64 << 20 };

typedef enum {
  QMP_STATE_GREETING,    /* waits for {"QMP": ...} */
  QMP_STATE_NEGOTIATING, /* qmp_capabilities is in flight */
  QMP_STATE_RUNNING,
  QMP_STATE_CLOSED,
} QmpState;

struct QmpClient {
  int refs;
  gboolean freed; /* by its owner */
  QmpState state;
  QmpStream *stream; /* NULL when closed */
  QmpReader *reader;
  QmpClientHandlers handlers;
  gpointer data;
  GMainContext *context;
  json_object *greeting;
  GSource *handshake_timer;
  GError *why_closed;
  gint64 last_id;
  GQueue calls;
  GQueue waiting;
  GHashTable *in_flight; /* &call->id -> call, borrowed */
};

typedef struct {
  QmpClient *client; /* counted */
  gint64 id;
  json_object *message; /* until it is written */
  GArray *fds;          /* owned copies until it is written; may be NULL */
  GSource *timer;       /* may be NULL */
  QmpReplyFunc reply;
  gpointer data;
  GList calls_link;
  GList waiting_link;
  gboolean is_waiting;
} Call;

static void pump (QmpClient *client);

static void
client_unref (QmpClient *client)
{
  if (--client->refs > 0)
    return;
  g_assert (g_queue_is_empty (&client->calls));
  qmp_reader_free (client->reader);
  json_object_put (client->greeting);
  g_clear_error (&client->why_closed);
  g_hash_table_unref (client->in_flight);
  g_main_context_unref (client->context);
  g_free (client);
}

static void
clear_timer (GSource **timer)
{
  if (*timer == NULL)
    return;
  g_source_destroy (*timer);
  g_clear_pointer (timer, g_source_unref);
}

static void
clear_fds (GArray **fds)
{
  for (guint i = 0; *fds != NULL && i < (*fds)->len; i++)
    (void)close (g_array_index (*fds, int, i));
  g_clear_pointer (fds, g_array_unref);
}

/* The one end of every call. Exactly one of `ret` and `error`. */
static void
call_finish (Call *call, json_object *ret, json_object *reply, const GError *error)
{
  QmpClient *client = call->client;

  g_queue_unlink (&client->calls, &call->calls_link);
  if (call->is_waiting)
    g_queue_unlink (&client->waiting, &call->waiting_link);
  g_hash_table_remove (client->in_flight, &call->id);
  clear_timer (&call->timer);
  json_object_put (call->message);
  clear_fds (&call->fds);
  if (call->reply != NULL)
    call->reply (client, ret, reply, error, call->data);
  g_free (call);
  pump (client);
  client_unref (client);
}

static void
call_fail (Call *call, QmpErrorCode code, const char *reason)
{
  g_autoptr (GError) error = g_error_new_literal (QMP_ERROR, (int)code, reason);

  call_finish (call, NULL, NULL, error);
}

/* Fails the calls made until now; those that the callbacks make have later ids. */
static void
fail_all (QmpClient *client, const GError *error)
{
  gint64 last = client->last_id;
  Call *call;

  while ((call = g_queue_peek_head (&client->calls)) != NULL && call->id <= last)
    call_finish (call, NULL, NULL, error);
}

static void
disconnect (QmpClient *client, const GError *error)
{
  client->state = QMP_STATE_CLOSED;
  client->why_closed = g_error_copy (error);
  clear_timer (&client->handshake_timer);
  g_clear_pointer (&client->stream, qmp_stream_free);
}

static void
client_close (QmpClient *client, const GError *error)
{
  if (client->state == QMP_STATE_CLOSED)
    return;
  client->refs++;
  disconnect (client, error);
  fail_all (client, client->why_closed);
  if (!client->freed && client->handlers.closed != NULL)
    client->handlers.closed (client, client->why_closed, client->data);
  client_unref (client);
}

static void
close_for (QmpClient *client, QmpErrorCode code, const char *reason)
{
  g_autoptr (GError) error = g_error_new_literal (QMP_ERROR, (int)code, reason);

  client_close (client, error);
}

static void
call_write (Call *call)
{
  QmpClient *client = call->client;
  g_autoptr (GBytes) bytes = qmp_message_to_bytes (call->message);
  gboolean sent =
      qmp_stream_send (client->stream, bytes, call->fds != NULL ? (const int *)(void *)call->fds->data : NULL,
                       call->fds != NULL ? call->fds->len : 0);

  g_clear_pointer (&call->message, json_object_put);
  clear_fds (&call->fds);
  g_hash_table_insert (client->in_flight, &call->id, call);
  if (!sent)
    qmp_stream_fail (client->stream, g_error_new (QMP_ERROR, QMP_ERROR_DISCONNECTED,
                                                  "the other side does not read its commands"));
}

/* Writes what waits as far as it may be in flight. */
static void
pump (QmpClient *client)
{
  while (client->state == QMP_STATE_RUNNING && !g_queue_is_empty (&client->waiting) &&
         g_hash_table_size (client->in_flight) < QMP_IN_FLIGHT_MAX) {
    Call *call = g_queue_pop_head_link (&client->waiting)->data;

    call->is_waiting = FALSE;
    call_write (call);
  }
}

static gboolean
call_timed_out (gpointer data)
{
  call_fail (data, QMP_ERROR_TIMEOUT, "no reply in time");
  return G_SOURCE_REMOVE;
}

static gboolean
call_refused (gpointer data)
{
  Call *call = data;
  g_autoptr (GError) error = g_error_copy (call->client->why_closed);

  call_finish (call, NULL, NULL, error);
  return G_SOURCE_REMOVE;
}

static gboolean
call_bad_fds (gpointer data)
{
  call_fail (data, QMP_ERROR_GENERIC, "cannot duplicate the descriptors that go with a command");
  return G_SOURCE_REMOVE;
}

/* `take_source` will end the call. */
static void
call_arm (Call *call, GSource *take_source, GSourceFunc func)
{
  call->timer = take_source;
  g_source_set_callback (take_source, func, call, NULL);
  g_source_attach (take_source, call->client->context);
}

static Call *
call_new (QmpClient *client, json_object *take_message, QmpReplyFunc reply, gpointer data)
{
  Call *call = g_new0 (Call, 1);

  call->client = client;
  client->refs++;
  call->id = ++client->last_id;
  call->message = take_message;
  vm_json_add_int (call->message, "id", call->id);
  call->reply = reply;
  call->data = data;
  call->calls_link.data = call->waiting_link.data = call;
  g_queue_push_tail_link (&client->calls, &call->calls_link);
  return call;
}

static gboolean
call_copy_fds (Call *call, const int *fds, guint n_fds)
{
  if (n_fds == 0)
    return TRUE;
  if (n_fds > 16)
    return FALSE;
  call->fds = g_array_sized_new (FALSE, FALSE, sizeof (int), n_fds);
  for (guint i = 0; i < n_fds; i++) {
    int fd = fcntl (fds[i], F_DUPFD_CLOEXEC, 3);

    if (fd < 0)
      return FALSE;
    g_array_append_val (call->fds, fd);
  }
  return TRUE;
}

void
qmp_client_send (QmpClient *client, const char *command, json_object *arguments, const int *fds, guint n_fds,
                 guint timeout_ms, QmpReplyFunc reply, gpointer data)
{
  Call *call = call_new (client, qmp_message_command (command, arguments), reply, data);

  if (client->state == QMP_STATE_CLOSED) {
    call_arm (call, g_idle_source_new (), call_refused);
    return;
  }
  if (!call_copy_fds (call, fds, n_fds)) {
    call_arm (call, g_idle_source_new (), call_bad_fds);
    return;
  }
  if (timeout_ms > 0)
    call_arm (call, g_timeout_source_new (timeout_ms), call_timed_out);
  call->is_waiting = TRUE;
  g_queue_push_tail_link (&client->waiting, &call->waiting_link);
  pump (client);
}

static void
capabilities_answered (QmpClient *client, json_object *ret, json_object *reply, const GError *error,
                       gpointer data)
{
  g_autoptr (GError) refused = NULL;

  if (client->state == QMP_STATE_CLOSED)
    return;
  if (error != NULL) {
    g_set_error (&refused, QMP_ERROR, QMP_ERROR_PROTOCOL, "the other side refused qmp_capabilities: %s",
                 error->message);
    client_close (client, refused);
    return;
  }
  client->state = QMP_STATE_RUNNING;
  clear_timer (&client->handshake_timer);
  pump (client);
  if (client->handlers.ready != NULL)
    client->handlers.ready (client, client->data);
}

static void
on_greeting (QmpClient *client, json_object *message)
{
  json_object *greeting = vm_json_object (message, "QMP");

  if (client->state != QMP_STATE_GREETING) {
    close_for (client, QMP_ERROR_PROTOCOL, "a second greeting: the other side has started anew");
    return;
  }
  if (greeting == NULL) {
    close_for (client, QMP_ERROR_PROTOCOL, "a greeting whose \"QMP\" is no object");
    return;
  }
  client->greeting = json_object_get (greeting);
  client->state = QMP_STATE_NEGOTIATING;
  call_write (call_new (client, qmp_message_command ("qmp_capabilities", NULL), capabilities_answered, NULL));
}

static void
on_reply (QmpClient *client, json_object *message, gboolean is_error)
{
  gint64 id = vm_json_int (message, "id", 0); /* ours begin at 1 */
  Call *call = g_hash_table_lookup (client->in_flight, &id);
  g_autoptr (json_object) nothing = NULL;
  g_autoptr (GError) error = NULL;
  json_object *ret = NULL;

  if (call == NULL) {
    g_debug ("qmp: dropped a reply with an unknown id");
    return;
  }
  if (is_error)
    error = qmp_message_to_error (message);
  else if (!json_object_object_get_ex (message, "return", &ret) || ret == NULL)
    ret = nothing = json_object_new_object (); /* JSON null: json-c has no object for it */
  call_finish (call, ret, message, error);
}

static void
on_message (QmpClient *client, json_object *message)
{
  switch (qmp_message_kind (message)) {
  case QMP_KIND_GREETING:
    on_greeting (client, message);
    break;
  case QMP_KIND_RETURN:
    on_reply (client, message, FALSE);
    break;
  case QMP_KIND_ERROR:
    on_reply (client, message, TRUE);
    break;
  case QMP_KIND_EVENT:
    if (client->handlers.event != NULL)
      client->handlers.event (client, vm_json_str (message, "event", ""), vm_json_object (message, "data"),
                              message, client->data);
    break;
  case QMP_KIND_COMMAND:
  case QMP_KIND_UNKNOWN:
  default:
    g_debug ("qmp: dropped a message of no known kind");
    break;
  }
}

/* FALSE when there is nothing more to do with this input. */
static gboolean
read_message (QmpClient *client)
{
  g_autoptr (json_object) message = NULL;
  g_autoptr (GError) error = NULL;

  switch (qmp_reader_next (client->reader, &message, &error)) {
  case QMP_READ_MESSAGE:
    on_message (client, message);
    return client->state != QMP_STATE_CLOSED;
  case QMP_READ_BAD:
  case QMP_READ_TOO_LONG:
    g_prefix_error (&error, "the other side does not speak QMP: ");
    client_close (client, error);
    return FALSE;
  case QMP_READ_NONE:
  default:
    return FALSE;
  }
}

static void
on_input (QmpStream *stream, const char *bytes, gsize length, GArray *fds, gpointer data)
{
  QmpClient *client = data;

  client->refs++;
  qmp_reader_feed (client->reader, bytes, length);
  while (read_message (client))
    ;
  client_unref (client);
}

static void
on_closed (QmpStream *stream, const GError *error, gpointer data)
{
  client_close (data, error);
}

static const QmpStreamHandlers stream_handlers = {.input = on_input, .closed = on_closed};

static gboolean
handshake_timed_out (gpointer data)
{
  QmpClient *client = data;

  close_for (client, QMP_ERROR_TIMEOUT,
             client->state == QMP_STATE_GREETING ? "no QMP greeting in time"
                                                 : "no reply to qmp_capabilities in time");
  return G_SOURCE_REMOVE;
}

void
qmp_client_set_handshake_timeout (QmpClient *client, guint timeout_ms)
{
  if (client->state != QMP_STATE_GREETING && client->state != QMP_STATE_NEGOTIATING)
    return;
  clear_timer (&client->handshake_timer);
  client->handshake_timer = g_timeout_source_new (timeout_ms);
  g_source_set_callback (client->handshake_timer, handshake_timed_out, client, NULL);
  g_source_attach (client->handshake_timer, client->context);
}

QmpClient *
qmp_client_new (int take_fd, const QmpClientHandlers *handlers, gpointer data)
{
  QmpClient *client = g_new0 (QmpClient, 1);

  client->refs = 1;
  client->context = g_main_context_ref_thread_default ();
  client->handlers = *handlers;
  client->data = data;
  client->reader = qmp_reader_new ();
  client->in_flight = g_hash_table_new (g_int64_hash, g_int64_equal);
  g_queue_init (&client->calls);
  g_queue_init (&client->waiting);
  client->stream = qmp_stream_new (take_fd, CLIENT_QUEUE_MAX, &stream_handlers, client);
  qmp_client_set_handshake_timeout (client, QMP_HANDSHAKE_TIMEOUT);
  return client;
}

void
qmp_client_free (QmpClient *client)
{
  g_autoptr (GError) error = NULL;

  if (client == NULL || client->freed)
    return;
  client->freed = TRUE;
  error = g_error_new_literal (QMP_ERROR, QMP_ERROR_DISCONNECTED, "the connection was given up");
  if (client->state != QMP_STATE_CLOSED)
    disconnect (client, error);
  fail_all (client, error);
  client_unref (client);
}

gboolean
qmp_client_is_ready (QmpClient *client)
{
  return client->state == QMP_STATE_RUNNING;
}

gboolean
qmp_client_is_closed (QmpClient *client)
{
  return client->state == QMP_STATE_CLOSED;
}

json_object *
qmp_client_greeting (QmpClient *client)
{
  return client->greeting;
}

typedef struct {
  gboolean done;
  json_object *ret;
  GError *error;
} CallResult;

static void
call_answered (QmpClient *client, json_object *ret, json_object *reply, const GError *error, gpointer data)
{
  CallResult *result = data;

  result->done = TRUE;
  result->ret = json_object_get (ret);
  result->error = error != NULL ? g_error_copy (error) : NULL;
}

json_object *
qmp_client_call (QmpClient *client, const char *command, json_object *arguments, const int *fds, guint n_fds,
                 guint timeout_ms, GError **error)
{
  CallResult result = {0};
  GMainContext *context = g_main_context_ref (client->context);

  qmp_client_send (client, command, arguments, fds, n_fds, timeout_ms, call_answered, &result);
  while (!result.done)
    g_main_context_iteration (context, TRUE);
  g_main_context_unref (context);
  if (result.error != NULL)
    g_propagate_error (error, result.error);
  return result.ret;
}
