/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The real vmctl-agent: changes to the running inside, and connections to ports inside. What changes do needs
 * a machine (tests/vm/plug.sh): here is how they are asked for and answered. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/agent-host.h"

#define FIRST FRAME_CHANNEL_FORWARD

typedef struct {
  Host *host;
  int listener; /* -1: none */
  guint16 port;
} Fixture;

static void
bind_at (Fixture *f, int family)
{
  struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl (INADDR_LOOPBACK)};
  struct sockaddr *address = family == AF_INET ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6;
  socklen_t n = family == AF_INET ? sizeof v4 : sizeof v6;

  f->listener = socket (family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (f->listener < 0 || bind (f->listener, address, n) < 0) {
    if (f->listener >= 0)
      close (f->listener);
    f->listener = -1;
    return; /* no IPv6 here */
  }
  g_assert_cmpint (getsockname (f->listener, address, &n), ==, 0);
  f->port = ntohs (family == AF_INET ? v4.sin_port : v6.sin6_port);
}

static void
listen_at (Fixture *f, int family)
{
  bind_at (f, family);
  if (f->listener >= 0)
    g_assert_cmpint (listen (f->listener, 8), ==, 0);
}

static void
set_up (Fixture *f, gconstpointer data)
{
  f->listener = -1;
  f->host = host_new (GPOINTER_TO_UINT (data), NULL);
  host_set_up (f->host);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  host_free (f->host);
  if (f->listener >= 0)
    close (f->listener);
}

static gboolean
has_changed (Host *host, gpointer data)
{
  return host->changed->len > 0;
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
is_closed (Host *host, gpointer data)
{
  return host_session (host, GPOINTER_TO_UINT (data))->closed;
}

/* Changes */

static void
send_change (Fixture *f, guint32 number, const char *words, gsize n)
{
  guint8 payload[4096];

  g_byte_array_set_size (f->host->changed, 0);
  frame_put_u32 (payload, number);
  memcpy (payload + 4, words, n);
  host_send (f->host, FRAME_CHANGE, FRAME_CHANNEL_CONTROL, 0, payload, n + 4);
}

static void
expect_answer (Fixture *f, guint32 number, guint32 code)
{
  host_until (f->host, has_changed, NULL);
  g_assert_cmpuint (f->host->changed->len, >=, 8);
  g_assert_cmpuint (frame_get_u32 (f->host->changed->data), ==, number);
  g_assert_cmpuint (frame_get_u32 (f->host->changed->data + 4), ==, code);
}

/* There is nothing to change where others have made the tree. */
static void
test_change_here (Fixture *f, gconstpointer data)
{
  static const char words[] = "bind\0door/x\0/data\0rw";

  send_change (f, 7, words, sizeof words);
  expect_answer (f, 7, EPERM);
  send_change (f, 0xffffffff, "cpus\0002", 7);
  expect_answer (f, 0xffffffff, EPERM);
  g_assert_cmpint (host_run (f->host, "true"), ==, 0);
}

static const struct {
  const char *name, *words;
  gsize n;
} broken[] = {
    {"no-words", "", 0},
    {"no-end", "cpus\0002", 6},
    {"too-many", "a\0b\0c\0d\0e\0f\0g\0h\0i", 18},
};

static void
test_change_broken (Fixture *f, gconstpointer data)
{
  for (guint i = 0; i < G_N_ELEMENTS (broken); i++) {
    g_test_message ("%s", broken[i].name);
    send_change (f, 1, broken[i].words, broken[i].n);
    host_until (f->host, has_log, NULL);
    host_until (f->host, is_over, NULL);
    g_assert_cmpuint (f->host->changed->len, ==, 0);
    g_string_truncate (f->host->log, 0);
    host_connect (f->host);
    host_set_up (f->host);
  }
}

static void
test_change_early (void)
{
  Host *host = host_new (FALSE, NULL);
  Fixture f = {.host = host};

  send_change (&f, 3, "cpus\0002", 7);
  expect_answer (&f, 3, EAGAIN);
  host_set_up (host);
  host_free (host);
}

/* Forwards */

static void
open_forward (Fixture *f, guint slot, guint16 port)
{
  HostSession *session = host_session (f->host, FIRST + slot);
  guint8 payload[4] = {0};

  session->relay = TRUE;
  frame_put_u16 (payload, port);
  host_send (f->host, FRAME_FORWARD_OPEN, FIRST + slot, 0, payload, sizeof payload);
}

static gboolean
can_accept (Host *host, gpointer data)
{
  Fixture *f = data;
  int fd = accept4 (f->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

  if (fd < 0) {
    host_pump_for (host, 10);
    return FALSE;
  }
  close (f->listener);
  f->listener = fd; /* the connection takes its place */
  return TRUE;
}

static gboolean
can_read (Host *host, gpointer data)
{
  char byte;
  ssize_t n = recv (GPOINTER_TO_INT (data), &byte, 1, MSG_PEEK | MSG_DONTWAIT);

  if (n < 0 && errno == EAGAIN)
    host_pump_for (host, 10);
  return n >= 0 || errno != EAGAIN;
}

static void
both_ways (Fixture *f)
{
  char bytes[16];

  open_forward (f, 3, f->port);
  host_send (f->host, FRAME_DATA, FIRST + 3, FRAME_STDIN, "early", 5);
  while (!can_accept (f->host, f))
    ;
  while (!can_read (f->host, GINT_TO_POINTER (f->listener)))
    ;
  g_assert_cmpint (read (f->listener, bytes, sizeof bytes), ==, 5);
  g_assert_cmpmem (bytes, 5, "early", 5);
  g_assert_cmpint (write (f->listener, "answer", 6), ==, 6);
  host_until_output (f->host, FIRST + 3, "answer");
  close (f->listener);
  f->listener = -1;
  host_send (f->host, FRAME_CLOSE, FIRST + 3, 0, NULL, 0);
  host_until (f->host, is_closed, GUINT_TO_POINTER (FIRST + 3));
  g_assert_cmpint (host_run (f->host, "true"), ==, 0);
}

static void
test_forward (Fixture *f, gconstpointer data)
{
  listen_at (f, AF_INET);
  both_ways (f);
}

static void
test_forward_v6 (Fixture *f, gconstpointer data)
{
  listen_at (f, AF_INET6);
  if (f->listener < 0)
    g_test_skip ("there is no IPv6 here");
  else
    both_ways (f);
}

static gboolean
is_answered (Host *host, gpointer data)
{
  return host_session (host, FIRST + 4)->out[1]->len > 0;
}

/* One datagram is one frame, both ways; nobody has to be there. */
static void
test_forward_udp (Fixture *f, gconstpointer data)
{
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl (INADDR_LOOPBACK)}, from;
  socklen_t n = sizeof address, m = sizeof from;
  guint8 payload[4];
  char bytes[16];

  f->listener = socket (AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  g_assert_cmpint (bind (f->listener, (struct sockaddr *)&address, n), ==, 0);
  g_assert_cmpint (getsockname (f->listener, (struct sockaddr *)&address, &n), ==, 0);
  host_session (f->host, FIRST + 4)->relay = TRUE;
  frame_put_u16 (payload, ntohs (address.sin_port));
  frame_put_u16 (payload + 2, FRAME_FORWARD_UDP);
  host_send (f->host, FRAME_FORWARD_OPEN, FIRST + 4, 0, payload, sizeof payload);
  host_send (f->host, FRAME_DATA, FIRST + 4, FRAME_STDIN, "question", 8);
  while (!can_read (f->host, GINT_TO_POINTER (f->listener)))
    ;
  g_assert_cmpint (recvfrom (f->listener, bytes, sizeof bytes, 0, (struct sockaddr *)&from, &m), ==, 8);
  g_assert_cmpint (sendto (f->listener, "answer", 6, 0, (struct sockaddr *)&from, m), ==, 6);
  host_until (f->host, is_answered, NULL);
  g_assert_cmpmem (host_session (f->host, FIRST + 4)->out[1]->data, 6, "answer", 6);
  close (f->listener);
  f->listener = -1;
  for (guint i = 0; i < 3; i++)
    host_send (f->host, FRAME_DATA, FIRST + 4, FRAME_STDIN, "lost", 4);
  host_send (f->host, FRAME_CLOSE, FIRST + 4, 0, NULL, 0);
  host_until (f->host, is_closed, GUINT_TO_POINTER (FIRST + 4));
  g_assert_cmpint (host_run (f->host, "true"), ==, 0);
}

/* Nobody listens: a CLOSE, and after ours the number is free. */
static void
test_forward_refused (Fixture *f, gconstpointer data)
{
  bind_at (f, AF_INET); /* held, so that nobody else does */
  for (guint i = 0; i < 3; i++) {
    open_forward (f, 0, f->port);
    host_until (f->host, is_closed, GUINT_TO_POINTER (FIRST));
    host_send (f->host, FRAME_CLOSE, FIRST, 0, NULL, 0);
    host_session (f->host, FIRST)->closed = FALSE;
    host_session (f->host, FIRST)->eof[1] = FALSE;
  }
  g_assert_cmpint (host_run (f->host, "true"), ==, 0);
}

static const struct {
  const char *name;
  FrameType type;
  guint32 channel;
  const char *payload;
  gsize n;
} bad_frames[] = {
    {"not-open", FRAME_DATA, FIRST + 1, "x", 1},
    {"close-not-open", FRAME_CLOSE, FIRST + 1, "", 0},
    {"port-0", FRAME_FORWARD_OPEN, FIRST, "\0\0\0\0", 4},
    {"flags", FRAME_FORWARD_OPEN, FIRST, "\1\0\2\0", 4},
    {"flags-high", FRAME_FORWARD_OPEN, FIRST, "\1\0\0\1", 4},
    {"short", FRAME_FORWARD_OPEN, FIRST, "\1\0", 2},
    {"on-control", FRAME_FORWARD_OPEN, 0, "\1\0\0\0", 4},
    {"on-a-session", FRAME_FORWARD_OPEN, 9, "\1\0\0\0", 4},
    {"too-high", FRAME_FORWARD_OPEN, FIRST + FRAME_FORWARDS_MAX, "\1\0\0\0", 4},
    {"changed", FRAME_CHANGED, 0, "\1\0\0\0\0\0\0\0", 8},
};

static void
test_forward_broken (Fixture *f, gconstpointer data)
{
  for (guint i = 0; i < G_N_ELEMENTS (bad_frames); i++) {
    g_test_message ("%s", bad_frames[i].name);
    host_send (f->host, bad_frames[i].type, bad_frames[i].channel, 0, bad_frames[i].payload, bad_frames[i].n);
    host_until (f->host, has_log, NULL);
    host_until (f->host, is_over, NULL);
    g_string_truncate (f->host->log, 0);
    host_connect (f->host);
    host_set_up (f->host);
  }
}

#define ADD(name, listen, function)                                                                          \
  g_test_add ("/meta/agent-plug/" name, Fixture, GUINT_TO_POINTER (listen), set_up, function, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("change-here", FALSE, test_change_here);
  ADD ("change-broken", TRUE, test_change_broken);
  g_test_add_func ("/meta/agent-plug/change-early", test_change_early);
  ADD ("forward", FALSE, test_forward);
  ADD ("forward-v6", FALSE, test_forward_v6);
  ADD ("forward-refused", FALSE, test_forward_refused);
  ADD ("forward-udp", FALSE, test_forward_udp);
  ADD ("forward-broken", TRUE, test_forward_broken);
  return g_test_run ();
}
