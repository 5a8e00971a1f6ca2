/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Both ends of the supervisor's sessions are scripted: a fake agent and fake clients, over socket pairs. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "frame-peer.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"
#include "vmctl/base/json.h"
#include "vmctl/session.h"

#define MAIN FRAME_CHANNEL_MAIN
#define IN FRAME_STDIN
#define OUT FRAME_STDOUT
#define ERR FRAME_STDERR

typedef struct {
  char *path;
  int dir;
  VmLog *log;
  VmSessions *sessions;
  Peer agent, client, other;
  VmLink *agent_link;
  GString *events; /* "exited 1 0 7;" "gone;" "detached;" "broken ...;" */
  json_object *capture;
} Fixture;

static void
got_exited (guint32 channel, guint8 kind, guint32 value, json_object *capture, gpointer data)
{
  Fixture *f = data;

  g_string_append_printf (f->events, "exited %u %u %u;", channel, kind, value);
  g_clear_pointer (&f->capture, json_object_put);
  f->capture = capture != NULL ? json_object_get (capture) : NULL;
}

static void
got_gone (gpointer data)
{
  g_string_append (((Fixture *)data)->events, "gone;");
}

static void
got_detached (gpointer data)
{
  g_string_append (((Fixture *)data)->events, "detached;");
}

static void
got_broken (const char *why, gpointer data)
{
  g_string_append_printf (((Fixture *)data)->events, "broken %s;", why);
}

static const VmSessionsHandlers handlers = {
    .exited = got_exited, .client_gone = got_gone, .detached = got_detached, .broken = got_broken};

static void
agent_frame (VmLink *link, const FrameHeader *header, const guint8 *payload, gpointer data)
{
  vm_sessions_frame (((Fixture *)data)->sessions, header, payload);
}

static void
agent_closed (VmLink *link, const char *why, gpointer data)
{
  vm_sessions_set_agent (((Fixture *)data)->sessions, NULL);
}

static const VmLinkHandlers agent_handlers = {.frame = agent_frame, .closed = agent_closed};

static void
set_up (Fixture *f, gconstpointer data)
{
  f->path = g_dir_make_tmp ("vmctl-session-XXXXXX", NULL);
  f->dir = open (f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  f->log = vm_log_open (f->dir, "output.log", VM_LOG_LIMIT, NULL);
  f->events = g_string_new (NULL);
  f->sessions = vm_sessions_new (f->log, &handlers, f);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  vm_sessions_free (f->sessions);
  vm_link_free (f->agent_link);
  peer_clear (&f->agent);
  peer_clear (&f->client);
  peer_clear (&f->other);
  vm_log_free (f->log);
  close (f->dir);
  g_assert_true (vm_file_remove_tree (AT_FDCWD, f->path, NULL));
  g_free (f->path);
  g_string_free (f->events, TRUE);
  json_object_put (f->capture);
}

static void
assert_events (Fixture *f, const char *expected)
{
  turn ();
  g_assert_cmpstr (f->events->str, ==, expected);
}

static void
connect_agent (Fixture *f)
{
  f->agent_link = vm_link_new (peer_connect (&f->agent), FALSE, &agent_handlers, f);
  vm_sessions_set_agent (f->sessions, f->agent_link);
}

static void
attach (Fixture *f, Peer *client)
{
  g_autoptr (GError) error = NULL;

  vm_sessions_attach_main (f->sessions, peer_connect (client), FALSE, &error);
  g_assert_no_error (error);
}

/* The main command runs; its OPEN has been read. */
static void
run_main (Fixture *f, gboolean tty, gboolean detached)
{
  VmOpen open = {.tty = tty, .rows = 24, .columns = 80};

  vm_sessions_open_main (f->sessions, &open, detached);
  connect_agent (f);
  peer_expect (&f->agent, FRAME_OPEN, MAIN, IN);
}

static guint32
run_other (Fixture *f, Peer *client)
{
  VmOpen open = {.argv = (const char *const[]){"cmd", NULL}};
  g_autoptr (GError) error = NULL;
  guint32 channel =
      vm_sessions_open (f->sessions, &open, client != NULL ? peer_connect (client) : -1, &error);

  g_assert_no_error (error);
  peer_expect (&f->agent, FRAME_OPEN, channel, IN);
  if (client == NULL)
    peer_expect (&f->agent, FRAME_EOF, channel, IN);
  return channel;
}

static void
send_bytes (Peer *peer, guint32 channel, FrameStream stream, gsize length)
{
  g_autofree char *bytes = g_strnfill (FRAME_PAYLOAD_MAX, 'x');

  for (gsize n; length > 0; length -= n) {
    n = MIN (length, FRAME_PAYLOAD_MAX);
    peer_send (peer, FRAME_DATA, channel, stream, bytes, n);
  }
}

static char *
logged (Fixture *f)
{
  g_autoptr (GBytes) bytes = vm_log_tail (f->dir, "output.log", 1 << 20, NULL);
  gsize length;
  const char *text = g_bytes_get_data (bytes, &length);

  return g_strndup (text != NULL ? text : "", length);
}

/* OPEN */

static void
test_open (Fixture *f, gconstpointer data)
{
  static const guint8 fields[] = "\1\0\0\0\2\0\0\0ls"
                                 "\1\0\0\0\0\0\0\0"
                                 "\2\0\0\0\3\0\0\0A=b"
                                 "\3\0\0\0\4\0\0\0/tmp"
                                 "\4\0\0\0\4\0\0\0\30\0\120\0"
                                 "\7\0\0\0\0\0\0\0"
                                 "\5\0\0\0\0\0\0\0"
                                 "\6\0\0\0\0\0\0";
  VmOpen open = {.argv = (const char *const[]){"ls", "", NULL},
                 .env = (const char *const[]){"A=b", NULL},
                 .cwd = "/tmp",
                 .shell = TRUE,
                 .root = TRUE,
                 .console = TRUE,
                 .tty = TRUE,
                 .rows = 24,
                 .columns = 80};

  connect_agent (f);
  vm_sessions_open_main (f->sessions, &open, FALSE);
  peer_expect (&f->agent, FRAME_OPEN, MAIN, IN);
  g_assert_cmpmem (f->agent.payload->data, f->agent.payload->len, fields, sizeof fields);
}

/* Long command lines travel in parts; too long ones are refused, and leave no session. */
static void
test_open_long (Fixture *f, gconstpointer data)
{
  g_autofree char *word = g_strnfill (100000, 'w'), *huge = g_strnfill (FRAME_OPEN_MAX, 'h');
  VmOpen open = {.argv = (const char *const[]){word, word, NULL}};
  VmOpen too_long = {.argv = (const char *const[]){huge, NULL}};
  g_autoptr (GError) error = NULL;
  gsize length = 0;

  connect_agent (f);
  g_assert_cmpuint (vm_sessions_open (f->sessions, &open, -1, NULL), ==, MAIN + 1);
  do {
    g_assert_true (peer_next (&f->agent));
    g_assert_cmpint (f->agent.header.type, ==, FRAME_OPEN);
    length += f->agent.payload->len;
  } while (f->agent.header.stream == 1);
  g_assert_cmpuint (length, ==, 2 * (100000 + FRAME_FIELD_HEADER));
  peer_expect (&f->agent, FRAME_EOF, MAIN + 1, IN);
  g_assert_cmpuint (vm_sessions_open (f->sessions, &too_long, peer_connect (&f->client), &error), ==, 0);
  g_assert_error (error, VM_ERROR, VM_ERROR_USAGE);
  peer_expect_end (&f->client);
  peer_expect_nothing (&f->agent);
}

static void
test_open_without_agent (Fixture *f, gconstpointer data)
{
  VmOpen open = {.argv = (const char *const[]){"x", NULL}};
  g_autoptr (GError) error = NULL;

  g_assert_cmpuint (vm_sessions_open (f->sessions, &open, peer_connect (&f->client), &error), ==, 0);
  g_assert_error (error, VM_ERROR, VM_ERROR_BUSY);
  peer_expect_end (&f->client);
}

static void
test_channels (Fixture *f, gconstpointer data)
{
  VmOpen open = {.argv = (const char *const[]){"x", NULL}};
  g_autoptr (GError) error = NULL;

  run_main (f, FALSE, TRUE);
  for (guint32 i = MAIN + 1; i <= FRAME_CHANNELS_MAX; i++)
    g_assert_cmpuint (vm_sessions_open (f->sessions, &open, -1, NULL), ==, i);
  g_assert_cmpuint (vm_sessions_open (f->sessions, &open, -1, &error), ==, 0);
  g_assert_error (error, VM_ERROR, VM_ERROR_BUSY);
  peer_exit (&f->agent, 9, FRAME_EXIT_STATUS, 0);
  assert_events (f, "exited 9 0 0;");
  g_assert_cmpuint (vm_sessions_open (f->sessions, &open, -1, NULL), ==, 9);
}

/* Streams and credit */

static void
test_output (Fixture *f, gconstpointer data)
{
  run_main (f, FALSE, FALSE);
  attach (f, &f->client);
  peer_send_u32 (&f->agent, FRAME_STARTED, MAIN, IN, 77);
  peer_send (&f->agent, FRAME_DATA, MAIN, OUT, "out", 3);
  peer_send (&f->agent, FRAME_DATA, MAIN, ERR, "err", 3);
  peer_send (&f->agent, FRAME_EOF, MAIN, OUT, NULL, 0);
  peer_exit (&f->agent, MAIN, FRAME_EXIT_STATUS, 3);
  peer_expect_u32 (&f->client, FRAME_STARTED, MAIN, IN, 77);
  peer_expect_text (&f->client, FRAME_DATA, MAIN, OUT, "out");
  peer_expect_text (&f->client, FRAME_DATA, MAIN, ERR, "err");
  peer_expect (&f->client, FRAME_EOF, MAIN, OUT);
  peer_expect (&f->client, FRAME_EXIT, MAIN, IN);
  g_assert_cmpint (f->client.payload->data[0], ==, FRAME_EXIT_STATUS);
  g_assert_cmpuint (frame_get_u32 (f->client.payload->data + 4), ==, 3);
  assert_events (f, "exited 1 0 3;");
}

/* Credit goes from end to end: what the client gives back, and nothing else. */
static void
test_credit (Fixture *f, gconstpointer data)
{
  run_main (f, FALSE, FALSE);
  attach (f, &f->client);
  send_bytes (&f->agent, MAIN, OUT, FRAME_WINDOW);
  send_bytes (&f->agent, MAIN, ERR, FRAME_WINDOW);
  peer_expect_data (&f->client, MAIN, OUT, FRAME_WINDOW);
  peer_expect_data (&f->client, MAIN, ERR, FRAME_WINDOW);
  peer_expect_nothing (&f->agent);
  peer_send_u32 (&f->client, FRAME_CREDIT, MAIN, OUT, 1000);
  peer_expect_u32 (&f->agent, FRAME_CREDIT, MAIN, OUT, 1000);
  send_bytes (&f->agent, MAIN, OUT, 1000);
  peer_expect_data (&f->client, MAIN, OUT, 1000);
  assert_events (f, "");
  send_bytes (&f->agent, MAIN, OUT, 1);
  assert_events (f, "broken more output than it had credit for;");
}

static void
test_agent_breaks (void)
{
  static const struct {
    FrameType type;
    FrameStream stream;
    gsize length;
  } cases[] = {
      {FRAME_DATA, IN, 1},    {FRAME_DATA, OUT, 0},    {FRAME_EOF, IN, 0},    {FRAME_CREDIT, IN, 4},
      {FRAME_CREDIT, OUT, 4}, {FRAME_CREDIT, IN, 3},   {FRAME_EXIT, IN, 7},   {FRAME_EXIT, IN, 0},
      {FRAME_OPEN, IN, 0},    {FRAME_STARTED, IN, 5},  {FRAME_SIGNAL, IN, 4}, {FRAME_RESIZE, IN, 4},
      {FRAME_CLOSE, IN, 0},   {FRAME_POWEROFF, IN, 4}, {FRAME_HELLO, IN, 8},  {FRAME_LOG, IN, 1},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    Fixture f = {0};

    set_up (&f, NULL);
    run_main (&f, FALSE, FALSE);
    attach (&f, &f.client);
    peer_send (&f.agent, cases[i].type, MAIN, cases[i].stream, "\1\0\0\0\0\0\0\0", cases[i].length);
    turn ();
    if (!g_str_has_prefix (f.events->str, "broken "))
      g_error ("case %u: %s", (guint)i, f.events->str);
    peer_expect_nothing (&f.client);
    tear_down (&f, NULL);
  }
}

static void
test_agent_breaks_exit_kind (Fixture *f, gconstpointer data)
{
  run_main (f, FALSE, FALSE);
  peer_exit (&f->agent, MAIN, FRAME_EXIT_KIND_MAX + 1, 0);
  assert_events (f, "broken malformed EXIT;");
}

static void
test_output_after_end (Fixture *f, gconstpointer data)
{
  run_main (f, FALSE, FALSE);
  peer_send (&f->agent, FRAME_EOF, MAIN, OUT, NULL, 0);
  send_bytes (&f->agent, MAIN, ERR, 1);
  assert_events (f, "");
  send_bytes (&f->agent, MAIN, OUT, 1);
  assert_events (f, "broken output after its end;");
}

/* What costs the agent nothing to repeat does not pile up for a client that does not read. */
static void
test_repetition (Fixture *f, gconstpointer data)
{
  run_main (f, FALSE, FALSE);
  attach (f, &f->client);
  for (guint i = 0; i < 1000; i++) {
    peer_send_u32 (&f->agent, FRAME_STARTED, MAIN, IN, 7);
    peer_send (&f->agent, FRAME_EOF, MAIN, ERR, NULL, 0);
  }
  peer_exit (&f->agent, MAIN, FRAME_EXIT_STATUS, 0);
  peer_exit (&f->agent, MAIN, FRAME_EXIT_STATUS, 1);
  peer_expect (&f->client, FRAME_STARTED, MAIN, IN);
  peer_expect (&f->client, FRAME_EOF, MAIN, ERR);
  peer_expect (&f->client, FRAME_EXIT, MAIN, IN);
  peer_expect_nothing (&f->client);
  assert_events (f, "exited 1 0 0;");
}

static void
test_unknown_channel (Fixture *f, gconstpointer data)
{
  run_main (f, FALSE, FALSE);
  attach (f, &f->client);
  peer_exit (&f->agent, 40, FRAME_EXIT_STATUS, 0);
  send_bytes (&f->agent, 41, OUT, 10);
  peer_exit (&f->agent, MAIN, FRAME_EXIT_STATUS, 0);
  send_bytes (&f->agent, MAIN, OUT, 10); /* behind the last frame of the channel */
  peer_expect (&f->client, FRAME_EXIT, MAIN, IN);
  peer_expect_nothing (&f->client);
  assert_events (f, "exited 1 0 0;");
}

/* Input */

static void
test_input (Fixture *f, gconstpointer data)
{
  run_main (f, FALSE, FALSE);
  attach (f, &f->client);
  peer_send (&f->client, FRAME_DATA, MAIN, IN, "in", 2);
  peer_expect_text (&f->agent, FRAME_DATA, MAIN, IN, "in");
  peer_send_u32 (&f->agent, FRAME_CREDIT, MAIN, IN, 2);
  peer_expect_u32 (&f->client, FRAME_CREDIT, MAIN, IN, 2);
  peer_send_u32 (&f->client, FRAME_SIGNAL, MAIN, IN, 15);
  peer_expect_u32 (&f->agent, FRAME_SIGNAL, MAIN, IN, 15);
  peer_send (&f->client, FRAME_EOF, MAIN, IN, NULL, 0);
  peer_send (&f->client, FRAME_EOF, MAIN, IN, NULL, 0);
  peer_expect (&f->agent, FRAME_EOF, MAIN, IN);
  peer_send (&f->client, FRAME_EOF, MAIN, OUT, NULL, 0); /* nobody reads it any more */
  peer_send (&f->client, FRAME_EOF, MAIN, OUT, NULL, 0);
  peer_expect (&f->agent, FRAME_EOF, MAIN, OUT);
  peer_expect_nothing (&f->agent);
}

/* What comes before the agent does waits for it. */
static void
test_input_early (Fixture *f, gconstpointer data)
{
  VmOpen open = {.tty = TRUE, .rows = 24, .columns = 80};

  vm_sessions_open_main (f->sessions, &open, FALSE);
  attach (f, &f->client);
  send_bytes (&f->client, MAIN, IN, FRAME_WINDOW);
  peer_send (&f->client, FRAME_EOF, MAIN, IN, NULL, 0);
  peer_send (&f->client, FRAME_RESIZE, MAIN, IN, "\62\0\204\0", 4);
  peer_send (&f->client, FRAME_EOF, MAIN, ERR, NULL, 0);
  turn ();
  connect_agent (f);
  peer_expect (&f->agent, FRAME_OPEN, MAIN, IN);
  peer_expect (&f->agent, FRAME_RESIZE, MAIN, IN);
  g_assert_cmpmem (f->agent.payload->data, f->agent.payload->len, "\62\0\204\0", 4);
  peer_expect (&f->agent, FRAME_EOF, MAIN, ERR);
  peer_expect_data (&f->agent, MAIN, IN, FRAME_WINDOW);
  peer_expect (&f->agent, FRAME_EOF, MAIN, IN);
  peer_expect_nothing (&f->agent);
}

static void
test_client_breaks (void)
{
  static const struct {
    FrameType type;
    guint32 channel;
    FrameStream stream;
    gsize length;
  } cases[] = {
      {FRAME_DATA, MAIN, OUT, 1},    {FRAME_DATA, MAIN, IN, 0},   {FRAME_DATA, 2, IN, 1},
      {FRAME_CREDIT, MAIN, OUT, 4},  {FRAME_CREDIT, MAIN, IN, 4}, {FRAME_CREDIT, MAIN, OUT, 3},
      {FRAME_EOF, MAIN, IN, 1},      {FRAME_SIGNAL, MAIN, IN, 3}, {FRAME_RESIZE, MAIN, IN, 8},
      {FRAME_EXIT, MAIN, IN, 8},     {FRAME_OPEN, MAIN, IN, 0},   {FRAME_STARTED, MAIN, IN, 4},
      {FRAME_POWEROFF, MAIN, IN, 4}, {FRAME_SETUP, MAIN, IN, 0},  {FRAME_CLOSE, 0, IN, 0},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    Fixture f = {0};

    set_up (&f, NULL);
    run_main (&f, FALSE, TRUE);
    attach (&f, &f.client);
    peer_send (&f.client, cases[i].type, cases[i].channel, cases[i].stream, "\1\0\0\0\0\0\0\0",
               cases[i].length);
    peer_expect_end (&f.client);
    peer_expect_nothing (&f.agent);
    assert_events (&f, ""); /* its fault, not the agent's */
    tear_down (&f, NULL);
  }
}

static void
test_client_sends_too_much (Fixture *f, gconstpointer data)
{
  run_main (f, FALSE, FALSE);
  attach (f, &f->client);
  send_bytes (&f->client, MAIN, IN, FRAME_WINDOW);
  peer_expect_data (&f->agent, MAIN, IN, FRAME_WINDOW);
  send_bytes (&f->client, MAIN, IN, 1);
  peer_expect_end (&f->client);
  peer_expect_nothing (&f->agent);
  assert_events (f, "gone;");
}

static void
test_client_sends_after_end (Fixture *f, gconstpointer data)
{
  run_main (f, FALSE, FALSE);
  attach (f, &f->client);
  peer_send (&f->client, FRAME_EOF, MAIN, IN, NULL, 0);
  send_bytes (&f->client, MAIN, IN, 1);
  peer_expect_end (&f->client);
  peer_expect (&f->agent, FRAME_EOF, MAIN, IN);
  peer_expect_nothing (&f->agent);
}

/* The agent's window is one, whatever the number of clients that fill it after each other. */
static void
test_input_of_next_client (Fixture *f, gconstpointer data)
{
  run_main (f, FALSE, TRUE);
  attach (f, &f->client);
  send_bytes (&f->client, MAIN, IN, FRAME_WINDOW);
  peer_expect_data (&f->agent, MAIN, IN, FRAME_WINDOW);
  peer_close (&f->client);
  turn ();
  attach (f, &f->other);
  send_bytes (&f->other, MAIN, IN, FRAME_WINDOW);
  peer_expect_nothing (&f->agent);
  peer_send_u32 (&f->agent, FRAME_CREDIT, MAIN, IN, 1000); /* for what the first one sent */
  peer_expect_data (&f->agent, MAIN, IN, 1000);
  peer_expect_nothing (&f->other);
  peer_send_u32 (&f->agent, FRAME_CREDIT, MAIN, IN, FRAME_WINDOW);
  peer_expect_u32 (&f->other, FRAME_CREDIT, MAIN, IN, 1000);
  peer_expect_data (&f->agent, MAIN, IN, FRAME_WINDOW - 1000);
  peer_send_u32 (&f->agent, FRAME_CREDIT, MAIN, IN, FRAME_WINDOW - 1000);
  peer_expect_u32 (&f->other, FRAME_CREDIT, MAIN, IN, FRAME_WINDOW - 1000);
  assert_events (f, "");
}

/* What somebody types after an earlier client ended the input goes nowhere; the agent would take it amiss. */
static void
test_input_ended_before (Fixture *f, gconstpointer data)
{
  run_main (f, FALSE, TRUE);
  attach (f, &f->client);
  peer_send (&f->client, FRAME_EOF, MAIN, IN, NULL, 0);
  peer_expect (&f->agent, FRAME_EOF, MAIN, IN);
  peer_close (&f->client);
  turn ();
  attach (f, &f->other);
  peer_send (&f->other, FRAME_DATA, MAIN, IN, "typed", 5);
  peer_expect_u32 (&f->other, FRAME_CREDIT, MAIN, IN, 5);
  peer_send (&f->other, FRAME_EOF, MAIN, IN, NULL, 0);
  peer_expect_nothing (&f->agent);
}

/* The main command and its clients */

static void
test_held (Fixture *f, gconstpointer data)
{
  gboolean tty = GPOINTER_TO_INT (data);
  g_autofree char *text = NULL;

  run_main (f, tty, FALSE);
  peer_send_u32 (&f->agent, FRAME_STARTED, MAIN, IN, 5);
  peer_send (&f->agent, FRAME_DATA, MAIN, OUT, "early ", 6);
  peer_send (&f->agent, FRAME_DATA, MAIN, OUT, "bird", 4);
  peer_send (&f->agent, FRAME_EOF, MAIN, OUT, NULL, 0);
  peer_expect_nothing (&f->agent); /* no credit: the flow control holds it back */
  attach (f, &f->client);
  peer_expect (&f->client, FRAME_STARTED, MAIN, IN);
  peer_expect_text (&f->client, FRAME_DATA, MAIN, OUT, "early bird");
  peer_expect (&f->client, FRAME_EOF, MAIN, OUT);
  peer_expect_nothing (&f->client);
  peer_send_u32 (&f->client, FRAME_CREDIT, MAIN, OUT, 10);
  peer_expect_u32 (&f->agent, FRAME_CREDIT, MAIN, OUT, 10);
  text = logged (f);
  g_assert_cmpstr (text, ==, tty ? "early bird" : "");
}

/* A command that is quicker than its client. */
static void
test_held_exit (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  run_main (f, FALSE, FALSE);
  peer_send (&f->agent, FRAME_DATA, MAIN, OUT, "done", 4);
  peer_exit (&f->agent, MAIN, FRAME_EXIT_STATUS, 4);
  assert_events (f, "exited 1 0 4;");
  g_assert_true (vm_sessions_main_waits (f->sessions));
  attach (f, &f->client);
  g_assert_false (vm_sessions_main_waits (f->sessions));
  peer_expect_text (&f->client, FRAME_DATA, MAIN, OUT, "done");
  peer_expect (&f->client, FRAME_EXIT, MAIN, IN);
  g_assert_cmpuint (frame_get_u32 (f->client.payload->data + 4), ==, 4);
  peer_close (&f->client);
  assert_events (f, "exited 1 0 4;"); /* and its leaving is no reason to end anything */
  g_assert_false (vm_sessions_attach_main (f->sessions, peer_connect (&f->other), FALSE, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_NOT_FOUND);
  peer_expect_end (&f->other);
}

static void
test_detached_output (Fixture *f, gconstpointer data)
{
  g_autofree char *text = NULL;

  run_main (f, FALSE, TRUE);
  peer_send (&f->agent, FRAME_DATA, MAIN, OUT, "line\n", 5);
  peer_expect_u32 (&f->agent, FRAME_CREDIT, MAIN, OUT, 5); /* goes on though nobody is there */
  peer_send (&f->agent, FRAME_DATA, MAIN, ERR, "error\n", 6);
  peer_expect_u32 (&f->agent, FRAME_CREDIT, MAIN, ERR, 6);
  text = logged (f);
  g_assert_cmpstr (text, ==, "line\nerror\n");
}

/* The ring is shown first; its credit is ours to take, not the agent's. */
static void
test_replay (Fixture *f, gconstpointer data)
{
  run_main (f, TRUE, TRUE);
  for (guint i = 0; i < 3; i++) {
    send_bytes (&f->agent, MAIN, OUT, VM_SESSION_RING);
    peer_expect_u32 (&f->agent, FRAME_CREDIT, MAIN, OUT, VM_SESSION_RING);
  }
  attach (f, &f->client);
  peer_expect_data (&f->client, MAIN, OUT, VM_SESSION_RING);
  peer_send (&f->agent, FRAME_DATA, MAIN, OUT, "new", 3);
  peer_expect_text (&f->client, FRAME_DATA, MAIN, OUT, "new");
  peer_send_u32 (&f->client, FRAME_CREDIT, MAIN, OUT, VM_SESSION_RING - 1);
  peer_expect_nothing (&f->agent);
  peer_send_u32 (&f->client, FRAME_CREDIT, MAIN, OUT, 3);
  peer_expect_u32 (&f->agent, FRAME_CREDIT, MAIN, OUT, 2);
  peer_send_u32 (&f->client, FRAME_CREDIT, MAIN, OUT, 2);
  peer_expect_end (&f->client); /* one more than there was */
}

/* What a client had not taken when it left is credited by nobody else. */
static void
test_vanish (Fixture *f, gconstpointer data)
{
  run_main (f, TRUE, TRUE);
  attach (f, &f->client);
  send_bytes (&f->agent, MAIN, OUT, 5000);
  peer_expect_data (&f->client, MAIN, OUT, 5000);
  peer_send_u32 (&f->client, FRAME_CREDIT, MAIN, OUT, 2000);
  peer_expect_u32 (&f->agent, FRAME_CREDIT, MAIN, OUT, 2000);
  peer_close (&f->client);
  peer_expect_u32 (&f->agent, FRAME_CREDIT, MAIN, OUT, 3000);
  peer_expect_nothing (&f->agent);
  assert_events (f, "");
  g_assert_false (vm_sessions_main_has_client (f->sessions));
}

static void
test_vanish_foreground (Fixture *f, gconstpointer data)
{
  run_main (f, TRUE, FALSE);
  attach (f, &f->client);
  g_assert_true (vm_sessions_main_has_client (f->sessions));
  peer_close (&f->client);
  assert_events (f, "gone;");
}

static void
test_detach (Fixture *f, gconstpointer data)
{
  g_autofree char *text = NULL;

  run_main (f, FALSE, FALSE);
  attach (f, &f->client);
  peer_send (&f->agent, FRAME_DATA, MAIN, OUT, "seen", 4);
  peer_expect_text (&f->client, FRAME_DATA, MAIN, OUT, "seen");
  peer_send (&f->client, FRAME_CLOSE, MAIN, IN, NULL, 0);
  peer_expect_end (&f->client);
  assert_events (f, "detached;");
  peer_expect_u32 (&f->agent, FRAME_CREDIT, MAIN, OUT, 4);
  peer_send (&f->agent, FRAME_DATA, MAIN, OUT, "missed", 6);
  peer_expect_u32 (&f->agent, FRAME_CREDIT, MAIN, OUT, 6);
  attach (f, &f->other);
  peer_expect_text (&f->other, FRAME_DATA, MAIN, OUT, "missed");
  peer_close (&f->other);
  assert_events (f, "detached;");
  text = logged (f);
  g_assert_cmpstr (text, ==, "missed");
}

static void
test_set_detached (Fixture *f, gconstpointer data)
{
  g_autofree char *text = NULL;

  run_main (f, TRUE, FALSE);
  peer_send (&f->agent, FRAME_DATA, MAIN, OUT, "held", 4);
  peer_expect_nothing (&f->agent);
  vm_sessions_set_detached (f->sessions, TRUE);
  peer_expect_u32 (&f->agent, FRAME_CREDIT, MAIN, OUT, 4);
  text = logged (f);
  g_assert_cmpstr (text, ==, "held");
  attach (f, &f->client);
  peer_expect_text (&f->client, FRAME_DATA, MAIN, OUT, "held");
  peer_expect_nothing (&f->client);
}

static void
test_steal (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  run_main (f, TRUE, FALSE);
  attach (f, &f->client);
  send_bytes (&f->agent, MAIN, OUT, 10);
  peer_expect_data (&f->client, MAIN, OUT, 10);
  g_assert_false (vm_sessions_attach_main (f->sessions, peer_connect (&f->other), FALSE, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_BUSY);
  peer_expect_end (&f->other);
  peer_clear (&f->other);
  g_clear_error (&error);
  vm_sessions_attach_main (f->sessions, peer_connect (&f->other), TRUE, &error);
  g_assert_no_error (error);
  peer_expect (&f->client, FRAME_CLOSE, MAIN, IN);
  peer_expect_end (&f->client);
  peer_expect_data (&f->other, MAIN, OUT, 10);
  peer_expect_u32 (&f->agent, FRAME_CREDIT, MAIN, OUT, 10);
  assert_events (f, "");
}

static void
test_attach_nothing (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (vm_sessions_attach_main (f->sessions, peer_connect (&f->client), FALSE, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_NOT_FOUND);
  peer_expect_end (&f->client);
}

static void
test_adopt (Fixture *f, gconstpointer data)
{
  vm_sessions_adopt_main (f->sessions, TRUE, NULL);
  connect_agent (f);
  peer_expect_nothing (&f->agent);
  peer_send (&f->agent, FRAME_DATA, MAIN, OUT, "on", 2);
  peer_expect_u32 (&f->agent, FRAME_CREDIT, MAIN, OUT, 2);
  attach (f, &f->client);
  peer_expect_text (&f->client, FRAME_DATA, MAIN, OUT, "on");
  g_assert_true (vm_sessions_main_is_tty (f->sessions));
}

/* Other commands */

static void
test_other (Fixture *f, gconstpointer data)
{
  guint32 channel;

  run_main (f, FALSE, TRUE);
  channel = run_other (f, &f->client);
  peer_send (&f->client, FRAME_DATA, MAIN, IN, "x", 1);
  peer_expect_text (&f->agent, FRAME_DATA, channel, IN, "x");
  peer_send (&f->agent, FRAME_DATA, channel, ERR, "y", 1);
  peer_expect_text (&f->client, FRAME_DATA, MAIN, ERR, "y");
  peer_exit (&f->agent, channel, FRAME_EXIT_SIGNAL, 9);
  peer_expect (&f->client, FRAME_EXIT, MAIN, IN);
  peer_expect_end (&f->client);
  assert_events (f, "exited 2 1 9;");
  g_assert_null (f->capture);
  peer_close (&f->client);
  turn ();
  g_assert_cmpuint (run_other (f, NULL), ==, channel);
}

/* A client that is slow to take the end loses nothing, and holds up nobody. */
static void
test_other_slow (Fixture *f, gconstpointer data)
{
  g_autoptr (json_object) list = NULL;
  gint64 before;
  guint32 channel;

  run_main (f, FALSE, TRUE);
  channel = run_other (f, &f->client);
  send_bytes (&f->agent, channel, OUT, FRAME_WINDOW);
  send_bytes (&f->agent, channel, ERR, FRAME_WINDOW);
  before = g_get_monotonic_time ();
  peer_exit (&f->agent, channel, FRAME_EXIT_STATUS, 0);
  assert_events (f, "exited 2 0 0;");
  g_assert_cmpint (g_get_monotonic_time () - before, <, 1500000); /* it would wait for 2 s */
  g_assert_false (vm_sessions_signal (f->sessions, channel, 15));
  list = vm_sessions_to_json (f->sessions);
  g_assert_cmpuint (json_object_array_length (list), ==, 1);
  peer_close (&f->agent); /* the sandbox ends meanwhile */
  turn ();
  peer_expect_data (&f->client, MAIN, OUT, FRAME_WINDOW);
  peer_expect_data (&f->client, MAIN, ERR, FRAME_WINDOW);
  peer_expect (&f->client, FRAME_EXIT, MAIN, IN);
  peer_expect_end (&f->client);
}

/* It is hung up, and what it still says is thrown away. */
static void
test_other_vanishes (Fixture *f, gconstpointer data)
{
  guint32 channel;

  run_main (f, FALSE, TRUE);
  channel = run_other (f, &f->client);
  send_bytes (&f->agent, channel, OUT, 10);
  peer_expect_data (&f->client, MAIN, OUT, 10);
  peer_close (&f->client);
  peer_expect (&f->agent, FRAME_CLOSE, channel, IN);
  peer_expect_u32 (&f->agent, FRAME_CREDIT, channel, OUT, 10);
  send_bytes (&f->agent, channel, OUT, 20);
  peer_expect_u32 (&f->agent, FRAME_CREDIT, channel, OUT, 20);
  peer_exit (&f->agent, channel, FRAME_EXIT_SIGNAL, 1);
  assert_events (f, "exited 2 1 1;");
  g_assert_null (f->capture);
}

static void
test_capture (Fixture *f, gconstpointer data)
{
  g_autofree guchar *out = NULL;
  guint32 channel;
  gsize length;

  run_main (f, FALSE, TRUE);
  channel = run_other (f, NULL);
  peer_send (&f->agent, FRAME_DATA, channel, OUT, "a\0b", 3);
  peer_expect_u32 (&f->agent, FRAME_CREDIT, channel, OUT, 3);
  peer_exit (&f->agent, channel, FRAME_EXIT_STATUS, 0);
  assert_events (f, "exited 2 0 0;");
  out = g_base64_decode (vm_json_str (f->capture, "stdout", ""), &length);
  g_assert_cmpmem (out, length, "a\0b", 3);
  g_assert_cmpstr (vm_json_str (f->capture, "stderr", "?"), ==, "");
  g_assert_false (vm_json_bool (f->capture, "truncated", TRUE));
}

static void
test_capture_bound (Fixture *f, gconstpointer data)
{
  g_autofree guchar *out = NULL;
  guint32 channel;
  gsize length;

  run_main (f, FALSE, TRUE);
  channel = run_other (f, NULL);
  for (guint i = 0; i < 20; i++) {
    send_bytes (&f->agent, channel, OUT, FRAME_PAYLOAD_MAX);
    peer_expect_u32 (&f->agent, FRAME_CREDIT, channel, OUT, FRAME_PAYLOAD_MAX);
  }
  peer_exit (&f->agent, channel, FRAME_EXIT_STATUS, 0);
  assert_events (f, "exited 2 0 0;");
  out = g_base64_decode (vm_json_str (f->capture, "stdout", ""), &length);
  g_assert_cmpuint (length, ==, VM_SESSION_CAPTURE_MAX);
  g_assert_true (vm_json_bool (f->capture, "truncated", FALSE));
}

/* The agent is lost: all but the main command end. */
static void
test_agent_lost (Fixture *f, gconstpointer data)
{
  run_main (f, TRUE, TRUE);
  attach (f, &f->other);
  (void)run_other (f, &f->client);
  peer_close (&f->agent);
  peer_expect_end (&f->client);
  peer_expect_nothing (&f->other);
  g_assert_true (vm_sessions_main_has_client (f->sessions));
  assert_events (f, "");
}

static void
test_resize_signal (Fixture *f, gconstpointer data)
{
  VmOpen open = {.tty = TRUE, .rows = 24, .columns = 80};

  g_assert_false (vm_sessions_resize (f->sessions, MAIN, 1, 1));
  g_assert_false (vm_sessions_signal (f->sessions, MAIN, 15));
  vm_sessions_open_main (f->sessions, &open, TRUE);
  g_assert_true (vm_sessions_resize (f->sessions, MAIN, 50, 132)); /* waits for the agent */
  g_assert_false (vm_sessions_signal (f->sessions, MAIN, 15));
  connect_agent (f);
  peer_expect (&f->agent, FRAME_OPEN, MAIN, IN);
  peer_expect (&f->agent, FRAME_RESIZE, MAIN, IN);
  g_assert_true (vm_sessions_signal (f->sessions, MAIN, 15));
  peer_expect_u32 (&f->agent, FRAME_SIGNAL, MAIN, IN, 15);
  g_assert_false (vm_sessions_signal (f->sessions, 5, 15));
  peer_exit (&f->agent, MAIN, FRAME_EXIT_STATUS, 0);
  turn ();
  g_assert_false (vm_sessions_resize (f->sessions, MAIN, 1, 1));
}

static void
test_close_all (Fixture *f, gconstpointer data)
{
  run_main (f, TRUE, FALSE);
  attach (f, &f->client);
  peer_exit (&f->agent, MAIN, FRAME_EXIT_STATUS, 0);
  turn ();
  vm_sessions_close_all (f->sessions);
  peer_expect (&f->client, FRAME_EXIT, MAIN, IN);
  peer_expect_end (&f->client);
  assert_events (f, "exited 1 0 0;");
}

static void
test_list (Fixture *f, gconstpointer data)
{
  g_autoptr (json_object) list = NULL;
  g_autofree char *line = NULL;

  run_main (f, TRUE, TRUE);
  (void)run_other (f, &f->client);
  list = vm_sessions_to_json (f->sessions);
  line = vm_json_line (list);
  g_assert_cmpstr (line, ==,
                   "[{\"session\":1,\"tty\":true,\"attached\":false},"
                   "{\"session\":2,\"argv\":[\"cmd\"],\"tty\":false,\"attached\":true}]");
}

/* It ends, and is to run again with another agent: its client is let go, one that comes meanwhile waits. */
static void
test_restart (Fixture *f, gconstpointer data)
{
  static const guint8 killed[8] = {FRAME_EXIT_SIGNAL, 0, 0, 0, 15};
  VmOpen open = {0};

  run_main (f, FALSE, TRUE);
  attach (f, &f->client);
  vm_sessions_detach_main (f->sessions);
  peer_expect (&f->client, FRAME_CLOSE, MAIN, IN);
  peer_expect_end (&f->client);
  vm_sessions_detach_main (f->sessions); /* nobody is there */
  send_bytes (&f->agent, MAIN, OUT, 10);
  peer_expect_u32 (&f->agent, FRAME_CREDIT, MAIN, OUT, 10);
  peer_send (&f->agent, FRAME_EXIT, MAIN, IN, killed, sizeof killed);
  assert_events (f, "exited 1 1 15;");
  vm_sessions_set_agent (f->sessions, NULL);
  g_clear_pointer (&f->agent_link, vm_link_free);
  peer_clear (&f->agent);
  vm_sessions_restart_main (f->sessions, &open);
  attach (f, &f->other);
  peer_expect_data (&f->other, MAIN, OUT, 10); /* what was written last */
  connect_agent (f);
  peer_expect (&f->agent, FRAME_OPEN, MAIN, IN);
  send_bytes (&f->agent, MAIN, OUT, 20);
  peer_expect_data (&f->other, MAIN, OUT, 20);
  assert_events (f, "exited 1 1 15;");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func) g_test_add ("/vmctl/session/" name, Fixture, NULL, set_up, func, tear_down)
  ADD ("open", test_open);
  ADD ("open-long", test_open_long);
  ADD ("open-without-agent", test_open_without_agent);
  ADD ("channels", test_channels);
  ADD ("output", test_output);
  ADD ("credit", test_credit);
  g_test_add_func ("/vmctl/session/agent-breaks", test_agent_breaks);
  ADD ("agent-breaks-exit-kind", test_agent_breaks_exit_kind);
  ADD ("output-after-end", test_output_after_end);
  ADD ("repetition", test_repetition);
  ADD ("unknown-channel", test_unknown_channel);
  ADD ("input", test_input);
  ADD ("input-early", test_input_early);
  g_test_add_func ("/vmctl/session/client-breaks", test_client_breaks);
  ADD ("client-sends-too-much", test_client_sends_too_much);
  ADD ("client-sends-after-end", test_client_sends_after_end);
  ADD ("input-of-next-client", test_input_of_next_client);
  ADD ("input-ended-before", test_input_ended_before);
  ADD ("held", test_held);
  g_test_add ("/vmctl/session/held-tty", Fixture, GINT_TO_POINTER (TRUE), set_up, test_held, tear_down);
  ADD ("held-exit", test_held_exit);
  ADD ("detached-output", test_detached_output);
  ADD ("replay", test_replay);
  ADD ("vanish", test_vanish);
  ADD ("vanish-foreground", test_vanish_foreground);
  ADD ("detach", test_detach);
  ADD ("set-detached", test_set_detached);
  ADD ("steal", test_steal);
  ADD ("restart", test_restart);
  ADD ("attach-nothing", test_attach_nothing);
  ADD ("adopt", test_adopt);
  ADD ("other", test_other);
  ADD ("other-slow", test_other_slow);
  ADD ("other-vanishes", test_other_vanishes);
  ADD ("capture", test_capture);
  ADD ("capture-bound", test_capture_bound);
  ADD ("agent-lost", test_agent_lost);
  ADD ("resize-signal", test_resize_signal);
  ADD ("close-all", test_close_all);
  ADD ("list", test_list);
  return g_test_run ();
}
