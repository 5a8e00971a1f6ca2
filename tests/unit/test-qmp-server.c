/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "qmp/server.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "qmp/client.h"
#include "qmp/message.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"
#include "vmctl/base/json.h"

#define GREETING "{\"QMP\":{\"version\":{\"qemu\":{\"major\":1}},\"capabilities\":[]}}\r\n"
#define HELLO "{\"execute\":\"qmp_capabilities\"}\n"

/* The server knows: echo (returns its arguments), later (is kept), fds (the contents of its descriptors),
 * boom (frees the server), nothing else. */
typedef struct {
  QmpServer *server;
  char *dir;
  int dir_fd;
  GQueue kept; /* of QmpRequest */
  GString *log;
} Setup;

static void
answer_fds (QmpRequest *request)
{
  g_autoptr (GString) text = g_string_new (NULL);
  int fd;

  while ((fd = qmp_request_take_fd (request)) >= 0) {
    char byte = '?';

    g_assert_cmpint (pread (fd, &byte, 1, 0), ==, 1);
    g_string_append_c (text, byte);
    (void)close (fd);
  }
  qmp_request_return (request, json_object_new_string (text->str));
}

static void
on_command (QmpServer *server, QmpPeer *peer, const char *name, json_object *arguments, QmpRequest *request,
            gpointer data)
{
  Setup *s = data;

  g_assert_true (qmp_request_peer (request) == peer);
  g_string_append_printf (s->log, "%s\n", name);
  if (strcmp (name, "echo") == 0)
    qmp_request_return (request, json_object_get (arguments));
  else if (strcmp (name, "later") == 0)
    g_queue_push_tail (&s->kept, request);
  else if (strcmp (name, "fds") == 0)
    answer_fds (request);
  else if (strcmp (name, "boom") == 0) {
    g_queue_push_tail (&s->kept, request);
    g_clear_pointer (&s->server, qmp_server_free);
  } else
    qmp_request_error (request, "CommandNotFound", "The command %s has not been found", name);
}

static void
on_peer_closed (QmpServer *server, QmpPeer *peer, gpointer data)
{
  Setup *s = data;

  g_string_append (s->log, "gone\n");
}

static const QmpServerHandlers handlers = {.command = on_command, .peer_closed = on_peer_closed};

static void
settle (void)
{
  while (g_main_context_iteration (NULL, FALSE))
    ;
}

static json_object *
version (int major)
{
  json_object *object = json_object_new_object ();
  json_object *qemu = json_object_new_object ();

  vm_json_add_int (qemu, "major", major);
  vm_json_add (object, "qemu", qemu);
  return object;
}

static void
setup (Setup *s)
{
  int fd;

  memset (s, 0, sizeof *s);
  s->dir = g_dir_make_tmp ("vmctl-test-XXXXXX", NULL);
  s->dir_fd = vm_file_open_private_dir (s->dir, NULL);
  g_assert_cmpint (s->dir_fd, >=, 0);
  fd = vm_fd_listen_unix (s->dir_fd, "q", SOCK_STREAM, NULL);
  g_assert_cmpint (fd, >=, 0);
  s->log = g_string_new (NULL);
  s->server = qmp_server_new (fd, version (1), &handlers, s);
}

static void
teardown (Setup *s)
{
  QmpRequest *request;

  qmp_server_free (s->server);
  while ((request = g_queue_pop_head (&s->kept)) != NULL)
    qmp_request_return (request, NULL);
  settle ();
  g_assert_cmpint (unlinkat (s->dir_fd, "q", 0), ==, 0);
  vm_fd_clear (&s->dir_fd);
  g_assert_cmpint (rmdir (s->dir), ==, 0);
  g_free (s->dir);
  g_string_free (s->log, TRUE);
}

static int
join (Setup *s)
{
  int fd = vm_fd_connect_unix (s->dir_fd, "q", SOCK_STREAM, NULL);

  g_assert_cmpint (fd, >=, 0);
  g_assert_true (vm_fd_set_nonblocking (fd, TRUE, NULL));
  settle ();
  return fd;
}

static void
say (int fd, const char *text)
{
  g_assert_cmpint (send (fd, text, strlen (text), MSG_NOSIGNAL), ==, strlen (text));
  settle ();
}

/* What the server has sent since the last time; "" is nothing, "EOF" its end. */
static char *
hear (int fd)
{
  GString *text = g_string_new (NULL);

  for (;;) {
    char bytes[65536];
    ssize_t n;

    settle ();
    n = recv (fd, bytes, sizeof bytes, 0);
    if (n == 0 || (n < 0 && errno == ECONNRESET))
      g_string_append (text, "EOF");
    if (n <= 0)
      return g_string_free (text, FALSE);
    g_string_append_len (text, bytes, n);
  }
}

static void
heard (int fd, const char *expected)
{
  g_autofree char *text = hear (fd);

  g_assert_cmpstr (text, ==, expected);
}

static int
join_ready (Setup *s)
{
  int fd = join (s);

  heard (fd, GREETING);
  say (fd, HELLO);
  heard (fd, "{\"return\":{}}\r\n");
  return fd;
}

static void
ask (int fd, const char *command, const char *answer)
{
  g_autofree char *expected = g_strconcat (answer, "\r\n", NULL);
  g_autofree char *shown = g_strescape (command, NULL);

  g_test_message ("%s", shown);
  say (fd, command);
  heard (fd, expected);
}

#define NOT_FOUND(desc) "{\"error\":{\"class\":\"CommandNotFound\",\"desc\":\"" desc "\"}}"
#define GENERIC(desc) "{\"error\":{\"class\":\"GenericError\",\"desc\":\"" desc "\"}}"

static void
test_handshake (void)
{
  Setup s;
  vm_autofd fd = -1;

  setup (&s);
  fd = join (&s);
  heard (fd, GREETING);
  ask (fd, "{\"execute\":\"echo\"}\n",
       NOT_FOUND ("Expecting capabilities negotiation with 'qmp_capabilities'"));
  ask (fd, "{\"execute\":\"qmp_capabilities\",\"arguments\":{\"x\":1}}\n",
       GENERIC ("Parameter 'x' is unexpected"));
  ask (fd, "{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":{}}}\n",
       GENERIC ("Invalid parameter type for 'enable', expected: array"));
  ask (fd, "{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[\"oob\"]}}\n",
       GENERIC ("Parameter 'enable' names a capability that is not available"));
  g_assert_cmpstr (s.log->str, ==, ""); /* none of that reached the handler */
  ask (fd, "{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[]},\"id\":0}\n",
       "{\"return\":{},\"id\":0}");
  ask (fd, HELLO, NOT_FOUND ("Capabilities negotiation is already complete, command ignored"));
  ask (fd, "{\"execute\":\"echo\",\"arguments\":{\"a\":[1]}}\n", "{\"return\":{\"a\":[1]}}");
  ask (fd, "{\"execute\":\"nope\"}\n", NOT_FOUND ("The command nope has not been found"));
  qmp_server_set_version (s.server, version (2));
  {
    vm_autofd later = join (&s);

    heard (later, "{\"QMP\":{\"version\":{\"qemu\":{\"major\":2}},\"capabilities\":[]}}\r\n");
    g_assert_cmpuint (qmp_server_n_peers (s.server), ==, 2);
  }
  settle ();
  g_assert_cmpuint (qmp_server_n_peers (s.server), ==, 1);
  teardown (&s);
}

static void
test_id (void)
{
  static const char *const ids[] = {"\"a\\nb\"",           "7",  "-1",   "1.50", "1e3",
                                    "{\"a\":[1,null]}",    "[]", "null", "true", "\"\"",
                                    "18446744073709551615"};
  Setup s;
  vm_autofd fd = -1;

  setup (&s);
  fd = join_ready (&s);
  for (guint i = 0; i < G_N_ELEMENTS (ids); i++) {
    g_autofree char *good = g_strdup_printf ("{\"execute\":\"echo\",\"id\":%s}\n", ids[i]);
    g_autofree char *bad = g_strdup_printf ("{\"id\":%s,\"execute\":1}\n", ids[i]);
    g_autofree char *answer = g_strdup_printf ("{\"return\":{},\"id\":%s}", ids[i]);
    g_autofree char *refusal = g_strdup_printf ("{\"error\":{\"class\":\"GenericError\",\"desc\":\"QMP input "
                                                "member 'execute' must be a string\"},\"id\":%s}",
                                                ids[i]);

    ask (fd, good, answer);
    ask (fd, bad, refusal);
  }
  teardown (&s);
}

static void
test_bad_input (void)
{
  Setup s;
  vm_autofd fd = -1;

  setup (&s);
  fd = join_ready (&s);
  ask (fd, "[1]\n", GENERIC ("QMP input must be a JSON object"));
  ask (fd, "null\n", GENERIC ("QMP input must be a JSON object"));
  ask (fd, "{}\n", GENERIC ("QMP input lacks member 'execute'"));
  ask (fd, "{\"execute\":[]}\n", GENERIC ("QMP input member 'execute' must be a string"));
  ask (fd, "{\"execute\":\"echo\",\"arguments\":[]}\n",
       GENERIC ("QMP input member 'arguments' must be an object"));
  ask (fd, "{\"execute\":\"echo\",\"control\":{}}\n", GENERIC ("QMP input member 'control' is unexpected"));
  ask (fd, "{\"exec-oob\":\"echo\"}\n", GENERIC ("QMP input member 'exec-oob' is unexpected"));
  ask (fd, "{]\n", GENERIC ("JSON parse error, unexpected byte 0x5d at 1"));
  ask (fd, "\xff", GENERIC ("JSON parse error, unexpected byte 0xff at 0"));
  ask (fd, "{\"execute\":\"echo\n", GENERIC ("JSON parse error, unexpected byte 0x0a at 16"));
  ask (fd, "{\"execute\":\"echo\"\n{\"execute\":\"echo\"}\n",
       GENERIC ("JSON parse error, unexpected byte 0x7b at 18") "\r\n{\"return\":{}}");
  g_assert_cmpstr (s.log->str, ==, "echo\n");
  ask (fd, "{\"execute\":\"echo\",\"arguments\":{\"a\":\"\\u0000\"}}\n",
       GENERIC ("JSON parse error, JSON with an embedded NUL, or larger than 1 GiB"));
  ask (fd, "{\"execute\":\"echo\"}", "{\"return\":{}}"); /* no newline needed */
  ask (fd, "{\n\t\"execute\":\n\"echo\"}\r\n", "{\"return\":{}}");
  ask (fd, "{\"execute\":\"echo\",\"id\":1}{\"execute\":\"echo\",\"id\":2} {\"execute\":\"echo\",\"id\":3}\n",
       "{\"return\":{},\"id\":1}\r\n{\"return\":{},\"id\":2}\r\n{\"return\":{},\"id\":3}");
  g_assert_cmpuint (qmp_server_n_peers (s.server), ==, 1);
  teardown (&s);
}

/* A stalled half request is the business of its own peer. */
static void
test_half_request (void)
{
  Setup s;
  vm_autofd slow = -1, other = -1;

  setup (&s);
  slow = join_ready (&s);
  other = join_ready (&s);
  say (slow, "{\"execute\":\"ec");
  ask (other, "{\"execute\":\"echo\"}\n", "{\"return\":{}}");
  heard (slow, "");
  ask (slow, "ho\"}\n", "{\"return\":{}}");
  say (slow, "{\"execute\":");
  vm_fd_clear (&slow);
  settle ();
  g_assert_cmpuint (qmp_server_n_peers (s.server), ==, 1);
  teardown (&s);
}

static void
test_too_long (void)
{
  Setup s;
  vm_autofd fd = -1;
  g_autofree char *bytes = g_malloc (65536);
  gsize sent = 0;
  gssize n;

  setup (&s);
  fd = join_ready (&s);
  say (fd, "{\"execute\":\"");
  memset (bytes, 'x', 65536);
  while ((n = send (fd, bytes, 65536, MSG_NOSIGNAL)) > 0 && sent < (20 << 20)) {
    sent += (gsize)n;
    settle ();
  }
  g_assert_cmpuint (sent, >=, 16 << 20);
  g_assert_cmpuint (sent, <, 17 << 20);
  g_assert_cmpuint (qmp_server_n_peers (s.server), ==, 0);
  g_assert_cmpstr (s.log->str, ==, "gone\n");
  teardown (&s);
}

static void
test_many_peers (void)
{
  Setup s;
  int fds[QMP_SERVER_PEERS_MAX];
  vm_autofd extra = -1;

  setup (&s);
  for (guint i = 0; i < QMP_SERVER_PEERS_MAX; i++)
    fds[i] = join_ready (&s);
  extra = join (&s);
  heard (extra, "EOF");
  g_assert_cmpuint (qmp_server_n_peers (s.server), ==, QMP_SERVER_PEERS_MAX);
  for (guint i = 0; i < QMP_SERVER_PEERS_MAX; i++)
    ask (fds[i], "{\"execute\":\"echo\"}\n", "{\"return\":{}}");
  vm_fd_clear (&fds[0]);
  settle ();
  vm_fd_clear (&extra);
  extra = join_ready (&s); /* there is room again */
  for (guint i = 1; i < QMP_SERVER_PEERS_MAX; i++)
    vm_fd_clear (&fds[i]);
  settle ();
  g_assert_cmpuint (qmp_server_n_peers (s.server), ==, 1);
  teardown (&s);
}

/* One that does not read is dropped, and no other is disturbed. */
static void
test_slow_peer (void)
{
  Setup s;
  vm_autofd slow = -1, other = -1;
  g_autofree char *filler = g_strnfill (1 << 20, 'x');

  setup (&s);
  slow = join_ready (&s);
  other = join_ready (&s);
  for (guint i = 0; i < 40; i++) {
    g_autofree char *text = NULL;

    qmp_server_emit (s.server, "BIG", json_object_new_string (filler));
    text = hear (other);
    g_assert_cmpuint (strlen (text), >, 1 << 20);
    g_assert_cmpuint (qmp_server_n_peers (s.server), ==, i < 32 ? 2 : 1);
  }
  g_assert_cmpstr (s.log->str, ==, "gone\n");
  ask (other, "{\"execute\":\"echo\"}\n", "{\"return\":{}}");
  teardown (&s);
}

static void
test_later (void)
{
  Setup s;
  vm_autofd fd = -1;
  QmpRequest *first, *second;

  setup (&s);
  fd = join_ready (&s);
  say (fd, "{\"execute\":\"later\",\"id\":1}{\"execute\":\"later\",\"id\":2}{\"execute\":\"echo\",\"id\":3}");
  heard (fd, "{\"return\":{},\"id\":3}\r\n");
  g_assert_cmpstr (s.log->str, ==, "later\nlater\necho\n"); /* handled in the order of arrival */
  first = g_queue_pop_head (&s.kept);
  second = g_queue_pop_head (&s.kept);
  {
    g_autoptr (GError) error = g_error_new_literal (QMP_ERROR, QMP_ERROR_DEVICE_NOT_FOUND, "gone");

    qmp_request_error_from (second, error);
  }
  {
    g_autoptr (GError) error = g_error_new_literal (G_FILE_ERROR, 0, "other");

    qmp_request_error_from (first, error);
  }
  heard (fd, "{\"error\":{\"class\":\"DeviceNotFound\",\"desc\":\"gone\"},\"id\":2}\r\n"
             "{\"error\":{\"class\":\"GenericError\",\"desc\":\"other\"},\"id\":1}\r\n");
  teardown (&s);
}

/* The answer to a peer that has gone is dropped; its request knows. */
static void
test_answer_after_gone (void)
{
  Setup s;
  vm_autofd fd = -1;
  QmpRequest *request;

  setup (&s);
  fd = join_ready (&s);
  say (fd, "{\"execute\":\"later\"}\n");
  vm_fd_clear (&fd);
  settle ();
  g_assert_cmpstr (s.log->str, ==, "later\ngone\n");
  request = g_queue_pop_head (&s.kept);
  g_assert_null (qmp_request_peer (request));
  qmp_request_return (request, NULL);
  teardown (&s);
}

static void
test_pending_max (void)
{
  Setup s;
  vm_autofd fd = -1;
  g_autoptr (GString) text = g_string_new (NULL);
  g_autofree char *answers = NULL;
  guint rounds = 0;

  setup (&s);
  fd = join_ready (&s);
  for (guint i = 0; i < 1000; i++)
    g_string_append_printf (text, "{\"execute\":\"later\",\"id\":%u}\n", i);
  say (fd, text->str);
  g_assert_cmpuint (s.kept.length, ==, QMP_SERVER_PENDING_MAX);
  qmp_request_return (g_queue_pop_head (&s.kept), NULL);
  g_assert_cmpuint (s.kept.length, ==, QMP_SERVER_PENDING_MAX - 1); /* not from inside the answer */
  settle ();
  g_assert_cmpuint (s.kept.length, ==, QMP_SERVER_PENDING_MAX);
  for (; s.kept.length > 0; rounds++) {
    qmp_request_return (g_queue_pop_head (&s.kept), NULL);
    settle ();
  }
  g_assert_cmpuint (rounds, ==, 999);
  answers = hear (fd);
  g_assert_true (g_str_has_suffix (answers, "{\"return\":{},\"id\":999}\r\n"));
  teardown (&s);
}

/* echo '...' | socat - UNIX-CONNECT:q: the sending side is closed at once, the answers come all the same. */
static void
test_half_closed (void)
{
  Setup s;
  vm_autofd fd = -1;

  setup (&s);
  fd = join (&s);
  g_assert_cmpint (send (fd, HELLO "{\"execute\":\"later\"}", strlen (HELLO) + 19, 0), >, 0);
  g_assert_cmpint (shutdown (fd, SHUT_WR), ==, 0);
  settle ();
  heard (fd, GREETING "{\"return\":{}}\r\n");
  g_assert_cmpuint (qmp_server_n_peers (s.server), ==, 1);
  qmp_request_return (g_queue_pop_head (&s.kept), NULL);
  heard (fd, "{\"return\":{}}\r\nEOF");
  vm_fd_clear (&fd);

  fd = join_ready (&s); /* the same, but then it goes altogether */
  say (fd, "{\"execute\":\"later\"}");
  g_assert_cmpint (shutdown (fd, SHUT_WR), ==, 0);
  settle ();
  g_assert_cmpuint (qmp_server_n_peers (s.server), ==, 1);
  vm_fd_clear (&fd);
  settle ();
  g_assert_cmpuint (qmp_server_n_peers (s.server), ==, 0);
  teardown (&s);
}

static void
test_events (void)
{
  Setup s;
  vm_autofd one = -1, two = -1, green = -1;
  g_autofree char *text = NULL;
  g_autoptr (json_object) message =
      vm_json_parse ("{\"timestamp\":{\"seconds\":1},\"event\":\"STOP\"}", 42, NULL);

  setup (&s);
  one = join_ready (&s);
  two = join_ready (&s);
  green = join (&s);
  heard (green, GREETING);
  qmp_server_emit (s.server, "EXIT", json_object_new_int (3));
  text = hear (one);
  g_assert_true (g_str_has_prefix (text, "{\"timestamp\":{\"seconds\":"));
  g_assert_true (g_str_has_suffix (text, "},\"event\":\"EXIT\",\"data\":3}\r\n"));
  heard (two, text);
  heard (green, "");
  g_assert_nonnull (message);
  qmp_server_forward_event (s.server, message);
  heard (one, "{\"timestamp\":{\"seconds\":1},\"event\":\"STOP\"}\r\n");
  heard (two, "{\"timestamp\":{\"seconds\":1},\"event\":\"STOP\"}\r\n");
  heard (green, "");
  teardown (&s);
}

static void
forward (Setup *s, int fd, const char *reply, const char *answer)
{
  g_autoptr (json_object) object = reply != NULL ? vm_json_parse (reply, strlen (reply), NULL) : NULL;
  g_autofree char *expected = g_strconcat (answer, "\r\n", NULL);

  say (fd, "{\"execute\":\"later\",\"id\":\"mine\"}\n");
  qmp_request_forward (g_queue_pop_head (&s->kept), object);
  heard (fd, expected);
}

static void
test_forward (void)
{
  Setup s;
  vm_autofd fd = -1;

  setup (&s);
  fd = join_ready (&s);
  forward (&s, fd, "{\"return\":[1],\"id\":5}", "{\"return\":[1],\"id\":\"mine\"}");
  forward (&s, fd, "{\"return\":null,\"id\":5}", "{\"return\":null,\"id\":\"mine\"}");
  forward (&s, fd, "{\"id\":5,\"error\":{\"class\":\"New\",\"desc\":\"d\",\"more\":1}}",
           "{\"error\":{\"class\":\"New\",\"desc\":\"d\",\"more\":1},\"id\":\"mine\"}");
  forward (&s, fd, "{}",
           "{\"error\":{\"class\":\"GenericError\",\"desc\":\"no reply to pass on\"},\"id\":\"mine\"}");
  forward (&s, fd, NULL,
           "{\"error\":{\"class\":\"GenericError\",\"desc\":\"no reply to pass on\"},\"id\":\"mine\"}");
  teardown (&s);
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

static void
send_fds (int fd, const char *text, const int *fds, guint n)
{
  g_assert_cmpint (vm_fd_send (fd, text, strlen (text), fds, n), ==, strlen (text));
}

/* Descriptors reach the command that they came with, also when others are sent in the same breath. */
static void
test_fds (void)
{
  Setup s;
  guint before;
  int a = vm_fd_memfd ("a", "a", 1, NULL), b = vm_fd_memfd ("b", "b", 1, NULL);

  setup (&s);
  before = open_descriptors ();
  {
    vm_autofd fd = join_ready (&s);

    send_fds (fd, "{\"execute\":\"fds\",\"id\":1}\n", NULL, 0);
    send_fds (fd, "{\"execute\":\"fds\",\"id\":2}\n", (int[]){a, b}, 2);
    send_fds (fd, "{\"execute\":\"fds\",\"id\":3}\n", NULL, 0);
    send_fds (fd, "{\"execute\":\"fds\",\"id\":4}\n", (int[]){b}, 1);
    heard (fd, "{\"return\":\"\",\"id\":1}\r\n{\"return\":\"ab\",\"id\":2}\r\n{\"return\":\"\",\"id\":3}\r\n"
               "{\"return\":\"b\",\"id\":4}\r\n");
    /* In two parts; with a blank line before; with a command that does not want them; with broken ones. */
    send_fds (fd, "{\"exec", (int[]){a}, 1);
    settle ();
    send_fds (fd, "ute\":\"fds\"}\n\n", NULL, 0);
    heard (fd, "{\"return\":\"a\"}\r\n");
    send_fds (fd, "\n", (int[]){b}, 1);
    settle ();
    send_fds (fd, "{\"execute\":\"fds\"}", NULL, 0);
    heard (fd, "{\"return\":\"b\"}\r\n");
    send_fds (fd, "{\"execute\":\"echo\"}", (int[]){a, b}, 2);
    send_fds (fd, "{\"execute\":\"fds\"}", NULL, 0);
    heard (fd, "{\"return\":{}}\r\n{\"return\":\"\"}\r\n");
    send_fds (fd, "{]\n", (int[]){a, b}, 2);
    send_fds (fd, "[]\n", (int[]){a, b}, 2);
    send_fds (fd, "{\"execute\":\"qmp_capabilities\"}\n", (int[]){a, b}, 2);
    send_fds (fd, "{\"execute\":\"fds\"}", NULL, 0);
    {
      g_autofree char *text = hear (fd);

      g_assert_true (g_str_has_suffix (text, "{\"return\":\"\"}\r\n"));
    }
    /* Too many by small steps: bounded, and none leaks. */
    for (guint i = 0; i < 100; i++) {
      send_fds (fd, " ", (int[]){a}, 1);
      settle ();
    }
    send_fds (fd, "{\"execute\":\"fds\"}", NULL, 0);
    heard (fd, "{\"return\":\"aaaaaaaaaaaaaaaa\"}\r\n");
    send_fds (fd, "{\"execute\":\"later\"}", (int[]){a}, 1);
    settle ();
  }
  settle ();
  qmp_request_return (g_queue_pop_head (&s.kept), NULL);
  g_assert_cmpuint (open_descriptors (), ==, before);
  (void)close (a);
  (void)close (b);
  teardown (&s);
}

static void
test_free_in_command (void)
{
  Setup s;
  vm_autofd fd = -1, other = -1;
  QmpRequest *request;

  setup (&s);
  fd = join_ready (&s);
  other = join_ready (&s);
  say (fd, "{\"execute\":\"later\"}{\"execute\":\"boom\"}{\"execute\":\"echo\"}\n");
  g_assert_cmpstr (s.log->str, ==, "later\nboom\ngone\ngone\n");
  heard (fd, "EOF");
  heard (other, "EOF");
  request = g_queue_peek_head (&s.kept);
  g_assert_null (qmp_request_peer (request));
  qmp_server_free (NULL);
  teardown (&s);
}

/* Another uid than ours: needs one to be, so only root can run it. */
static void
test_other_uid (void)
{
  Setup s;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  pid_t pid;
  int status;

  if (geteuid () != 0) {
    g_test_skip ("needs root, to be somebody else");
    return;
  }
  setup (&s);
  g_assert_cmpint (fchmodat (s.dir_fd, "q", 0777, 0), ==, 0);
  g_assert_cmpint (fchmod (s.dir_fd, 0711), ==, 0);
  g_snprintf (address.sun_path, sizeof address.sun_path, "%s/q", s.dir);
  pid = fork ();
  if (pid == 0) {
    char byte;
    int fd;

    if (setgid (65534) != 0 || setuid (65534) != 0)
      _exit (2);
    fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect (fd, (struct sockaddr *)&address, sizeof address) < 0)
      _exit (3);
    _exit (recv (fd, &byte, 1, 0) == 0 ? 0 : 1);
  }
  while (waitpid (pid, &status, WNOHANG) == 0)
    g_main_context_iteration (NULL, FALSE);
  g_assert_cmpint (status, ==, 0);
  g_assert_cmpuint (qmp_server_n_peers (s.server), ==, 0);
  teardown (&s);
}

/* Out of descriptors: no spinning, and the waiting peer gets in once there are some again. */
static void
test_no_descriptors (void)
{
  Setup s;
  vm_autofd fd = -1;
  struct rlimit old, low;
  guint turns = 0;
  gint64 until;

  setup (&s);
  fd = vm_fd_connect_unix (s.dir_fd, "q", SOCK_STREAM, NULL);
  g_assert_true (vm_fd_set_nonblocking (fd, TRUE, NULL));
  g_assert_cmpint (getrlimit (RLIMIT_NOFILE, &old), ==, 0);
  low = old;
  low.rlim_cur = (rlim_t)fd; /* numbers below are all taken */
  g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &low), ==, 0);
  while (g_main_context_iteration (NULL, FALSE))
    g_assert_cmpuint (++turns, <, 100);
  g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &old), ==, 0);
  until = g_get_monotonic_time () + 60 * G_USEC_PER_SEC;
  while (qmp_server_n_peers (s.server) == 0 && g_get_monotonic_time () < until)
    g_main_context_iteration (NULL, TRUE);
  heard (fd, GREETING);
  teardown (&s);
}

/* Both sides of the library, together. */
static void
test_with_client (void)
{
  Setup s;
  g_autoptr (QmpClient) client = NULL;
  g_autoptr (json_object) ret = NULL;
  g_autoptr (GError) error = NULL;
  vm_autofd memory = vm_fd_memfd ("m", "m", 1, NULL);
  json_object *arguments = json_object_new_object ();

  setup (&s);
  client =
      qmp_client_new (vm_fd_connect_unix (s.dir_fd, "q", SOCK_STREAM, NULL), &(QmpClientHandlers){0}, NULL);
  vm_json_add_int (arguments, "x", 5);
  ret = qmp_client_call (client, "echo", arguments, NULL, 0, 0, &error);
  g_assert_no_error (error);
  g_assert_cmpint (vm_json_int (ret, "x", 0), ==, 5);
  json_object_put (ret);
  ret = qmp_client_call (client, "fds", NULL, &memory, 1, 0, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (json_object_get_string (ret), ==, "m");
  g_assert_null (qmp_client_call (client, "nope", NULL, NULL, 0, 0, &error));
  g_assert_error (error, QMP_ERROR, QMP_ERROR_COMMAND_NOT_FOUND);
  g_clear_error (&error);
  g_clear_pointer (&s.server, qmp_server_free);
  g_assert_null (qmp_client_call (client, "echo", NULL, NULL, 0, 0, &error));
  g_assert_error (error, QMP_ERROR, QMP_ERROR_DISCONNECTED);
  teardown (&s);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/qmp/server/handshake", test_handshake);
  g_test_add_func ("/qmp/server/id", test_id);
  g_test_add_func ("/qmp/server/bad-input", test_bad_input);
  g_test_add_func ("/qmp/server/half-request", test_half_request);
  g_test_add_func ("/qmp/server/too-long", test_too_long);
  g_test_add_func ("/qmp/server/many-peers", test_many_peers);
  g_test_add_func ("/qmp/server/slow-peer", test_slow_peer);
  g_test_add_func ("/qmp/server/later", test_later);
  g_test_add_func ("/qmp/server/answer-after-gone", test_answer_after_gone);
  g_test_add_func ("/qmp/server/pending-max", test_pending_max);
  g_test_add_func ("/qmp/server/half-closed", test_half_closed);
  g_test_add_func ("/qmp/server/events", test_events);
  g_test_add_func ("/qmp/server/forward", test_forward);
  g_test_add_func ("/qmp/server/fds", test_fds);
  g_test_add_func ("/qmp/server/free-in-command", test_free_in_command);
  g_test_add_func ("/qmp/server/other-uid", test_other_uid);
  g_test_add_func ("/qmp/server/no-descriptors", test_no_descriptors);
  g_test_add_func ("/qmp/server/with-client", test_with_client);
  return g_test_run ();
}
