/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* --net: items, words, groups, what a project may take away, changes, and what vmctl-net says. */
#include <glib.h>
#include <string.h>

#include "vmctl/base/error.h"
#include "vmctl/base/json.h"
#include "vmctl/net-change.h"
#include "vmctl/net-groups.h"
#include "vmctl/net-log.h"
#include "vmctl/net-rule.h"
#include "vmctl/net-text.h"
#include "vmctl/net-tighten.h"
#include "vmctl/net-words.h"

static void
assert_usage (GError *error, const char *part)
{
  g_assert_error (error, VM_ERROR, VM_ERROR_USAGE);
  if (strstr (error->message, part) == NULL)
    g_error ("'%s' is not in: %s", part, error->message);
  g_error_free (error);
}

/* Items */

static void
test_items (void)
{
  static const struct {
    const char *item, *line, *again;
  } table[] = {
      {"github.com", "allow name github.com any 0-0 T", "github.com"},
      {"GITHUB.COM.", "allow name github.com any 0-0 T", "github.com"},
      {"*.npmjs.org:443", "allow name *.npmjs.org any 443-443 T", "*.npmjs.org:443"},
      {"a.b:8000-8010/tcp", "allow name a.b tcp 8000-8010 T", "a.b:8000-8010/tcp"},
      {"a.b/udp", "allow name a.b udp 0-0 T", "a.b/udp"},
      {"xn--bcher-kva.example", "allow name xn--bcher-kva.example any 0-0 T", "xn--bcher-kva.example"},
      {"10.1.2.3", "allow net 10.1.2.3/32 any 0-0 T", "10.1.2.3/32"},
      {"10.1.2.3/32:5432", "allow net 10.1.2.3/32 any 5432-5432 T", "10.1.2.3/32:5432"},
      {"10.1.2.0/24:53/udp", "allow net 10.1.2.0/24 udp 53-53 T", "10.1.2.0/24:53/udp"},
      {"10.1.2.0/24/udp", "allow net 10.1.2.0/24 udp 0-0 T", "10.1.2.0/24/udp"},
      {"0.0.0.0/0:443", "allow net 0.0.0.0/0 any 443-443 T", "0.0.0.0/0:443"},
      {"169.254.169.254", "allow net 169.254.169.254/32 any 0-0 T", "169.254.169.254/32"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (table); i++) {
    g_autofree char *line = NULL, *item = NULL;
    VmNetRule rule, read;
    const char *text;
    GError *error = NULL;

    g_test_message ("%s", table[i].item);
    (void)vm_net_rule_parse (table[i].item, FALSE, &rule, &error);
    g_assert_no_error (error);
    line = vm_net_rule_line (&rule, "T");
    item = vm_net_rule_item (&rule);
    g_assert_cmpstr (line, ==, table[i].line);
    g_assert_cmpstr (item, ==, table[i].again);
    g_assert_true (vm_net_rule_read (line, &read, &text));
    g_assert_cmpstr (text, ==, "T");
    g_assert_true (vm_net_rule_covers (&rule, &read) && vm_net_rule_covers (&read, &rule));
  }
}

/* Each is refused in words that name it and say what to do. */
static void
test_bad_items (void)
{
  static const struct {
    const char *item, *part;
  } table[] = {
      {"", "names no host"},
      {"evil.com\n.github.com", "no host name has"},
      {"evil.com%00.github.com", "is neither a name nor an address"},
      {"\xef\xbd\x87ithub.com", "xn--"}, /* a full-width g */
      {"github\xe3\x80\x82"
       "com",
       "xn--"}, /* a full-width dot */
      {"b\xc3\xbc"
       "cher.example",
       "xn--"}, /* IDN */
      {"2130706433", "four numbers"},
      {"0x7f.1", "four numbers"},
      {"0x7f000001", "four numbers"},
      {"127.1", "four numbers"},
      {"0177.0.0.1", "four numbers"},
      {"10.1.2.03", "four numbers"},
      {"a..b", "is neither"},
      {".a", "is neither"},
      {"*", "'*'"},
      {"*.", "'*'"},
      {"*github.com", "'*'"},
      {"a.*.b", "'*'"},
      {"**.b", "'*'"},
      {"a b", "blanks"},
      {"https://github.com", "URL"},
      {"github.com/path", "path"},
      {"github.com/sctp", "/tcp or /udp"},
      {"github.com:", "port"},
      {"github.com:0", "port"},
      {"github.com:70000", "port"},
      {"github.com:65536", "port"},
      {"github.com:08", "port"},
      {"github.com:80-", "port"},
      {"github.com:https", "port"},
      {"github.com:90-80", "write 80-90"},
      {"10.1.2.3/8", "write 10.0.0.0/8 or 10.1.2.3/32"},
      {"10.0.0.0/33", "prefix"},
      {"10.0.0.0/", "/tcp or /udp"},
      {"10.0.0/8", "four numbers"},
      {"::1", "IPv6"},
      {"[::1]:80", "IPv6"},
      {"fe80:1:2", "IPv6"},
      {"127.0.0.1", "--net-host-port"},
      {"127.0.0.0/8", "never reachable"},
      {"10.0.2.2", "never reachable"},
      {"224.0.0.1", "never reachable"},
      {"host.vmctl.internal", "--net-host-port"},
  };
  g_autofree char *label = g_strnfill (64, 'a'), *long_label = g_strconcat (label, ".com", NULL);
  g_autoptr (GString) longest = g_string_new ("aa");
  GError *error = NULL;
  VmNetRule rule;

  for (gsize i = 0; i < G_N_ELEMENTS (table); i++) {
    g_test_message ("%s", table[i].item);
    g_assert_false (vm_net_rule_parse (table[i].item, FALSE, &rule, &error));
    assert_usage (g_steal_pointer (&error), table[i].part);
  }
  g_assert_false (vm_net_rule_parse (long_label, FALSE, &rule, &error));
  assert_usage (g_steal_pointer (&error), "too long");
  while (longest->len < 253)
    g_string_append_c (longest, longest->len % 60 == 2 ? '.' : 'a');
  g_assert_true (vm_net_rule_parse (longest->str, FALSE, &rule, NULL));
  g_string_append_c (longest, 'a'); /* 254 bytes */
  g_assert_false (vm_net_rule_parse (longest->str, FALSE, &rule, &error));
  assert_usage (g_steal_pointer (&error), "too long");
  /* What cannot be allowed may be denied. */
  g_assert_true (vm_net_rule_parse ("127.0.0.0/8", TRUE, &rule, NULL));
}

/* An error is shown on a terminal. */
static void
test_error_is_escaped (void)
{
  GError *error = NULL;
  VmNetRule rule;

  g_assert_false (vm_net_rule_parse ("a\033[2Jb", FALSE, &rule, &error));
  g_assert_null (strchr (error->message, '\033'));
  g_error_free (error);
}

static gboolean
covers (const char *wide, const char *narrow)
{
  VmNetRule a, b;

  g_assert_true (vm_net_rule_parse (wide, FALSE, &a, NULL));
  g_assert_true (vm_net_rule_parse (narrow, FALSE, &b, NULL));
  return vm_net_rule_covers (&a, &b);
}

static void
test_covers (void)
{
  g_assert_true (covers ("*.a.b", "x.a.b"));
  g_assert_true (covers ("*.a.b", "*.x.a.b"));
  g_assert_true (covers ("*.a.b", "*.a.b:443/tcp"));
  g_assert_true (covers ("a.b:1-100", "a.b:80"));
  g_assert_true (covers ("10.0.0.0/8", "10.1.0.0/16:22"));
  g_assert_false (covers ("*.a.b", "a.b"));
  g_assert_false (covers ("a.b", "*.a.b"));
  g_assert_false (covers ("x.a.b", "*.a.b"));
  g_assert_false (covers ("*.a.b", "xa.b"));
  g_assert_false (covers ("a.b:80", "a.b"));
  g_assert_false (covers ("a.b/tcp", "a.b"));
  g_assert_false (covers ("a.b/tcp", "a.b/udp"));
  g_assert_false (covers ("10.1.0.0/16", "10.0.0.0/8"));
  g_assert_false (covers ("0.0.0.0/0", "a.b"));
  g_assert_false (covers ("a.b", "10.1.1.1"));
}

/* Words */

static VmNetSaid
say (const char *const *texts)
{
  VmNetSaid said = {0};
  GError *error = NULL;

  for (; *texts != NULL; texts++) {
    (void)vm_net_said_add (&said, *texts, "--net", &error);
    g_assert_no_error (error);
  }
  return said;
}

static void
check_words (const char *const *texts, VmNet mode, const char *words)
{
  g_auto (VmNetSaid) said = say (texts), again = {0};
  g_auto (GStrv) rules = vm_net_resolve (said.items, NULL, NULL);
  g_autofree char *shown = vm_net_to_words (said.mode, rules), *same = vm_net_said_to_words (&said);
  GError *error = NULL;

  g_test_message ("%s", *texts);
  g_assert_cmpint (said.mode, ==, mode);
  g_assert_cmpstr (shown, ==, words);
  (void)vm_net_said_add (&again, same, "--net", &error); /* what is said anew is the same */
  g_assert_no_error (error);
  g_assert_cmpint (again.mode, ==, mode);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void
test_words (void)
{
  check_words (WORDS ("none"), VM_NET_NONE, "none");
  check_words (WORDS ("host"), VM_NET_HOST, "host");
  check_words (WORDS ("public"), VM_NET_PUBLIC, "public");
  check_words (WORDS ("public", "public"), VM_NET_PUBLIC, "public");
  check_words (WORDS ("allow:"), VM_NET_LIST, "allow:");
  check_words (WORDS ("allow:", "deny:a.b"), VM_NET_LIST, "allow:,deny:a.b");
  check_words (WORDS ("allow:@npm,github.com"), VM_NET_LIST, "allow:@npm,github.com");
  check_words (WORDS ("allow:@npm", "deny:198.51.100.0/24"), VM_NET_LIST, "allow:@npm,deny:198.51.100.0/24");
  check_words (WORDS ("deny:a.b", "allow:c.d"), VM_NET_LIST, "allow:c.d,deny:a.b");
  check_words (WORDS ("allow:a.b,deny:c.d,e.f,allow:g.h"), VM_NET_LIST, "allow:a.b,g.h,deny:c.d,e.f");
  check_words (WORDS ("deny:a.b"), VM_NET_PUBLIC, "public,deny:a.b");
  check_words (WORDS ("public,deny:@npm"), VM_NET_PUBLIC, "public,deny:@npm");
  check_words (WORDS ("public,allow:10.1.2.3"), VM_NET_PUBLIC, "public,allow:10.1.2.3/32");
  check_words (WORDS ("allow:10.1.2.3", "public"), VM_NET_PUBLIC, "public,allow:10.1.2.3/32");
}

static void
test_bad_words (void)
{
  static const char *const table[] = {"",
                                      ",",
                                      "foo",
                                      "github.com",
                                      "none,public",
                                      "public,none",
                                      "none,none,x",
                                      "allow:,a.b",
                                      "allow:a.b,",
                                      "deny:",
                                      "deny:,a",
                                      "allow:none",
                                      "allow:public",
                                      "allow:a.b,host",
                                      "host,allow:a.b",
                                      "list",
                                      "allow:list",
                                      "allow:@",
                                      "allow:@npm:443",
                                      "allow:@NPM",
                                      "allow:@a/b",
                                      "Public",
                                      " public",
                                      "allow :a.b"};

  for (gsize i = 0; i < G_N_ELEMENTS (table); i++) {
    g_auto (VmNetSaid) said = {0};
    GError *error = NULL;

    g_test_message ("%s", table[i]);
    g_assert_false (vm_net_said_add (&said, table[i], "--net", &error));
    assert_usage (error, "--net: ");
    g_assert_cmpint (said.mode, ==, VM_NET_DEFAULT);
    g_assert_null (said.items);
  }
}

static void
test_groups (void)
{
  static const char *const configured[] = {"work=git.work.example:22,*.work.example", "npm=npm.work.example",
                                           "empty=", NULL};
  static const char *const items[] = {"allow:@work", "allow:@npm", "deny:@empty", "allow:@pypi", NULL};
  g_auto (GStrv) rules = vm_net_resolve ((char **)(gsize)items, (char **)(gsize)configured, NULL);
  g_auto (GStrv) wider = vm_net_expand ((char **)(gsize)items, (char **)(gsize)configured, NULL);
  GError *error = NULL;

  g_assert_cmpuint (g_strv_length (rules), ==, 5);
  g_assert_cmpstr (rules[0], ==, "allow name git.work.example any 22-22 @work");
  g_assert_cmpstr (rules[1], ==, "allow name *.work.example any 0-0 @work");
  g_assert_cmpstr (rules[2], ==, "allow name npm.work.example any 0-0 @npm");
  g_assert_cmpuint (g_strv_length (wider), ==, 4);
  g_assert_cmpstr (wider[2], ==, "allow:npm.work.example");
  g_assert_cmpstr (wider[3], ==, "allow:@pypi");
  g_assert_null (vm_net_group_items ((char **)(gsize)configured, "wrok", &error));
  assert_usage (g_steal_pointer (&error), "@anthropic, @debian, @github, @nix, @npm, @pypi, @work");
}

/* What comes with vmctl is sound, and sorted. */
static void
test_builtin_groups (void)
{
  for (const VmNetGroup *group = vm_net_groups; group->name != NULL; group++) {
    g_autofree char *word = g_strconcat ("allow:@", group->name, NULL);
    g_auto (GStrv) rules = NULL;
    GError *error = NULL;

    g_assert_true (vm_net_group_is_name (group->name));
    rules = vm_net_resolve ((char *[]){word, NULL}, NULL, &error);
    g_assert_no_error (error);
    g_assert_cmpuint (g_strv_length (rules), >, 0);
    if (group[1].name != NULL)
      g_assert_cmpstr (group->name, <, group[1].name);
  }
}

/* A project */

static void
check_tighter (const char *set_text, const char *asked_text, const char *result, const char *dropped)
{
  g_auto (VmNetSaid) set = say (WORDS (set_text)), asked = say (WORDS (asked_text));
  g_auto (GStrv) rules = NULL, lost = NULL;
  g_autofree char *words = NULL, *all = NULL;
  GError *error = NULL;

  g_test_message ("%s over %s", asked_text, set_text);
  (void)vm_net_tighten (&set, &asked, NULL, &lost, &error);
  g_assert_no_error (error);
  rules = vm_net_resolve (set.items, NULL, &error);
  words = vm_net_to_words (set.mode, rules);
  all = g_strjoinv (" ", lost);
  g_assert_cmpstr (words, ==, result);
  g_assert_cmpstr (all, ==, dropped);
}

static void
test_tighten (void)
{
  check_tighter ("public", "none", "none", "");
  check_tighter ("allow:a.b", "none", "none", "");
  check_tighter ("host", "none", "none", "");
  check_tighter ("none", "public", "none", "public");
  check_tighter ("none", "allow:a.b", "none", "allow:a.b");
  check_tighter ("public", "host", "public", "host");
  check_tighter ("allow:a.b", "host", "allow:a.b", "host");
  check_tighter ("host", "host", "host", "");
  check_tighter ("host", "public", "public", "");
  check_tighter ("host", "allow:a.b,10.1.1.1", "allow:a.b,10.1.1.1/32", "");
  check_tighter ("public", "public", "public", "");
  check_tighter ("public", "deny:a.b", "public,deny:a.b", "");
  check_tighter ("public", "allow:a.b,@npm", "allow:a.b,@npm", "");
  check_tighter ("public", "public,allow:10.1.1.1", "public", "allow:10.1.1.1");
  check_tighter ("public,deny:x.y", "allow:a.b", "allow:a.b,deny:x.y", "");
  /* what `public` does not open */
  check_tighter ("public", "allow:10.1.1.1,8.8.8.8", "allow:8.8.8.8/32", "allow:10.1.1.1");
  check_tighter ("public", "allow:169.254.169.254", "allow:", "allow:169.254.169.254");
  check_tighter ("public,allow:10.0.0.0/8", "allow:10.1.1.1,a.b", "allow:10.1.1.1/32,a.b", "");
  check_tighter ("public", "allow:0.0.0.0/0", "allow:0.0.0.0/0", "");
  /* a list over a list */
  check_tighter ("allow:*.a.b,c.d:443", "allow:x.a.b,c.d,e.f", "allow:x.a.b", "allow:c.d allow:e.f");
  check_tighter ("allow:@npm", "allow:registry.npmjs.org:443/tcp", "allow:registry.npmjs.org:443/tcp", "");
  check_tighter ("allow:registry.npmjs.org", "allow:@npm", "allow:registry.npmjs.org:443/tcp", "allow:@npm");
  check_tighter ("allow:a.b,deny:c.d", "public", "allow:a.b,deny:c.d", "public");
  check_tighter ("allow:a.b", "deny:a.b", "allow:a.b,deny:a.b", "");
  check_tighter ("allow:a.b", "allow:", "allow:", "");
}

static void
test_tighten_unknown (void)
{
  g_auto (VmNetSaid) set = say (WORDS ("public")), asked = say (WORDS ("allow:@unknown"));
  g_auto (GStrv) lost = NULL;
  GError *error = NULL;

  g_assert_false (vm_net_tighten (&set, &asked, NULL, &lost, &error));
  assert_usage (error, "@unknown");
}

/* Changes */

static char *
change (const char *now_words, const char *arguments, GError **error)
{
  g_auto (VmNetSaid) said = say (WORDS (now_words));
  g_autoptr (json_object) object = json_tokener_parse (arguments); /* not vmctl's: it takes NUL bytes */
  g_auto (VmNetState) now = {.net = said.mode, .rules = vm_net_resolve (said.items, NULL, NULL)}, ret = {0};

  return vm_net_change (&now, object, &ret, error) ? vm_net_to_words (ret.net, ret.rules) : NULL;
}

static void
check_change (const char *now, const char *arguments, const char *words)
{
  GError *error = NULL;
  g_autofree char *got = change (now, arguments, &error);

  g_test_message ("%s", arguments);
  g_assert_no_error (error);
  g_assert_cmpstr (got, ==, words);
}

static void
test_change (void)
{
  check_change ("allow:a.b", "{\"allow\": [\"C.D\", \"@pypi\"]}", "allow:a.b,c.d,@pypi");
  check_change ("allow:a.b", "{\"allow\": [\"a.b\"]}", "allow:a.b");
  check_change ("allow:a.b", "{\"deny\": [\"a.b\"]}", "allow:,deny:a.b");
  check_change ("allow:@npm,a.b", "{\"deny\": [\"@npm\"]}", "allow:a.b,deny:@npm");
  check_change ("public,deny:a.b,c.d", "{\"allow\": [\"a.b\", \"10.1.1.1\"]}",
                "public,allow:a.b,10.1.1.1/32,deny:c.d");
  check_change ("allow:a.b", "{\"allow\": [\"c.d\"], \"deny\": [\"e.f\"]}", "allow:a.b,c.d,deny:e.f");
  check_change ("allow:a.b", "{\"set\": \"public,deny:c.d\"}", "public,deny:c.d");
  check_change ("public", "{\"set\": \"allow:\"}", "allow:");
}

static void
test_bad_change (void)
{
  static const char *const table[] = {"{}",
                                      "{\"allow\": []}",
                                      "{\"allow\": \"a.b\"}",
                                      "{\"allow\": [1]}",
                                      "{\"allow\": [null]}",
                                      "{\"allow\": [\"a.b\", \"x y\"]}",
                                      "{\"allow\": [\"evil.com\\u0000.github.com\"]}",
                                      "{\"allow\": [\"127.0.0.1\"]}",
                                      "{\"deny\": [\"@nope\"]}",
                                      "{\"set\": \"none\"}",
                                      "{\"set\": \"host\"}",
                                      "{\"set\": \"\"}",
                                      "{\"set\": 5}",
                                      "{\"set\": \"public\\u0000\"}"};

  for (gsize i = 0; i < G_N_ELEMENTS (table); i++) {
    GError *error = NULL;

    g_test_message ("%s", table[i]);
    g_assert_null (change ("public", table[i], &error));
    g_assert_error (error, VM_ERROR, VM_ERROR_USAGE);
    g_error_free (error);
  }
}

/* The ports of this host stay what they were. */
static void
test_change_host_ports (void)
{
  g_autoptr (json_object) arguments = json_tokener_parse ("{\"set\": \"allow:a.b\"}"), shown = NULL;
  char *rules[] = {(char *)(gsize) "hostport 5432", (char *)(gsize) "allow name c.d any 0-0 c.d", NULL};
  const VmNetState now = {VM_NET_LIST, rules};
  g_auto (VmNetState) ret = {0};
  g_autofree char *line = NULL;

  g_assert_true (vm_net_change (&now, arguments, &ret, NULL));
  shown = vm_net_state_to_json (&ret);
  line = vm_json_line (shown);
  g_assert_cmpstr (
      line, ==,
      "{\"net\":\"list\",\"words\":\"allow:a.b\",\"rules\":[{\"verdict\":\"allow\",\"item\":\"a.b\","
      "\"by\":\"a.b\"}],\"host-ports\":[5432]}");
}

/* Text */

static void
test_text (void)
{
  char *rules[] = {(char *)(gsize) "hostport 5432", (char *)(gsize) "allow name c.d any 0-0 c.d", NULL};
  g_auto (GStrv) servers = vm_net_nameservers ("# x\nnameserver 10.0.0.1\nnameserver\t 9.9.9.9 \noptions x\n"
                                               "nameserver ::1\nnameserver 1.1.1.1\nnameserver 1.1.1.2\n");
  g_auto (GStrv) none = vm_net_nameservers (NULL);
  g_autofree char *text = vm_net_text (VM_NET_LIST, rules, servers, NULL);
  guint line = 0;

  g_assert_cmpstr (
      text, ==,
      "vmctl-net-policy 2\nmode list\nnameserver 10.0.0.1\nnameserver 9.9.9.9\nnameserver 1.1.1.1\n"
      "hostport 5432\nallow name c.d any 0-0 c.d\n");
  g_assert_true (vm_net_text_check (text, &line));
  g_assert_false (vm_net_text_check ("vmctl-net-policy 2\nmode list\nallow all\n", &line));
  g_assert_cmpuint (line, ==, 3);
  g_assert_cmpuint (g_strv_length (none), ==, 1);
  g_assert_cmpstr (none[0], ==, "127.0.0.1");
}

static void
test_text_too_long (void)
{
  g_autofree char *rule = g_strnfill (900, 'x');
  g_autoptr (GPtrArray) rules = g_ptr_array_new_null_terminated (200, NULL, TRUE);
  char *servers[] = {NULL};
  GError *error = NULL;

  for (guint i = 0; i < 200; i++)
    g_ptr_array_add (rules, rule);
  g_assert_null (vm_net_text (VM_NET_LIST, (char **)rules->pdata, servers, &error));
  assert_usage (error, "bytes");
}

static void
check_heard (const char *text, gssize length, VmNetHeardKind kind, const char *json)
{
  g_autofree char *line = NULL;
  VmNetHeard heard;

  g_test_message ("%s", text);
  vm_net_heard_parse (text, length < 0 ? strlen (text) : (gsize)length, &heard);
  g_assert_cmpint (heard.kind, ==, kind);
  line = heard.object != NULL ? vm_json_line (heard.object) : NULL;
  g_assert_cmpstr (line, ==, json);
  vm_net_heard_clear (&heard);
}

static void
test_heard (void)
{
  static const char *const bad[] = {"",
                                    "hello",
                                    "hello 2",
                                    "hello 1 ",
                                    "policy 1",
                                    "policy x ok",
                                    "policy 1 ok now",
                                    "policy 1 bad",
                                    "policy 1 bad x",
                                    "refused tcp a.b 1.2.3.4 443",
                                    "refused tcp a.b 1.2.3.4 443 ",
                                    "refused sctp a.b 1.2.3.4 443 x",
                                    "refused tcp A.b 1.2.3.4 443 x",
                                    "refused tcp a;b 1.2.3.4 443 x",
                                    "refused tcp a.b 1.2.3 443 x",
                                    "refused tcp a.b 1.2.3.4 70000 x",
                                    "refused tcp a.b 1.2.3.4 443 \033[2J",
                                    "refused tcp a.b 1.2.3.4 443 \xc3\xbc",
                                    "refused tcp a.b 1.2.3.4 443 x\ny"};
  g_autofree char *flood = g_strnfill (5000, 'a'),
                  *rule = g_strconcat ("refused tcp - 1.2.3.4 1 ", flood, NULL);

  check_heard ("hello 1", -1, VM_NET_HEARD_HELLO, NULL);
  check_heard ("policy 7 ok", -1, VM_NET_HEARD_OK, NULL);
  check_heard ("policy 7 bad 3", -1, VM_NET_HEARD_BAD, NULL);
  check_heard (
      "refused tcp a.b 1.2.3.4 443 not on the list", -1, VM_NET_HEARD_REFUSED,
      "{\"protocol\":\"tcp\",\"name\":\"a.b\",\"address\":\"1.2.3.4\",\"port\":443,\"rule\":\"not on the "
      "list\"}");
  check_heard ("refused dns a.b - 53 x", -1, VM_NET_HEARD_REFUSED,
               "{\"protocol\":\"dns\",\"name\":\"a.b\",\"port\":53,\"rule\":\"x\"}");
  check_heard ("stats flows=3 bytes_in=18446744073709551615 x Y=1 udp=2", -1, VM_NET_HEARD_STATS,
               "{\"flows\":3,\"udp\":2}");
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    check_heard (bad[i], -1, VM_NET_HEARD_NONSENSE, NULL);
  check_heard ("hello 1\0x", 9, VM_NET_HEARD_NONSENSE, NULL);
  check_heard (flood, -1, VM_NET_HEARD_NONSENSE, NULL);
  check_heard (rule, -1, VM_NET_HEARD_NONSENSE, NULL);
}

/* The log, and what to do */

static void
test_log (void)
{
  static const char *const bad[] = {"",
                                    "x",
                                    "1.5 refuse tcp - 1.2.3.4 1 x",
                                    "1764000000.123 permit tcp - 1.2.3.4 1 x",
                                    "1764000000.123 refuse tcp - 1.2.3.4 1",
                                    "1764000000.123 refuse x more",
                                    "1764000000.123 refuse tcp a\033b 1.2.3.4 1 x"};
  static const struct {
    const char *line, *text;
  } table[] = {
      {"1764000000.123 refuse tcp - 169.254.169.254 80 cloud metadata",
       "2025-11-24 16:00:00.123 refuse tcp  169.254.169.254:80  cloud metadata"},
      {"1764000000.456 allow udp a.b 1.2.3.4 53 @x",
       "2025-11-24 16:00:00.456 allow  udp  a.b:53 (1.2.3.4)  @x"},
      {"1764000000.000 refuse dns a.b - 53 not on the list",
       "2025-11-24 16:00:00.000 refuse dns  a.b  not on the list"},
      {"1764000000.999 refuse 17 more", "2025-11-24 16:00:00.999 refuse (17 more)"},
  };
  g_autoptr (GTimeZone) utc = g_time_zone_new_utc ();

  for (gsize i = 0; i < G_N_ELEMENTS (table); i++) {
    g_autoptr (json_object) line = vm_net_log_parse (table[i].line, strlen (table[i].line));
    g_autofree char *text = NULL;

    g_assert_nonnull (line);
    text = vm_net_log_to_text (line, utc);
    g_assert_cmpstr (text, ==, table[i].text);
  }
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_test_message ("%s", bad[i]);
    g_assert_null (vm_net_log_parse (bad[i], strlen (bad[i])));
  }
  g_assert_null (vm_net_log_parse ("1764000000.123 refuse 17 more\0", 30));
}

static void
check_hint (const char *refusal, const char *hint)
{
  VmNetHeard heard;
  g_autofree char *got = NULL;

  vm_net_heard_parse (refusal, strlen (refusal), &heard);
  g_assert_cmpint (heard.kind, ==, VM_NET_HEARD_REFUSED);
  got = vm_net_hint ("ID", heard.object);
  g_test_message ("%s", refusal);
  g_assert_cmpstr (got, ==, hint);
  vm_net_heard_clear (&heard);
}

static void
test_hints (void)
{
  check_hint ("refused dns registry.npmjs.org - 53 not on the list", "vmctl net allow ID registry.npmjs.org");
  check_hint ("refused tcp a.b 1.2.3.4 443 not on the list", "vmctl net allow ID a.b");
  check_hint ("refused tcp a.b 1.2.3.4 443 the name that was said is not on the list",
              "vmctl net allow ID a.b");
  check_hint ("refused tcp - 1.2.3.4 443 not on the list", "vmctl net allow ID 1.2.3.4/32:443");
  check_hint ("refused tcp - 10.1.2.3 22 private", "vmctl net allow ID 10.1.2.3/32:22");
  check_hint ("refused tcp a.b 10.1.2.3 22 private", "vmctl net allow ID 10.1.2.3/32:22");
  check_hint ("refused tcp - 169.254.169.254 80 cloud metadata", "vmctl net allow ID 169.254.169.254/32:80");
  check_hint ("refused icmp - 10.1.2.3 0 private", "vmctl net allow ID 10.1.2.3/32");
  check_hint ("refused tcp - 10.0.2.2 5432 this host",
              "start it with: vmctl up --net-host-port 5432; inside it is host.vmctl.internal:5432");
  check_hint ("refused dns host.vmctl.internal - 53 no port of the host is open",
              "start it with: vmctl up --net-host-port PORT");
  check_hint ("refused tcp - 1.2.3.4 443 no name was said", "vmctl net allow ID 1.2.3.4/32:443");
  check_hint ("refused udp - 1.1.1.1 53 DNS to another server", "vmctl net allow ID 1.1.1.1/32:53");
  check_hint ("refused tcp a.b 1.2.3.4 443 the name that was said has another address", NULL);
  check_hint ("refused tcp a.b 1.2.3.4 443 an encrypted server name", NULL);
  check_hint ("refused tcp a.b 1.2.3.4 443 neither TLS nor SSH at port 443", NULL);
  check_hint ("refused tcp - 127.0.0.1 80 loopback", NULL);
  check_hint ("refused tcp - 203.0.113.7 80 this host", NULL);
  check_hint ("refused udp a.b 1.2.3.4 443 QUIC, which hides its name", NULL);
  check_hint ("refused tcp a.b 1.2.3.4 443 deny:a.b", NULL);
  check_hint ("refused dns --all.b - 53 not on the list", NULL); /* would be an option */
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/vmctl/net/items", test_items);
  g_test_add_func ("/vmctl/net/bad-items", test_bad_items);
  g_test_add_func ("/vmctl/net/error-is-escaped", test_error_is_escaped);
  g_test_add_func ("/vmctl/net/covers", test_covers);
  g_test_add_func ("/vmctl/net/words", test_words);
  g_test_add_func ("/vmctl/net/bad-words", test_bad_words);
  g_test_add_func ("/vmctl/net/groups", test_groups);
  g_test_add_func ("/vmctl/net/builtin-groups", test_builtin_groups);
  g_test_add_func ("/vmctl/net/tighten", test_tighten);
  g_test_add_func ("/vmctl/net/tighten-unknown", test_tighten_unknown);
  g_test_add_func ("/vmctl/net/change", test_change);
  g_test_add_func ("/vmctl/net/bad-change", test_bad_change);
  g_test_add_func ("/vmctl/net/change-host-ports", test_change_host_ports);
  g_test_add_func ("/vmctl/net/text", test_text);
  g_test_add_func ("/vmctl/net/text-too-long", test_text_too_long);
  g_test_add_func ("/vmctl/net/heard", test_heard);
  g_test_add_func ("/vmctl/net/log", test_log);
  g_test_add_func ("/vmctl/net/hints", test_hints);
  return g_test_run ();
}
