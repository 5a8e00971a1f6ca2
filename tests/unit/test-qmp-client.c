/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "qmp/client.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/fake-qmp.h"
#include "vmctl/base/argv.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/json.h"

#define GREETING "{\"QMP\":{\"version\":{},\"capabilities\":[]}}\r\n"
#define CAPABILITIES "{\"execute\":\"qmp_capabilities\",\"id\":1}\r\n"

/* A client, and the other end in the hands of the test. Everything that the client reports goes to `log`. */
typedef struct {
  QmpClient *client;
  int peer;
  GString *log;
  gboolean free_in_event, free_in_reply, free_in_ready, free_in_closed, send_in_reply;
} Setup;

static void
on_event (QmpClient *client, const char *name, json_object *event_data, json_object *message, gpointer data)
{
  Setup *s = data;

  g_assert_true (client == s->client);
  g_assert_nonnull (message);
  g_string_append_printf (s->log, "event %s %s\n", name,
                          event_data != NULL ? json_object_to_json_string (event_data) : "-");
  if (s->free_in_event)
    g_clear_pointer (&s->client, qmp_client_free);
}

static void
on_ready (QmpClient *client, gpointer data)
{
  Setup *s = data;

  g_assert_true (qmp_client_is_ready (client));
  g_string_append (s->log, "ready\n");
  if (s->free_in_ready)
    g_clear_pointer (&s->client, qmp_client_free);
}

static void
on_closed (QmpClient *client, const GError *error, gpointer data)
{
  Setup *s = data;

  g_assert_true (qmp_client_is_closed (client));
  g_assert_true (error != NULL && error->domain == QMP_ERROR);
  g_string_append_printf (s->log, "closed %d\n", error->code);
  if (s->free_in_closed)
    g_clear_pointer (&s->client, qmp_client_free);
}

static const QmpClientHandlers handlers = {.event = on_event, .ready = on_ready, .closed = on_closed};

static void
setup (Setup *s)
{
  int fds[2];

  memset (s, 0, sizeof *s);
  g_assert_true (vm_fd_socketpair (SOCK_STREAM, fds, NULL));
  s->peer = fds[1];
  g_assert_true (vm_fd_set_nonblocking (s->peer, TRUE, NULL));
  s->log = g_string_new (NULL);
  s->client = qmp_client_new (fds[0], &handlers, s);
}

static void
teardown (Setup *s)
{
  qmp_client_free (s->client);
  vm_fd_clear (&s->peer);
  g_string_free (s->log, TRUE);
  while (g_main_context_iteration (NULL, FALSE))
    ;
}

/* Until nothing is left to do. */
static void
settle (void)
{
  while (g_main_context_iteration (NULL, FALSE))
    ;
}

static void
say (Setup *s, const char *text)
{
  g_assert_cmpint (send (s->peer, text, strlen (text), MSG_NOSIGNAL), ==, strlen (text));
  settle ();
}

/* What the client has written since the last time. */
static void
heard (Setup *s, const char *expected)
{
  char bytes[65536];
  ssize_t n;

  settle ();
  n = recv (s->peer, bytes, sizeof bytes - 1, 0);
  bytes[MAX (n, 0)] = '\0';
  g_assert_cmpstr (bytes, ==, expected);
}

static void
logged (Setup *s, const char *expected)
{
  settle ();
  g_assert_cmpstr (s->log->str, ==, expected);
  g_string_truncate (s->log, 0);
}

typedef struct {
  Setup *setup;
  const char *name;
} Tag;

static void
on_reply (QmpClient *client, json_object *ret, json_object *reply, const GError *error, gpointer data)
{
  g_autofree Tag *tag = data;
  Setup *s = tag->setup;

  g_assert_true ((ret != NULL) != (error != NULL));
  if (ret != NULL)
    g_string_append_printf (s->log, "%s %s\n", tag->name,
                            json_object_to_json_string_ext (ret, JSON_C_TO_STRING_PLAIN));
  else
    g_string_append_printf (s->log, "%s error %d%s\n", tag->name, error->code, reply != NULL ? "" : " alone");
  if (s->send_in_reply) {
    Tag *next = g_new0 (Tag, 1);

    s->send_in_reply = FALSE;
    *next = (Tag){s, "again"};
    qmp_client_send (client, "again", NULL, NULL, 0, 0, on_reply, next);
  }
  if (s->free_in_reply)
    g_clear_pointer (&s->client, qmp_client_free);
}

static void
command (Setup *s, const char *name, guint timeout_ms)
{
  Tag *tag = g_new0 (Tag, 1);

  *tag = (Tag){s, name};
  qmp_client_send (s->client, name, NULL, NULL, 0, timeout_ms, on_reply, tag);
}

static void
shake (Setup *s)
{
  say (s, GREETING);
  heard (s, CAPABILITIES);
  say (s, "{\"return\":{},\"id\":1}\r\n");
  logged (s, "ready\n");
}

static void
test_handshake (void)
{
  Setup s;

  setup (&s);
  g_assert_null (qmp_client_greeting (s.client));
  heard (&s, "");
  say (&s,
       "{\"QMP\":{\"version\":{\"qemu\":{\"major\":99}},\"capabilities\":[\"oob\",\"x\"],\"new\":1}}\r\n");
  g_assert_false (qmp_client_is_ready (s.client));
  heard (&s, CAPABILITIES);
  say (&s, "{\"return\":{},\"id\":1}\r\n");
  logged (&s, "ready\n");
  g_assert_cmpint (
      vm_json_int (vm_json_object (vm_json_object (qmp_client_greeting (s.client), "version"), "qemu"),
                   "major", 0),
      ==, 99);
  teardown (&s);
}

/* Sent at once, written after the handshake, in order. */
static void
test_early_commands (void)
{
  Setup s;

  setup (&s);
  command (&s, "a", 0);
  command (&s, "b", 0);
  heard (&s, "");
  say (&s, GREETING);
  heard (&s, "{\"execute\":\"qmp_capabilities\",\"id\":3}\r\n");
  say (&s, "{\"return\":{},\"id\":3}\n");
  heard (&s, "{\"execute\":\"a\",\"id\":1}\r\n{\"execute\":\"b\",\"id\":2}\r\n");
  say (&s, "{\"return\":{\"x\":1},\"id\":1}\n{\"return\":[],\"id\":2}\n");
  logged (&s, "ready\na {\"x\":1}\nb []\n");
  teardown (&s);
}

static void
test_bad_greetings (void)
{
  static const struct {
    const char *text, *log;
  } cases[] = {
      {"{\"QMP\":null}\n", "closed 5\n"},
      {"{\"QMP\":1}\n", "closed 5\n"},
      {"{\"QMP\":{}}\n{\"QMP\":{}}\n", "closed 5\n"},
      {"{\"QMP\":{}}\n{\"error\":{\"class\":\"CommandNotFound\",\"desc\":\"no\"},\"id\":1}\n", "closed 5\n"},
      {"SSH-2.0-OpenSSH_9.2\r\n", "closed 5\n"},
      {"[1]\n", ""}, /* no message of any kind: dropped */
      {"{}\n", ""},
      {"{\"execute\":\"x\"}\n", ""},
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    Setup s;

    setup (&s);
    g_test_message ("%s", cases[i].text);
    say (&s, cases[i].text);
    logged (&s, cases[i].log);
    teardown (&s);
  }
}

static void
wait_for_closed (Setup *s)
{
  while (!qmp_client_is_closed (s->client))
    g_main_context_iteration (NULL, TRUE);
}

static void
test_handshake_timeout (void)
{
  Setup s;

  setup (&s);
  command (&s, "a", 0);
  qmp_client_set_handshake_timeout (s.client, 10);
  wait_for_closed (&s);
  logged (&s, "a error 7 alone\nclosed 7\n");
  teardown (&s);

  setup (&s);
  say (&s, GREETING); /* but qmp_capabilities is never answered */
  qmp_client_set_handshake_timeout (s.client, 10);
  wait_for_closed (&s);
  logged (&s, "closed 7\n");
  teardown (&s);

  setup (&s);
  qmp_client_set_handshake_timeout (s.client, 2000);
  shake (&s);
  qmp_client_set_handshake_timeout (s.client, 1);
  command (&s, "a", 2200); /* outlasts both */
  while (s.log->len == 0)
    g_main_context_iteration (NULL, TRUE);
  logged (&s, "a error 7 alone\n");
  g_assert_true (qmp_client_is_ready (s.client));
  teardown (&s);
}

static void
test_out_of_order (void)
{
  Setup s;

  setup (&s);
  shake (&s);
  command (&s, "a", 0);
  command (&s, "b", 0);
  command (&s, "c", 0);
  say (&s, "{\"id\":4,\"return\":{}}\n{\"event\":\"E\",\"data\":{\"x\":1}}\n{\"return\":7,\"id\":2}\n"
           "{\"error\":{\"class\":\"DeviceNotFound\",\"desc\":\"d\"},\"id\":3}\n");
  logged (&s, "c {}\nevent E { \"x\": 1 }\na 7\nb error 3\n");
  teardown (&s);
}

static void
test_stray_replies (void)
{
  Setup s;

  setup (&s);
  say (&s, "{\"return\":{},\"id\":1}\n"); /* before anything was asked */
  shake (&s);
  command (&s, "a", 0);
  say (&s, "{\"return\":{},\"id\":99}\n{\"return\":{}}\n{\"return\":{},\"id\":null}\n{\"return\":{},\"id\":"
           "\"2\"}\n"
           "{\"return\":{},\"id\":2.0}\n{\"return\":{},\"id\":[2]}\n{\"return\":{},\"id\":-1}\n"
           "{\"error\":{\"class\":\"GenericError\",\"desc\":\"JSON parse error\"}}\n");
  logged (&s, "");
  say (&s, "{\"return\":1,\"id\":2}\n{\"return\":2,\"id\":2}\n"); /* the second is a duplicate */
  logged (&s, "a 1\n");
  g_assert_true (qmp_client_is_ready (s.client));
  teardown (&s);
}

static void
test_odd_replies (void)
{
  Setup s;

  setup (&s);
  shake (&s);
  command (&s, "a", 0);
  command (&s, "b", 0);
  command (&s, "c", 0);
  say (&s, "{\"return\":null,\"id\":2}\n{\"error\":null,\"id\":3}\n"
           "{\"error\":{\"class\":\"New\",\"desc\":7},\"id\":4,\"return\":{}}\n");
  logged (&s, "a {}\nb error 0\nc error 0\n");
  teardown (&s);
}

/* Before the greeting, and inside the handshake. */
static void
test_early_events (void)
{
  Setup s;

  setup (&s);
  say (&s, "{\"event\":\"A\"}\n" GREETING "{\"event\":\"B\",\"data\":{}}\n");
  say (&s, "{\"event\":\"C\",\"data\":1}\n{\"return\":{},\"id\":1}\n{\"event\":\"D\"}\n");
  logged (&s, "event A -\nevent B { }\nevent C -\nready\nevent D -\n");
  teardown (&s);
}

static void
test_every_split (void)
{
  const char *text =
      "\r\n  " GREETING "{\"event\":\"A\",\"data\":{\"s\":\"}\\\"\"}}\r\n{\"return\":{},\"id\":2}\n";
  const char *more = "{\"return\":{\"x\":[1,2]},\"id\":1}\r\n{\"event\":\"B\"}\n{\"return\":7,\"id\":3}";
  gsize length = strlen (text) + strlen (more);
  g_autofree char *all = g_strconcat (text, more, NULL);

  for (gsize step = 1; step <= length; step++) {
    Setup s;

    setup (&s);
    command (&s, "a", 0);
    for (gsize at = 0; at < length; at += step) {
      g_autofree char *piece = g_strndup (all + at, step);

      if (at >= strlen (text) && at - step < strlen (text))
        command (&s, "b", 0);
      say (&s, piece);
    }
    if (step <= strlen (more)) /* else "b" was never asked */
      logged (&s, "event A { \"s\": \"}\\\"\" }\nready\na {\"x\":[1,2]}\nevent B -\nb 7\n");
    teardown (&s);
  }
}

/* Every reply, byte by byte, from another thread. */
static void
test_fake_split (void)
{
  g_autofree char *path = g_test_build_filename (G_TEST_DIST, "tests/data/qmp-schema-7.2.json", NULL);
  g_autoptr (QmpSchema) schema = fake_qmp_load_schema (path, NULL);
  FakeQmp *fake;
  Setup s = {0};
  int fd;
  g_autoptr (GError) error = NULL;
  g_autoptr (json_object) status = NULL;
  json_object *arguments = json_object_new_object ();

  g_assert_nonnull (schema);
  fake = fake_qmp_start ("split on\n"
                         "handshake\n"
                         "event RESUME\n"
                         "expect query-status\n"
                         "bare on\n"
                         "return {\"running\": true, \"status\": \"running\"}\n"
                         "expect device_del {\"id\": \"a\"}\n"
                         "error DeviceNotFound Device 'a' not found\n"
                         "expect query-status\n" /* the end of the line has been written, too */
                         "ignore\n",
                         schema, &fd);
  s.log = g_string_new (NULL);
  s.client = qmp_client_new (fd, &handlers, &s);
  status = qmp_client_call (s.client, "query-status", NULL, NULL, 0, 0, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (vm_json_str (status, "status", ""), ==, "running");
  vm_json_add_str (arguments, "id", "a");
  g_assert_null (qmp_client_call (s.client, "device_del", arguments, NULL, 0, 0, &error));
  g_assert_error (error, QMP_ERROR, QMP_ERROR_DEVICE_NOT_FOUND);
  g_assert_cmpstr (error->message, ==, "Device 'a' not found");
  g_assert_cmpstr (s.log->str, ==, "ready\nevent RESUME -\n");
  g_assert_null (qmp_client_call (s.client, "query-status", NULL, NULL, 0, 100, NULL));
  qmp_client_free (s.client);
  fake_qmp_join (fake);
  g_string_free (s.log, TRUE);
}

static gsize
resident (void)
{
  g_autofree char *text = NULL;
  gulong pages;

  g_assert_true (g_file_get_contents ("/proc/self/statm", &text, NULL, NULL));
  pages = strtoul (strchr (text, ' '), NULL, 10);
  return pages * (gsize)sysconf (_SC_PAGESIZE);
}

static void
test_long_line (void)
{
  FakeQmp *fake;
  int fd;
  QmpClient *client;
  g_autoptr (GError) error = NULL;
  g_autoptr (json_object) ret = NULL;

  fake = fake_qmp_start (
      "handshake\nexpect x\nraw {\"id\": 1, \"return\": \"\nrepeat 11534336 x\nraw \"}\\r\\n\nignore\n", NULL,
      &fd);
  client = qmp_client_new (fd, &(QmpClientHandlers){0}, NULL);
  ret = qmp_client_call (client, "x", NULL, NULL, 0, 0, &error);
  g_assert_no_error (error);
  g_assert_cmpint (json_object_get_string_len (ret), ==, 11 << 20);
  qmp_client_free (client);
  fake_qmp_join (fake);
}

/* 17 MiB without a newline: the connection is given up, and the memory for it is bounded. */
static void
test_too_long (void)
{
  FakeQmp *fake;
  int fd;
  QmpClient *client;
  g_autoptr (GError) error = NULL;
  gsize before;

  fake = fake_qmp_start ("handshake\nexpect x\nraw {\"id\": 1, \"return\": \"\nrepeat 16777216 x\nignore\n",
                         NULL, &fd);
  client = qmp_client_new (fd, &(QmpClientHandlers){0}, NULL);
  before = resident ();
  g_assert_null (qmp_client_call (client, "x", NULL, NULL, 0, 0, &error));
  g_assert_error (error, QMP_ERROR, QMP_ERROR_PROTOCOL);
  g_assert_true (qmp_client_is_closed (client));
  g_assert_cmpuint (resident (), <, before + (160 << 20));
  qmp_client_free (client);
  fake_qmp_join (fake);
}

/* State x way of ending: what is pending fails once, then `closed`, with the right code. */
static void
test_eof_in_each_state (void)
{
  static const char *const sent[] = {
      "",
      "{\"QM",
      GREETING,
      GREETING "{\"return\":{},\"id\":",
      GREETING "{\"return\":{},\"id\":3}\r\n",
      GREETING "{\"return\":{},\"id\":3}\r\n{\"return\":{},\"i",
  };

  for (guint i = 0; i < G_N_ELEMENTS (sent) * 2; i++) {
    Setup s;
    gboolean is_ready = i / 2 >= 4;

    setup (&s);
    command (&s, "a", 60000);
    command (&s, "b", 0);
    if (i / 2 >= 1)
      say (&s, sent[i / 2]);
    /* Unread bytes in the peer's queue make a reset of it. */
    if (i % 2 == 0)
      while (recv (s.peer, (char[4096]){0}, 4096, 0) > 0)
        ;
    vm_fd_clear (&s.peer);
    settle ();
    logged (&s, is_ready ? "ready\na error 6 alone\nb error 6 alone\nclosed 6\n"
                         : "a error 6 alone\nb error 6 alone\nclosed 6\n");
    g_assert_true (qmp_client_is_closed (s.client));
    teardown (&s);
  }
}

/* What the peer said before it went is heard, also when writing to it fails first. */
static void
test_last_words (void)
{
  Setup s;

  setup (&s);
  shake (&s);
  command (&s, "quit", 0);
  settle ();
  g_assert_cmpint (send (s.peer, "{\"event\":\"SHUTDOWN\"}\r\n{\"return\":{},\"id\":2}\r\n", 44, 0), >, 0);
  vm_fd_clear (&s.peer);
  command (&s, "late", 0); /* EPIPE */
  logged (&s, "event SHUTDOWN -\nquit {}\nlate error 6 alone\nclosed 6\n");
  teardown (&s);
}

static void
test_send_when_closed (void)
{
  Setup s;

  setup (&s);
  shake (&s);
  vm_fd_clear (&s.peer);
  logged (&s, "closed 6\n");
  command (&s, "a", 0);
  g_assert_cmpstr (s.log->str, ==, ""); /* from an idle source only */
  logged (&s, "a error 6 alone\n");
  command (&s, "b", 0);
  g_clear_pointer (&s.client, qmp_client_free); /* sooner than the idle source */
  g_assert_cmpstr (s.log->str, ==, "b error 6 alone\n");
  logged (&s, "b error 6 alone\n");
  teardown (&s);
}

static void
test_free_fails_pending (void)
{
  Setup s;

  setup (&s);
  shake (&s);
  command (&s, "a", 60000);
  command (&s, "b", 0);
  g_clear_pointer (&s.client, qmp_client_free);
  g_assert_cmpstr (s.log->str, ==, "a error 6 alone\nb error 6 alone\n");
  logged (&s, "a error 6 alone\nb error 6 alone\n"); /* and `closed` is not called */
  qmp_client_free (NULL);
  teardown (&s);
}

/* Each callback may free the client; the rest of the input is then dropped. */
static void
test_free_in_callbacks (void)
{
  Setup s;

  setup (&s);
  s.free_in_event = TRUE;
  command (&s, "a", 0);
  say (&s, "{\"event\":\"A\"}\n{\"event\":\"B\"}\n" GREETING);
  logged (&s, "event A -\na error 6 alone\n");
  teardown (&s);

  setup (&s);
  s.free_in_ready = TRUE;
  command (&s, "a", 0);
  say (&s, GREETING "{\"return\":{},\"id\":2}\n{\"event\":\"B\"}\n");
  logged (&s, "ready\na error 6 alone\n");
  teardown (&s);

  setup (&s);
  shake (&s);
  s.free_in_reply = TRUE;
  command (&s, "a", 0);
  command (&s, "b", 0);
  say (&s, "{\"return\":{},\"id\":2}\n{\"return\":{},\"id\":3}\n");
  logged (&s, "a {}\nb error 6 alone\n");
  teardown (&s);

  setup (&s);
  shake (&s);
  s.free_in_reply = TRUE; /* at a disconnect: `closed` is not called any more */
  command (&s, "a", 0);
  command (&s, "b", 0);
  vm_fd_clear (&s.peer);
  logged (&s, "a error 6 alone\nb error 6 alone\n");
  teardown (&s);

  setup (&s);
  shake (&s);
  s.free_in_closed = TRUE;
  command (&s, "a", 0);
  say (&s, "junk\n");
  logged (&s, "a error 5 alone\nclosed 5\n");
  teardown (&s);
}

static void
test_free_in_timeout (void)
{
  Setup s;

  setup (&s);
  shake (&s);
  s.free_in_reply = TRUE;
  command (&s, "a", 1);
  command (&s, "b", 60000);
  while (s.client != NULL)
    g_main_context_iteration (NULL, TRUE);
  logged (&s, "a error 7 alone\nb error 6 alone\n");
  teardown (&s);
}

/* A command sent from a callback that a disconnect or a free runs is failed as well, later. */
static void
test_send_in_callback (void)
{
  Setup s;

  setup (&s);
  shake (&s);
  s.send_in_reply = TRUE;
  command (&s, "a", 0);
  command (&s, "b", 0);
  vm_fd_clear (&s.peer);
  logged (&s, "a error 6 alone\nb error 6 alone\nclosed 6\nagain error 6 alone\n");
  teardown (&s);

  setup (&s);
  shake (&s);
  s.send_in_reply = TRUE;
  command (&s, "a", 0);
  qmp_client_free (g_steal_pointer (&s.client));
  logged (&s, "a error 6 alone\nagain error 6 alone\n");
  teardown (&s);
}

static void
test_timeout (void)
{
  Setup s;

  setup (&s);
  shake (&s);
  command (&s, "a", 5);
  heard (&s, "{\"execute\":\"a\",\"id\":2}\r\n");
  while (s.log->len == 0)
    g_main_context_iteration (NULL, TRUE);
  logged (&s, "a error 7 alone\n");
  say (&s, "{\"return\":{},\"id\":2}\n"); /* too late: dropped */
  logged (&s, "");
  command (&s, "b", 60000);
  say (&s, "{\"return\":{},\"id\":3}\n");
  logged (&s, "b {}\n");
  teardown (&s);

  setup (&s); /* one that was never sent */
  command (&s, "a", 5);
  while (s.log->len == 0)
    g_main_context_iteration (NULL, TRUE);
  logged (&s, "a error 7 alone\n");
  say (&s, GREETING "{\"return\":{},\"id\":2}\n");
  heard (&s, "{\"execute\":\"qmp_capabilities\",\"id\":2}\r\n");
  logged (&s, "ready\n");
  teardown (&s);
}

static guint
count_commands (Setup *s)
{
  char bytes[65536];
  ssize_t n;
  guint lines = 0;

  settle ();
  while ((n = recv (s->peer, bytes, sizeof bytes, 0)) > 0)
    for (ssize_t i = 0; i < n; i++)
      lines += bytes[i] == '\n';
  return lines;
}

static void
test_in_flight (void)
{
  Setup s;

  setup (&s);
  shake (&s);
  for (guint i = 0; i < QMP_IN_FLIGHT_MAX + 10; i++)
    command (&s, "a", 0);
  g_assert_cmpuint (count_commands (&s), ==, QMP_IN_FLIGHT_MAX);
  say (&s, "{\"return\":{},\"id\":2}\n{\"return\":{},\"id\":3}\n");
  g_assert_cmpuint (count_commands (&s), ==, 2);
  g_string_truncate (s.log, 0);
  teardown (&s);
}

/* A reply handler that waits for a command of its own. */
static void
on_reply_calls (QmpClient *client, json_object *ret, json_object *reply, const GError *error, gpointer data)
{
  Setup *s = data;
  g_autoptr (json_object) inner = NULL;

  g_assert_no_error (error);
  g_string_append (s->log, "outer\n");
  inner = qmp_client_call (client, "inner", NULL, NULL, 0, 0, NULL);
  g_string_append_printf (s->log, "inner %s\n", json_object_to_json_string (inner));
}

static void
test_call_in_callback (void)
{
  FakeQmp *fake;
  Setup s = {0};
  int fd;

  fake = fake_qmp_start ("handshake\nexpect outer\nreturn\nexpect inner\nreturn 5\nevent DONE\nignore\n",
                         NULL, &fd);
  s.log = g_string_new (NULL);
  s.client = qmp_client_new (fd, &handlers, &s);
  qmp_client_send (s.client, "outer", NULL, NULL, 0, 0, on_reply_calls, &s);
  while (strstr (s.log->str, "event DONE") == NULL || strstr (s.log->str, "inner 5") == NULL)
    g_main_context_iteration (NULL, TRUE);
  g_assert_nonnull (strstr (s.log->str, "ready\nouter\n"));
  qmp_client_free (s.client);
  fake_qmp_join (fake);
  g_string_free (s.log, TRUE);
}

static guint
open_descriptors (void)
{
  g_autoptr (GDir) dir = g_dir_open ("/proc/self/fd", 0, NULL);
  guint n = 0;

  while (g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

/* Descriptors go with their own command, and with no other. */
static void
test_fds_sent (void)
{
  Setup s;
  g_autoptr (GArray) fds = g_array_new (FALSE, FALSE, sizeof (int));
  vm_autofd memory = vm_fd_memfd ("x", "hello", 5, NULL);
  guint before = open_descriptors ();
  char bytes[4096];
  gssize n;

  setup (&s);
  qmp_client_send (s.client, "plain", NULL, NULL, 0, 0, NULL, NULL);
  qmp_client_send (s.client, "getfd", NULL, (int[]){memory, memory}, 2, 0, NULL, NULL);
  qmp_client_send (s.client, "plain", NULL, NULL, 0, 0, NULL, NULL);
  say (&s, GREETING);
  heard (&s, "{\"execute\":\"qmp_capabilities\",\"id\":4}\r\n");
  say (&s, "{\"return\":{},\"id\":4}\n");
  n = vm_fd_recv (s.peer, bytes, sizeof bytes - 1, fds);
  g_assert_cmpint (n, >, 0);
  bytes[n] = '\0';
  g_assert_true (g_str_has_suffix (bytes, "{\"execute\":\"getfd\",\"id\":2}\r\n"));
  g_assert_cmpuint (fds->len, ==, 2);
  for (guint i = 0; i < 2; i++) {
    g_assert_cmpint (pread (g_array_index (fds, int, i), bytes, 5, 0), ==, 5);
    g_assert_cmpint (memcmp (bytes, "hello", 5), ==, 0);
    (void)close (g_array_index (fds, int, i));
  }
  g_array_set_size (fds, 0);
  n = vm_fd_recv (s.peer, bytes, sizeof bytes - 1, fds);
  bytes[MAX (n, 0)] = '\0';
  g_assert_cmpstr (bytes, ==, "{\"execute\":\"plain\",\"id\":3}\r\n");
  g_assert_cmpuint (fds->len, ==, 0);
  teardown (&s);
  g_assert_cmpuint (open_descriptors (), ==, before);
}

static void
test_fds_not_leaked (void)
{
  Setup s;
  vm_autofd memory = vm_fd_memfd ("x", "hello", 5, NULL);
  guint before = open_descriptors ();
  Tag *tag = g_new0 (Tag, 1);

  setup (&s); /* received: a client has no use for them */
  shake (&s);
  g_assert_cmpint (vm_fd_send (s.peer, "{\"event\":\"A\"}\n", 14, (int[]){memory, memory}, 2), ==, 14);
  logged (&s, "event A -\n");
  *tag = (Tag){&s, "bad"}; /* one that is none */
  qmp_client_send (s.client, "bad", NULL, (int[]){memory, 987654}, 2, 0, on_reply, tag);
  logged (&s, "bad error 0 alone\n");
  heard (&s, "");
  teardown (&s);
  g_assert_cmpuint (open_descriptors (), ==, before);

  setup (&s); /* queued, never sent */
  qmp_client_send (s.client, "getfd", NULL, &memory, 1, 0, NULL, NULL);
  teardown (&s);
  g_assert_cmpuint (open_descriptors (), ==, before);
}

static gboolean
count_wake_up (gpointer data)
{
  ++*(guint *)data;
  return G_SOURCE_CONTINUE;
}

/* Idle, the main context has nothing to dispatch; the only wake-up is the test's own timer. */
static void
test_idle (void)
{
  Setup s;
  guint timer, wake_ups = 0;

  setup (&s);
  shake (&s);
  settle ();
  timer = g_timeout_add (20, count_wake_up, &wake_ups);
  for (guint i = 1; i <= 3; i++) {
    g_main_context_iteration (NULL, TRUE);
    g_assert_cmpuint (wake_ups, ==, i);
  }
  g_source_remove (timer);
  teardown (&s);
}

/* ---- the real one ---- */

static QmpClient *
start_qemu (Setup *s, pid_t *ret_pid)
{
  g_autoptr (VmArgv) argv = vm_argv_new ();
  g_autoptr (GError) error = NULL;
  int fds[2];

  g_assert_true (vm_fd_socketpair (SOCK_STREAM, fds, NULL));
  vm_argv_add_many (argv, "qemu-system-x86_64", "-machine", "none", "-nodefaults", "-no-user-config",
                    "-display", "none", "-S", "-chardev", NULL);
  vm_argv_addf (argv, "socket,id=qmp,fd=%d", vm_argv_slot (argv, "qmp"));
  vm_argv_add_many (argv, "-mon", "chardev=qmp,mode=control", NULL);
  vm_argv_bind (argv, "qmp", fds[1]);
  vm_argv_spawn (argv, VM_SPAWN_DIE_WITH_PARENT, ret_pid, NULL, &error);
  g_assert_no_error (error);
  s->log = g_string_new (NULL);
  s->client = qmp_client_new (fds[0], &handlers, s);
  return s->client;
}

static void
test_real_qemu (void)
{
  g_autofree char *program = g_find_program_in_path ("qemu-system-x86_64");
  g_autoptr (GError) error = NULL;
  g_autoptr (json_object) version = NULL;
  g_autoptr (json_object) entries = NULL;
  g_autoptr (QmpSchema) schema = NULL;
  g_autoptr (json_object) quit = NULL;
  Setup s = {0};
  pid_t pid;
  int status;

  if (program == NULL) {
    g_test_skip ("qemu-system-x86_64 is not installed");
    return;
  }
  start_qemu (&s, &pid);
  version = qmp_client_call (s.client, "query-version", NULL, NULL, 0, 60000, &error);
  g_assert_no_error (error);
  g_assert_cmpint (vm_json_int (vm_json_object (version, "qemu"), "major", 0), >=, 7);
  entries = qmp_client_call (s.client, "query-qmp-schema", NULL, NULL, 0, 60000, &error);
  g_assert_no_error (error);
  schema = qmp_schema_new (entries, &error);
  g_assert_no_error (error);
  g_assert_true (qmp_schema_has_command (schema, "device_add"));
  g_assert_true (qmp_schema_has_event (schema, "SHUTDOWN"));
  g_assert_null (qmp_client_call (s.client, "no-such-command", NULL, NULL, 0, 60000, &error));
  g_assert_error (error, QMP_ERROR, QMP_ERROR_COMMAND_NOT_FOUND);
  g_assert_cmpstr (s.log->str, ==, "ready\n");
  quit = qmp_client_call (s.client, "quit", NULL, NULL, 0, 60000, NULL);
  g_assert_nonnull (quit);
  wait_for_closed (&s);
  g_assert_true (g_str_has_prefix (s.log->str, "ready\nevent SHUTDOWN "));
  g_assert_true (g_str_has_suffix (s.log->str, "closed 6\n"));
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_cmpint (status, ==, 0);
  teardown (&(Setup){.client = s.client, .peer = -1, .log = s.log});
}

/* A descriptor that QEMU receives is there under its name; and a killed QEMU is noticed. */
static void
test_real_qemu_fds (void)
{
  g_autofree char *program = g_find_program_in_path ("qemu-system-x86_64");
  vm_autofd memory = vm_fd_memfd ("x", "hello", 5, NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (json_object) ret = NULL;
  json_object *arguments = json_object_new_object ();
  Setup s = {0};
  pid_t pid;

  if (program == NULL) {
    json_object_put (arguments);
    g_test_skip ("qemu-system-x86_64 is not installed");
    return;
  }
  start_qemu (&s, &pid);
  vm_json_add_str (arguments, "fdname", "f");
  ret = qmp_client_call (s.client, "getfd", json_object_get (arguments), &memory, 1, 60000, &error);
  g_assert_no_error (error);
  g_assert_null (qmp_client_call (s.client, "getfd", json_object_get (arguments), NULL, 0, 60000, &error));
  g_assert_error (error, QMP_ERROR, QMP_ERROR_GENERIC); /* none came with it */
  g_clear_error (&error);
  (void)kill (pid, SIGKILL);
  while (qmp_client_call (s.client, "query-status", NULL, NULL, 0, 60000, &error) != NULL)
    ;
  g_assert_error (error, QMP_ERROR, QMP_ERROR_DISCONNECTED);
  g_assert_cmpint (waitpid (pid, NULL, 0), ==, pid);
  json_object_put (arguments);
  teardown (&(Setup){.client = s.client, .peer = -1, .log = s.log});
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/qmp/client/handshake", test_handshake);
  g_test_add_func ("/qmp/client/early-commands", test_early_commands);
  g_test_add_func ("/qmp/client/bad-greetings", test_bad_greetings);
  g_test_add_func ("/qmp/client/handshake-timeout", test_handshake_timeout);
  g_test_add_func ("/qmp/client/out-of-order", test_out_of_order);
  g_test_add_func ("/qmp/client/stray-replies", test_stray_replies);
  g_test_add_func ("/qmp/client/odd-replies", test_odd_replies);
  g_test_add_func ("/qmp/client/early-events", test_early_events);
  g_test_add_func ("/qmp/client/every-split", test_every_split);
  g_test_add_func ("/qmp/client/fake-split", test_fake_split);
  g_test_add_func ("/qmp/client/long-line", test_long_line);
  g_test_add_func ("/qmp/client/too-long", test_too_long);
  g_test_add_func ("/qmp/client/eof-in-each-state", test_eof_in_each_state);
  g_test_add_func ("/qmp/client/last-words", test_last_words);
  g_test_add_func ("/qmp/client/send-when-closed", test_send_when_closed);
  g_test_add_func ("/qmp/client/free-fails-pending", test_free_fails_pending);
  g_test_add_func ("/qmp/client/free-in-callbacks", test_free_in_callbacks);
  g_test_add_func ("/qmp/client/free-in-timeout", test_free_in_timeout);
  g_test_add_func ("/qmp/client/send-in-callback", test_send_in_callback);
  g_test_add_func ("/qmp/client/timeout", test_timeout);
  g_test_add_func ("/qmp/client/in-flight", test_in_flight);
  g_test_add_func ("/qmp/client/call-in-callback", test_call_in_callback);
  g_test_add_func ("/qmp/client/fds-sent", test_fds_sent);
  g_test_add_func ("/qmp/client/fds-not-leaked", test_fds_not_leaked);
  g_test_add_func ("/qmp/client/idle", test_idle);
  g_test_add_func ("/qmp/client/real-qemu", test_real_qemu);
  g_test_add_func ("/qmp/client/real-qemu-fds", test_real_qemu_fds);
  return g_test_run ();
}
