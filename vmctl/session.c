/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How it works
 *
 * Frames pass through: what a client's link brings goes to the agent's link with the session's channel
 * number, and the other way round. CREDIT frames pass through too, so the window is from end to end and a
 * stalled client stalls its own command only. The supervisor keeps the account all the same: the agent is
 * hostile, and a client may be anything that speaks the socket. */
#include "vmctl/session-private.h"

#include <string.h>

#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/json.h"

enum { CLOSE_WAIT_MS = 2000 };

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

Session *
vm_session_lookup (VmSessions *sessions, guint32 channel)
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
    s->console = open->console;
    s->argv = g_strdupv ((char **)open->argv);
  }
  g_hash_table_insert (sessions->table, GUINT_TO_POINTER (channel), s);
  return s;
}

/* OPEN */

static GByteArray *
encode_open (const VmOpen *open)
{
  GByteArray *out = g_byte_array_new ();
  guint8 size[4];

  for (const char *const *p = open->argv; p != NULL && *p != NULL; p++)
    vm_link_append_field (out, FRAME_TAG_ARG, *p, strlen (*p));
  for (const char *const *p = open->env; p != NULL && *p != NULL; p++)
    vm_link_append_field (out, FRAME_TAG_ENV, *p, strlen (*p));
  if (open->cwd != NULL)
    vm_link_append_field (out, FRAME_TAG_CWD, open->cwd, strlen (open->cwd));
  if (open->tty) {
    frame_put_u16 (size, open->rows);
    frame_put_u16 (size + 2, open->columns);
    vm_link_append_field (out, FRAME_TAG_TTY, size, sizeof size);
  }
  if (open->shell)
    vm_link_append_field (out, FRAME_TAG_SHELL, NULL, 0);
  if (open->root)
    vm_link_append_field (out, FRAME_TAG_ROOT, NULL, 0);
  if (open->console)
    vm_link_append_field (out, FRAME_TAG_CONSOLE, NULL, 0);
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

/* What came before the agent did. */
static void
catch_up (VmSessions *sessions, Session *s)
{
  if (s->open != NULL)
    send_open (sessions, s);
  if (s->rows > 0)
    vm_link_send_size (sessions->agent, s->channel, s->rows, s->columns);
  s->rows = 0;
  for (int i = FRAME_STDOUT; i < FRAME_STREAMS; i++)
    if (s->unread[i])
      vm_link_send (sessions->agent, FRAME_EOF, s->channel, (FrameStream)i, NULL, 0);
  vm_session_pump_input (sessions, s);
}

/* Those that have ended already are only kept for their clients. */
static gboolean
is_lost (gpointer key, gpointer value, gpointer data)
{
  return GPOINTER_TO_UINT (key) != FRAME_CHANNEL_MAIN && !((Session *)value)->ended;
}

void
vm_sessions_set_agent (VmSessions *sessions, VmLink *agent)
{
  GHashTableIter iter;
  gpointer value;

  sessions->agent = agent;
  if (agent == NULL) {
    g_hash_table_foreach_remove (sessions->table, is_lost, NULL);
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
vm_sessions_adopt_main (VmSessions *sessions, gboolean tty, GBytes *output)
{
  Session *s = add_session (sessions, FRAME_CHANNEL_MAIN, NULL);
  gsize length;
  const guint8 *data = output != NULL ? g_bytes_get_data (output, &length) : NULL;

  if (data != NULL)
    g_byte_array_append (sessions->ring, data, (guint)MIN (length, VM_SESSION_RING));
  s->tty = tty;
  sessions->detached = TRUE;
}

static guint32
free_channel (VmSessions *sessions)
{
  for (guint32 i = FRAME_CHANNEL_MAIN + 1; i <= FRAME_CHANNELS_MAX; i++)
    if (vm_session_lookup (sessions, i) == NULL)
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
    s->client = vm_link_new (take_stream, FALSE, &vm_session_client_handlers, s);
  s->captures = take_stream < 0;
  s->input_eof = s->captures;
  catch_up (sessions, s);
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

void
vm_sessions_detach_main (VmSessions *sessions)
{
  Session *s = vm_session_lookup (sessions, FRAME_CHANNEL_MAIN);

  if (s == NULL || s->client == NULL)
    return;
  vm_link_send (s->client, FRAME_CLOSE, CLIENT_CHANNEL, FRAME_STDIN, NULL, 0);
  vm_session_let_go (sessions, s);
}

void
vm_sessions_restart_main (VmSessions *sessions, const VmOpen *open)
{
  (void)g_hash_table_remove (sessions->table, GUINT_TO_POINTER (FRAME_CHANNEL_MAIN));
  vm_sessions_open_main (sessions, open, TRUE);
}

gboolean
vm_sessions_attach_main (VmSessions *sessions, int take_stream, gboolean steal, GError **error)
{
  Session *s = vm_session_lookup (sessions, FRAME_CHANNEL_MAIN);
  VmLink *link = vm_link_new (take_stream, FALSE, &vm_session_client_handlers, s);

  if (s == NULL || (s->ended && !s->exit_waits) || (s->client != NULL && !steal)) {
    vm_link_free (link);
    if (s == NULL || s->ended)
      return vm_error (error, VM_ERROR_NOT_FOUND, "the sandbox's command has ended");
    return vm_error (error, VM_ERROR_BUSY, "another terminal is attached; add --steal to take it over");
  }
  vm_sessions_detach_main (sessions);
  s->client = link;
  vm_session_tell_state (s, TRUE);
  replay (sessions, s);
  vm_session_release_held (sessions, s);
  vm_session_tell_state (s, FALSE);
  return TRUE;
}

gboolean
vm_sessions_resize (VmSessions *sessions, guint32 channel, guint16 rows, guint16 columns)
{
  Session *s = vm_session_lookup (sessions, channel);

  if (s == NULL || s->ended)
    return FALSE;
  if (vm_session_can_send (sessions, s)) {
    vm_link_send_size (sessions->agent, channel, rows, columns);
  } else {
    s->rows = rows;
    s->columns = columns;
  }
  return TRUE;
}

gboolean
vm_sessions_signal (VmSessions *sessions, guint32 channel, guint32 signal)
{
  Session *s = vm_session_lookup (sessions, channel);

  if (s == NULL || !vm_session_can_send (sessions, s))
    return FALSE;
  vm_link_send_u32 (sessions->agent, FRAME_SIGNAL, channel, FRAME_STDIN, signal);
  return TRUE;
}

gboolean
vm_sessions_main_has_client (VmSessions *sessions)
{
  Session *s = vm_session_lookup (sessions, FRAME_CHANNEL_MAIN);

  return s != NULL && s->client != NULL;
}

gboolean
vm_sessions_main_waits (VmSessions *sessions)
{
  Session *s = vm_session_lookup (sessions, FRAME_CHANNEL_MAIN);

  return s != NULL && s->exit_waits;
}

gboolean
vm_sessions_main_is_tty (VmSessions *sessions)
{
  Session *s = vm_session_lookup (sessions, FRAME_CHANNEL_MAIN);

  return s != NULL && s->tty;
}

void
vm_sessions_set_detached (VmSessions *sessions, gboolean detached)
{
  Session *s = vm_session_lookup (sessions, FRAME_CHANNEL_MAIN);

  sessions->detached = detached;
  if (!detached || s == NULL || s->client != NULL)
    return;
  vm_session_release_held (sessions, s);
  for (int i = FRAME_STDOUT; i < FRAME_STREAMS; i++)
    vm_session_give_back (sessions, s, (FrameStream)i, s->in_flight[i]);
}

void
vm_sessions_close_all (VmSessions *sessions)
{
  gint64 end = g_get_monotonic_time () + CLOSE_WAIT_MS * 1000;
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init (&iter, sessions->table);
  while (g_hash_table_iter_next (&iter, NULL, &value)) {
    Session *s = value;

    s->ended = TRUE;
    if (s->client != NULL)
      vm_link_flush (s->client, (int)MAX (0, (end - g_get_monotonic_time ()) / 1000));
    g_clear_pointer (&s->client, vm_link_free);
  }
}

json_object *
vm_sessions_to_json (VmSessions *sessions)
{
  json_object *array = json_object_new_array ();

  for (guint32 i = FRAME_CHANNEL_MAIN; i <= FRAME_CHANNELS_MAX; i++) {
    Session *s = vm_session_lookup (sessions, i);
    json_object *object;

    if (s == NULL || (s->ended && i != FRAME_CHANNEL_MAIN))
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
