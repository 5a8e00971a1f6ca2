/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the agent sends. It may be hostile: everything that it can repeat without end is bounded here. */
#include "vmctl/session-private.h"

#include <string.h>

#include "vmctl/base/json.h"

/* Output of the main command while nobody is attached, and what a new client sees first. */

static void
remember (VmSessions *sessions, const guint8 *data, gsize length)
{
  vm_log_write (sessions->log, data, length);
  if (length > VM_SESSION_RING) {
    data += length - VM_SESSION_RING;
    length = VM_SESSION_RING;
  }
  if (sessions->ring->len + length > VM_SESSION_RING)
    g_byte_array_remove_range (sessions->ring, 0, (guint)(sessions->ring->len + length - VM_SESSION_RING));
  g_byte_array_append (sessions->ring, data, (guint)length);
}

void
vm_session_give_back (VmSessions *sessions, Session *s, FrameStream stream, gsize n)
{
  s->in_flight[stream] -= n;
  if (sessions->agent != NULL && !s->ended && n > 0)
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
  vm_session_give_back (sessions, s, stream, length);
}

static void
hold (Session *s, FrameStream stream, const guint8 *data, gsize length)
{
  if (s->held[stream] == NULL)
    s->held[stream] = g_byte_array_new ();
  g_byte_array_append (s->held[stream], data, (guint)length);
}

static gboolean
is_remembered (VmSessions *sessions, Session *s)
{
  return s->channel == FRAME_CHANNEL_MAIN && (s->tty || sessions->detached);
}

static void
output (VmSessions *sessions, Session *s, FrameStream stream, const guint8 *data, gsize length)
{
  gboolean foreground = s->channel == FRAME_CHANNEL_MAIN && !sessions->detached;

  s->in_flight[stream] += length;
  /* What is held is remembered when it is let go: a client must not see it twice. */
  if (is_remembered (sessions, s) && (s->client != NULL || !foreground))
    remember (sessions, data, length);
  if (s->client != NULL)
    vm_link_send (s->client, FRAME_DATA, CLIENT_CHANNEL, stream, data, length);
  else if (foreground)
    hold (s, stream, data, length);
  else if (s->captures)
    capture (sessions, s, stream, data, length);
  else
    vm_session_give_back (sessions, s, stream, length);
}

/* To the first client, or to the log if none will come. */
void
vm_session_release_held (VmSessions *sessions, Session *s)
{
  for (int i = FRAME_STDOUT; i < FRAME_STREAMS; i++) {
    g_autoptr (GByteArray) held = g_steal_pointer (&s->held[i]);

    if (held != NULL && is_remembered (sessions, s))
      remember (sessions, held->data, held->len);
    for (gsize at = 0; s->client != NULL && held != NULL && at < held->len; at += FRAME_PAYLOAD_MAX)
      vm_link_send (s->client, FRAME_DATA, CLIENT_CHANNEL, (FrameStream)i, held->data + at,
                    MIN (held->len - at, FRAME_PAYLOAD_MAX));
  }
}

/* What a client that comes late has missed besides the output. */
void
vm_session_tell_state (Session *s, gboolean before_output)
{
  if (before_output && s->is_started)
    vm_link_send (s->client, FRAME_STARTED, CLIENT_CHANNEL, FRAME_STDIN, s->started, sizeof s->started);
  for (int i = FRAME_STDOUT; i < FRAME_STREAMS; i++)
    if (!before_output && s->eof[i])
      vm_link_send (s->client, FRAME_EOF, CLIENT_CHANNEL, (FrameStream)i, NULL, 0);
  if (!before_output && s->exit_waits)
    vm_link_send (s->client, FRAME_EXIT, CLIENT_CHANNEL, FRAME_STDIN, s->exit, sizeof s->exit);
  s->exit_waits &= before_output;
}

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

  if (!s->captures)
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
  guint32 channel = s->channel;
  gboolean main = channel == FRAME_CHANNEL_MAIN;

  if (length != sizeof s->exit || payload[0] > FRAME_EXIT_KIND_MAX) {
    broken (sessions, "malformed EXIT");
    return;
  }
  if (s->ended)
    return; /* said again after a reconnection */
  s->ended = TRUE;
  captured = capture_to_json (s);
  if (s->client != NULL) {
    vm_link_send (s->client, FRAME_EXIT, CLIENT_CHANNEL, FRAME_STDIN, payload, length);
    if (!main)
      vm_link_finish (s->client); /* the session stays until the client has taken everything and left */
  } else if (!main) {
    g_hash_table_remove (sessions->table, GUINT_TO_POINTER (channel));
  } else if (!sessions->detached && !s->console) {
    memcpy (s->exit, payload, sizeof s->exit);
    s->exit_waits = TRUE;
  }
  sessions->handlers->exited (channel, payload[0], frame_get_u32 (payload + 4), captured, sessions->data);
}

static void
agent_started (VmSessions *sessions, Session *s, const FrameHeader *header, const guint8 *payload)
{
  if (header->length != sizeof s->started) {
    broken (sessions, "malformed STARTED");
    return;
  }
  memcpy (s->started, payload, sizeof s->started);
  if (s->client != NULL && !s->is_started)
    vm_link_send (s->client, FRAME_STARTED, CLIENT_CHANNEL, FRAME_STDIN, payload, header->length);
  s->is_started = TRUE;
}

/* Whatever the agent may repeat without end, such as frames without content, reaches no client. */
static void
agent_stream (VmSessions *sessions, Session *s, const FrameHeader *header, const guint8 *payload)
{
  gboolean over = header->stream != FRAME_STDIN && s->eof[header->stream];

  if (header->stream == FRAME_STDIN) {
    broken (sessions, "output on stdin");
  } else if (header->type == FRAME_EOF) {
    s->eof[header->stream] = TRUE;
    if (s->client != NULL && !over)
      vm_link_send (s->client, FRAME_EOF, CLIENT_CHANNEL, header->stream, NULL, 0);
  } else if (over || header->length == 0) {
    broken (sessions, "output after its end");
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
  vm_session_pump_input (sessions, s);
}

void
vm_sessions_frame (VmSessions *sessions, const FrameHeader *header, const guint8 *payload)
{
  Session *s = vm_session_lookup (sessions, header->channel);

  if (s == NULL || (s->ended && header->type != FRAME_EXIT))
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
    agent_started (sessions, s, header, payload);
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
  case FRAME_RELAY_OPEN:
  case FRAME_CHANGE:
  case FRAME_FORWARD_OPEN:
  case FRAME_CHANGED:
  default:
    broken (sessions, "a frame that the agent may not send");
  }
}
