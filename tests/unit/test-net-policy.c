/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl/net/policy*.c: which addresses and names are open, and the policy's text. */
#include <arpa/inet.h>
#include <glib.h>
#include <string.h>
#include <time.h>

#include "vmctl/net/learned.h"
#include "vmctl/net/policy.h"

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
      {"10.0.1.255", "private"},
      {"10.0.2.0", "the sandbox's own network"},
      {"10.0.2.255", "the sandbox's own network"},
      {"10.0.3.0", "private"},
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

/* The text */

#define HEAD "vmctl-net-policy 2\nmode list\n"

static gboolean
parses (const char *text, gssize length, NetPolicy *ret, unsigned *ret_line)
{
  return net_policy_parse (text, length < 0 ? strlen (text) : (size_t)length, ret, ret_line);
}

static void
make (NetPolicy *policy, const char *text)
{
  unsigned line = 0;

  if (!parses (text, -1, policy, &line))
    g_error ("line %u of: %s", line, text);
}

static void
test_parse (void)
{
  NetPolicy policy;

  make (&policy, "vmctl-net-policy 2\nmode public\nnameserver 127.0.0.53\nnameserver 9.9.9.9\nhostport 5432\n"
                 "hostport 65535\nallow name *.npmjs.org tcp 443-444 @npm, and a blank\n"
                 "deny net 198.51.100.0/24 any 0-0 deny:198.51.100.0/24\n");
  g_assert_cmpint (policy.mode, ==, NET_MODE_PUBLIC);
  g_assert_cmpuint (policy.n_resolvers, ==, 2);
  g_assert_cmphex (policy.resolvers[0], ==, 0x7f000035);
  g_assert_cmphex (policy.resolvers[1], ==, 0x09090909);
  g_assert_cmpuint (policy.n_host_ports, ==, 2);
  g_assert_cmpuint (policy.host_ports[0], ==, 5432);
  g_assert_cmpuint (policy.names.n, ==, 1);
  g_assert_cmpstr (policy.names.rules[0].name, ==, "*.npmjs.org");
  g_assert_cmpstr (policy.names.rules[0].text, ==, "@npm, and a blank");
  g_assert_cmpuint (policy.names.rules[0].first, ==, 443);
  g_assert_cmpuint (policy.names.rules[0].last, ==, 444);
  g_assert_cmpuint (policy.names.rules[0].protocol, ==, IPPROTO_TCP);
  g_assert_cmpuint (policy.nets.n, ==, 1);
  g_assert_true (policy.nets.rules[0].deny);
  g_assert_cmphex (policy.nets.rules[0].network, ==, 0xc6336400);
  g_assert_cmphex (policy.nets.rules[0].mask, ==, 0xffffff00);
  g_assert_false (policy.denies_names);
  net_policy_clear (&policy);
  make (&policy, HEAD "deny name a.b any 0-0 x\n");
  g_assert_true (policy.denies_names);
  net_policy_clear (&policy);
  g_assert_cmpuint (policy.names.n, ==, 0);
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
      {"", -1, 0},
      {"\n", -1, 1},
      {"vmctl-net-policy 1\nmode public\n", -1, 1},
      {"vmctl-net-policy 2\n", -1, 1},
      {"mode public\n", -1, 1},
      {"vmctl-net-policy 2\nmode public", -1, 2},
      {"vmctl-net-policy 2\nmode publi\n", -1, 2},
      {"vmctl-net-policy 2\nmode public \n", -1, 2},
      {"vmctl-net-policy 2\nmode  public\n", -1, 2},
      {"vmctl-net-policy 2\nmode\n", -1, 2},
      {"vmctl-net-policy 2\n\nmode public\n", -1, 2},
      {"vmctl-net-policy 2\nMode public\n", -1, 2},
      {"vmctl-net-policy 2\nmode public\0x\n", 33, 2},
      {"vmctl-net-policy 2\nmode public\nmode public\n", -1, 3},
      {"vmctl-net-policy 2\nmode list\nmode public\n", -1, 3},
      {"vmctl-net-policy 2\nmode public\nallow everything\n", -1, 3},
      {"vmctl-net-policy 2\nmode public\nnameserver 1.2.3\n", -1, 3},
      {"vmctl-net-policy 2\nmode public\nnameserver ::1\n", -1, 3},
      {"vmctl-net-policy 2\nmode list\nnameserver 1.1.1.1\nnameserver 1.1.1.1\nnameserver 1.1.1.1\n"
       "nameserver 1.1.1.1\n",
       -1, 6},
      {HEAD "hostport 0\n", -1, 3},
      {HEAD "hostport 65536\n", -1, 3},
      {HEAD "hostport 080\n", -1, 3},
      {HEAD "hostport +80\n", -1, 3},
      {HEAD "hostport 80 81\n", -1, 3},
      {HEAD "permit name a.b any 0-0 x\n", -1, 3},
      {HEAD "allow host a.b any 0-0 x\n", -1, 3},
      {HEAD "allow name a.b any 0-0\n", -1, 3},
      {HEAD "allow name a.b any 0-0 \n", -1, 3},
      {HEAD "allow name a.b sctp 0-0 x\n", -1, 3},
      {HEAD "allow name a.b any 0-1 x\n", -1, 3},
      {HEAD "allow name a.b any 2-1 x\n", -1, 3},
      {HEAD "allow name a.b any 1-65536 x\n", -1, 3},
      {HEAD "allow name a.b any 443 x\n", -1, 3},
      {HEAD "allow name A.b any 0-0 x\n", -1, 3},
      {HEAD "allow name a.b. any 0-0 x\n", -1, 3},
      {HEAD "allow name * any 0-0 x\n", -1, 3},
      {HEAD "allow name a.*.b any 0-0 x\n", -1, 3},
      {HEAD "allow name 127.1 any 0-0 x\n", -1, 3},
      {HEAD "allow name a.b any 0-0 x\033[2J\n", -1, 3},
      {HEAD "allow net 10.0.0.1/8 any 0-0 x\n", -1, 3},
      {HEAD "allow net 10.0.0.0/33 any 0-0 x\n", -1, 3},
      {HEAD "allow net 10.0.0.0/08 any 0-0 x\n", -1, 3},
      {HEAD "allow net 10.0.0.0 any 0-0 x\n", -1, 3},
      {HEAD "allow net 10.0.0/8 any 0-0 x\n", -1, 3},
      {HEAD "allow net ::/0 any 0-0 x\n", -1, 3},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (table); i++) {
    NetPolicy policy = {.mode = NET_MODE_PUBLIC, .n_resolvers = 3};
    unsigned line = 99;

    g_test_message ("%s", table[i].text);
    g_assert_false (parses (table[i].text, table[i].length, &policy, &line));
    g_assert_cmpint (policy.mode, ==, NET_MODE_LIST);
    g_assert_cmpuint (policy.n_resolvers, ==, 0);
    g_assert_cmpuint (policy.names.n + policy.nets.n, ==, 0);
    g_assert_cmpuint (line, ==, table[i].line);
  }
}

static void
test_parse_long (void)
{
  g_autoptr (GString) text = g_string_new (HEAD);
  NetPolicy policy;

  for (guint i = 0; i < NET_POLICY_RULES_MAX; i++)
    g_string_append_printf (text, "allow name h%u.example tcp 443-443 x\n", i);
  make (&policy, text->str);
  g_assert_cmpuint (policy.names.n, ==, NET_POLICY_RULES_MAX);
  net_policy_clear (&policy);
  g_string_append (text, "deny net 1.1.1.1/32 any 0-0 x\n");
  g_assert_false (parses (text->str, -1, &policy, NULL));
  g_string_assign (text, HEAD "allow name a.b any 0-0 ");
  for (guint i = 0; i < 1024; i++)
    g_string_append_c (text, 'x');
  g_string_append_c (text, '\n');
  g_assert_false (parses (text->str, -1, &policy, NULL));
}

/* Judging */

static void
check_name (const NetPolicy *policy, const char *name, gboolean allowed, const char *rule)
{
  const char *why;

  g_test_message ("%s", name);
  g_assert_cmpint (net_policy_judge_name (policy, name, &why), ==, allowed);
  g_assert_cmpstr (why, ==, rule);
}

static void
test_names (void)
{
  NetPolicy policy;

  make (&policy, HEAD "allow name github.com any 0-0 github.com\nallow name *.npmjs.org any 0-0 @npm\n"
                      "deny name evil.npmjs.org any 0-0 evil\ndeny name half.npmjs.org tcp 25-25 half\n"
                      "deny name *.bad.npmjs.org any 0-0 bad\nallow name x.bad.npmjs.org any 0-0 x\n"
                      "allow name only.example udp 53-53 only\n");
  check_name (&policy, "github.com", TRUE, "github.com");
  check_name (&policy, "api.github.com", FALSE, "not on the list");
  check_name (&policy, "notgithub.com", FALSE, "not on the list");
  check_name (&policy, "com", FALSE, "not on the list");
  check_name (&policy, "github.com.evil.example", FALSE, "not on the list");
  check_name (&policy, "npmjs.org", FALSE, "not on the list");
  check_name (&policy, "registry.npmjs.org", TRUE, "@npm");
  check_name (&policy, "a.b.c.npmjs.org", TRUE, "@npm");
  check_name (&policy, "xnpmjs.org", FALSE, "not on the list");
  check_name (&policy, "evil.npmjs.org", FALSE, "evil");
  check_name (&policy, "sub.evil.npmjs.org", TRUE, "@npm");
  check_name (&policy, "half.npmjs.org", TRUE, "@npm");
  check_name (&policy, "x.bad.npmjs.org", FALSE, "bad");
  check_name (&policy, "bad.npmjs.org", TRUE, "@npm");
  check_name (&policy, "only.example", TRUE, "only");
  net_policy_clear (&policy);

  make (&policy, "vmctl-net-policy 2\nmode public\ndeny name *.evil.example any 0-0 e\n");
  check_name (&policy, "github.com", TRUE, "public");
  check_name (&policy, "a.evil.example", FALSE, "e");
  net_policy_clear (&policy);

  policy = (NetPolicy){0};
  check_name (&policy, "github.com", FALSE, "not on the list");
}

enum { NOW = 1000000 };

typedef struct {
  NetPolicy policy;
  NetLearned *learned;
} World;

static void
world_init (World *world, const char *policy)
{
  make (&world->policy, policy);
  world->learned = net_learned_new ();
}

static void
world_clear (World *world)
{
  net_policy_clear (&world->policy);
  net_learned_free (world->learned);
}

static void
learn (World *world, const char *name, const char *address)
{
  net_learned_add (world->learned, name, ip (address), 3600, NOW);
}

/* `what`: "tcp 1.2.3.4 443" */
static NetTarget
target (const char *what)
{
  g_auto (GStrv) words = g_strsplit (what, " ", -1);

  return (NetTarget){
      .protocol = g_str_equal (words[0], "tcp")   ? IPPROTO_TCP
                  : g_str_equal (words[0], "udp") ? IPPROTO_UDP
                                                  : IPPROTO_ICMP,
      .address = ip (words[1]),
      .port = (uint16_t)atoi (words[2]),
      .is_local = g_str_equal (words[1], "203.0.113.7") || g_str_equal (words[1], "192.168.1.5"),
  };
}

static void
check (const World *world, const char *what, NetDecision decision, const char *rule)
{
  const NetTarget to = target (what);
  const char *why;

  g_test_message ("%s", what);
  g_assert_cmpint (net_policy_judge (&world->policy, world->learned, &to, NOW, &why), ==, decision);
  g_assert_cmpstr (why, ==, rule);
}

static void
check_said (const World *world, const char *what, const char *name, gboolean allowed, const char *rule)
{
  const NetTarget to = target (what);
  const char *why;

  g_test_message ("%s says %s", what, name);
  g_assert_cmpint (net_policy_judge_said (&world->policy, world->learned, &to, name, NOW, &why), ==, allowed);
  g_assert_cmpstr (why, ==, rule);
}

static void
test_public (void)
{
  World w;

  world_init (&w, "vmctl-net-policy 2\nmode public\nhostport 5432\nallow net 10.1.0.0/16 tcp 22-80 lan\n"
                  "deny net 198.51.100.0/24 any 0-0 not there\nallow net 198.51.100.7/32 any 0-0 but this\n"
                  "allow net 192.168.1.0/24 any 0-0 home\n");
  check (&w, "tcp 8.8.8.8 443", NET_ALLOW, "public");
  check (&w, "udp 8.8.8.8 53", NET_ALLOW, "public");
  check (&w, "udp 8.8.8.8 443", NET_ALLOW, "public");
  check (&w, "icmp 8.8.8.8 0", NET_ALLOW, "public");
  check (&w, "tcp 198.51.100.7 1", NET_DENY, "not there");
  check (&w, "tcp 10.1.2.3 22", NET_ALLOW, "lan");
  check (&w, "tcp 10.1.2.3 81", NET_DENY, "private");
  check (&w, "udp 10.1.2.3 22", NET_DENY, "private");
  check (&w, "icmp 10.1.2.3 0", NET_DENY, "private");
  check (&w, "tcp 10.2.2.3 22", NET_DENY, "private");
  check (&w, "tcp 192.168.1.1 1", NET_ALLOW, "home");
  check (&w, "icmp 192.168.1.1 0", NET_ALLOW, "home");
  /* this host, whatever is allowed */
  check (&w, "tcp 192.168.1.5 1", NET_DENY, "this host");
  check (&w, "tcp 203.0.113.7 443", NET_DENY, "this host");
  check (&w, "tcp 10.0.2.2 5432", NET_ALLOW, "--net-host-port");
  check (&w, "udp 10.0.2.2 5432", NET_DENY, "this host");
  check (&w, "tcp 10.0.2.2 5433", NET_DENY, "this host");
  check (&w, "tcp 10.0.2.4 5432", NET_DENY, "the sandbox's own network");
  check (&w, "tcp 127.0.0.1 5432", NET_DENY, "loopback");
  check (&w, "tcp 169.254.169.254 80", NET_DENY, "cloud metadata");
  world_clear (&w);
}

/* A closed class opens to a rule for a part of it only. */
static void
test_closed_classes (void)
{
  World w;

  world_init (&w, HEAD "allow net 0.0.0.0/0 any 0-0 all\nallow net 169.254.0.0/16 any 0-0 link\n"
                       "allow net 100.64.0.0/10 any 0-0 shared\nallow net 8.0.0.0/5 any 0-0 wider\n"
                       "allow net 127.0.0.1/32 any 0-0 lo\nallow net 10.0.2.4/32 any 0-0 own\n"
                       "allow net 224.0.0.0/8 any 0-0 multi\nallow net 255.255.255.255/32 any 0-0 b\n"
                       "allow net 0.0.0.0/8 any 0-0 this\nallow net 240.0.0.0/4 any 0-0 r\n");
  check (&w, "tcp 8.8.8.8 443", NET_ALLOW, "all");
  check (&w, "tcp 10.1.1.1 443", NET_DENY, "private");
  check (&w, "tcp 172.16.0.1 443", NET_DENY, "private");
  check (&w, "tcp 169.254.1.1 80", NET_ALLOW, "link");
  check (&w, "tcp 169.254.169.254 80", NET_DENY, "cloud metadata");
  check (&w, "tcp 100.100.100.200 80", NET_DENY, "cloud metadata");
  check (&w, "tcp 100.100.100.201 80", NET_ALLOW, "shared");
  check (&w, "tcp 127.0.0.1 80", NET_DENY, "loopback");
  check (&w, "tcp 10.0.2.4 80", NET_DENY, "the sandbox's own network");
  check (&w, "udp 224.0.0.1 80", NET_DENY, "multicast");
  check (&w, "udp 255.255.255.255 80", NET_DENY, "broadcast");
  check (&w, "tcp 0.1.1.1 80", NET_DENY, "this network");
  check (&w, "tcp 250.1.1.1 80", NET_DENY, "reserved");
  world_clear (&w);
  world_init (&w, HEAD "allow net 169.254.169.254/32 tcp 80-80 m\n");
  check (&w, "tcp 169.254.169.254 80", NET_ALLOW, "m");
  check (&w, "tcp 169.254.169.254 81", NET_DENY, "cloud metadata");
  world_clear (&w);
}

static void
test_list (void)
{
  World w;

  world_init (&w, HEAD "allow name github.com tcp 443-443 g\nallow name ssh.example any 0-0 s\n"
                       "allow net 198.51.100.0/24 any 0-0 n\nallow net 198.51.100.53/32 udp 53-53 d\n");
  check (&w, "tcp 20.1.1.1 443", NET_DENY, "not on the list");
  learn (&w, "github.com", "20.1.1.1");
  learn (&w, "ssh.example", "20.1.1.2");
  learn (&w, "other.example", "20.1.1.3");
  learn (&w, "ssh.example", "10.1.1.2");
  learn (&w, "ssh.example", "203.0.113.7");
  check (&w, "tcp 20.1.1.1 443", NET_INSPECT, "g");
  check (&w, "tcp 20.1.1.1 80", NET_DENY, "not on the list");
  check (&w, "udp 20.1.1.1 443", NET_DENY, "not on the list");
  check (&w, "icmp 20.1.1.1 0", NET_DENY, "not on the list");
  check (&w, "tcp 20.1.1.2 22", NET_INSPECT, "s");
  check (&w, "udp 20.1.1.2 123", NET_ALLOW, "s");
  check (&w, "udp 20.1.1.2 443", NET_DENY, "QUIC, which hides its name");
  check (&w, "icmp 20.1.1.2 0", NET_ALLOW, "s");
  check (&w, "udp 20.1.1.2 53", NET_DENY, "DNS to another server");
  check (&w, "tcp 20.1.1.2 853", NET_DENY, "DNS to another server");
  check (&w, "tcp 20.1.1.3 443", NET_DENY, "not on the list");
  /* rebinding */
  check (&w, "tcp 10.1.1.2 22", NET_DENY, "private");
  check (&w, "tcp 203.0.113.7 22", NET_DENY, "this host");
  check (&w, "tcp 198.51.100.9 22", NET_ALLOW, "n");
  check (&w, "udp 198.51.100.9 443", NET_ALLOW, "n");
  check (&w, "udp 198.51.100.9 53", NET_DENY, "DNS to another server");
  check (&w, "udp 198.51.100.53 53", NET_ALLOW, "d");
  check (&w, "tcp 198.51.100.53 53", NET_DENY, "DNS to another server");
  world_clear (&w);
}

/* What was learned is forgotten in time. */
static void
test_expired (void)
{
  World w;
  NetTarget to = target ("tcp 20.1.1.1 443");
  const char *why;

  world_init (&w, HEAD "allow name github.com any 0-0 g\n");
  learn (&w, "github.com", "20.1.1.1");
  g_assert_cmpint (net_policy_judge (&w.policy, w.learned, &to, NOW + 3599000, &why), ==, NET_INSPECT);
  g_assert_cmpint (net_policy_judge (&w.policy, w.learned, &to, NOW + 3601000, &why), ==, NET_DENY);
  world_clear (&w);
}

static void
test_said (void)
{
  World w;

  world_init (&w, HEAD "allow name github.com tcp 443-443 g\nallow name *.npmjs.org any 0-0 n\n"
                       "deny name evil.npmjs.org any 0-0 e\n");
  learn (&w, "github.com", "20.1.1.1");
  learn (&w, "a.npmjs.org", "20.1.1.1");
  check (&w, "tcp 20.1.1.1 443", NET_INSPECT, "n");
  check_said (&w, "tcp 20.1.1.1 443", "github.com", TRUE, "g");
  check_said (&w, "tcp 20.1.1.1 443", "a.npmjs.org", TRUE, "n");
  check_said (&w, "tcp 20.1.1.1 443", "b.npmjs.org", FALSE, "the name that was said has another address");
  check_said (&w, "tcp 20.1.1.1 443", "evil.npmjs.org", FALSE, "e");
  check_said (&w, "tcp 20.1.1.1 443", "other.example", FALSE, "the name that was said is not on the list");
  check_said (&w, "tcp 20.1.1.1 80", "github.com", FALSE, "the name that was said is not on the list");
  check_said (&w, "tcp 20.1.1.1 443", "", FALSE, "no name was said");
  check_said (&w, "tcp 20.1.1.1 443", NULL, TRUE, "n");
  check_said (&w, "tcp 20.1.1.2 443", NULL, FALSE, "not on the list");
  check_said (&w, "tcp 20.1.1.2 443", "github.com", FALSE, "not on the list");
  world_clear (&w);
}

/* Where names are denied, whatever is open by its address says its name too. */
static void
test_denied_names (void)
{
  World w;

  world_init (&w, "vmctl-net-policy 2\nmode public\ndeny name evil.example any 0-0 e\n"
                  "deny name mail.example tcp 25-25 m\nallow net 20.0.0.0/24 any 0-0 n\n");
  learn (&w, "mail.example", "20.1.1.1");
  learn (&w, "mail.example", "20.1.1.2");
  learn (&w, "good.example", "20.1.1.2");
  check (&w, "tcp 8.8.8.8 443", NET_INSPECT, "public");
  check (&w, "udp 8.8.8.8 53", NET_ALLOW, "public");
  check (&w, "udp 8.8.8.8 443", NET_DENY, "QUIC, which hides its name");
  check (&w, "udp 20.0.0.1 443", NET_ALLOW, "n");
  check (&w, "tcp 20.0.0.1 443", NET_INSPECT, "n");
  check (&w, "tcp 20.1.1.1 25", NET_DENY, "m");
  check (&w, "tcp 20.1.1.1 443", NET_INSPECT, "public");
  check (&w, "tcp 20.1.1.2 25", NET_INSPECT, "public");
  check_said (&w, "tcp 8.8.8.8 443", "evil.example", FALSE, "e");
  check_said (&w, "tcp 8.8.8.8 443", "good.example", TRUE, "public");
  check_said (&w, "tcp 8.8.8.8 443", "", TRUE, "public");
  check_said (&w, "tcp 8.8.8.8 443", NULL, TRUE, "public");
  check_said (&w, "tcp 20.0.0.1 443", "evil.example", FALSE, "e");
  world_clear (&w);
}

/* "A few microseconds at most": the bound here is a generous one for slow machines and sanitizers, and of
 * what this process has run, not of what it has waited for others. */
static void
test_speed (void)
{
  enum { RULES = 1000, ROUNDS = 2000, MAX_US = 100 };
  g_autoptr (GString) text = g_string_new (HEAD);
  NetTarget to = target ("tcp 20.1.1.1 443");
  clock_t start, spent;
  const char *why;
  World w;

  for (guint i = 0; i < RULES / 2; i++)
    g_string_append_printf (text,
                            "allow name *.h%u.example tcp 443-443 x\nallow net 30.%u.%u.0/24 any 0-0 y\n", i,
                            i / 256, i % 256);
  world_init (&w, text->str);
  learn (&w, "a.b.c.h77.example", "20.1.1.1");
  start = clock ();
  for (guint i = 0; i < ROUNDS; i++)
    g_assert_cmpint (net_policy_judge (&w.policy, w.learned, &to, NOW, &why), ==, NET_INSPECT);
  spent = (clock () - start) / (CLOCKS_PER_SEC / G_USEC_PER_SEC);
  g_test_message ("%.2f us each", (double)spent / ROUNDS);
  g_assert_cmpint (spent / ROUNDS, <, MAX_US);
  world_clear (&w);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/net/policy/classes", test_classes);
  g_test_add_func ("/net/policy/parse", test_parse);
  g_test_add_func ("/net/policy/parse-bad", test_parse_bad);
  g_test_add_func ("/net/policy/parse-long", test_parse_long);
  g_test_add_func ("/net/policy/names", test_names);
  g_test_add_func ("/net/policy/public", test_public);
  g_test_add_func ("/net/policy/closed-classes", test_closed_classes);
  g_test_add_func ("/net/policy/list", test_list);
  g_test_add_func ("/net/policy/expired", test_expired);
  g_test_add_func ("/net/policy/said", test_said);
  g_test_add_func ("/net/policy/denied-names", test_denied_names);
  g_test_add_func ("/net/policy/speed", test_speed);
  return g_test_run ();
}
