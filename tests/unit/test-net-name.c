/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl/net/name.c: one form of a name, or none. */
#include <glib.h>
#include <string.h>

#include "vmctl/net/name.h"

static const char *
canonical (const char *text, gsize length, char out[NET_NAME_SIZE])
{
  /* In a copy of its exact size, so that a sanitizer sees a byte too many being read. */
  g_autofree char *copy = g_memdup2 (text, length);

  memset (out, 'x', NET_NAME_SIZE);
  return net_name_canonical (copy, length, out) ? out : NULL;
}

static void
test_canonical (void)
{
  static const struct {
    const char *text, *name;
  } cases[] = {
      {"github.com", "github.com"},
      {"GITHUB.COM.", "github.com"},
      {"GitHub.com", "github.com"},
      {"localhost", "localhost"},
      {"a", "a"},
      {"_http._tcp.deb.debian.org", "_http._tcp.deb.debian.org"},
      {"r1---sn-abc.example", "r1---sn-abc.example"},
      {"xn--bcher-kva.example", "xn--bcher-kva.example"}, /* punycode is how IDN is written */
      {"XN--BCHER-KVA.example", "xn--bcher-kva.example"},
      {"8.8.8.8.in-addr.arpa", "8.8.8.8.in-addr.arpa"},
      {"1.example", "1.example"},
      {"127.0.0.1.nip.io", "127.0.0.1.nip.io"},
      {"0x7f.com", "0x7f.com"},
      {"1.2.3.4g", "1.2.3.4g"},
      {"0xg", "0xg"},
      {"00x1", "00x1"},
  };
  char out[NET_NAME_SIZE];

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    g_assert_cmpstr (canonical (cases[i].text, strlen (cases[i].text), out), ==, cases[i].name);
}

static void
test_refused (void)
{
  static const struct {
    const char *text;
    gsize length; /* 0: of the string */
  } cases[] = {
      {"evil.com\0.github.com", 20},
      {"github.com\0", 11},
      {"\0", 1},
      {"b\303\274cher.example", 0}, /* IDN as UTF-8 */
      {"b\374cher.example", 0},     /* and as Latin-1 */
      {"github\357\274\216com", 0}, /* full-width dots */
      {"github\343\200\202com", 0},
      {"\357\275\207ithub.com", 0}, /* full-width letters */
      {"github%2ecom", 0},
      {"github.com%00", 0},
      {"2130706433", 0}, /* 127.0.0.1 */
      {"0x7f.1", 0},
      {"0x7f000001", 0},
      {"0X7F", 0},
      {"0x", 0},
      {"017700000001", 0},
      {"127.0.0.1", 0},
      {"127.1.", 0},
      {"evil.com.1", 0},
      {"evil.0x1f", 0},
      {"1", 0},
      {"[::1%25eth0]", 0},
      {"[::1]", 0},
      {"::1", 0},
      {"::ffff:127.0.0.1", 0},
      {"github.com:443", 0},
      {"https://github.com", 0},
      {"user@github.com", 0},
      {"github.com/", 0},
      {"github.com\\", 0},
      {"", 0},
      {".", 0},
      {"..", 0},
      {".github.com", 0},
      {"github..com", 0},
      {"github.com..", 0},
      {"github.com ", 0},
      {" github.com", 0},
      {"github.com\t", 0},
      {"github.com\n", 0},
      {"git hub.com", 0},
      {"*.github.com", 0},
      {"git*hub.com", 0},
      {"github,com", 0},
      {"github\177.com", 0},
      {"github\033[2J.com", 0},
  };
  char out[NET_NAME_SIZE];

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    gsize length = cases[i].length > 0 ? cases[i].length : strlen (cases[i].text);

    if (canonical (cases[i].text, length, out) != NULL)
      g_error ("'%s' is '%s'", cases[i].text, out);
    g_assert_cmpstr (out, ==, "");
  }
}

/* Labels of 63 bytes, names of 253. */
static void
test_lengths (void)
{
  g_autoptr (GString) text = g_string_new (NULL);
  char out[NET_NAME_SIZE];

  for (guint i = 0; i < 63; i++)
    g_string_append_c (text, 'a');
  g_assert_nonnull (canonical (text->str, text->len, out));
  g_string_append_c (text, 'a');
  g_assert_null (canonical (text->str, text->len, out));

  g_string_truncate (text, 0);
  for (guint i = 0; i < 126; i++)
    g_string_append (text, "a.");
  g_string_append (text, "a");
  g_assert_cmpuint (text->len, ==, 253);
  g_assert_cmpstr (canonical (text->str, text->len, out), ==, text->str);
  g_string_append_c (text, '.');
  g_assert_nonnull (canonical (text->str, text->len, out));
  g_string_append_c (text, '.');
  g_assert_null (canonical (text->str, text->len, out));
  g_string_truncate (text, 253);
  g_string_append_c (text, 'b');
  g_assert_cmpuint (text->len, ==, 254);
  g_assert_null (canonical (text->str, text->len, out));
  g_string_append_c (text, '.');
  g_assert_null (canonical (text->str, text->len, out));
}

/* Every byte alone, and between letters. */
static void
test_bytes (void)
{
  char out[NET_NAME_SIZE];

  for (guint c = 0; c < 256; c++) {
    const char text[] = {'a', (char)c, 'b'};
    gboolean good = g_ascii_isalnum ((char)c) || c == '-' || c == '_';

    g_assert_cmpint (canonical (text, 3, out) != NULL, ==, good || c == '.');
    g_assert_cmpint (canonical (text + 1, 1, out) != NULL, ==, good && !g_ascii_isdigit ((char)c));
  }
}

static void
test_pattern (void)
{
  static const char *const good[][2] = {
      {"github.com", "github.com"}, {"*.NPMJS.org.", "*.npmjs.org"}, {"*.com", "*.com"}};
  static const char *const bad[] = {"*",    "*.",          "**.a.b", "*a.b",  "a.*.b",  "*.*.b",
                                    "*..b", "*.1",         ".*.a",   "a.*",   "*.a b",  "",
                                    "* .a", "*.127.0.0.1", "?.a.b",  "[a].b", "*.a..b", "*.\303\274.b"};
  char out[NET_PATTERN_SIZE];
  g_autoptr (GString) longest = g_string_new ("*.");

  for (gsize i = 0; i < G_N_ELEMENTS (good); i++) {
    g_assert_true (net_name_pattern (good[i][0], strlen (good[i][0]), out));
    g_assert_cmpstr (out, ==, good[i][1]);
  }
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++) {
    if (net_name_pattern (bad[i], strlen (bad[i]), out))
      g_error ("'%s' is '%s'", bad[i], out);
    g_assert_cmpstr (out, ==, "");
  }
  for (guint i = 0; i < 126; i++)
    g_string_append (longest, "a.");
  g_string_append (longest, "a");
  g_assert_true (net_name_pattern (longest->str, longest->len, out));
  g_assert_cmpstr (out, ==, longest->str);
  g_string_append (longest, "a");
  g_assert_false (net_name_pattern (longest->str, longest->len, out));
}

static void
test_matches (void)
{
  static const struct {
    const char *pattern, *name;
    gboolean matches;
  } cases[] = {
      {"github.com", "github.com", TRUE},
      {"github.com", "api.github.com", FALSE},
      {"github.com", "notgithub.com", FALSE},
      {"github.com", "github.com.evil.com", FALSE},
      {"github.com", "github.co", FALSE},
      {"github.com", "hub.com", FALSE},
      {"*.github.com", "api.github.com", TRUE},
      {"*.github.com", "a.b.c.github.com", TRUE},
      {"*.github.com", "github.com", FALSE},
      {"*.github.com", "notgithub.com", FALSE},
      {"*.github.com", "github.com.evil.com", FALSE},
      {"*.github.com", "api.github.com.evil.com", FALSE},
      {"*.github.com", "api-github.com", FALSE},
      {"*.github.com", "com", FALSE},
      {"*.com", "github.com", TRUE},
      {"*.com", "com", FALSE},
      {"*.com", "github.comm", FALSE},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    if (net_name_matches (cases[i].pattern, cases[i].name) != cases[i].matches)
      g_error ("'%s' and '%s'", cases[i].pattern, cases[i].name);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/net/name/canonical", test_canonical);
  g_test_add_func ("/net/name/refused", test_refused);
  g_test_add_func ("/net/name/lengths", test_lengths);
  g_test_add_func ("/net/name/bytes", test_bytes);
  g_test_add_func ("/net/name/pattern", test_pattern);
  g_test_add_func ("/net/name/matches", test_matches);
  return g_test_run ();
}
