/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl/net/udp.c, ping.c: relayed by sockets, in a network of the test's own whose loopback interface has a
 * public address. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net-fake.h"
#include "vmctl/net/udp.h"

#define SERVER "198.51.100.10"

enum { PORT = 40000, PING_HEAD = 42 };

static gboolean
write_file (const char *path, const char *text)
{
  int fd = open (path, O_WRONLY | O_CLOEXEC);
  gboolean done = fd >= 0 && write (fd, text, strlen (text)) == (ssize_t)strlen (text);

  if (fd >= 0)
    close (fd);
  return done;
}

static gboolean
make_network (void)
{
  g_autofree char *map = g_strdup_printf ("0 %u 1\n", geteuid ()),
                  *groups = g_strdup_printf ("0 %u 1\n", getegid ());
  struct ifreq request = {.ifr_name = "lo"};
  struct sockaddr_in *in = (struct sockaddr_in *)&request.ifr_addr;
  int fd;

  if (unshare (CLONE_NEWUSER | CLONE_NEWNET) < 0 || !write_file ("/proc/self/setgroups", "deny") ||
      !write_file ("/proc/self/uid_map", map) || !write_file ("/proc/self/gid_map", groups))
    return FALSE;
  (void)write_file ("/proc/sys/net/ipv4/ping_group_range", "0 0");
  fd = socket (AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  *in = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = inet_addr (SERVER)};
  if (ioctl (fd, SIOCSIFADDR, &request) < 0)
    return FALSE;
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  return ioctl (fd, SIOCSIFFLAGS, &request) == 0 && close (fd) == 0;
}

/* A socket at the server's address; 0: any port. */
static int
server (uint16_t port)
{
  const struct sockaddr_in in = {
      .sin_family = AF_INET, .sin_port = htons (port), .sin_addr.s_addr = inet_addr (SERVER)};
  int fd = socket (AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

  g_assert_cmpint (bind (fd, (const struct sockaddr *)&in, sizeof in), ==, 0);
  return fd;
}

/* Waits until there is something, and lets the flows have it. */
static void
serve (NetFake *fake)
{
  NetPoll poll_ = {.timeout_ms = -1};

  net_flows_fill (fake->flows, &poll_);
  g_assert_cmpint (poll (poll_.fds, poll_.n, 60000), >, 0);
  net_flows_serve (fake->flows, &poll_);
  g_free (poll_.fds);
}

static void
send_guest (NetFake *fake, uint16_t port, const void *data, gsize length)
{
  net_fake_guest_udp (fake, PORT, net_fake_ip (SERVER), port, data, length);
}

static unsigned
udp_count (NetFake *fake)
{
  NetFlowsCount count;

  net_flows_count (fake->flows, &count);
  return count.udp;
}

static uint16_t
receive (int fd, struct sockaddr_in *from, char *data, gsize *length)
{
  socklen_t size = sizeof *from;
  ssize_t n = recvfrom (fd, data, *length, 0, (struct sockaddr *)from, &size);

  g_assert_cmpint (n, >=, 0);
  *length = (gsize)n;
  return ntohs (from->sin_port);
}

static gboolean
udp_sum_is_right (const NetFrame *f)
{
  guint32 pseudo = 17 + (guint32)(f->length - 34);

  for (guint i = 26; i < 34; i += 2)
    pseudo += (guint32)f->bytes[i] << 8 | f->bytes[i + 1];
  return net_checksum (f->bytes + 34, f->length - 34, pseudo) == 0;
}

static void
test_echo (void)
{
  static const gsize sizes[] = {0, 1, 5, 1472, 9000, 65492};
  g_autoptr (NetFake) fake = net_fake_new ("mode public\n");
  g_autofree char *data = g_malloc (70000), *got = g_malloc (70000);
  int fd = server (7777);

  for (gsize i = 0; i < 70000; i++)
    data[i] = (char)(i * 7);
  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++) {
    struct sockaddr_in from;
    gsize length = 70000;
    NetFrame f;

    send_guest (fake, 7777, data, sizes[i]);
    (void)receive (fd, &from, got, &length);
    g_assert_cmpmem (got, length, data, sizes[i]);
    g_assert_cmpint (sendto (fd, got, length, 0, (struct sockaddr *)&from, sizeof from), ==, length);
    serve (fake);
    g_assert_true (net_fake_take (fake->to_guest, &f));
    g_assert_cmpint (f.kind, ==, NET_UDP);
    g_assert_cmphex (f.source, ==, net_fake_ip (SERVER));
    g_assert_cmphex (f.destination, ==, NET_GUEST);
    g_assert_cmpuint (f.source_port, ==, 7777);
    g_assert_cmpuint (f.destination_port, ==, PORT);
    g_assert_cmpmem (f.bytes + 42, f.length - 42, data, sizes[i]);
    g_assert_true (udp_sum_is_right (&f));
  }
  g_assert_cmpuint (udp_count (fake), ==, 1);
  g_assert_cmpuint (fake->shared.count.allowed, ==, 1);
  net_fake_expect_nothing (fake);
  close (fd);
}

/* Nobody but who was asked can answer, nor with more than a frame holds. */
static void
test_strangers (void)
{
  g_autoptr (NetFake) fake = net_fake_new ("mode public\n");
  g_autofree char *large = g_malloc0 (65500);
  int fd = server (7777), other = server (0);
  struct sockaddr_in from;
  gsize length = 10;
  char got[10];
  NetFrame f;

  send_guest (fake, 7777, "hi", 2);
  (void)receive (fd, &from, got, &length);
  g_assert_cmpint (sendto (other, "evil", 4, 0, (struct sockaddr *)&from, sizeof from), ==, 4);
  g_assert_cmpint (sendto (fd, large, 65500, 0, (struct sockaddr *)&from, sizeof from), ==, 65500);
  g_assert_cmpint (sendto (fd, "good", 4, 0, (struct sockaddr *)&from, sizeof from), ==, 4);
  serve (fake);
  g_assert_true (net_fake_take (fake->to_guest, &f));
  g_assert_cmpmem (f.bytes + 42, f.length - 42, "good", 4);
  net_fake_expect_nothing (fake);
  close (fd);
  close (other);
}

static void
expect_port_unreachable (NetFake *fake, uint16_t port)
{
  NetFrame f;

  g_assert_true (net_fake_take (fake->to_guest, &f));
  g_assert_cmpint (f.kind, ==, NET_ICMP);
  g_assert_cmpuint (f.length, ==, 34 + 8 + 28);
  g_assert_cmpuint (f.bytes[34], ==, 3);
  g_assert_cmpuint (f.bytes[35], ==, 3);
  g_assert_cmpuint (net_checksum (f.bytes + 34, 36, 0), ==, 0);
  g_assert_cmpuint (f.bytes[62] << 8 | f.bytes[63], ==, PORT);
  g_assert_cmpuint (f.bytes[64] << 8 | f.bytes[65], ==, port);
}

static void
test_nobody (void)
{
  g_autoptr (NetFake) fake = net_fake_new ("mode public\n");

  send_guest (fake, 7778, "hi", 2);
  serve (fake);
  expect_port_unreachable (fake, 7778);
  send_guest (fake, 7778, "hi", 2);
  send_guest (fake, 7778, "hi", 2); /* is told of the one before, and is sent all the same */
  expect_port_unreachable (fake, 7778);
  serve (fake);
  expect_port_unreachable (fake, 7778);
}

static void
test_refused (void)
{
  g_autoptr (NetFake) fake = net_fake_new ("mode public\n");
  int fd = server (7777);
  struct sockaddr_in from;
  gsize length = 10;
  char got[10];

  fake->local = net_fake_ip (SERVER);
  send_guest (fake, 7777, "hi", 2);
  expect_port_unreachable (fake, 7777);
  fake->local = 0;
  g_assert_cmpuint (udp_count (fake), ==, 0);
  send_guest (fake, 7777, "ho", 2);
  (void)receive (fd, &from, got, &length);
  g_assert_cmpmem (got, length, "ho", 2);
  net_fake_policy (fake, "mode list\nallow net 198.51.100.0/24 udp 7778-7778 x\n");
  expect_port_unreachable (fake, 7777);
  g_assert_cmpuint (udp_count (fake), ==, 0);
  g_assert_cmpuint (fake->shared.count.refused, ==, 2);
  close (fd);
}

/* The one that is silent for longest goes, and it is not the one that is just asked for. */
static void
test_many (void)
{
  g_autoptr (NetFake) fake = net_fake_new ("mode public\n");
  int fd = server (7777);
  struct sockaddr_in from;
  uint16_t first;
  gsize length = 10;
  char got[10];

  send_guest (fake, 7777, "hi", 2);
  first = receive (fd, &from, got, &length);
  for (guint i = 0; i < 10000; i++) {
    fake->shared.now_ms++;
    if (i % 100 == 0) {
      send_guest (fake, 7777, "hi", 2);
      g_assert_cmpuint (receive (fd, &from, got, &length), ==, first);
    }
    net_fake_guest_udp (fake, (uint16_t)(1000 + i), net_fake_ip (SERVER), 9, "x", 1);
    g_assert_cmpuint (udp_count (fake), <=, NET_FLOWS_UDP_MAX);
    g_ptr_array_set_size (fake->to_guest, 0);
  }
  close (fd);
}

static void
test_idle (void)
{
  g_autoptr (NetFake) fake = net_fake_new ("mode public\n");
  NetPoll poll = {.timeout_ms = -1};

  net_flows_fill (fake->flows, &poll);
  g_assert_cmpint (poll.timeout_ms, ==, -1);
  g_assert_cmpuint (poll.n, ==, 0);
  send_guest (fake, 9, "hi", 2);
  fake->shared.now_ms += 20000;
  net_flows_fill (fake->flows, &poll);
  g_assert_cmpint (poll.timeout_ms, ==, NET_FLOWS_UDP_IDLE_MS - 20000);
  fake->shared.now_ms += poll.timeout_ms;
  poll.n = 0;
  net_flows_serve (fake->flows, &poll);
  g_assert_cmpuint (udp_count (fake), ==, 0);
  poll.timeout_ms = -1;
  net_flows_fill (fake->flows, &poll);
  g_assert_cmpint (poll.timeout_ms, ==, -1);
  g_free (poll.fds);
}

/* Pings */

static void
send_ping (NetFake *fake, guint identifier, guint sequence, const char *text)
{
  uint8_t frame[100];
  NetFrame f;
  const char *why;
  const uint32_t to = net_fake_ip (SERVER);
  const uint8_t head[PING_HEAD] = {0x52,
                                   0x55,
                                   10,
                                   0,
                                   2,
                                   2,
                                   2,
                                   0,
                                   0,
                                   0,
                                   0,
                                   1,
                                   8,
                                   0,
                                   0x45,
                                   0,
                                   0,
                                   28 + 4,
                                   0,
                                   0,
                                   0,
                                   0,
                                   64,
                                   1,
                                   0,
                                   0,
                                   10,
                                   0,
                                   2,
                                   15,
                                   (uint8_t)(to >> 24),
                                   (uint8_t)(to >> 16),
                                   (uint8_t)(to >> 8),
                                   (uint8_t)to,
                                   8,
                                   0,
                                   0,
                                   0,
                                   0,
                                   (uint8_t)identifier,
                                   0,
                                   (uint8_t)sequence};
  guint sum;

  memcpy (frame, head, sizeof head);
  memcpy (frame + PING_HEAD, text, 4);
  sum = net_checksum (frame + 14, 20, 0);
  frame[24] = (uint8_t)(sum >> 8);
  frame[25] = (uint8_t)sum;
  g_assert_true (net_frame_parse (frame, PING_HEAD + 4, &f, &why));
  net_flows_outgoing (fake->flows, &f);
}

static void
test_ping (void)
{
  g_autoptr (NetFake) fake = net_fake_new ("mode public\n");
  NetPoll poll = {.timeout_ms = -1};
  NetFrame f;
  int fd = socket (AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_ICMP);

  if (fd < 0) {
    g_test_skip ("no pings without rights here");
    return;
  }
  close (fd);
  send_ping (fake, 7, 1, "abcd");
  serve (fake);
  g_assert_true (net_fake_take (fake->to_guest, &f));
  g_assert_cmpint (f.kind, ==, NET_ICMP);
  g_assert_cmpuint (f.length, ==, PING_HEAD + 4);
  g_assert_cmpuint (f.bytes[34], ==, 0);
  g_assert_cmpuint (f.bytes[39], ==, 7);
  g_assert_cmpuint (f.bytes[41], ==, 1);
  g_assert_cmpmem (f.bytes + PING_HEAD, 4, "abcd", 4);
  g_assert_cmpuint (net_checksum (f.bytes + 34, 12, 0), ==, 0);
  for (guint i = 0; i < 10000; i++)
    send_ping (fake, 7, i, "abcd");
  fake->shared.now_ms += 20000;
  net_flows_serve (fake->flows, &poll);
  net_flows_fill (fake->flows, &poll);
  g_assert_cmpuint (poll.n, ==, 0);
  g_assert_cmpint (poll.timeout_ms, ==, -1);
  net_fake_policy (fake, "mode list\n");
  g_ptr_array_set_size (fake->to_guest, 0);
  send_ping (fake, 7, 2, "abcd");
  g_assert_true (net_fake_take (fake->to_guest, &f));
  g_assert_cmpuint (f.bytes[34], ==, 3);
  g_assert_cmpuint (f.bytes[35], ==, 1);
}

int
main (int argc, char **argv)
{
  if (!make_network ()) {
    printf ("1..0 # SKIP no network namespace can be made: %s\n", g_strerror (errno));
    return 0;
  }
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/net/udp/echo", test_echo);
  g_test_add_func ("/net/udp/strangers", test_strangers);
  g_test_add_func ("/net/udp/nobody", test_nobody);
  g_test_add_func ("/net/udp/refused", test_refused);
  g_test_add_func ("/net/udp/many", test_many);
  g_test_add_func ("/net/udp/idle", test_idle);
  g_test_add_func ("/net/ping", test_ping);
  return g_test_run ();
}
