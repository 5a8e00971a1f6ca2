/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The real vmctl-agent: the sockets it listens on for the host, and the files it puts. The test is the host
 * on the one side and a program inside on the other. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "tests/unit/agent-host.h"

#define FIRST FRAME_CHANNEL_RELAY

typedef struct {
  Host *host;
  char *dir, *one, *two; /* sockets 0 and 1 */
} Fixture;

static void
start (Fixture *f, gboolean listen)
{
  const char *words[] = {"relay", "0", f->one, "0600", "relay", "1", f->two, "0640", NULL};

  f->host = host_new (listen, NULL);
  host_write_mounts (f->host, words);
  host_set_up (f->host);
}

static void
set_up (Fixture *f, gconstpointer data)
{
  f->dir = g_dir_make_tmp ("vmctl-inside-XXXXXX", NULL);
  f->one = g_build_filename (f->dir, "made/for it/one.sock", NULL);
  f->two = g_build_filename (f->dir, "two.sock", NULL);
  g_assert_true (g_file_set_contents (f->two, "an old file", -1, NULL));
  start (f, GPOINTER_TO_UINT (data));
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  g_autofree char *inner = g_path_get_dirname (f->one), *outer = g_path_get_dirname (inner);

  host_free (f->host);
  (void)g_unlink (f->one);
  (void)g_unlink (f->two);
  (void)g_rmdir (inner);
  (void)g_rmdir (outer);
  g_assert_cmpint (g_rmdir (f->dir), ==, 0);
  g_free (f->dir);
  g_free (f->one);
  g_free (f->two);
}

static int
connect_inside (const char *path)
{
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

  g_strlcpy (address.sun_path, path, sizeof address.sun_path);
  g_assert_cmpint (connect (fd, (struct sockaddr *)&address, sizeof address), ==, 0);
  return fd;
}

static gboolean
is_relay (Host *host, gpointer data)
{
  return host_session (host, GPOINTER_TO_UINT (data))->relay;
}

static gboolean
is_closed (Host *host, gpointer data)
{
  return host_session (host, GPOINTER_TO_UINT (data))->closed;
}

static gboolean
is_unread (Host *host, gpointer data)
{
  return host_session (host, GPOINTER_TO_UINT (data))->eof[FRAME_STDIN];
}

static gboolean
has_eof (Host *host, gpointer data)
{
  return host_session (host, GPOINTER_TO_UINT (data))->eof[FRAME_STDOUT];
}

static gboolean
has_log (Host *host, gpointer data)
{
  return host->log->len > 0;
}

static gboolean
is_over (Host *host, gpointer data)
{
  return host->ended;
}

static gboolean
has_pong (Host *host, gpointer data)
{
  return host->pong->len > 0;
}

static void
sync_with (Host *host)
{
  g_byte_array_set_size (host->pong, 0);
  host_send (host, FRAME_PING, FRAME_CHANNEL_CONTROL, 0, "s", 1);
  host_until (host, has_pong, NULL);
}

static void
until (Fixture *f, HostCondition condition, guint32 slot)
{
  host_until (f->host, condition, GUINT_TO_POINTER (FIRST + slot));
}

static void
send_data (Fixture *f, guint32 slot, const char *text)
{
  host_send (f->host, FRAME_DATA, FIRST + slot, FRAME_STDIN, text, strlen (text));
}

static void
send_close (Fixture *f, guint32 slot)
{
  host_send (f->host, FRAME_CLOSE, FIRST + slot, 0, NULL, 0);
}

static gboolean
can_read (Host *host, gpointer data)
{
  char byte;
  ssize_t n = recv (GPOINTER_TO_INT (data), &byte, 1, MSG_PEEK | MSG_DONTWAIT);

  return n >= 0 || errno != EAGAIN;
}

static void
expect_read (Fixture *f, int fd, const char *text)
{
  char bytes[64];
  ssize_t n;

  host_send (f->host, FRAME_PING, FRAME_CHANNEL_CONTROL, 0, "s", 1); /* something for the host to turn on */
  host_until (f->host, can_read, GINT_TO_POINTER (fd));
  n = read (fd, bytes, sizeof bytes);
  g_assert_cmpmem (bytes, n < 0 ? 0 : (gsize)n, text, strlen (text));
}

static void
test_both_ways (Fixture *f, gconstpointer data)
{
  int zero = connect_inside (f->one), one;

  until (f, is_relay, 0);
  g_assert_cmpuint (host_session (f->host, FIRST)->value, ==, 0);
  one = connect_inside (f->two);
  until (f, is_relay, 1);
  g_assert_cmpuint (host_session (f->host, FIRST + 1)->value, ==, 1);
  g_assert_cmpint (write (zero, "to the host", 11), ==, 11);
  host_until_output (f->host, FIRST, "to the host");
  send_data (f, 0, "from it");
  expect_read (f, zero, "from it");
  g_assert_cmpuint (host_session (f->host, FIRST + 1)->out[1]->len, ==, 0);
  close (zero);
  close (one);
}

static void
test_files (Fixture *f, gconstpointer data)
{
  struct stat st;

  g_assert_cmpint (lstat (f->one, &st), ==, 0);
  g_assert_true (S_ISSOCK (st.st_mode));
  g_assert_cmpuint (st.st_mode & 07777, ==, 0600);
  g_assert_cmpuint (st.st_uid, ==, geteuid ());
  g_assert_cmpint (lstat (f->two, &st), ==, 0);
  g_assert_cmpuint (st.st_mode & 07777, ==, 0640);
}

static void
test_half_close_inside (Fixture *f, gconstpointer data)
{
  int fd = connect_inside (f->one);

  g_assert_cmpint (write (fd, "ask", 3), ==, 3);
  g_assert_cmpint (shutdown (fd, SHUT_WR), ==, 0);
  until (f, has_eof, 0);
  host_until_output (f->host, FIRST, "ask");
  g_assert_false (host_session (f->host, FIRST)->closed);
  send_data (f, 0, "late");
  expect_read (f, fd, "late");
  host_send (f->host, FRAME_EOF, FIRST, FRAME_STDIN, NULL, 0);
  expect_read (f, fd, "");
  until (f, is_closed, 0);
  send_close (f, 0);
  close (fd);
}

static void
test_half_close_outside (Fixture *f, gconstpointer data)
{
  int fd = connect_inside (f->one);

  until (f, is_relay, 0);
  send_data (f, 0, "bye");
  host_send (f->host, FRAME_EOF, FIRST, FRAME_STDIN, NULL, 0);
  expect_read (f, fd, "bye");
  expect_read (f, fd, "");
  g_assert_cmpint (write (fd, "still", 5), ==, 5);
  host_until_output (f->host, FIRST, "still");
  close (fd);
  until (f, is_closed, 0);
  send_close (f, 0);
}

/* The client has gone for good: CLOSE, with its last words before it. */
static void
test_client_leaves (Fixture *f, gconstpointer data)
{
  for (guint i = 0; i < 100; i++) {
    int fd = connect_inside (f->one);

    g_assert_cmpint (write (fd, "last", 4), ==, 4);
    close (fd);
    until (f, is_closed, 0);
    host_until_output (f->host, FIRST, "last");
    g_hash_table_remove (f->host->sessions, GUINT_TO_POINTER (FIRST));
    send_close (f, 0); /* and slot 0 is used again */
  }
}

static void
test_refused (Fixture *f, gconstpointer data)
{
  int fd = connect_inside (f->one);

  until (f, is_relay, 0);
  send_close (f, 0);
  expect_read (f, fd, "");
  until (f, is_closed, 0);
  close (fd);
}

/* What came before the CLOSE is still read inside. */
static void
test_close_does_not_overtake (Fixture *f, gconstpointer data)
{
  int fd = connect_inside (f->one);

  until (f, is_relay, 0);
  send_data (f, 0, "before");
  send_close (f, 0);
  expect_read (f, fd, "before");
  expect_read (f, fd, "");
  close (fd);
}

static void
test_unread (Fixture *f, gconstpointer data)
{
  int fd = connect_inside (f->one);

  until (f, is_relay, 0);
  g_assert_cmpint (shutdown (fd, SHUT_RD), ==, 0);
  send_data (f, 0, "nobody reads");
  until (f, is_unread, 0);
  host_send (f->host, FRAME_EOF, FIRST, FRAME_STDOUT, NULL, 0); /* nor outside */
  until (f, is_closed, 0);
  g_assert_cmpint (send (fd, "x", 1, MSG_NOSIGNAL), ==, -1);
  send_close (f, 0);
  close (fd);
}

/* A client that does not read, and a host that gives no credit, stall only themselves. */
static void
test_stalled (Fixture *f, gconstpointer data)
{
  static const char bulk[FRAME_PAYLOAD_MAX];
  int slow = connect_inside (f->one), quick;
  gsize written = 0;

  until (f, is_relay, 0);
  host_session (f->host, FIRST)->keep_credit = TRUE;
  while (written < (16 << 20)) {
    ssize_t n = send (slow, bulk, sizeof bulk, MSG_DONTWAIT);
    if (n < 0 && host_session (f->host, FIRST)->in_flight[1] == FRAME_WINDOW)
      break;
    sync_with (f->host);
    written += n > 0 ? (gsize)n : 0;
  }
  g_assert_cmpuint (written, <, 16 << 20);
  host_session (f->host, FIRST)->credit = 0;
  for (gsize sent = 0; sent < FRAME_WINDOW; sent += sizeof bulk)
    host_send (f->host, FRAME_DATA, FIRST, FRAME_STDIN, bulk, sizeof bulk);
  quick = connect_inside (f->one);
  g_assert_cmpint (write (quick, "quick", 5), ==, 5);
  host_until_output (f->host, FIRST + 1, "quick");
  send_data (f, 1, "fine");
  expect_read (f, quick, "fine");
  close (slow);
  close (quick);
}

/* More clients than there are relays wait until one is free. */
static void
test_cap (Fixture *f, gconstpointer data)
{
  int fds[FRAME_RELAYS_MAX + 2];

  for (guint i = 0; i < G_N_ELEMENTS (fds); i++) {
    fds[i] = connect_inside (f->one);
    if (i < FRAME_RELAYS_MAX)
      until (f, is_relay, i);
  }
  sync_with (f->host);
  close (fds[7]);
  until (f, is_closed, 7);
  g_hash_table_remove (f->host->sessions, GUINT_TO_POINTER (FIRST + 7));
  sync_with (f->host);
  g_assert_false (is_relay (f->host, GUINT_TO_POINTER (FIRST + 7))); /* not before our CLOSE */
  send_close (f, 7);
  until (f, is_relay, 7);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    if (i != 7)
      close (fds[i]);
}

/* The host is replaced: what was open ends, the sockets stay, and who came meanwhile is served. */
static void
test_host_replaced (Fixture *f, gconstpointer data)
{
  int before = connect_inside (f->one), between;
  struct stat st;
  char byte;

  until (f, is_relay, 0);
  host_disconnect (f->host);
  g_assert_cmpint (fcntl (before, F_SETFL, 0), ==, 0);
  g_assert_cmpint (read (before, &byte, 1), ==, 0);
  between = connect_inside (f->two);
  host_connect (f->host);
  until (f, is_relay, 0);
  g_assert_cmpint (f->host->hello, ==, FRAME_HELLO_UP);
  g_assert_cmpuint (host_session (f->host, FIRST)->value, ==, 1);
  send_data (f, 0, "hello");
  expect_read (f, between, "hello");
  g_assert_cmpint (lstat (f->one, &st), ==, 0);
  close (before);
  close (between);
}

static const struct {
  const char *name;
  FrameType type;
  guint32 channel;
  guint stream;
  gsize n;
} broken[] = {
    {"open-by-host", FRAME_OPEN, FIRST + 1, 0, 0},
    {"not-open", FRAME_DATA, FIRST + 1, 0, 1},
    {"close-not-open", FRAME_CLOSE, FIRST + 1, 0, 0},
    {"relay-open", FRAME_RELAY_OPEN, FIRST + 1, 0, 4},
    {"relay-open-0", FRAME_RELAY_OPEN, 0, 0, 4},
    {"relay-open-9", FRAME_RELAY_OPEN, 9, 0, 4},
    {"empty", FRAME_DATA, FIRST, 0, 0},
    {"credit", FRAME_CREDIT, FIRST, 1, 4},
    {"signal", FRAME_SIGNAL, FIRST, 0, 4},
};

static void
test_broken (Fixture *f, gconstpointer data)
{
  int fd = connect_inside (f->one);

  until (f, is_relay, 0);
  for (guint i = 0; i < G_N_ELEMENTS (broken); i++) {
    g_test_message ("%s", broken[i].name);
    host_send (f->host, broken[i].type, broken[i].channel, (guint8)broken[i].stream, "xxxx", broken[i].n);
    host_until (f->host, has_log, NULL);
    host_until (f->host, is_over, NULL);
    close (fd);
    g_string_truncate (f->host->log, 0);
    host_connect (f->host);
    fd = connect_inside (f->one);
    until (f, is_relay, 0);
  }
  close (fd);
}

/* Set-up that must fail, and says why. */
static void
expect_failure (const char *const *words, const char *text)
{
  Host *host = host_new (FALSE, NULL);
  guint8 payload[8] = {0};

  host_write_mounts (host, words);
  frame_put_u32 (payload, FRAME_VERSION);
  host_send (host, FRAME_HELLO, FRAME_CHANNEL_CONTROL, 0, payload, sizeof payload);
  host_send (host, FRAME_SETUP, FRAME_CHANNEL_CONTROL, 0, NULL, 0);
  while (!host->failed)
    host_pump_for (host, 20);
  if (!strstr (host->failed, text))
    g_error ("'%s' where '%s' was expected", host->failed, text);
  host_free (host);
}

static void
test_bad_operations (void)
{
  expect_failure ((const char *[]){"relay", "32", "/tmp/x", "0600", NULL}, "'relay' for '/tmp/x'");
  expect_failure ((const char *[]){"relay", "-1", "/tmp/x", "0600", NULL}, "'relay' for '/tmp/x'");
  expect_failure ((const char *[]){"relay", "0", "tmp/x", "0600", NULL}, "'relay' for 'tmp/x'");
  expect_failure ((const char *[]){"relay", "0", "/tmp/x", "x", NULL}, "'relay' for '/tmp/x'");
  expect_failure ((const char *[]){"relay", "0", "/proc/nowhere/x", "0600", NULL}, "'/proc/nowhere/x'");
  expect_failure ((const char *[]){"relay", "0", "/tmp", "0600", NULL}, "'/tmp'"); /* a directory */
  /* Nobody mounts anything here. */
  expect_failure ((const char *[]){"tmpfs", "/tmp/x", "0755", "1", NULL}, "'tmpfs' for '/tmp/x'");
  expect_failure ((const char *[]){"own", "/tmp", "0755", "-", NULL}, "'own' for '/tmp'");
  expect_failure ((const char *[]){"bind", "0", "/tmp/x", "rw", NULL}, "'bind' for '/tmp/x'");
  expect_failure ((const char *[]){"file", "files/9", "/tmp/x", "0600", NULL}, "'file' for '/tmp/x'");
  expect_failure ((const char *[]){"file", "../../etc/passwd", "/tmp/x", "0600", NULL},
                  "'file' for '/tmp/x'");
}

static void
test_same_index (void)
{
  g_autofree char *dir = g_dir_make_tmp ("vmctl-inside-XXXXXX", NULL);
  g_autofree char *a = g_build_filename (dir, "a", NULL), *b = g_build_filename (dir, "b", NULL);

  expect_failure ((const char *[]){"relay", "3", a, "0600", "relay", "3", b, "0600", NULL}, b);
  (void)g_unlink (a);
  (void)g_unlink (b);
  g_assert_cmpint (g_rmdir (dir), ==, 0);
}

/* A copy: any bytes, the mode asked for, in place of whatever was there. */
static void
test_copy (void)
{
  g_autofree char *dir = g_dir_make_tmp ("vmctl-inside-XXXXXX", NULL);
  g_autofree char *target = g_build_filename (dir, "sub/copy", NULL), *sub = g_path_get_dirname (target);
  const char *words[] = {"file", "entrypoint", target, "0640", NULL};
  g_autofree char *content = NULL;
  Host *host = host_new (FALSE, NULL);
  struct stat st;
  gsize n;

  g_assert_cmpint (g_mkdir (sub, 0755), ==, 0);
  g_assert_cmpint (symlink ("/etc/passwd", target), ==, 0);
  host_write_mounts (host, words);
  host_set_up (host);
  g_assert_cmpint (lstat (target, &st), ==, 0);
  g_assert_true (S_ISREG (st.st_mode));
  g_assert_cmpuint (st.st_mode & 07777, ==, 0640);
  g_assert_true (g_file_get_contents (target, &content, &n, NULL));
  g_assert_cmpmem (content, n, "/bin/sh\0-c\0echo entrypoint", 27);
  host_free (host);
  (void)g_unlink (target);
  (void)g_rmdir (sub);
  g_assert_cmpint (g_rmdir (dir), ==, 0);
}

int
main (int argc, char **argv)
{
#define ADD(name, listen, function)                                                                          \
  g_test_add ("/meta/agent-relay/" name, Fixture, GUINT_TO_POINTER (listen), set_up, function, tear_down)
  g_test_init (&argc, &argv, NULL);
  ADD ("both-ways", FALSE, test_both_ways);
  ADD ("files", FALSE, test_files);
  ADD ("half-close-inside", FALSE, test_half_close_inside);
  ADD ("half-close-outside", FALSE, test_half_close_outside);
  ADD ("client-leaves", FALSE, test_client_leaves);
  ADD ("refused", FALSE, test_refused);
  ADD ("close-does-not-overtake", FALSE, test_close_does_not_overtake);
  ADD ("unread", FALSE, test_unread);
  ADD ("stalled", FALSE, test_stalled);
  ADD ("cap", FALSE, test_cap);
  ADD ("host-replaced", TRUE, test_host_replaced);
  ADD ("broken", TRUE, test_broken);
  g_test_add_func ("/meta/agent-relay/bad-operations", test_bad_operations);
  g_test_add_func ("/meta/agent-relay/same-index", test_same_index);
  g_test_add_func ("/meta/agent-relay/copy", test_copy);
  return g_test_run ();
}
