/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl/net/flows.h: TCP flows between a sandbox and libslirp, both played by net-fake. */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net-fake.h"

enum { PORT = 40000, WEB = 80, HTTPS = 443 };

#define PUBLIC "mode public\n"
#define LIST "mode list\nallow name github.com any 0-0 github.com\n"
#define HELLO(host) "GET / HTTP/1.1\r\nHost: " host "\r\n\r\n"

static const char good[] = HELLO ("github.com"), bad[] = HELLO ("evil.com");
#define GOOD good, sizeof good - 1

static uint32_t github;

static NetFakeTcp
segment (guint32 sequence, guint flags, const void *data, gsize length)
{
  return (NetFakeTcp){PORT, github, WEB, sequence, 5001, (uint8_t)(NET_ACK | flags), data, length};
}

static void
guest (NetFake *fake, guint32 sequence, guint flags, const void *data, gsize length)
{
  const NetFakeTcp tcp = segment (sequence, flags, data, length);

  net_fake_guest_tcp (fake, &tcp);
}

static NetFlowsCount
count (NetFake *fake)
{
  NetFlowsCount ret;

  net_flows_count (fake->flows, &ret);
  return ret;
}

/* Cut: both sides got a reset, and nothing else. */
static void
expect_cut (NetFake *fake)
{
  net_fake_expect (fake->to_guest, NET_RST | NET_ACK, NULL, 0);
  net_fake_expect (fake->to_slirp, NET_RST | NET_ACK, NULL, 0);
  net_fake_expect_nothing (fake);
  g_assert_cmpuint (count (fake).tcp, ==, 0);
}

/* What is held is acknowledged. */
static void
expect_held (NetFake *fake)
{
  net_fake_expect (fake->to_guest, NET_ACK, NULL, 0);
  net_fake_expect_nothing (fake);
}

/* One whose first words matter, with everything but these said. */
static NetFake *
new_inspected (void)
{
  NetFake *fake = net_fake_new (LIST);

  net_fake_learn (fake, "github.com", github);
  net_fake_connect (fake, PORT, github, WEB);
  return fake;
}

static void
test_pass (void)
{
  g_autoptr (NetFake) fake = net_fake_new (PUBLIC);
  const NetFakeTcp answer = segment (5001, 0, "hello", 5);

  net_fake_connect (fake, PORT, github, WEB);
  g_assert_cmpuint (count (fake).half_open, ==, 0);
  guest (fake, 1001, NET_PSH, "data", 4);
  net_fake_expect (fake->to_slirp, NET_ACK | NET_PSH, "data", 4);
  net_fake_slirp_tcp (fake, &answer);
  net_fake_expect (fake->to_guest, NET_ACK, "hello", 5);
  g_assert_cmpuint (fake->shared.count.allowed, ==, 1);
  g_assert_cmpuint (fake->shared.count.bytes_in, ==, 5);
  g_assert_cmpuint (fake->shared.count.bytes_out, ==, 4);
  net_fake_closed (fake, PORT, github, WEB);
  g_assert_cmpuint (count (fake).tcp, ==, 0);
  guest (fake, 1005, 0, "late", 4); /* a flow that is gone */
  net_fake_expect (fake->to_guest, NET_RST, NULL, 0);
  net_fake_expect_nothing (fake);
}

static void
assert_refused (NetFake *fake, const char *address, uint16_t port)
{
  net_fake_guest_tcp (fake, &(NetFakeTcp){PORT, net_fake_ip (address), port, 1000, 0, NET_SYN, NULL, 0});
  net_fake_expect (fake->to_guest, NET_RST | NET_ACK, NULL, 0);
  net_fake_expect_nothing (fake);
  g_assert_cmpuint (count (fake).tcp, ==, 0);
}

static void
test_refused (void)
{
  static const char *const closed[] = {"10.9.9.9", "127.0.0.1",    "169.254.169.254",
                                       "10.0.2.2", "10.0.2.9",     "255.255.255.255",
                                       "0.0.0.0",  "192.168.77.1", "100.64.1.1"};
  g_autoptr (NetFake) fake = net_fake_new (PUBLIC);

  for (gsize i = 0; i < G_N_ELEMENTS (closed); i++) {
    net_fake_guest_tcp (fake, &(NetFakeTcp){PORT, net_fake_ip (closed[i]), WEB, 1000, 0, NET_SYN, NULL, 0});
    g_assert_cmpuint (fake->to_slirp->len, ==, 0);
    g_ptr_array_set_size (fake->to_guest, 0);
  }
  fake->local = net_fake_ip ("203.0.113.7");
  assert_refused (fake, "203.0.113.7", WEB);
  g_assert_cmpuint (fake->shared.count.refused, ==, G_N_ELEMENTS (closed) + 1);
}

/* libslirp has this host's loopback at 10.0.2.2 and at the broadcast address then: everything hangs on us. */
static void
test_host_port (void)
{
  g_autoptr (NetFake) fake = net_fake_new (
      "mode list\nhostport 5432\nallow net 0.0.0.0/0 any 0-0 all\nallow net 10.0.0.0/8 any 0-0 ten\n"
      "allow net 10.0.2.2/32 any 0-0 gateway\nallow net 127.0.0.0/8 any 0-0 lo\n");

  assert_refused (fake, "10.0.2.2", 5433);
  assert_refused (fake, "10.0.2.2", WEB);
  assert_refused (fake, "10.0.2.3", 5432);
  assert_refused (fake, "10.0.2.15", 5432);
  assert_refused (fake, "127.0.0.1", 5432);
  net_fake_guest_tcp (fake, &(NetFakeTcp){PORT, 0xffffffff, 5432, 1000, 0, NET_SYN, NULL, 0});
  net_fake_expect_nothing (fake);
  net_fake_guest_udp (fake, PORT, NET_GATEWAY, 5432, "x", 1);
  g_assert_cmpuint (fake->to_slirp->len, ==, 0);
  g_assert_cmpuint (count (fake).udp, ==, 0);
  g_ptr_array_set_size (fake->to_guest, 0);
  net_fake_connect (fake, PORT, NET_GATEWAY, 5432);
  net_fake_policy (fake, "mode list\nhostport 5433\n");
  expect_cut (fake);
}

static void
test_strange_flags (void)
{
  static const guint flags[] = {NET_SYN | NET_ACK, NET_SYN | NET_FIN, NET_SYN | NET_URG, NET_FIN, 0,
                                NET_ACK,           NET_PSH | NET_ACK};
  g_autoptr (NetFake) fake = net_fake_new (PUBLIC);

  for (gsize i = 0; i < G_N_ELEMENTS (flags); i++)
    net_fake_guest_tcp (fake, &(NetFakeTcp){PORT, github, WEB, 1000, 7, (uint8_t)flags[i], NULL, 0});
  g_assert_cmpuint (fake->to_slirp->len, ==, 0);
  g_assert_cmpuint (fake->to_guest->len, ==, G_N_ELEMENTS (flags));
  g_assert_cmpuint (count (fake).tcp, ==, 0);
}

static void
test_no_socket (void)
{
  g_autoptr (NetFake) fake = net_fake_new (PUBLIC);

  fake->no_sockets = TRUE;
  net_fake_guest_tcp (fake, &(NetFakeTcp){PORT, github, WEB, 1000, 0, NET_SYN, NULL, 0});
  g_assert_cmpuint (count (fake).tcp, ==, 0);
}

static void
test_inspect_good (void)
{
  g_autoptr (NetFake) fake = new_inspected ();

  fake->acknowledges = TRUE;
  g_assert_cmpuint (fake->shared.count.allowed, ==, 0);
  guest (fake, 1001, NET_PSH, GOOD);
  net_fake_expect (fake->to_slirp, NET_ACK | NET_PSH, GOOD);
  net_fake_expect (fake->to_guest, NET_ACK, NULL, 0);
  g_assert_cmpuint (fake->shared.count.allowed, ==, 1);
  guest (fake, 1001 + sizeof good - 1, 0, "more", 4);
  net_fake_expect (fake->to_slirp, NET_ACK, "more", 4);
}

static void
test_inspect_bad (void)
{
  static const struct {
    const char *text;
    gsize length;
  } table[] = {{bad, sizeof bad - 1},
               {"GET / HTTP/1.0\r\n\r\n", 18},
               {"PRI * HTTP/2.0\r\n\r\n", 18},
               {"\x16\x03\x01\0\0", 5}};

  for (gsize i = 0; i < G_N_ELEMENTS (table); i++) {
    g_autoptr (NetFake) fake = new_inspected ();

    guest (fake, 1001, NET_PSH, table[i].text, table[i].length);
    expect_cut (fake);
    g_assert_cmpuint (fake->shared.count.allowed, ==, 0);
    g_assert_cmpuint (fake->shared.count.refused, ==, 1);
  }
}

/* A name that is allowed, and was learned for another address. */
static void
test_inspect_other_address (void)
{
  g_autoptr (NetFake) fake = net_fake_new (LIST "allow name other.com any 0-0 other.com\n");

  net_fake_learn (fake, "other.com", github);
  net_fake_learn (fake, "github.com", github + 1);
  net_fake_connect (fake, PORT, github, WEB);
  guest (fake, 1001, NET_PSH, GOOD);
  expect_cut (fake);
}

static void
test_inspect_443 (void)
{
  static const struct {
    const char *text;
    gboolean passes;
  } table[] = {{"SSH-2.0-x\r\n", TRUE}, {"{}", FALSE}};

  for (gsize i = 0; i < G_N_ELEMENTS (table); i++)
    for (guint port = 442; port <= HTTPS; port++) {
      g_autoptr (NetFake) fake = net_fake_new (LIST);
      gsize length = strlen (table[i].text);

      net_fake_learn (fake, "github.com", github);
      net_fake_connect (fake, PORT, github, (uint16_t)port);
      net_fake_guest_tcp (
          fake, &(NetFakeTcp){PORT, github, (uint16_t)port, 1001, 5001, NET_ACK, table[i].text, length});
      if (table[i].passes || port != HTTPS)
        net_fake_expect (fake->to_slirp, NET_ACK | NET_PSH, table[i].text, length);
      else
        expect_cut (fake);
    }
}

static void
test_split (void)
{
  g_autoptr (NetFake) fake = new_inspected ();
  const gsize n = sizeof good - 1;

  for (gsize i = 0; i < n; i++) {
    NetFrame f;

    net_fake_expect_nothing (fake);
    guest (fake, (guint32)(1001 + i), 0, good + i, 1);
    if (i == n - 1)
      break;
    g_assert_true (net_fake_take (fake->to_guest, &f)); /* or it would not send more than a few */
    g_assert_cmphex (f.flags, ==, NET_ACK);
    g_assert_cmpuint (f.sequence, ==, 5001);
    g_assert_cmpuint (f.acknowledged, ==, 1002 + i);
    g_assert_cmpuint (f.window, ==, 60000);
  }
  net_fake_expect (fake->to_slirp, NET_ACK | NET_PSH, GOOD);
  net_fake_expect_nothing (fake);
}

/* What is sent again with other bytes, before and after it was judged. */
static void
test_overlap (void)
{
  g_autoptr (NetFake) fake = new_inspected ();
  const gsize half = 20;
  NetFakeTcp acknowledge = {PORT, github, WEB, 5001, (guint32)(1001 + sizeof good - 1), NET_ACK, NULL, 0};

  guest (fake, 1001, 0, good, half);
  expect_held (fake);
  guest (fake, 1001, 0, bad, half);
  expect_held (fake);
  guest (fake, 1001 + 10, 0, "????????????????", 10);
  expect_held (fake);
  guest (fake, (guint32)(1001 + half - 5), 0, good + half - 5, sizeof good - 1 - half + 5);
  net_fake_expect (fake->to_slirp, NET_ACK | NET_PSH, GOOD);
  net_fake_expect_nothing (fake);
  guest (fake, 1001, 0, bad, sizeof bad - 1); /* libslirp may have thrown the first away */
  net_fake_expect (fake->to_slirp, NET_ACK | NET_PSH, GOOD);
  guest (fake, 1001 + 5, 0, bad, sizeof bad - 1);
  net_fake_expect (fake->to_slirp, NET_ACK | NET_PSH, GOOD);
  acknowledge.acknowledged--;
  net_fake_slirp_tcp (fake, &acknowledge);
  net_fake_expect (fake->to_guest, NET_ACK, NULL, 0);
  guest (fake, 1001, 0, bad, sizeof bad - 1);
  net_fake_expect (fake->to_slirp, NET_ACK | NET_PSH, GOOD);
  acknowledge.acknowledged++;
  net_fake_slirp_tcp (fake, &acknowledge);
  net_fake_expect (fake->to_guest, NET_ACK, NULL, 0);
  guest (fake, 1001, 0, bad, 4); /* now they can do no harm */
  net_fake_expect (fake->to_slirp, NET_ACK, bad, 4);
}

static void
test_out_of_order (void)
{
  g_autoptr (NetFake) fake = new_inspected ();

  guest (fake, 1001 + 10, 0, good + 10, sizeof good - 1 - 10);
  expect_held (fake);
  guest (fake, 996, 0, bad, 5); /* before the first byte */
  expect_held (fake);
  guest (fake, 1001, 0, good, 10);
  expect_held (fake);
  guest (fake, 1001 + 10, NET_FIN, good + 10, sizeof good - 1 - 10);
  net_fake_expect (fake->to_slirp, NET_ACK | NET_PSH, GOOD);
  net_fake_expect (fake->to_slirp, NET_ACK | NET_FIN, good + 10, sizeof good - 1 - 10);
  net_fake_expect_nothing (fake);
}

/* More than what is looked at, in one frame. */
static void
test_long (void)
{
  g_autoptr (NetFake) fake = new_inspected ();
  g_autofree char *text = g_malloc0 (40000);
  NetFrame f;

  memcpy (text, GOOD);
  guest (fake, 1001, 0, text, 40000);
  g_assert_true (net_fake_take (fake->to_slirp, &f));
  g_assert_cmpuint (f.payload, ==, 16384);
  net_fake_expect (fake->to_slirp, NET_ACK, text, 40000);
}

static void
test_too_long (void)
{
  g_autoptr (NetFake) fake = new_inspected ();
  g_autoptr (GString) text = g_string_new ("GET / HTTP/1.1\r\nA: ");

  while (text->len < 20000)
    g_string_append_c (text, 'a');
  guest (fake, 1001, 0, text->str, 10000);
  expect_held (fake);
  guest (fake, 1001 + 10000, 0, text->str + 10000, 10000);
  expect_cut (fake);
}

static void
test_fin (void)
{
  g_autoptr (NetFake) fake = new_inspected (), half = new_inspected (), whole = new_inspected (),
                      silent = new_inspected ();

  guest (silent, 1001, NET_FIN, NULL, 0); /* it looked whether somebody is there */
  net_fake_expect (silent->to_slirp, NET_ACK | NET_FIN, NULL, 0);
  guest (fake, 1001, 0, good, 10);
  expect_held (fake);
  guest (fake, 1001 + 5, NET_FIN, NULL, 0);
  net_fake_expect_nothing (fake);
  guest (fake, 1001 + 10, NET_FIN, NULL, 0);
  expect_cut (fake);
  guest (half, 1001, NET_FIN, good, 10);
  expect_cut (half);
  guest (whole, 1001, NET_FIN, GOOD);
  net_fake_expect (whole->to_slirp, NET_ACK | NET_PSH, GOOD);
  net_fake_expect (whole->to_slirp, NET_ACK | NET_FIN, GOOD);
}

static void
test_rst (void)
{
  g_autoptr (NetFake) fake = new_inspected ();

  guest (fake, 1001, 0, good, 10);
  expect_held (fake);
  guest (fake, 1001, NET_RST, NULL, 0);
  net_fake_expect (fake->to_slirp, NET_RST | NET_ACK, NULL, 0);
  net_fake_expect_nothing (fake);
  g_assert_cmpuint (count (fake).tcp, ==, 0);
}

static void
test_urgent (void)
{
  g_autoptr (NetFake) fake = new_inspected (), again = new_inspected ();

  guest (fake, 1001, NET_URG, GOOD);
  expect_cut (fake);
  guest (again, 1001, NET_URG, NULL, 0);
  expect_cut (again);
}

static void
test_syn_data (void)
{
  g_autoptr (NetFake) fake = net_fake_new (LIST);
  const NetFakeTcp syn = {PORT, github, WEB, 1000, 0, NET_SYN, bad, sizeof bad - 1};
  const NetFakeTcp answer = {PORT, github, WEB, 5000, 1001, NET_SYN | NET_ACK, NULL, 0};

  net_fake_learn (fake, "github.com", github);
  net_fake_guest_tcp (fake, &syn);
  net_fake_expect (fake->to_slirp, NET_SYN, NULL, 0);
  net_fake_guest_tcp (fake, &syn);
  net_fake_expect_nothing (fake);
  net_fake_slirp_tcp (fake, &answer);
  net_fake_expect (fake->to_guest, NET_SYN | NET_ACK, NULL, 0);
  net_fake_guest_tcp (fake, &syn);
  net_fake_expect (fake->to_slirp, NET_SYN, NULL, 0);
  guest (fake, 1001, 0, GOOD);
  net_fake_expect (fake->to_slirp, NET_ACK | NET_PSH, GOOD);
}

static void
test_server_first (void)
{
  g_autoptr (NetFake) fake = new_inspected ();
  const NetFakeTcp banner = {PORT, github, WEB, 5001, 1001, NET_ACK, "220 hi\r\n", 8};

  net_fake_slirp_tcp (fake, &banner);
  net_fake_expect (fake->to_guest, NET_ACK, "220 hi\r\n", 8);
  guest (fake, 1001, 0, NULL, 0);
  net_fake_expect (fake->to_slirp, NET_ACK, NULL, 0);
}

static void
test_time_out (void)
{
  g_autoptr (NetFake) fake = new_inspected ();
  NetPoll poll = {.timeout_ms = -1};

  net_flows_fill (fake->flows, &poll);
  g_assert_cmpint (poll.timeout_ms, ==, -1);
  guest (fake, 1001, 0, good, 10);
  expect_held (fake);
  fake->shared.now_ms += 4000;
  guest (fake, 1001 + 10, 0, good + 10, 1);
  expect_held (fake);
  net_flows_fill (fake->flows, &poll);
  g_assert_cmpint (poll.timeout_ms, ==, 6000);
  fake->shared.now_ms += 5999;
  net_flows_serve (fake->flows, &poll);
  net_fake_expect_nothing (fake);
  fake->shared.now_ms += 1;
  net_flows_serve (fake->flows, &poll);
  expect_cut (fake);
  g_free (poll.fds);
}

/* A new connection with the ports of one that is there. */
static void
test_reused_ports (void)
{
  g_autoptr (NetFake) fake = new_inspected ();
  NetFakeTcp syn = {PORT, github, WEB, 9000, 0, NET_SYN, NULL, 0};

  guest (fake, 1001, 0, good, 10);
  expect_held (fake);
  net_fake_guest_tcp (fake, &syn);
  net_fake_expect (fake->to_guest, NET_RST | NET_ACK, NULL, 0);
  net_fake_expect (fake->to_slirp, NET_RST | NET_ACK, NULL, 0);
  net_fake_expect (fake->to_slirp, NET_SYN, NULL, 0);
  g_assert_cmpuint (count (fake).tcp, ==, 1);
  g_assert_cmpuint (count (fake).half_open, ==, 1);
  /* while libslirp is connecting, it would not take it: it has to close the old one first */
  syn.sequence = 12000;
  net_fake_guest_tcp (fake, &syn);
  net_fake_expect (fake->to_guest, NET_RST | NET_ACK, NULL, 0);
  net_fake_guest_tcp (fake, &syn);
  net_fake_expect_nothing (fake);
  net_fake_closed (fake, PORT, github, WEB);
  net_fake_guest_tcp (fake, &syn);
  net_fake_expect (fake->to_slirp, NET_SYN, NULL, 0);
}

static void
test_many_at_once (void)
{
  g_autoptr (NetFake) fake = net_fake_new (LIST);

  net_fake_learn (fake, "github.com", github);
  for (uint16_t port = 1; port <= 100; port++)
    net_fake_connect (fake, port, github, WEB);
  for (gsize i = 0; i < sizeof good - 1; i++)
    for (uint16_t port = 1; port <= 100; port++) {
      const char *text = port % 2 == 0 ? good : bad;

      if (i < sizeof bad - 1)
        net_fake_guest_tcp (
            fake, &(NetFakeTcp){port, github, WEB, (guint32)(1001 + i), 5001, NET_ACK, text + i, 1});
      else if (port % 2 == 0)
        net_fake_guest_tcp (
            fake, &(NetFakeTcp){port, github, WEB, (guint32)(1001 + i), 5001, NET_ACK, text + i, 1});
    }
  g_assert_cmpuint (count (fake).tcp, ==, 50);
  g_assert_cmpuint (fake->to_slirp->len, ==, 100);
}

/* Those whose socket was shut down are closed in libslirp's next turn. */
static void
turn (NetFake *fake)
{
  NetFrame f;

  while (net_fake_take (fake->to_guest, &f))
    if (f.flags & NET_RST)
      net_fake_closed (fake, f.destination_port, f.source, f.source_port);
  g_ptr_array_set_size (fake->to_slirp, 0);
}

static void
test_half_open_flood (void)
{
  g_autoptr (NetFake) fake = net_fake_new (PUBLIC);

  net_fake_connect (fake, PORT, github, WEB);
  for (guint i = 0; i < 10000; i++) {
    net_fake_guest_tcp (
        fake, &(NetFakeTcp){(uint16_t)(1 + i % 60000), github + 1 + i, WEB, 1000, 0, NET_SYN, NULL, 0});
    if (i % 64 == 0)
      turn (fake);
    g_assert_cmpuint (g_hash_table_size (fake->fds), <=, 1 + NET_FLOWS_HALF_OPEN_MAX + NET_FLOWS_ENDING_MAX);
  }
  g_assert_cmpuint (count (fake).half_open, ==, NET_FLOWS_HALF_OPEN_MAX);
  turn (fake);
  guest (fake, 1001, 0, "data", 4);
  net_fake_expect (fake->to_slirp, NET_ACK, "data", 4);
  net_fake_guest_tcp (fake, &(NetFakeTcp){PORT + 1, github, WEB, 1000, 0, NET_SYN, NULL, 0});
  net_fake_expect (fake->to_slirp, NET_SYN, NULL, 0);
  net_fake_expect (fake->to_guest, NET_RST | NET_ACK, NULL, 0); /* for the oldest */
  net_fake_slirp_tcp (fake, &(NetFakeTcp){PORT + 1, github, WEB, 5000, 1001, NET_SYN | NET_ACK, NULL, 0});
  net_fake_expect (fake->to_guest, NET_SYN | NET_ACK, NULL, 0);
}

/* Without a turn of libslirp's, there is an end to it, and no more. */
static void
test_too_fast (void)
{
  g_autoptr (NetFake) fake = net_fake_new (PUBLIC);

  for (guint i = 0; i < 2000; i++)
    net_fake_guest_tcp (fake, &(NetFakeTcp){PORT, github + i, WEB, 1000, 0, NET_SYN, NULL, 0});
  g_assert_cmpuint (g_hash_table_size (fake->fds), <=, NET_FLOWS_TCP_MAX + NET_FLOWS_ENDING_MAX);
  turn (fake);
  net_fake_guest_tcp (fake, &(NetFakeTcp){PORT, github + 3000, WEB, 1000, 0, NET_SYN, NULL, 0});
  net_fake_expect (fake->to_slirp, NET_SYN, NULL, 0);
}

static void
test_full (void)
{
  g_autoptr (NetFake) fake = net_fake_new (PUBLIC);

  net_fake_connect (fake, PORT, github, WEB);
  for (guint i = 1; i <= 2000; i++) {
    fake->shared.now_ms++;
    guest (fake, 1001, 0, "x", 1); /* the first one is never silent for long */
    net_fake_expect (fake->to_slirp, NET_ACK, "x", 1);
    net_fake_guest_tcp (fake, &(NetFakeTcp){PORT, github + i, WEB, 1000, 0, NET_SYN, NULL, 0});
    net_fake_slirp_tcp (fake, &(NetFakeTcp){PORT, github + i, WEB, 5000, 1001, NET_SYN | NET_ACK, NULL, 0});
    net_fake_guest_tcp (fake, &(NetFakeTcp){PORT, github + i, WEB, 1001, 5001, NET_ACK, NULL, 0});
    turn (fake);
    g_assert_cmpuint (count (fake).half_open, ==, 0);
    g_assert_cmpuint (count (fake).tcp, ==, MIN (i + 1, NET_FLOWS_TCP_MAX));
  }
  guest (fake, 1001, 0, "x", 1);
  net_fake_expect (fake->to_slirp, NET_ACK, "x", 1);
}

/* The descriptor of one that is still being connected is shut down; libslirp sees it there. */
static void
test_shutdown (void)
{
  g_autoptr (NetFake) fake = net_fake_new (PUBLIC);
  int ends[2];
  char byte;

  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM, 0, ends), ==, 0);
  fake->next_fd = (guint)ends[0];
  net_fake_guest_tcp (fake, &(NetFakeTcp){PORT, github, WEB, 1000, 0, NET_SYN, NULL, 0});
  net_fake_policy (fake, "mode list\n");
  g_assert_cmpint (recv (ends[1], &byte, 1, MSG_DONTWAIT), ==, 0);
  net_fake_closed (fake, PORT, github, WEB);
  close (ends[0]);
  close (ends[1]);
}

/* Something that libslirp says for a flow that was cut is not heard, and ends it for good. */
static void
test_after_cut (void)
{
  g_autoptr (NetFake) fake = net_fake_new (PUBLIC);
  NetPoll poll = {.timeout_ms = -1};

  net_fake_guest_tcp (fake, &(NetFakeTcp){PORT, github, WEB, 1000, 0, NET_SYN, NULL, 0});
  net_fake_expect (fake->to_slirp, NET_SYN, NULL, 0);
  net_fake_policy (fake, "mode list\n");
  net_fake_expect (fake->to_guest, NET_RST | NET_ACK, NULL, 0);
  net_fake_slirp_tcp (fake, &(NetFakeTcp){PORT, github, WEB, 5000, 1001, NET_SYN | NET_ACK, NULL, 0});
  net_fake_expect_nothing (fake);
  guest (fake, 1001, 0, "data", 4);
  net_fake_expect (fake->to_guest, NET_RST, NULL, 0);
  net_fake_expect_nothing (fake);
  net_flows_serve (fake->flows, &poll);
  net_fake_expect (fake->to_slirp, NET_RST | NET_ACK, NULL, 0);
  g_assert_cmpuint (g_hash_table_size (fake->fds), ==, 0);
  net_fake_slirp_tcp (fake, &(NetFakeTcp){PORT, github, WEB, 0, 1001, NET_RST | NET_ACK, NULL, 0});
  net_fake_expect (fake->to_guest, NET_RST | NET_ACK, NULL, 0); /* the last word of a socket that is gone */
  net_fake_slirp_tcp (fake, &(NetFakeTcp){PORT, github, WEB, 5001, 1001, NET_ACK, "x", 1});
  net_fake_expect_nothing (fake);
}

static void
test_policy_networks (void)
{
  g_autoptr (NetFake) fake = net_fake_new ("mode list\nallow net 10.1.2.3/32 tcp 80-80 lan\n");

  net_fake_connect (fake, PORT, net_fake_ip ("10.1.2.3"), WEB);
  net_fake_policy (fake, "mode list\nallow net 10.1.2.0/24 tcp 80-80 lan\n");
  net_fake_expect_nothing (fake);
  net_fake_policy (fake, "mode list\nallow net 10.1.2.0/24 tcp 81-81 lan\n");
  expect_cut (fake);
  g_assert_cmpuint (fake->shared.count.refused, ==, 1);
}

static void
test_policy_names (void)
{
  g_autoptr (NetFake) fake = new_inspected ();

  fake->acknowledges = TRUE;
  guest (fake, 1001, 0, GOOD);
  turn (fake);
  fake->shared.now_ms += 600000; /* the answer is long forgotten */
  net_fake_policy (fake, LIST "allow name other.com any 0-0 other.com\n");
  net_fake_expect_nothing (fake);
  net_fake_learn (fake, "other.com", github);
  net_fake_policy (fake, "mode list\nallow name other.com any 0-0 other.com\n");
  expect_cut (fake);
}

/* Opened when names did not matter, and now they do. */
static void
test_policy_unseen (void)
{
  static const struct {
    const char *policy, *says;
    gboolean stays;
  } table[] = {
      {LIST, good, FALSE}, /* what it said may have been a lie */
      {PUBLIC "deny name evil.com any 0-0 deny:evil.com\n", good, TRUE},
      {PUBLIC "deny name evil.com any 0-0 deny:evil.com\n", bad, FALSE},
      {LIST, NULL, TRUE},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (table); i++) {
    g_autoptr (NetFake) fake = net_fake_new (PUBLIC);

    net_fake_learn (fake, "github.com", github);
    net_fake_connect (fake, PORT, github, WEB);
    if (table[i].says != NULL)
      guest (fake, 1001, 0, table[i].says, strlen (table[i].says));
    turn (fake);
    net_fake_policy (fake, table[i].policy);
    if (!table[i].stays) {
      expect_cut (fake);
      continue;
    }
    net_fake_expect_nothing (fake);
    if (table[i].says == NULL) { /* and from now on it is looked at */
      guest (fake, 1001, 0, bad, sizeof bad - 1);
      expect_cut (fake);
    }
  }
}

/* What is held when names do not matter any more is let go. */
static void
test_policy_release (void)
{
  g_autoptr (NetFake) fake = new_inspected ();

  guest (fake, 1001, 0, bad, 10);
  expect_held (fake);
  net_fake_policy (fake, PUBLIC);
  net_fake_expect (fake->to_slirp, NET_ACK | NET_PSH, bad, 10);
  guest (fake, 1001, 0, bad, sizeof bad - 1);
  net_fake_expect (fake->to_slirp, NET_ACK | NET_PSH, bad, 10);
  guest (fake, 1011, 0, bad + 10, 5);
  net_fake_expect (fake->to_slirp, NET_ACK | NET_PSH, bad, 10); /* who knows whether it has that */
  net_fake_expect (fake->to_slirp, NET_ACK, bad + 10, 5);
}

static void
test_incoming_udp (void)
{
  g_autoptr (NetFake) fake = net_fake_new (PUBLIC);
  uint8_t frame[60] = {[12] = 8, [23] = 17, [26] = 10, [28] = 2, [29] = 2, [35] = 67};

  net_flows_incoming (fake->flows, frame, sizeof frame);
  g_assert_cmpuint (fake->to_guest->len, ==, 1);
  frame[35] = 68;
  net_flows_incoming (fake->flows, frame, sizeof frame);
  frame[35] = 67;
  frame[26] = 8;
  net_flows_incoming (fake->flows, frame, sizeof frame);
  g_assert_cmpuint (fake->to_guest->len, ==, 1);
}

int
main (int argc, char **argv)
{
  static const struct {
    const char *path;
    void (*test) (void);
  } tests[] = {
      {"pass", test_pass},
      {"refused", test_refused},
      {"host-port", test_host_port},
      {"strange-flags", test_strange_flags},
      {"no-socket", test_no_socket},
      {"inspect/good", test_inspect_good},
      {"inspect/bad", test_inspect_bad},
      {"inspect/other-address", test_inspect_other_address},
      {"inspect/443", test_inspect_443},
      {"inspect/split", test_split},
      {"inspect/overlap", test_overlap},
      {"inspect/out-of-order", test_out_of_order},
      {"inspect/long", test_long},
      {"inspect/too-long", test_too_long},
      {"inspect/fin", test_fin},
      {"inspect/rst", test_rst},
      {"inspect/urgent", test_urgent},
      {"inspect/syn-data", test_syn_data},
      {"inspect/server-first", test_server_first},
      {"inspect/time-out", test_time_out},
      {"reused-ports", test_reused_ports},
      {"many-at-once", test_many_at_once},
      {"flood/half-open", test_half_open_flood},
      {"flood/too-fast", test_too_fast},
      {"flood/full", test_full},
      {"shutdown", test_shutdown},
      {"after-cut", test_after_cut},
      {"policy/networks", test_policy_networks},
      {"policy/names", test_policy_names},
      {"policy/unseen", test_policy_unseen},
      {"policy/release", test_policy_release},
      {"incoming-udp", test_incoming_udp},
  };

  g_test_init (&argc, &argv, NULL);
  github = net_fake_ip ("140.82.112.3");
  for (gsize i = 0; i < G_N_ELEMENTS (tests); i++) {
    g_autofree char *path = g_strconcat ("/net/flows/", tests[i].path, NULL);

    g_test_add_func (path, tests[i].test);
  }
  return g_test_run ();
}
