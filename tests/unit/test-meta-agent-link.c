/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The real vmctl-agent: its connection, with hosts that stall, break the protocol, go away and come back. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/agent-host.h"

static Host *
new_host (gboolean listen)
{
  Host *host = host_new (listen, NULL);

  host_set_up (host);
  return host;
}

static gboolean
is_over (Host *host, gpointer data)
{
  return host->ended;
}

static gboolean
has_pong (Host *host, gpointer data)
{
  return host->pong->len >= GPOINTER_TO_UINT (data);
}

static gboolean
has_hello (Host *host, gpointer data)
{
  return host->hello >= 0;
}

/* A round trip: everything sent before has been dealt with. */
static void
sync_with (Host *host)
{
  g_byte_array_set_size (host->pong, 0);
  host_send (host, FRAME_PING, FRAME_CHANNEL_CONTROL, 0, "sync", 4);
  host_until (host, has_pong, GUINT_TO_POINTER (4));
  g_assert_cmpmem (host->pong->data, host->pong->len, "sync", 4);
}

static void
test_ping (void)
{
  Host *host = new_host (FALSE);
  g_autofree char *payload = g_strnfill (64, 'x');

  sync_with (host);
  g_byte_array_set_size (host->pong, 0);
  host_send (host, FRAME_PING, 0, 0, payload, 64);
  host_until (host, has_pong, GUINT_TO_POINTER (64));
  host_free (host);
}

/* Dropped: the connection ends and, in --socket mode, the agent ends cleanly. */
static void
expect_drop (const char *what, const void *bytes, gsize n)
{
  Host *host = new_host (FALSE);

  g_test_message ("%s", what);
  host_open (host, 5, (const char *[]){"sleep", "100", NULL});
  host_send_raw (host, bytes, n);
  host_until (host, is_over, NULL);
  g_assert_cmpint (host_wait (host), ==, 0);
  host_free (host);
}

static void
expect_drop_frame (FrameType type, guint32 channel, guint8 stream, const char *payload, gsize n)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  FrameHeader header = {.length = (guint32)n, .channel = channel, .type = (guint8)type, .stream = stream};
  g_autofree char *what =
      g_strdup_printf ("type %d, channel %u, stream %u, %zu bytes", type, channel, stream, n);

  g_byte_array_set_size (bytes, FRAME_HEADER_SIZE);
  frame_header_encode (bytes->data, &header);
  g_byte_array_append (bytes, (const guint8 *)payload, (guint)n);
  expect_drop (what, bytes->data, bytes->len);
}

static void
test_broken_frames (void)
{
  static const char zeroes[128];
  guint8 header[FRAME_HEADER_SIZE] = {0};

  expect_drop ("garbage", "GET / HTTP/1.1\r\n\r\n", 18);
  frame_put_u32 (header, FRAME_PAYLOAD_MAX + 1);
  header[8] = FRAME_DATA;
  expect_drop ("too long", header, sizeof header);
  expect_drop_frame (FRAME_HELLO, 0, 0, "\2\0\0\0\0\0\0\0", 8); /* another version */
  expect_drop_frame (FRAME_HELLO, 0, 0, "\1\0\0\0", 4);
  expect_drop_frame (FRAME_HELLO, 3, 0, "\1\0\0\0\0\0\0\0", 8);
  expect_drop_frame (FRAME_SEED, 0, 0, zeroes, 31);
  expect_drop_frame (FRAME_CLOCK, 0, 0, zeroes, 15);
  expect_drop_frame (FRAME_CLOCK, 0, 0, "\0\0\0\0\0\0\0\0\377\377\377\377\0\0\0\0", 16);
  expect_drop_frame (FRAME_SETUP, 0, 0, "x", 1);
  expect_drop_frame (FRAME_PING, 0, 0, zeroes, 65);
  expect_drop_frame (FRAME_PONG, 0, 0, "x", 1);
  expect_drop_frame (FRAME_UP, 0, 0, zeroes, 16);
  expect_drop_frame (FRAME_POWEROFF, 0, 0, "", 0);
  expect_drop_frame (FRAME_OPEN, 0, 0, "", 0);
  expect_drop_frame (FRAME_OPEN, 6, 2, "", 0);
  expect_drop_frame (FRAME_OPEN, 5, 0, "", 0); /* lives already */
  expect_drop_frame (FRAME_OPEN, 6, 0, "\11\0\0\0\0\0\0\0", 8);
  expect_drop_frame (FRAME_OPEN, 6, 0, "\1\0\0\0\5\0\0\0abc", 11);
  expect_drop_frame (FRAME_OPEN, 6, 0, "\4\0\0\0\3\0\0\0abc", 11); /* a terminal's size is 4 bytes */
  expect_drop_frame (FRAME_STARTED, 5, 0, zeroes, 4);
  expect_drop_frame (FRAME_EXIT, 5, 0, zeroes, 8);
  expect_drop_frame (FRAME_DATA, 5, FRAME_STDOUT, "x", 1);
  expect_drop_frame (FRAME_DATA, 5, FRAME_STDIN, "", 0);
  expect_drop_frame (FRAME_CREDIT, 5, FRAME_STDIN, "\1\0\0\0", 4);
  expect_drop_frame (FRAME_CREDIT, 5, FRAME_STDOUT, "\1\0\0\0", 4); /* more than the window */
  expect_drop_frame (FRAME_CREDIT, 5, FRAME_STDOUT, "\0\0\0\0", 4);
  expect_drop_frame (FRAME_SIGNAL, 5, 0, "\1", 1);
  expect_drop_frame (FRAME_RESIZE, 5, 0, "\1\0\1", 3);
  expect_drop_frame (FRAME_CLOSE, 5, 0, "x", 1);
}

static void
test_data_after_eof (void)
{
  Host *host = new_host (FALSE);

  host_open (host, 5, (const char *[]){"sleep", "100", NULL});
  host_send (host, FRAME_EOF, 5, FRAME_STDIN, NULL, 0);
  sync_with (host);
  host_send (host, FRAME_DATA, 5, FRAME_STDIN, "x", 1);
  host_until (host, is_over, NULL);
  host_free (host);
}

/* Frames may cross the EXIT of their channel. */
static void
test_strays_mean_nothing (void)
{
  Host *host = new_host (FALSE);

  host_send (host, FRAME_DATA, 70, FRAME_STDIN, "x", 1);
  host_send (host, FRAME_EOF, 70, FRAME_STDIN, NULL, 0);
  host_send_u32 (host, FRAME_CREDIT, 70, FRAME_STDERR, 5);
  host_send_u32 (host, FRAME_SIGNAL, 70, 0, SIGKILL);
  host_send_u32 (host, FRAME_RESIZE, 70, 0, 5);
  host_send (host, FRAME_CLOSE, 70, 0, NULL, 0);
  sync_with (host);
  host_open (host, 5, (const char *[]){"sleep", "100", NULL});
  host_send_u32 (host, FRAME_SIGNAL, 5, 0, 0);
  host_send_u32 (host, FRAME_SIGNAL, 5, 0, 0x80000009);
  host_send_u32 (host, FRAME_SIGNAL, 5, 0, 65);
  sync_with (host);
  g_assert_cmpint (host_run (host, "exit 3"), ==, 3);
  g_assert_false (host_session (host, 5)->exited);
  host_free (host);
}

/* stdin: exactly a window without credit is fine, one byte more is not. */
static void
test_input_over_credit (void)
{
  Host *host = new_host (FALSE);
  g_autofree char *bytes = g_malloc0 (FRAME_PAYLOAD_MAX);

  host_open (host, 5, (const char *[]){"sleep", "100", NULL});
  for (int i = 0; i < 16 && host_session (host, 5)->credit > 0; i++) {
    gsize n = MIN (FRAME_PAYLOAD_MAX, host_session (host, 5)->credit);
    host_send (host, FRAME_DATA, 5, FRAME_STDIN, bytes, n);
    host_session (host, 5)->credit -= n;
    sync_with (host);
  }
  g_assert_cmpuint (host_session (host, 5)->credit, ==, 0); /* the pipe is full and the window, too */
  host_send (host, FRAME_DATA, 5, FRAME_STDIN, "x", 1);
  host_until (host, is_over, NULL);
  host_free (host);
}

static gboolean
has_full_windows (Host *host, gpointer data)
{
  return host_session (host, 5)->out[1]->len == FRAME_WINDOW &&
         host_session (host, 6)->out[2]->len == FRAME_WINDOW;
}

static void
test_stalled_reader_stalls_only_itself (void)
{
  Host *host = new_host (FALSE);
  HostSession *stalled;
  g_autofree guint8 *bytes = g_malloc0 (4 << 20);

  stalled = host_open_shell (host, 5, "exec cat /dev/zero");
  stalled->keep_credit = TRUE;
  stalled = host_open_shell (host, 6, "yes >&2");
  stalled->keep_credit = TRUE;
  host_until (host, has_full_windows, NULL);
  host_open_shell (host, 7, "cat");
  g_assert_cmpint (host_feed (host, 7, bytes, 4 << 20), ==, 0);
  g_assert_cmpuint (host_session (host, 7)->out[1]->len, ==, 4 << 20);
  g_assert_cmpuint (host_session (host, 5)->out[1]->len, ==, FRAME_WINDOW);
  g_assert_cmpuint (host_session (host, 6)->out[2]->len, ==, FRAME_WINDOW);
  host_free (host);
}

static void
test_channels_are_capped (void)
{
  Host *host = new_host (FALSE);

  for (guint32 i = 0; i < FRAME_CHANNELS_MAX; i++)
    host_open (host, 100 + i, (const char *[]){"sleep", "100", NULL});
  host_open (host, 99, (const char *[]){"true", NULL});
  host_until_exit (host, 99);
  g_assert_cmpuint (host_session (host, 99)->kind, ==, FRAME_EXIT_ERRNO);
  g_assert_cmpuint (host_session (host, 99)->value, ==, EAGAIN);
  host_send_u32 (host, FRAME_SIGNAL, 100, 0, SIGKILL);
  host_until_exit (host, 100);
  g_assert_cmpint (host_run (host, "exit 3"), ==, 3);
  g_assert_false (host_session (host, 101)->exited);
  host_free (host);
}

static void
open_with_args (Host *host, guint32 channel, guint n, gsize size)
{
  g_autoptr (GByteArray) fields = g_byte_array_new ();
  g_autofree char *arg = g_strnfill (size, 'x');

  host_field_text (fields, FRAME_TAG_ARG, "true");
  for (guint i = 0; i < n; i++)
    host_field (fields, FRAME_TAG_ARG, arg, size);
  host_open_fields (host, channel, fields);
  host_until_exit (host, channel);
}

/* The same variable again and again: more than execve() would ever see. */
static void
open_with_env (Host *host, guint32 channel, guint n, gsize size)
{
  g_autoptr (GByteArray) fields = g_byte_array_new ();
  g_autofree char *value = g_strnfill (size, 'x'), *word = g_strconcat ("X=", value, NULL);

  host_field_text (fields, FRAME_TAG_ARG, "true");
  for (guint i = 0; i < n; i++)
    host_field_text (fields, FRAME_TAG_ENV, word);
  host_open_fields (host, channel, fields);
  host_until_exit (host, channel);
}

/* A word may be longer than a frame; all of them together are limited. */
static void
test_open_size (void)
{
  Host *host = new_host (FALSE);

  open_with_args (host, 5, 1, 131000);
  g_assert_cmpuint (host_session (host, 5)->kind, ==, FRAME_EXIT_STATUS);
  open_with_args (host, 5, 10, 100000);
  g_assert_cmpuint (host_session (host, 5)->kind, ==, FRAME_EXIT_STATUS);
  open_with_env (host, 5, 10, 100000);
  g_assert_cmpuint (host_session (host, 5)->kind, ==, FRAME_EXIT_STATUS);
  open_with_env (host, 5, 30, 100000);
  g_assert_cmpuint (host_session (host, 5)->kind, ==, FRAME_EXIT_ERRNO);
  g_assert_cmpuint (host_session (host, 5)->value, ==, E2BIG);
  g_assert_cmpint (host_run (host, "exit 3"), ==, 3);
  host_free (host);
}

static void
test_close_while_opening (void)
{
  Host *host = new_host (FALSE);

  host_send (host, FRAME_OPEN, 5, 1, "\1\0\0\0", 4);
  host_send (host, FRAME_CLOSE, 5, 0, NULL, 0);
  host_until_exit (host, 5);
  g_assert_cmpuint (host_session (host, 5)->value, ==, ECANCELED);
  g_assert_cmpint (host_run (host, "exit 3"), ==, 3);
  host_free (host);
}

static void
test_poweroff (void)
{
  Host *host = new_host (FALSE);

  host_open_shell (host, 5, "trap '' TERM HUP; echo ready; while :; do sleep 0.05; done");
  host_open_shell (host, 6, "trap 'echo bye; exit 4' TERM; echo ready; while :; do sleep 0.05; done");
  host_until_output (host, 5, "ready");
  host_until_output (host, 6, "ready");
  host_send_u32 (host, FRAME_POWEROFF, 0, 0, 5000); /* so long the polite one may take */
  host_until (host, is_over, NULL);
  g_assert_cmpuint (host_session (host, 5)->kind, ==, FRAME_EXIT_SIGNAL);
  g_assert_cmpuint (host_session (host, 5)->value, ==, SIGKILL);
  g_assert_cmpuint (host_session (host, 6)->value, ==, 4);
  host_assert_output (host, 6, FRAME_STDOUT, "ready\nbye\n");
  g_assert_cmpint (host_wait (host), ==, 0);
  host_free (host);
}

/* With the connection everything ends, also what has left its session. */
static void
test_end_of_socket (void)
{
  Host *host = new_host (FALSE);
  GPid pid;

  host_open_shell (host, 5, "setsid sh -c 'echo $$; exec sleep 1000' & sleep 1000");
  host_until_output (host, 5, "\n");
  g_byte_array_append (host_session (host, 5)->out[1], (const guint8 *)"", 1);
  pid = atoi ((char *)host_session (host, 5)->out[1]->data);
  g_assert_cmpint (kill (pid, 0), ==, 0);
  host_disconnect (host);
  g_assert_cmpint (host_wait (host), ==, 0);
  g_assert_cmpint (kill (pid, 0), ==, -1);
  host_free (host);
}

static gboolean
has_gone (Host *host, gpointer data)
{
  if (kill (GPOINTER_TO_INT (data), 0) < 0)
    return TRUE;
  host_pump_for (host, 10);
  return FALSE;
}

static void
test_reconnect (void)
{
  Host *host = new_host (TRUE);
  static const char half[] = "\377\0\0\0\1\0\0\0\15\0\0\0half a frame";
  HostSession *session;
  GPid pid;

  host_open_shell (host, FRAME_CHANNEL_MAIN, "trap 'echo hup' HUP; echo one; read x; echo got $x; exit 7");
  host_open_shell (host, 5, "echo $$; exec sleep 1000");
  host_until_output (host, FRAME_CHANNEL_MAIN, "one");
  host_until_output (host, 5, "\n");
  g_byte_array_append (host_session (host, 5)->out[1], (const guint8 *)"", 1);
  pid = atoi ((char *)host_session (host, 5)->out[1]->data);
  host_send_raw (host, half, sizeof half - 1);
  host_connect (host);
  host_until (host, has_hello, NULL);
  g_assert_cmpint (host->hello, ==, FRAME_HELLO_UP | FRAME_HELLO_MAIN);
  session = host_session (host, FRAME_CHANNEL_MAIN);
  host_send (host, FRAME_DATA, FRAME_CHANNEL_MAIN, FRAME_STDIN, "two\n", 4);
  host_until_exit (host, FRAME_CHANNEL_MAIN);
  g_assert_cmpuint (session->value, ==, 7);
  g_assert_true (session->started);
  host_assert_output (host, FRAME_CHANNEL_MAIN, FRAME_STDOUT, "got two\n");
  /* The other one has been hung up, and its channel is free. */
  host_until (host, has_gone, GINT_TO_POINTER (pid));
  g_assert_cmpint (host_run (host, "exit 0"), ==, 0);
  host_open (host, 5, (const char *[]){"true", NULL});
  host_until_exit (host, 5);
  /* Once more, to a host that comes after the end. */
  host_connect (host);
  host_until_exit (host, FRAME_CHANNEL_MAIN);
  g_assert_cmpint (host->hello, ==, FRAME_HELLO_UP | FRAME_HELLO_MAIN);
  g_assert_cmpuint (host_session (host, FRAME_CHANNEL_MAIN)->value, ==, 7);
  host_free (host);
}

/* Ended while nobody was there; and a host that had given no credit leaves a full window to the next. */
static void
test_reconnect_after_end (void)
{
  Host *host = new_host (TRUE);
  g_autofree char *path = g_build_filename (host->meta, "go", NULL);
  g_autofree char *script = NULL;
  HostSession *session;

  script =
      g_strdup_printf ("head -c 262144 /dev/zero; echo full >&2; while ! test -e %s; do sleep 0.02; done;"
                       "head -c 100000 /dev/zero; exit 5",
                       path);
  session = host_open_shell (host, FRAME_CHANNEL_MAIN, script);
  session->keep_credit = TRUE;
  while (session->out[1]->len < FRAME_WINDOW)
    host_pump_for (host, 20);
  host_disconnect (host);
  g_assert_true (g_file_set_contents (path, "", 0, NULL));
  host_connect (host);
  session = host_session (host, FRAME_CHANNEL_MAIN);
  session->keep_credit = TRUE; /* a full window is more than what is left */
  host_until_exit (host, FRAME_CHANNEL_MAIN);
  g_assert_cmpuint (session->value, ==, 5);
  g_assert_cmpuint (session->out[1]->len, ==, 100000);
  host_free (host);
}

static void
send_some (Host *host, guint32 channel, gsize n)
{
  g_autofree char *bytes = g_malloc0 (FRAME_PAYLOAD_MAX);

  host_session (host, channel)->credit -= n;
  while (n > 0) {
    gsize piece = MIN (n, FRAME_PAYLOAD_MAX);
    host_send (host, FRAME_DATA, channel, FRAME_STDIN, bytes, piece);
    n -= piece;
  }
  sync_with (host);
}

/* Input that waits for a slow command belongs to the host that sent it: the next one has a full window beside
 * it, and is given credit only for its own. */
static void
test_reconnect_with_unread_input (void)
{
  Host *host = new_host (TRUE);
  g_autofree char *path = g_build_filename (host->meta, "go", NULL);
  g_autofree char *script = NULL;
  gsize in_pipe;

  script = g_strdup_printf (
      "echo one; while ! test -e %s; do sleep 0.02; done; head -c 600000 | wc -c; read x", path);
  host_open_shell (host, FRAME_CHANNEL_MAIN, script);
  host_until_output (host, FRAME_CHANNEL_MAIN, "one");
  send_some (host, FRAME_CHANNEL_MAIN, FRAME_WINDOW);
  in_pipe = host_session (host, FRAME_CHANNEL_MAIN)->credit;
  send_some (host, FRAME_CHANNEL_MAIN, in_pipe);
  g_assert_cmpuint (FRAME_WINDOW + in_pipe, <, 600000);
  host_connect (host);
  host_until (host, has_hello, NULL);
  send_some (host, FRAME_CHANNEL_MAIN, 600000 - FRAME_WINDOW - in_pipe);
  g_assert_true (g_file_set_contents (path, "", 0, NULL));
  host_until_output (host, FRAME_CHANNEL_MAIN, "600000\n");
  sync_with (host);
  g_assert_cmpuint (host_session (host, FRAME_CHANNEL_MAIN)->credit, >, FRAME_WINDOW / 2);
  host_free (host);
}

static void
test_reconnect_after_violation (void)
{
  Host *host = new_host (TRUE);

  host_open_shell (host, FRAME_CHANNEL_MAIN, "echo one; read x; exit 7");
  host_until_output (host, FRAME_CHANNEL_MAIN, "one");
  host_send (host, FRAME_EXIT, 3, 0, NULL, 0);
  host_until (host, is_over, NULL);
  g_assert_nonnull (strstr (host->log->str, "broke the protocol"));
  host_connect (host);
  host_until (host, has_hello, NULL);
  host_send (host, FRAME_DATA, FRAME_CHANNEL_MAIN, FRAME_STDIN, "two\n", 4);
  host_until_exit (host, FRAME_CHANNEL_MAIN);
  g_assert_cmpuint (host_session (host, FRAME_CHANNEL_MAIN)->value, ==, 7);
  host_free (host);
}

static gboolean
has_failed (Host *host, gpointer data)
{
  return host->failed != NULL;
}

static void
expect_failed (const char *file, const char *content)
{
  Host *host = host_new (FALSE, (const char *[]){file, content, NULL});

  g_test_message ("%s: %s", file, content ? content : "(missing)");
  host_send (host, FRAME_SETUP, 0, 0, NULL, 0);
  host_until (host, has_failed, NULL);
  g_assert_nonnull (strstr (host->failed, file));
  g_assert_false (host->up);
  /* It says so again, and nothing can be run. */
  g_clear_pointer (&host->failed, g_free);
  host_send (host, FRAME_SETUP, 0, 0, NULL, 0);
  host_until (host, has_failed, NULL);
  host_open (host, 5, (const char *[]){"true", NULL});
  host_until_exit (host, 5);
  g_assert_cmpuint (host_session (host, 5)->kind, ==, FRAME_EXIT_ERRNO);
  host_free (host);
}

static void
test_bad_meta (void)
{
  static const char *const names[] = {"version", "identity",   "host_home",   "host_project",
                                      "cwd",     "entrypoint", "environment", "mounts",
                                      "network", "disk",       "display"};

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    expect_failed (names[i], NULL);
  expect_failed ("version", "2\n");
  expect_failed ("identity", "name=x\nuid=1\n");
  expect_failed ("identity", "name=x\nuid=-1\ngid=1\n");
  expect_failed ("identity", "name=x\nuid=4294967296\ngid=1\n");
  expect_failed ("identity", "no equals sign\n");
  expect_failed ("cwd", "relative");
  expect_failed ("environment", "no end");
  expect_failed ("display", "server Xvfb\nsize 640x480\n");
  expect_failed ("display", "server /bin/Xvfb\n");
  expect_failed ("display", "server /bin/Xvfb\nsize 0x480\n");
  expect_failed ("display", "server /bin/Xvfb\nsize 640x480x24\n");
  expect_failed ("display", "server /bin/Xvnc\nsize 640x480\nvnc 0\n");
  expect_failed ("display", "server /bin/Xvnc\nsize 640x480\nvnc 65536\n");
  expect_failed ("display", "server /bin/Xvnc\nsize 640x480\nvnc 5900x\n");
  expect_failed ("disk", "floppy");
  expect_failed ("disk", "tmpfs 0");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/meta/agent-link/ping", test_ping);
  g_test_add_func ("/meta/agent-link/broken-frames", test_broken_frames);
  g_test_add_func ("/meta/agent-link/data-after-eof", test_data_after_eof);
  g_test_add_func ("/meta/agent-link/strays-mean-nothing", test_strays_mean_nothing);
  g_test_add_func ("/meta/agent-link/input-over-credit", test_input_over_credit);
  g_test_add_func ("/meta/agent-link/stalled-reader-stalls-only-itself",
                   test_stalled_reader_stalls_only_itself);
  g_test_add_func ("/meta/agent-link/channels-are-capped", test_channels_are_capped);
  g_test_add_func ("/meta/agent-link/open-size", test_open_size);
  g_test_add_func ("/meta/agent-link/close-while-opening", test_close_while_opening);
  g_test_add_func ("/meta/agent-link/poweroff", test_poweroff);
  g_test_add_func ("/meta/agent-link/end-of-socket", test_end_of_socket);
  g_test_add_func ("/meta/agent-link/reconnect", test_reconnect);
  g_test_add_func ("/meta/agent-link/reconnect-after-end", test_reconnect_after_end);
  g_test_add_func ("/meta/agent-link/reconnect-with-unread-input", test_reconnect_with_unread_input);
  g_test_add_func ("/meta/agent-link/reconnect-after-violation", test_reconnect_after_violation);
  g_test_add_func ("/meta/agent-link/bad-meta", test_bad_meta);
  return g_test_run ();
}
