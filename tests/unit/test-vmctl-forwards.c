/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ports of the host that lead inside, with an agent that is scripted and hostile. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "frame-peer.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/json.h"
#include "vmctl/forwards.h"

#define FIRST FRAME_CHANNEL_FORWARD

typedef struct {
  VmForwards *forwards;
  VmLink *link;
  Peer agent;
  GString *broken;
  guint16 port;
} Fixture;

static void
agent_frame (VmLink *link, const FrameHeader *header, const guint8 *payload, gpointer data)
{
  Fixture *f = data;

  g_assert_true (vm_forwards_wants (header));
  vm_forwards_frame (f->forwards, header, payload);
}

static void
agent_closed (VmLink *link, const char *why, gpointer data)
{
}

static const VmLinkHandlers handlers = {.frame = agent_frame, .closed = agent_closed};

static void
got_broken (const char *why, gpointer data)
{
  Fixture *f = data;

  g_string_append (f->broken, why);
}

static guint16
free_port (void)
{
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl (INADDR_LOOPBACK)};
  socklen_t n = sizeof address;
  int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

  g_assert_cmpint (bind (fd, (struct sockaddr *)&address, n), ==, 0);
  g_assert_cmpint (getsockname (fd, (struct sockaddr *)&address, &n), ==, 0);
  close (fd);
  return ntohs (address.sin_port);
}

static gboolean
add (Fixture *f, const char *id, const char *address, guint16 port, GError **error)
{
  g_autoptr (json_object) what = json_object_new_object ();

  vm_json_add_str (what, "id", id);
  vm_json_add_str (what, "address", address);
  vm_json_add_int (what, "host-port", port);
  vm_json_add_int (what, "guest-port", 0x1234);
  return vm_forwards_add (f->forwards, what, error);
}

static void
set_up (Fixture *f, gconstpointer data)
{
  f->broken = g_string_new (NULL);
  f->forwards = vm_forwards_new (got_broken, f);
  f->link = vm_link_new (peer_connect (&f->agent), FALSE, &handlers, f);
  vm_forwards_set_agent (f->forwards, f->link);
  f->port = free_port ();
  g_assert_true (add (f, "port0", "127.0.0.1", f->port, NULL));
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  vm_forwards_free (f->forwards);
  vm_link_free (f->link);
  peer_clear (&f->agent);
  g_string_free (f->broken, TRUE);
}

static int
try_connect (Fixture *f)
{
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons (f->port), .sin_addr.s_addr = htonl (INADDR_LOOPBACK)};
  int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

  if (connect (fd, (struct sockaddr *)&address, sizeof address) == 0)
    return fd;
  close (fd);
  return -1;
}

static int
connect_to (Fixture *f)
{
  int fd = try_connect (f);

  g_assert_cmpint (fd, >=, 0);
  g_assert_true (vm_fd_set_nonblocking (fd, TRUE, NULL));
  return fd;
}

static void
expect_open (Fixture *f, guint slot)
{
  peer_expect (&f->agent, FRAME_FORWARD_OPEN, FIRST + slot, FRAME_STDIN);
  g_assert_cmpmem (f->agent.payload->data, f->agent.payload->len, "\x34\x12\0\0", 4);
}

static void
expect_read (int fd, const char *text)
{
  gint64 end = g_get_monotonic_time () + 60 * G_USEC_PER_SEC;
  char bytes[64];
  ssize_t n;

  do {
    turn ();
    n = read (fd, bytes, sizeof bytes);
    g_assert_cmpint (g_get_monotonic_time (), <, end);
  } while (n < 0 && errno == EAGAIN);
  g_assert_cmpmem (bytes, n < 0 ? 0 : (gsize)n, text, strlen (text));
}

static void
test_both_ways (Fixture *f, gconstpointer data)
{
  int fd = connect_to (f), other = connect_to (f);

  expect_open (f, 0);
  expect_open (f, 1);
  g_assert_cmpint (write (other, "question", 8), ==, 8);
  peer_expect_text (&f->agent, FRAME_DATA, FIRST + 1, FRAME_STDIN, "question");
  peer_send (&f->agent, FRAME_DATA, FIRST + 1, FRAME_STDOUT, "answer", 6);
  expect_read (other, "answer");
  peer_send (&f->agent, FRAME_CLOSE, FIRST, FRAME_STDIN, NULL, 0);
  expect_read (fd, "");
  close (fd);
  close (other);
  g_assert_cmpstr (f->broken->str, ==, "");
}

/* What came in elsewhere, to a port of its own; it has no listener that could be taken away. */
static void
test_adopt (Fixture *f, gconstpointer data)
{
  int ends[2];

  g_assert_true (vm_fd_socketpair (SOCK_STREAM, ends, NULL));
  g_assert_true (vm_forwards_adopt (f->forwards, ends[0], 5900));
  peer_expect (&f->agent, FRAME_FORWARD_OPEN, FIRST, FRAME_STDIN);
  g_assert_cmpmem (f->agent.payload->data, f->agent.payload->len, "\x0c\x17\0\0", 4);
  vm_forwards_remove (f->forwards, "port0");
  g_assert_cmpint (write (ends[1], "question", 8), ==, 8);
  peer_expect_text (&f->agent, FRAME_DATA, FIRST, FRAME_STDIN, "question");
  vm_forwards_set_agent (f->forwards, NULL);
  expect_read (ends[1], "");
  close (ends[1]);
  g_assert_true (vm_fd_socketpair (SOCK_STREAM, ends, NULL));
  g_assert_false (vm_forwards_adopt (f->forwards, ends[0], 5900));
  expect_read (ends[1], "");
  close (ends[1]);
}

/* Nobody is let in that nobody can be told of. */
static void
test_without_agent (Fixture *f, gconstpointer data)
{
  int fd;

  vm_forwards_set_agent (f->forwards, NULL);
  fd = connect_to (f);
  peer_expect_nothing (&f->agent);
  vm_forwards_set_agent (f->forwards, f->link);
  expect_open (f, 0);
  vm_forwards_set_agent (f->forwards, NULL);
  expect_read (fd, "");
  close (fd);
}

static void
test_remove (Fixture *f, gconstpointer data)
{
  int fd = connect_to (f);

  expect_open (f, 0);
  vm_forwards_remove (f->forwards, "nothing");
  vm_forwards_remove (f->forwards, "port0");
  expect_read (fd, "");
  peer_expect (&f->agent, FRAME_CLOSE, FIRST, FRAME_STDIN);
  g_assert_cmpint (try_connect (f), <, 0);
  peer_send (&f->agent, FRAME_CLOSE, FIRST, FRAME_STDIN, NULL, 0);
  turn ();
  g_assert_cmpstr (f->broken->str, ==, "");
  close (fd);
}

/* So many at once; the others wait until one has gone. */
static void
test_cap (Fixture *f, gconstpointer data)
{
  int fds[FRAME_FORWARDS_MAX + 1];

  for (guint i = 0; i <= FRAME_FORWARDS_MAX; i++)
    fds[i] = connect_to (f);
  for (guint i = 0; i < FRAME_FORWARDS_MAX; i++)
    expect_open (f, i);
  peer_expect_nothing (&f->agent);
  close (fds[5]);
  peer_expect (&f->agent, FRAME_EOF, FIRST + 5, FRAME_STDIN);
  peer_send (&f->agent, FRAME_CLOSE, FIRST + 5, FRAME_STDIN, NULL, 0);
  peer_expect (&f->agent, FRAME_CLOSE, FIRST + 5, FRAME_STDIN);
  expect_open (f, 5);
  for (guint i = 0; i <= FRAME_FORWARDS_MAX; i++)
    if (i != 5)
      close (fds[i]);
}

static void
test_refused (Fixture *f, gconstpointer data)
{
  static const char *const addresses[] = {"192.0.2.1", "::1", "localhost", ""};
  g_autoptr (GError) error = NULL;

  g_assert_false (add (f, "port1", "127.0.0.1", f->port, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_BUSY);
  for (guint i = 0; i < G_N_ELEMENTS (addresses); i++) {
    g_clear_error (&error);
    g_assert_false (add (f, "port1", addresses[i], free_port (), &error));
    g_assert_error (error, VM_ERROR, VM_ERROR_USAGE);
  }
}

static const struct {
  const char *name;
  FrameType type;
  guint32 channel;
  FrameStream stream;
  gsize n;
} hostile[] = {
    {"not-open", FRAME_DATA, FIRST + 1, FRAME_STDOUT, 1},
    {"close-not-open", FRAME_CLOSE, FIRST + 9, FRAME_STDIN, 0},
    {"open", FRAME_FORWARD_OPEN, FIRST, FRAME_STDIN, 4},
    {"wrong-stream", FRAME_DATA, FIRST, FRAME_STDIN, 1},
    {"credit", FRAME_CREDIT, FIRST, FRAME_STDIN, 4},
    {"empty", FRAME_DATA, FIRST, FRAME_STDOUT, 0},
    {"exit", FRAME_EXIT, FIRST, FRAME_STDIN, 8},
    {"change", FRAME_CHANGE, FIRST, FRAME_STDIN, 8},
    {"last-channel", FRAME_DATA, FIRST + FRAME_FORWARDS_MAX - 1, FRAME_STDOUT, 1},
};

static void
test_hostile (Fixture *f, gconstpointer data)
{
  guint i = GPOINTER_TO_UINT (data);
  int fd = connect_to (f);

  expect_open (f, 0);
  peer_send (&f->agent, hostile[i].type, hostile[i].channel, hostile[i].stream, "xxxxxxxx", hostile[i].n);
  expect_read (fd, "");
  g_assert_cmpstr (f->broken->str, !=, "");
  close (fd);
  fd = connect_to (f); /* nobody is let in any more */
  peer_expect_nothing (&f->agent);
  close (fd);
}

/* Datagrams */

static void
add_udp (Fixture *f)
{
  g_autoptr (json_object) what = json_object_new_object ();

  vm_forwards_remove (f->forwards, "port0");
  f->port = free_port ();
  vm_json_add_str (what, "id", "udp");
  vm_json_add_str (what, "address", "127.0.0.1");
  vm_json_add_int (what, "host-port", f->port);
  vm_json_add_int (what, "guest-port", 0x1234);
  vm_json_add_bool (what, "udp", TRUE);
  g_assert_true (vm_forwards_add (f->forwards, what, NULL));
}

static int
udp_peer (Fixture *f)
{
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons (f->port), .sin_addr.s_addr = htonl (INADDR_LOOPBACK)};
  int fd = socket (AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

  g_assert_cmpint (connect (fd, (struct sockaddr *)&address, sizeof address), ==, 0);
  return fd;
}

static void
expect_udp_open (Fixture *f, guint slot)
{
  peer_expect (&f->agent, FRAME_FORWARD_OPEN, FIRST + slot, FRAME_STDIN);
  g_assert_cmpmem (f->agent.payload->data, f->agent.payload->len, "\x34\x12\1\0", 4);
}

/* Each peer has a flow, and answers go to the one that asked. */
static void
test_udp (Fixture *f, gconstpointer data)
{
  int a, b;

  add_udp (f);
  a = udp_peer (f);
  b = udp_peer (f);
  g_assert_cmpint (write (a, "one", 3), ==, 3);
  expect_udp_open (f, 0);
  peer_expect_text (&f->agent, FRAME_DATA, FIRST, FRAME_STDIN, "one");
  g_assert_cmpint (write (b, "two", 3), ==, 3);
  expect_udp_open (f, 1);
  peer_expect_text (&f->agent, FRAME_DATA, FIRST + 1, FRAME_STDIN, "two");
  g_assert_cmpint (write (a, "more", 4), ==, 4);
  peer_expect_text (&f->agent, FRAME_DATA, FIRST, FRAME_STDIN, "more");
  peer_send (&f->agent, FRAME_DATA, FIRST + 1, FRAME_STDOUT, "to two", 6);
  expect_read (b, "to two");
  g_assert_cmpint (read (a, &(char){0}, 1), <, 0);
  peer_send (&f->agent, FRAME_CLOSE, FIRST, FRAME_STDIN, NULL, 0);
  peer_expect (&f->agent, FRAME_CLOSE, FIRST, FRAME_STDIN);
  g_assert_cmpint (write (a, "again", 5), ==, 5);
  expect_udp_open (f, 0);
  peer_expect_text (&f->agent, FRAME_DATA, FIRST, FRAME_STDIN, "again");
  vm_forwards_remove (f->forwards, "udp");
  peer_expect (&f->agent, FRAME_CLOSE, FIRST, FRAME_STDIN);
  peer_expect (&f->agent, FRAME_CLOSE, FIRST + 1, FRAME_STDIN);
  g_assert_cmpstr (f->broken->str, ==, "");
  close (a);
  close (b);
}

/* What finds no credit is lost, and the flow goes on when there is some. */
static void
test_udp_credit (Fixture *f, gconstpointer data)
{
  char block[32768] = {'x'};
  guint n;
  int a;

  add_udp (f);
  a = udp_peer (f);
  for (n = 0; n < 12; n++) {
    g_assert_cmpint (write (a, block, sizeof block), ==, sizeof block);
    turn ();
  }
  expect_udp_open (f, 0);
  for (n = 0; n < FRAME_WINDOW / sizeof block; n++)
    peer_expect (&f->agent, FRAME_DATA, FIRST, FRAME_STDIN);
  peer_expect_nothing (&f->agent);
  peer_send_u32 (&f->agent, FRAME_CREDIT, FIRST, FRAME_STDIN, sizeof block);
  turn ();
  g_assert_cmpint (write (a, "x", 1), ==, 1);
  peer_expect_text (&f->agent, FRAME_DATA, FIRST, FRAME_STDIN, "x");
  close (a);
}

static const struct {
  const char *name;
  FrameType type;
  FrameStream stream;
  gsize n;
} hostile_udp[] = {
    {"eof", FRAME_EOF, FRAME_STDOUT, 0},          {"empty", FRAME_DATA, FRAME_STDOUT, 0},
    {"stream", FRAME_DATA, FRAME_STDIN, 1},       {"credit", FRAME_CREDIT, FRAME_STDIN, 4},
    {"open", FRAME_FORWARD_OPEN, FRAME_STDIN, 4},
};

static void
test_udp_hostile (Fixture *f, gconstpointer data)
{
  guint i = GPOINTER_TO_UINT (data);
  int a;

  add_udp (f);
  a = udp_peer (f);
  g_assert_cmpint (write (a, "x", 1), ==, 1);
  expect_udp_open (f, 0);
  peer_expect_text (&f->agent, FRAME_DATA, FIRST, FRAME_STDIN, "x");
  peer_send (&f->agent, hostile_udp[i].type, FIRST, hostile_udp[i].stream, "xxxx", hostile_udp[i].n);
  turn ();
  g_assert_cmpstr (f->broken->str, !=, "");
  close (a);
}

#define ADD(name, function) g_test_add ("/vmctl/forwards/" name, Fixture, NULL, set_up, function, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("both-ways", test_both_ways);
  ADD ("adopt", test_adopt);
  ADD ("without-agent", test_without_agent);
  ADD ("remove", test_remove);
  ADD ("cap", test_cap);
  ADD ("refused", test_refused);
  ADD ("udp", test_udp);
  ADD ("udp-credit", test_udp_credit);
  for (guint i = 0; i < G_N_ELEMENTS (hostile_udp); i++) {
    g_autofree char *name = g_strconcat ("/vmctl/forwards/udp-hostile-", hostile_udp[i].name, NULL);

    g_test_add (name, Fixture, GUINT_TO_POINTER (i), set_up, test_udp_hostile, tear_down);
  }
  for (guint i = 0; i < G_N_ELEMENTS (hostile); i++) {
    g_autofree char *name = g_strconcat ("/vmctl/forwards/hostile-", hostile[i].name, NULL);

    g_test_add (name, Fixture, GUINT_TO_POINTER (i), set_up, test_hostile, tear_down);
  }
  return g_test_run ();
}
