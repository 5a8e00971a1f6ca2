/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How it works
 *
 * Frames pass through: what a client's link brings goes to the agent's link with the session's channel
 * number, and the other way round. CREDIT frames pass through too, so the window is from end to end and a
 * stalled client stalls its own command only. The supervisor keeps the account all the same: the agent is
 * hostile, and a client may be anything that speaks the socket. */
#include "vmctl/session.h"

#include <string.h>

#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/json.h"

#define CLIENT_CHANNEL FRAME_CHANNEL_MAIN /* what a client's own connection calls its one session */

typedef struct {
  VmSessions *owner; /* borrowed */
  guint32 channel;
  VmLink *client;   /* owned; NULL: none */
  char **argv;      /* owned; NULL: entrypoint */
  GByteArray *open; /* owned; an OPEN that waits for the agent; NULL: sent */
  gboolean tty, ended;
  gsize in_flight[FRAME_STREAMS]; /* STDIN: from the client; others: from the agent, not yet credited back */
  gsize replayed;     /* bytes of the ring that the client has not credited yet: not the agent's */
  gsize owed;         /* of in_flight[STDIN]: what an earlier client sent; its credit is nobody's */
  GByteArray *input;  /* owned; from the client, waits until the agent is there and has room; NULL: nothing */
  gboolean input_eof; /* and then comes its end */
  guint16 rows, columns;           /* a size that waits for the agent; 0: none */
  GByteArray *held[FRAME_STREAMS]; /* owned; output that waits for the first client (foreground), or NULL */
  gboolean held_eof[FRAME_STREAMS];
  GByteArray *capture[FRAME_STREAMS]; /* owned; session without a client, or NULL */
  gboolean truncated;
} Session;

struct VmSessions {
  VmLog *log;                         /* borrowed */
  VmLink *agent;                      /* borrowed; NULL: none */
  const VmSessionsHandlers *handlers; /* borrowed */
  gpointer data;
  GHashTable *table; /* channel -> Session, owned */
  GByteArray *ring;  /* the main session's last output */
  gboolean detached;
};

static void
session_free (gpointer data)
{
  Session *s = data;

  vm_link_free (s->client);
  g_strfreev (s->argv);
  g_clear_pointer (&s->open, g_byte_array_unref);
  g_clear_pointer (&s->input, g_byte_array_unref);
  for (int i = 0; i < FRAME_STREAMS; i++) {
    g_clear_pointer (&s->held[i], g_byte_array_unref);
    g_clear_pointer (&s->capture[i], g_byte_array_unref);
  }
  g_free (s);
}

VmSessions *
vm_sessions_new (VmLog *output_log, const VmSessionsHandlers *handlers, gpointer data)
{
  VmSessions *sessions = g_new0 (VmSessions, 1);

  sessions->log = output_log;
  sessions->handlers = handlers;
  sessions->data = data;
  sessions->ring = g_byte_array_new ();
  sessions->table = g_hash_table_new_full (NULL, NULL, NULL, session_free);
  return sessions;
}

void
vm_sessions_free (VmSessions *sessions)
{
  if (sessions == NULL)
    return;
  g_hash_table_unref (sessions->table);
  g_byte_array_unref (sessions->ring);
  g_free (sessions);
}

static Session *
lookup (VmSessions *sessions, guint32 channel)
{
  return g_hash_table_lookup (sessions->table, GUINT_TO_POINTER (channel));
}

static Session *
add_session (VmSessions *sessions, guint32 channel, const VmOpen *open)
{
  Session *s = g_new0 (Session, 1);

  s->owner = sessions;
  s->channel = channel;
  if (open != NULL) {
    s->tty = open->tty;
    s->argv = g_strdupv ((char **)open->argv);
  }
  g_hash_table_insert (sessions->table, GUINT_TO_POINTER (channel), s);
  return s;
}

/* OPEN */

static void
append_field (GByteArray *out, FrameTag tag, const void *value, gsize length)
{
  guint8 header[FRAME_FIELD_HEADER];

  frame_field_encode (header, tag, (guint32)length);
  g_byte_array_append (out, header, sizeof header);
  if (length > 0)
    g_byte_array_append (out, value, (guint)length);
}

static GByteArray *
encode_open (const VmOpen *open)
{
  GByteArray *out = g_byte_array_new ();
  guint8 size[4];

  for (const char *const *p = open->argv; p != NULL && *p != NULL; p++)
    append_field (out, FRAME_TAG_ARG, *p, strlen (*p));
  for (const char *const *p = open->env; p != NULL && *p != NULL; p++)
    append_field (out, FRAME_TAG_ENV, *p, strlen (*p));
  if (open->cwd != NULL)
    append_field (out, FRAME_TAG_CWD, open->cwd, strlen (open->cwd));
  if (open->tty) {
    frame_put_u16 (size, open->rows);
    frame_put_u16 (size + 2, open->columns);
    append_field (out, FRAME_TAG_TTY, size, sizeof size);
  }
  if (open->shell)
    append_field (out, FRAME_TAG_SHELL, NULL, 0);
  if (open->root)
    append_field (out, FRAME_TAG_ROOT, NULL, 0);
  if (open->console)
    append_field (out, FRAME_TAG_CONSOLE, NULL, 0);
  return out;
}

static void
send_open (VmSessions *sessions, Session *s)
{
  gsize at = 0;

  do {
    gsize part = MIN (s->open->len - at, FRAME_PAYLOAD_MAX);
    gboolean more = at + part < s->open->len;

    vm_link_send (sessions->agent, FRAME_OPEN, s->channel, more ? FRAME_STDOUT : FRAME_STDIN,
                  s->open->data + at, part);
    at += part;
  } while (at < s->open->len);
  g_clear_pointer (&s->open, g_byte_array_unref);
}

/* Input. The window is the agent's: what an earlier client sent may still fill it, or there is no agent yet.
 */

static gboolean
can_send (VmSessions *sessions, Session *s)
{
  return sessions->agent != NULL && s->open == NULL && !s->ended;
}

static void
pump_input (VmSessions *sessions, Session *s)
{
  gsize n = 0;

  if (!can_send (sessions, s))
    return;
  if (s->input != NULL) {
    n = MIN (MIN (s->input->len, FRAME_PAYLOAD_MAX), FRAME_WINDOW - s->in_flight[FRAME_STDIN]);
    for (; n > 0;
         n = MIN (MIN (s->input->len, FRAME_PAYLOAD_MAX), FRAME_WINDOW - s->in_flight[FRAME_STDIN])) {
      vm_link_send (sessions->agent, FRAME_DATA, s->channel, FRAME_STDIN, s->input->data, n);
      s->in_flight[FRAME_STDIN] += n;
      g_byte_array_remove_range (s->input, 0, (guint)n);
    }
    if (s->input->len > 0)
      return;
    g_clear_pointer (&s->input, g_byte_array_unref);
  }
  if (s->input_eof)
    vm_link_send (sessions->agent, FRAME_EOF, s->channel, FRAME_STDIN, NULL, 0);
  s->input_eof = FALSE;
}

/* What came before the agent did. */
static void
catch_up (VmSessions *sessions, Session *s)
{
  if (s->open != NULL)
    send_open (sessions, s);
  if (s->rows > 0)
    vm_link_send_size (sessions->agent, s->channel, s->rows, s->columns);
  s->rows = 0;
  pump_input (sessions, s);
}

/* Output of the main command while nobody is attached, and what a new client sees first. */

static void
remember (VmSessions *sessions, const guint8 *data, gsize length)
{
  if (length > VM_SESSION_RING) {
    data += length - VM_SESSION_RING;
    length = VM_SESSION_RING;
  }
  if (sessions->ring->len + length > VM_SESSION_RING)
    g_byte_array_remove_range (sessions->ring, 0, (guint)(sessions->ring->len + length - VM_SESSION_RING));
  g_byte_array_append (sessions->ring, data, (guint)length);
}

static void
give_back (VmSessions *sessions, Session *s, FrameStream stream, gsize n)
{
  s->in_flight[stream] -= n;
  if (sessions->agent != NULL && n > 0)
    vm_link_send_u32 (sessions->agent, FRAME_CREDIT, s->channel, stream, (guint32)n);
}

static void
capture (VmSessions *sessions, Session *s, FrameStream stream, const guint8 *data, gsize length)
{
  gsize room;

  if (s->capture[stream] == NULL)
    s->capture[stream] = g_byte_array_new ();
  room = VM_SESSION_CAPTURE_MAX - s->capture[stream]->len;
  s->truncated |= length > room;
  g_byte_array_append (s->capture[stream], data, (guint)MIN (length, room));
  give_back (sessions, s, stream, length);
}

static void
hold (Session *s, FrameStream stream, const guint8 *data, gsize length)
{
  if (s->held[stream] == NULL)
    s->held[stream] = g_byte_array_new ();
  g_byte_array_append (s->held[stream], data, (guint)length);
}

static void
output (VmSessions *sessions, Session *s, FrameStream stream, const guint8 *data, gsize length)
{
  gboolean main = s->channel == FRAME_CHANNEL_MAIN;

  s->in_flight[stream] += length;
  if (main && (s->tty || sessions->detached)) {
    remember (sessions, data, length);
    vm_log_write (sessions->log, data, length);
  }
  if (s->client != NULL)
    vm_link_send (s->client, FRAME_DATA, CLIENT_CHANNEL, stream, data, length);
  else if (!main)
    capture (sessions, s, stream, data, length);
  else if (sessions->detached)
    give_back (sessions, s, stream, length);
  else
    hold (s, stream, data, length);
}

static void
release_held (Session *s)
{
  for (int i = FRAME_STDOUT; i < FRAME_STREAMS; i++) {
    for (gsize at = 0; s->held[i] != NULL && at < s->held[i]->len; at += FRAME_PAYLOAD_MAX)
      vm_link_send (s->client, FRAME_DATA, CLIENT_CHANNEL, (FrameStream)i, s->held[i]->data + at,
                    MIN (s->held[i]->len - at, FRAME_PAYLOAD_MAX));
    g_clear_pointer (&s->held[i], g_byte_array_unref);
    if (s->held_eof[i])
      vm_link_send (s->client, FRAME_EOF, CLIENT_CHANNEL, (FrameStream)i, NULL, 0);
  }
}

/* What was held for a client that will not come is the log's. */
static void
drop_held (VmSessions *sessions, Session *s)
{
  for (int i = FRAME_STDOUT; i < FRAME_STREAMS; i++) {
    if (s->held[i] == NULL)
      continue;
    remember (sessions, s->held[i]->data, s->held[i]->len);
    vm_log_write (sessions->log, s->held[i]->data, s->held[i]->len);
    g_clear_pointer (&s->held[i], g_byte_array_unref);
  }
}

/* Frames of a client */

static void
let_go (VmSessions *sessions, Session *s)
{
  g_clear_pointer (&s->client, vm_link_free);
  g_clear_pointer (&s->input, g_byte_array_unref);
  s->input_eof = FALSE;
  s->owed = s->in_flight[FRAME_STDIN];
  s->replayed = 0;
  if (s->channel == FRAME_CHANNEL_MAIN) {
    /* What the client had not taken yet will not be credited by anybody else. */
    for (int i = FRAME_STDOUT; i < FRAME_STREAMS; i++)
      give_back (sessions, s, (FrameStream)i, s->in_flight[i]);
  } else if (sessions->agent != NULL && !s->ended) {
    vm_link_send (sessions->agent, FRAME_CLOSE, s->channel, FRAME_STDIN, NULL, 0);
    for (int i = FRAME_STDOUT; i < FRAME_STREAMS; i++)
      give_back (sessions, s, (FrameStream)i, s->in_flight[i]);
  }
}

static void
client_closed (VmLink *link, const char *why, gpointer data)
{
  Session *s = data;
  VmSessions *sessions = s->owner;
  gboolean main = s->channel == FRAME_CHANNEL_MAIN;

  let_go (sessions, s);
  if (main && !sessions->detached && !s->ended)
    sessions->handlers->client_gone (sessions->data);
}

static void
client_detached (VmSessions *sessions, Session *s)
{
  if (s->channel != FRAME_CHANNEL_MAIN) {
    let_go (sessions, s);
    return;
  }
  sessions->detached = TRUE;
  let_go (sessions, s);
  sessions->handlers->detached (sessions->data);
}

/* FALSE: the client asks for more than it was given and is dropped. */
static gboolean
client_credit (VmSessions *sessions, Session *s, const FrameHeader *header, const guint8 *payload)
{
  gsize n = header->length == 4 ? frame_get_u32 (payload) : 0, own;

  if (n == 0 || header->stream == FRAME_STDIN)
    return FALSE;
  own = header->stream == FRAME_STDOUT ? MIN (n, s->replayed) : 0;
  s->replayed -= own;
  n -= own;
  if (n > s->in_flight[header->stream])
    return FALSE;
  give_back (sessions, s, header->stream, n);
  return TRUE;
}

/* FALSE: it sends more than it was given room for. */
static gboolean
client_input (VmSessions *sessions, Session *s, const FrameHeader *header, const guint8 *payload)
{
  gsize used = s->in_flight[FRAME_STDIN] - s->owed + (s->input != NULL ? s->input->len : 0);

  if (header->stream != FRAME_STDIN || s->input_eof || used + header->length > FRAME_WINDOW)
    return FALSE;
  if (s->input == NULL && can_send (sessions, s) &&
      s->in_flight[FRAME_STDIN] + header->length <= FRAME_WINDOW) {
    s->in_flight[FRAME_STDIN] += header->length;
    vm_link_send (sessions->agent, FRAME_DATA, s->channel, FRAME_STDIN, payload, header->length);
    return TRUE;
  }
  if (s->input == NULL)
    s->input = g_byte_array_new ();
  g_byte_array_append (s->input, payload, header->length);
  pump_input (sessions, s);
  return TRUE;
}

/* No more input; or nobody reads that output any more. */
static gboolean
client_eof (VmSessions *sessions, Session *s, const FrameHeader *header)
{
  if (header->length != 0)
    return FALSE;
  if (header->stream == FRAME_STDIN) {
    s->input_eof = TRUE;
    pump_input (sessions, s);
  } else if (can_send (sessions, s)) {
    vm_link_send (sessions->agent, FRAME_EOF, s->channel, header->stream, NULL, 0);
  }
  return TRUE;
}

static gboolean
client_signal (VmSessions *sessions, Session *s, const FrameHeader *header, const guint8 *payload)
{
  if (header->length != 4)
    return FALSE;
  if (can_send (sessions, s)) {
    vm_link_send (sessions->agent, header->type, s->channel, FRAME_STDIN, payload, header->length);
  } else if (header->type == FRAME_RESIZE) {
    s->rows = frame_get_u16 (payload);
    s->columns = frame_get_u16 (payload + 2);
  }
  return TRUE;
}

static gboolean
client_frame_ok (VmSessions *sessions, Session *s, const FrameHeader *header, const guint8 *payload)
{
  switch ((FrameType)header->type) {
  case FRAME_DATA:
    return client_input (sessions, s, header, payload);
  case FRAME_EOF:
    return client_eof (sessions, s, header);
  case FRAME_CREDIT:
    return client_credit (sessions, s, header, payload);
  case FRAME_SIGNAL:
  case FRAME_RESIZE:
    return client_signal (sessions, s, header, payload);
  case FRAME_HELLO:
  case FRAME_SEED:
  case FRAME_CLOCK:
  case FRAME_SETUP:
  case FRAME_UP:
  case FRAME_FAILED:
  case FRAME_PING:
  case FRAME_PONG:
  case FRAME_LOG:
  case FRAME_POWEROFF:
  case FRAME_OPEN:
  case FRAME_STARTED:
  case FRAME_EXIT:
  case FRAME_CLOSE:
  default:
    return FALSE;
  }
}

static void
client_frame (VmLink *link, const FrameHeader *header, const guint8 *payload, gpointer data)
{
  Session *s = data;
  VmSessions *sessions = s->owner;

  if (header->channel == CLIENT_CHANNEL && header->type == FRAME_CLOSE)
    client_detached (sessions, s);
  else if (header->channel != CLIENT_CHANNEL || !client_frame_ok (sessions, s, header, payload))
    client_closed (link, "bad frame", s);
}

static const VmLinkHandlers client_handlers = {.frame = client_frame, .closed = client_closed};

/* Frames of the agent */

static void
broken (VmSessions *sessions, const char *why)
{
  sessions->handlers->broken (why, sessions->data);
}

static json_object *
capture_to_json (Session *s)
{
  static const char *const names[] = {NULL, "stdout", "stderr"};
  json_object *object;

  if (s->channel == FRAME_CHANNEL_MAIN)
    return NULL;
  object = json_object_new_object ();
  for (int i = FRAME_STDOUT; i < FRAME_STREAMS; i++) {
    g_autofree char *text =
        s->capture[i] != NULL ? g_base64_encode (s->capture[i]->data, s->capture[i]->len) : g_strdup ("");
    vm_json_add_str (object, names[i], text);
  }
  vm_json_add_bool (object, "truncated", s->truncated);
  return object;
}

static void
agent_exit (VmSessions *sessions, Session *s, const guint8 *payload, gsize length)
{
  g_autoptr (json_object) captured = NULL;
  guint32 channel = s->channel, value;
  guint8 kind;

  if (length != 8 || payload[0] > FRAME_EXIT_ERRNO) {
    broken (sessions, "malformed EXIT");
    return;
  }
  if (s->ended)
    return; /* said again after a reconnection */
  kind = payload[0];
  value = frame_get_u32 (payload + 4);
  s->ended = TRUE;
  if (s->client != NULL)
    vm_link_send (s->client, FRAME_EXIT, CLIENT_CHANNEL, FRAME_STDIN, payload, length);
  else
    captured = capture_to_json (s);
  if (channel != FRAME_CHANNEL_MAIN) {
    if (s->client != NULL)
      vm_link_flush (s->client, 1000);
    g_hash_table_remove (sessions->table, GUINT_TO_POINTER (channel));
  }
  sessions->handlers->exited (channel, kind, value, captured, sessions->data);
}

static void
agent_stream (VmSessions *sessions, Session *s, const FrameHeader *header, const guint8 *payload)
{
  if (header->stream == FRAME_STDIN) {
    broken (sessions, "output on stdin");
  } else if (header->type == FRAME_EOF) {
    if (s->client != NULL)
      vm_link_send (s->client, FRAME_EOF, CLIENT_CHANNEL, header->stream, NULL, 0);
    else
      s->held_eof[header->stream] = TRUE;
  } else if (s->in_flight[header->stream] + header->length > FRAME_WINDOW) {
    broken (sessions, "more output than it had credit for");
  } else {
    output (sessions, s, header->stream, payload, header->length);
  }
}

static void
agent_credit (VmSessions *sessions, Session *s, const FrameHeader *header, const guint8 *payload)
{
  gsize n = header->length == 4 ? frame_get_u32 (payload) : 0, old;

  if (n == 0 || header->stream != FRAME_STDIN || n > s->in_flight[FRAME_STDIN]) {
    broken (sessions, "credit for what was not sent");
    return;
  }
  s->in_flight[FRAME_STDIN] -= n;
  old = MIN (n, s->owed);
  s->owed -= old;
  if (s->client != NULL && n > old)
    vm_link_send_u32 (s->client, FRAME_CREDIT, CLIENT_CHANNEL, FRAME_STDIN, (guint32)(n - old));
  pump_input (sessions, s);
}

void
vm_sessions_frame (VmSessions *sessions, const FrameHeader *header, const guint8 *payload)
{
  Session *s = lookup (sessions, header->channel);

  if (s == NULL)
    return; /* the last words of a session that was closed */
  switch ((FrameType)header->type) {
  case FRAME_DATA:
  case FRAME_EOF:
    agent_stream (sessions, s, header, payload);
    break;
  case FRAME_CREDIT:
    agent_credit (sessions, s, header, payload);
    break;
  case FRAME_EXIT:
    agent_exit (sessions, s, payload, header->length);
    break;
  case FRAME_STARTED:
    if (s->client != NULL)
      vm_link_send (s->client, FRAME_STARTED, CLIENT_CHANNEL, FRAME_STDIN, payload, header->length);
    break;
  case FRAME_HELLO:
  case FRAME_SEED:
  case FRAME_CLOCK:
  case FRAME_SETUP:
  case FRAME_UP:
  case FRAME_FAILED:
  case FRAME_PING:
  case FRAME_PONG:
  case FRAME_LOG:
  case FRAME_POWEROFF:
  case FRAME_OPEN:
  case FRAME_SIGNAL:
  case FRAME_RESIZE:
  case FRAME_CLOSE:
  default:
    broken (sessions, "a frame that the agent may not send");
  }
}

static gboolean
is_not_main (gpointer key, gpointer value, gpointer data)
{
  return GPOINTER_TO_UINT (key) != FRAME_CHANNEL_MAIN;
}

void
vm_sessions_set_agent (VmSessions *sessions, VmLink *agent)
{
  GHashTableIter iter;
  gpointer value;

  sessions->agent = agent;
  if (agent == NULL) {
    g_hash_table_foreach_remove (sessions->table, is_not_main, NULL);
    return;
  }
  g_hash_table_iter_init (&iter, sessions->table);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    catch_up (sessions, value);
}

void
vm_sessions_open_main (VmSessions *sessions, const VmOpen *open, gboolean detached)
{
  Session *s = add_session (sessions, FRAME_CHANNEL_MAIN, open);

  sessions->detached = detached;
  s->open = encode_open (open);
  if (sessions->agent != NULL)
    send_open (sessions, s);
}

void
vm_sessions_adopt_main (VmSessions *sessions, gboolean tty)
{
  Session *s = add_session (sessions, FRAME_CHANNEL_MAIN, NULL);

  s->tty = tty;
  sessions->detached = TRUE;
}

static guint32
free_channel (VmSessions *sessions)
{
  for (guint32 i = FRAME_CHANNEL_MAIN + 1; i <= FRAME_CHANNELS_MAX; i++)
    if (lookup (sessions, i) == NULL)
      return i;
  return 0;
}

guint32
vm_sessions_open (VmSessions *sessions, const VmOpen *open, int take_stream, GError **error)
{
  guint32 channel = free_channel (sessions);
  Session *s;

  if (sessions->agent == NULL || channel == 0) {
    vm_fd_clear (&take_stream);
    vm_error (error, VM_ERROR_BUSY,
              channel == 0 ? "%d commands run in this sandbox already"
                           : "the sandbox is not ready (at most %d commands run at once)",
              FRAME_CHANNELS_MAX);
    return 0;
  }
  s = add_session (sessions, channel, open);
  s->open = encode_open (open);
  if (s->open->len > FRAME_OPEN_MAX) {
    g_hash_table_remove (sessions->table, GUINT_TO_POINTER (channel));
    vm_fd_clear (&take_stream);
    vm_error (error, VM_ERROR_USAGE, "the command line and environment take more than %d bytes",
              FRAME_OPEN_MAX);
    return 0;
  }
  if (take_stream >= 0)
    s->client = vm_link_new (take_stream, FALSE, &client_handlers, s);
  send_open (sessions, s);
  if (take_stream < 0)
    vm_link_send (sessions->agent, FRAME_EOF, channel, FRAME_STDIN, NULL, 0);
  return channel;
}

static void
replay (VmSessions *sessions, Session *s)
{
  if (!s->tty && !sessions->detached)
    return;
  s->replayed = sessions->ring->len;
  if (sessions->ring->len > 0)
    vm_link_send (s->client, FRAME_DATA, CLIENT_CHANNEL, FRAME_STDOUT, sessions->ring->data,
                  sessions->ring->len);
}

gboolean
vm_sessions_attach_main (VmSessions *sessions, int take_stream, gboolean steal, GError **error)
{
  Session *s = lookup (sessions, FRAME_CHANNEL_MAIN);
  VmLink *link = vm_link_new (take_stream, FALSE, &client_handlers, s);

  if (s == NULL || s->ended || (s->client != NULL && !steal)) {
    vm_link_free (link);
    if (s == NULL || s->ended)
      return vm_error (error, VM_ERROR_NOT_FOUND, "the sandbox's command has ended");
    return vm_error (error, VM_ERROR_BUSY, "another terminal is attached; add --steal to take it over");
  }
  if (s->client != NULL)
    let_go (sessions, s);
  s->client = link;
  replay (sessions, s);
  release_held (s);
  return TRUE;
}

gboolean
vm_sessions_resize (VmSessions *sessions, guint32 channel, guint16 rows, guint16 columns)
{
  if (lookup (sessions, channel) == NULL || sessions->agent == NULL)
    return FALSE;
  vm_link_send_size (sessions->agent, channel, rows, columns);
  return TRUE;
}

gboolean
vm_sessions_signal (VmSessions *sessions, guint32 channel, guint32 signal)
{
  if (lookup (sessions, channel) == NULL || sessions->agent == NULL)
    return FALSE;
  vm_link_send_u32 (sessions->agent, FRAME_SIGNAL, channel, FRAME_STDIN, signal);
  return TRUE;
}

gboolean
vm_sessions_main_has_client (VmSessions *sessions)
{
  Session *s = lookup (sessions, FRAME_CHANNEL_MAIN);

  return s != NULL && s->client != NULL;
}

gboolean
vm_sessions_main_is_tty (VmSessions *sessions)
{
  Session *s = lookup (sessions, FRAME_CHANNEL_MAIN);

  return s != NULL && s->tty;
}

void
vm_sessions_set_detached (VmSessions *sessions, gboolean detached)
{
  Session *s = lookup (sessions, FRAME_CHANNEL_MAIN);

  sessions->detached = detached;
  if (!detached || s == NULL || s->client != NULL)
    return;
  drop_held (sessions, s);
  for (int i = FRAME_STDOUT; i < FRAME_STREAMS; i++)
    give_back (sessions, s, (FrameStream)i, s->in_flight[i]);
}

void
vm_sessions_close_all (VmSessions *sessions)
{
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init (&iter, sessions->table);
  while (g_hash_table_iter_next (&iter, NULL, &value)) {
    Session *s = value;

    s->ended = TRUE;
    if (s->client != NULL)
      vm_link_flush (s->client, 2000);
    g_clear_pointer (&s->client, vm_link_free);
  }
}

json_object *
vm_sessions_to_json (VmSessions *sessions)
{
  json_object *array = json_object_new_array ();

  for (guint32 i = FRAME_CHANNEL_MAIN; i <= FRAME_CHANNELS_MAX; i++) {
    Session *s = lookup (sessions, i);
    json_object *object;

    if (s == NULL)
      continue;
    object = json_object_new_object ();
    vm_json_add_int (object, "session", i);
    if (s->argv != NULL)
      vm_json_add_strv (object, "argv", (const char *const *)s->argv);
    vm_json_add_bool (object, "tty", s->tty);
    vm_json_add_bool (object, "attached", s->client != NULL);
    json_object_array_add (array, object);
  }
  return array;
}
