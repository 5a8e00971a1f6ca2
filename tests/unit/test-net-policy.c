/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl/net/policy.c and guard.c: which addresses are open, and the policy's text. */
#include <arpa/inet.h>
#include <glib.h>
#include <string.h>

#include "vmctl/net/guard.h"

static uint32_t
ip (const char *text)
{
  struct in_addr address;

  g_assert_cmpint (inet_pton (AF_INET, text, &address), ==, 1);
  return ntohl (address.s_addr);
}

/* Both ends of each range, and their neighbours outside. */
static void
test_classes (void)
{
  static const struct {
    const char *address, *class;
  } table[] = {
      {"0.0.0.0", "this network"},
      {"0.255.255.255", "this network"},
      {"1.0.0.0", NULL},
      {"9.255.255.255", NULL},
      {"10.0.0.0", "private"},
      {"10.0.2.2", "private"},
      {"10.255.255.255", "private"},
      {"11.0.0.0", NULL},
      {"100.63.255.255", NULL},
      {"100.64.0.0", "shared (carrier NAT)"},
      {"100.100.100.200", "cloud metadata"},
      {"100.127.255.255", "shared (carrier NAT)"},
      {"100.128.0.0", NULL},
      {"126.255.255.255", NULL},
      {"127.0.0.0", "loopback"},
      {"127.255.255.255", "loopback"},
      {"128.0.0.0", NULL},
      {"169.253.255.255", NULL},
      {"169.254.0.0", "link-local"},
      {"169.254.169.253", "link-local"},
      {"169.254.169.254", "cloud metadata"},
      {"169.254.255.255", "link-local"},
      {"169.255.0.0", NULL},
      {"172.15.255.255", NULL},
      {"172.16.0.0", "private"},
      {"172.31.255.255", "private"},
      {"172.32.0.0", NULL},
      {"191.255.255.255", NULL},
      {"192.0.0.0", "reserved"},
      {"192.0.0.255", "reserved"},
      {"192.0.1.0", NULL},
      {"192.88.98.255", NULL},
      {"192.88.99.1", "reserved"},
      {"192.88.100.0", NULL},
      {"192.167.255.255", NULL},
      {"192.168.0.0", "private"},
      {"192.168.255.255", "private"},
      {"192.169.0.0", NULL},
      {"198.17.255.255", NULL},
      {"198.18.0.0", "private (benchmarks)"},
      {"198.19.255.255", "private (benchmarks)"},
      {"198.20.0.0", NULL},
      {"223.255.255.255", NULL},
      {"224.0.0.0", "multicast"},
      {"239.255.255.255", "multicast"},
      {"240.0.0.0", "reserved"},
      {"255.255.255.254", "reserved"},
      {"255.255.255.255", "broadcast"},
      {"8.8.8.8", NULL},
      {"198.51.100.10", NULL},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (table); i++) {
    g_test_message ("%s", table[i].address);
    g_assert_cmpstr (net_policy_class (ip (table[i].address)), ==, table[i].class);
  }
}

static void
test_refusal (void)
{
  const NetPolicy open = {.is_public = true}, closed = {0};

  g_assert_null (net_policy_refusal (&open, ip ("8.8.8.8"), false));
  g_assert_cmpstr (net_policy_refusal (&open, ip ("8.8.8.8"), true), ==, "this host");
  g_assert_cmpstr (net_policy_refusal (&open, NET_GATEWAY, false), ==, "this host");
  g_assert_cmpstr (net_policy_refusal (&open, ip ("192.168.1.1"), true), ==, "private");
  g_assert_cmpstr (net_policy_refusal (&closed, ip ("8.8.8.8"), false), ==, "no network");
}

static gboolean
parses (const char *text, gssize length, NetPolicy *ret, unsigned *ret_line)
{
  return net_policy_parse (text, length < 0 ? strlen (text) : (size_t)length, ret, ret_line);
}

static void
test_parse (void)
{
  NetPolicy policy;

  g_assert_true (parses ("vmctl-net-policy 1\nmode public\nnameserver 127.0.0.53\nnameserver 9.9.9.9\n", -1,
                         &policy, NULL));
  g_assert_true (policy.is_public);
  g_assert_cmpuint (policy.n_resolvers, ==, 2);
  g_assert_cmphex (policy.resolvers[0], ==, 0x7f000035);
  g_assert_cmphex (policy.resolvers[1], ==, 0x09090909);
  g_assert_true (parses ("vmctl-net-policy 1\n", -1, &policy, NULL));
  g_assert_false (policy.is_public);
}

/* Whatever is not understood allows nothing. */
static void
test_parse_bad (void)
{
  static const struct {
    const char *text;
    gssize length;
    unsigned line;
  } table[] = {
      {"", -1, 99},
      {"\n", -1, 1},
      {"vmctl-net-policy 2\nmode public\n", -1, 1},
      {"mode public\n", -1, 1},
      {"vmctl-net-policy 1\nmode public", -1, 2},
      {"vmctl-net-policy 1\nmode publi\n", -1, 2},
      {"vmctl-net-policy 1\nmode public \n", -1, 2},
      {"vmctl-net-policy 1\nmode  public\n", -1, 2},
      {"vmctl-net-policy 1\nmode\n", -1, 2},
      {"vmctl-net-policy 1\n\nmode public\n", -1, 2},
      {"vmctl-net-policy 1\nMode public\n", -1, 2},
      {"vmctl-net-policy 1\nmode public\0x\n", 33, 2},
      {"vmctl-net-policy 1\nmode public\nallow everything\n", -1, 3},
      {"vmctl-net-policy 1\nmode public\nnameserver 1.2.3\n", -1, 3},
      {"vmctl-net-policy 1\nmode public\nnameserver ::1\n", -1, 3},
      {"vmctl-net-policy 1\nnameserver 1.1.1.1\nnameserver 1.1.1.1\nnameserver 1.1.1.1\nnameserver 1.1.1.1\n",
       -1, 5},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (table); i++) {
    NetPolicy policy = {.is_public = true, .n_resolvers = 3};
    unsigned line = 99;

    g_test_message ("%s", table[i].text);
    g_assert_false (parses (table[i].text, table[i].length, &policy, &line));
    g_assert_false (policy.is_public);
    g_assert_cmpuint (policy.n_resolvers, ==, 0);
    g_assert_cmpuint (line, ==, table[i].line);
  }
}

static void
test_parse_long (void)
{
  g_autoptr (GString) text = g_string_new ("vmctl-net-policy 1\nmode ");
  NetPolicy policy;

  for (guint i = 0; i < 1000; i++)
    g_string_append_c (text, 'p');
  g_string_append_c (text, '\n');
  g_assert_false (parses (text->str, -1, &policy, NULL));
}

/* The guard, on frames that are already parsed. */

static bool
is_local (uint32_t address)
{
  return address == 0xcb007107; /* 203.0.113.7 */
}

static const NetGuard guard = {.policy = {.is_public = true}, .is_local = is_local};

static NetVerdict
judge (NetKind kind, const char *source, const char *destination, uint16_t source_port,
       uint16_t destination_port)
{
  const NetFrame f = {.kind = kind,
                      .source = ip (source),
                      .destination = ip (destination),
                      .source_port = source_port,
                      .destination_port = destination_port};
  const char *why;

  return net_guard_outgoing (&guard, &f, &why);
}

static void
test_outgoing (void)
{
  static const char me[] = "10.0.2.15", dns[] = "10.0.2.3", gateway[] = "10.0.2.2";

  g_assert_cmpint (judge (NET_TCP, me, "8.8.8.8", 5, 443), ==, NET_PASS);
  g_assert_cmpint (judge (NET_UDP, me, "8.8.8.8", 5, 53), ==, NET_PASS);
  g_assert_cmpint (judge (NET_ICMP, me, "8.8.8.8", 0, 0), ==, NET_PASS);
  g_assert_cmpint (judge (NET_OTHER, me, "8.8.8.8", 0, 0), ==, NET_REFUSE);
  g_assert_cmpint (judge (NET_TCP, me, "203.0.113.7", 5, 443), ==, NET_REFUSE);
  g_assert_cmpint (judge (NET_TCP, me, "192.168.1.1", 5, 443), ==, NET_REFUSE);
  /* not its own address */
  g_assert_cmpint (judge (NET_TCP, "10.0.2.16", "8.8.8.8", 5, 443), ==, NET_DROP);
  g_assert_cmpint (judge (NET_UDP, "0.0.0.0", "8.8.8.8", 5, 443), ==, NET_DROP);
  g_assert_cmpint (judge (NET_ARP, "10.0.2.2", me, 0, 0), ==, NET_DROP);
  g_assert_cmpint (judge (NET_ARP, me, gateway, 0, 0), ==, NET_PASS);
  /* what the helper offers */
  g_assert_cmpint (judge (NET_UDP, me, dns, 5, 53), ==, NET_PASS);
  g_assert_cmpint (judge (NET_TCP, me, dns, 5, 53), ==, NET_PASS);
  g_assert_cmpint (judge (NET_TCP, me, dns, 5, 80), ==, NET_REFUSE);
  g_assert_cmpint (judge (NET_UDP, me, dns, 5, 69), ==, NET_REFUSE);
  g_assert_cmpint (judge (NET_ICMP, me, dns, 0, 0), ==, NET_REFUSE);
  g_assert_cmpint (judge (NET_ICMP, me, gateway, 0, 0), ==, NET_PASS);
  g_assert_cmpint (judge (NET_TCP, me, gateway, 5, 80), ==, NET_REFUSE);
  g_assert_cmpint (judge (NET_UDP, me, gateway, 5, 69), ==, NET_REFUSE);
  /* DHCP */
  g_assert_cmpint (judge (NET_UDP, "0.0.0.0", "255.255.255.255", 68, 67), ==, NET_PASS);
  g_assert_cmpint (judge (NET_UDP, me, gateway, 68, 67), ==, NET_PASS);
  g_assert_cmpint (judge (NET_UDP, "0.0.0.0", "255.255.255.255", 69, 67), ==, NET_DROP);
  g_assert_cmpint (judge (NET_UDP, "0.0.0.0", "8.8.8.8", 68, 67), ==, NET_DROP);
  g_assert_cmpint (judge (NET_UDP, "9.9.9.9", "255.255.255.255", 68, 67), ==, NET_DROP);
  g_assert_cmpint (judge (NET_UDP, me, "255.255.255.255", 5, 7777), ==, NET_REFUSE);
}

static void
test_no_policy (void)
{
  const NetGuard none = {.is_local = is_local};
  const NetFrame f = {.kind = NET_UDP,
                      .source = NET_GUEST,
                      .destination = NET_NAMESERVER,
                      .source_port = 5,
                      .destination_port = 53};
  const char *why;

  g_assert_cmpint (net_guard_outgoing (&none, &f, &why), ==, NET_REFUSE);
}

static gboolean
comes_in (const char *source, uint8_t protocol, uint16_t source_port)
{
  uint8_t frame[64] = {[12] = 8, [14] = 0x45, [23] = protocol};
  uint32_t a = htonl (ip (source));

  memcpy (frame + 26, &a, 4);
  frame[34] = (uint8_t)(source_port >> 8);
  frame[35] = (uint8_t)source_port;
  return net_guard_incoming (&guard, frame, sizeof frame);
}

static void
test_incoming (void)
{
  g_assert_true (comes_in ("8.8.8.8", 17, 53));
  g_assert_true (comes_in ("10.0.2.3", 17, 53));
  g_assert_true (comes_in ("10.0.2.2", 17, 67));
  g_assert_false (comes_in ("10.0.2.2", 17, 7777)); /* somebody on the host's loopback */
  g_assert_false (comes_in ("192.168.1.1", 17, 53));
  g_assert_false (comes_in ("203.0.113.7", 17, 53));
  g_assert_true (comes_in ("10.0.2.2", 1, 0));
  g_assert_true (net_guard_incoming (&guard, "", 0));
}

static void
test_is_local (void)
{
  g_assert_true (net_guard_is_local (ip ("127.0.0.1")));
  g_assert_true (net_guard_is_local (ip ("127.0.0.1"))); /* from the cache */
  g_assert_false (net_guard_is_local (ip ("192.0.2.77")));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/net/policy/classes", test_classes);
  g_test_add_func ("/net/policy/refusal", test_refusal);
  g_test_add_func ("/net/policy/parse", test_parse);
  g_test_add_func ("/net/policy/parse-bad", test_parse_bad);
  g_test_add_func ("/net/policy/parse-long", test_parse_long);
  g_test_add_func ("/net/guard/outgoing", test_outgoing);
  g_test_add_func ("/net/guard/no-policy", test_no_policy);
  g_test_add_func ("/net/guard/incoming", test_incoming);
  g_test_add_func ("/net/guard/is-local", test_is_local);
  return g_test_run ();
}
