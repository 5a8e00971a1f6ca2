/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What clients send. They are the same user, but may be anything that speaks the socket. */
#include "vmctl/session-private.h"

/* Input. The window is the agent's: what an earlier client sent may still fill it, or there is no agent yet.
 */

gboolean
vm_session_can_send (VmSessions *sessions, Session *s)
{
  return sessions->agent != NULL && s->open == NULL && !s->ended;
}

void
vm_session_pump_input (VmSessions *sessions, Session *s)
{
  gsize n = 0;

  if (!vm_session_can_send (sessions, s))
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
  if (!s->input_eof)
    return;
  vm_link_send (sessions->agent, FRAME_EOF, s->channel, FRAME_STDIN, NULL, 0);
  s->input_eof = FALSE;
  s->input_ended = TRUE;
}

/* Frames of a client */

void
vm_session_let_go (VmSessions *sessions, Session *s)
{
  g_clear_pointer (&s->client, vm_link_free);
  g_clear_pointer (&s->input, g_byte_array_unref);
  s->input_eof = s->client_eof = FALSE;
  s->owed = s->in_flight[FRAME_STDIN];
  s->replayed = 0;
  if (s->channel != FRAME_CHANNEL_MAIN && vm_session_can_send (sessions, s))
    vm_link_send (sessions->agent, FRAME_CLOSE, s->channel, FRAME_STDIN, NULL, 0);
  /* What the client had not taken yet will not be credited by anybody else. */
  for (int i = FRAME_STDOUT; i < FRAME_STREAMS; i++)
    vm_session_give_back (sessions, s, (FrameStream)i, s->in_flight[i]);
  if (s->channel != FRAME_CHANNEL_MAIN && s->ended)
    g_hash_table_remove (sessions->table, GUINT_TO_POINTER (s->channel)); /* it was kept for this client */
}

static void
client_closed (VmLink *link, const char *why, gpointer data)
{
  Session *s = data;
  VmSessions *sessions = s->owner;
  gboolean in_use = s->channel == FRAME_CHANNEL_MAIN && !sessions->detached && !s->ended;

  vm_session_let_go (sessions, s);
  if (in_use)
    sessions->handlers->client_gone (sessions->data);
}

static void
client_detached (VmSessions *sessions, Session *s)
{
  gboolean main = s->channel == FRAME_CHANNEL_MAIN;

  sessions->detached |= main;
  vm_session_let_go (sessions, s);
  if (main)
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
  vm_session_give_back (sessions, s, header->stream, n);
  return TRUE;
}

/* FALSE: it sends more than it was given room for, or after its end. What is typed into a command whose input
 * an earlier client has ended goes nowhere. */
static gboolean
client_input (VmSessions *sessions, Session *s, const FrameHeader *header, const guint8 *payload)
{
  gsize used = s->in_flight[FRAME_STDIN] - s->owed + (s->input != NULL ? s->input->len : 0);

  if (header->stream != FRAME_STDIN || header->length == 0 || s->client_eof ||
      used + header->length > FRAME_WINDOW)
    return FALSE;
  if (s->input_ended) {
    vm_link_send_u32 (s->client, FRAME_CREDIT, CLIENT_CHANNEL, FRAME_STDIN, header->length);
    return TRUE;
  }
  if (s->input == NULL && vm_session_can_send (sessions, s) &&
      s->in_flight[FRAME_STDIN] + header->length <= FRAME_WINDOW) {
    s->in_flight[FRAME_STDIN] += header->length;
    vm_link_send (sessions->agent, FRAME_DATA, s->channel, FRAME_STDIN, payload, header->length);
    return TRUE;
  }
  if (s->input == NULL)
    s->input = g_byte_array_new ();
  g_byte_array_append (s->input, payload, header->length);
  vm_session_pump_input (sessions, s);
  return TRUE;
}

/* No more input; or nobody reads that output any more. */
static gboolean
client_eof (VmSessions *sessions, Session *s, const FrameHeader *header)
{
  if (header->length != 0)
    return FALSE;
  if (header->stream == FRAME_STDIN) {
    s->input_eof |= !s->client_eof && !s->input_ended;
    s->client_eof = TRUE;
    vm_session_pump_input (sessions, s);
  } else if (!s->unread[header->stream]) {
    s->unread[header->stream] = TRUE;
    if (vm_session_can_send (sessions, s))
      vm_link_send (sessions->agent, FRAME_EOF, s->channel, header->stream, NULL, 0);
  }
  return TRUE;
}

static gboolean
client_signal (VmSessions *sessions, Session *s, const FrameHeader *header, const guint8 *payload)
{
  if (header->length != 4)
    return FALSE;
  if (vm_session_can_send (sessions, s)) {
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
  case FRAME_RELAY_OPEN:
  case FRAME_CHANGE:
  case FRAME_FORWARD_OPEN:
  case FRAME_CHANGED:
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

const VmLinkHandlers vm_session_client_handlers = {.frame = client_frame, .closed = client_closed};
