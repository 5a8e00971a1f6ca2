/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl/net/learned.c: which names an address was given for, and no more of them than there is room for. */
#include <glib.h>
#include <string.h>

#include "vmctl/net/learned.h"

enum { A = 0x01020304, B = 0x05060708, START = 1000000 };

static bool
append (const char *name, void *data)
{
  g_string_append_printf (data, "%s ", name);
  return false;
}

static bool
is_named (const char *name, void *data)
{
  return strcmp (name, data) == 0;
}

static void
assert_names (const NetLearned *learned, guint32 address, gint64 now, const char *names)
{
  g_autoptr (GString) seen = g_string_new (NULL);

  g_assert_false (net_learned_any (learned, address, now, append, seen));
  g_assert_cmpstr (seen->str, ==, names);
}

static void
test_pairs (void)
{
  NetLearned *learned = net_learned_new ();
  char name[] = "a.example";

  assert_names (learned, A, START, "");
  g_assert_null (net_learned_name (learned, A, START));
  net_learned_add (learned, name, A, 600, START);
  name[0] = 'x'; /* it is a copy */
  net_learned_add (learned, "b.example", A, 600, START);
  net_learned_add (learned, "b.example", B, 600, START);
  assert_names (learned, A, START, "b.example a.example ");
  assert_names (learned, B, START, "b.example ");
  g_assert_true (net_learned_has (learned, "a.example", A, START));
  g_assert_false (net_learned_has (learned, "a.example", B, START));
  g_assert_false (net_learned_has (learned, "x.example", A, START));
  g_assert_cmpstr (net_learned_name (learned, A, START), ==, "b.example");
  g_assert_true (net_learned_any (learned, A, START, is_named, (char *)"a.example"));
  g_assert_false (net_learned_any (learned, A, START, is_named, (char *)"c.example"));
  net_learned_add (learned, "a.example", A, 600, START); /* once more: the newest, and still one */
  assert_names (learned, A, START, "a.example b.example ");
  net_learned_free (learned);
  net_learned_free (NULL);
}

static void
assert_lives (guint32 ttl, gint64 seconds)
{
  NetLearned *learned = net_learned_new ();
  gint64 end = START + seconds * 1000;

  net_learned_add (learned, "a.example", A, ttl, START);
  g_assert_true (net_learned_has (learned, "a.example", A, end - 1));
  g_assert_cmpstr (net_learned_name (learned, A, end - 1), ==, "a.example");
  g_assert_false (net_learned_has (learned, "a.example", A, end));
  g_assert_null (net_learned_name (learned, A, end));
  assert_names (learned, A, end, "");
  net_learned_free (learned);
}

static void
test_time (void)
{
  NetLearned *learned = net_learned_new ();

  assert_lives (0, NET_LEARNED_TTL_MIN);
  assert_lives (NET_LEARNED_TTL_MIN, NET_LEARNED_TTL_MIN);
  assert_lives (301, 301);
  assert_lives (NET_LEARNED_TTL_MAX, NET_LEARNED_TTL_MAX);
  assert_lives (G_MAXUINT32, NET_LEARNED_TTL_MAX);
  /* A later answer makes it live longer, never shorter. */
  net_learned_add (learned, "a.example", A, 1000, START);
  net_learned_add (learned, "a.example", A, 300, START);
  g_assert_true (net_learned_has (learned, "a.example", A, START + 999999));
  net_learned_add (learned, "a.example", A, 300, START + 900000);
  g_assert_true (net_learned_has (learned, "a.example", A, START + 1199999));
  g_assert_false (net_learned_has (learned, "a.example", A, START + 1200000));
  net_learned_free (learned);
}

static guint
count (const NetLearned *learned, const char *name, guint32 first, guint n)
{
  guint there = 0;

  for (guint i = 0; i < n; i++)
    there += net_learned_has (learned, name, first + i, START);
  return there;
}

/* One name with many addresses does not push the others out. */
static void
test_per_name (void)
{
  NetLearned *learned = net_learned_new ();

  net_learned_add (learned, "other.example", A, 600, START);
  for (guint i = 0; i < 10000; i++) {
    net_learned_add (learned, "many.example", 0x0b000000 + i, 600, START);
    if (i % 10 == 0)
      net_learned_add (learned, "many.example", 0x0c000000, 600, START); /* in use: it stays */
  }
  g_assert_true (net_learned_has (learned, "other.example", A, START));
  g_assert_true (net_learned_has (learned, "many.example", 0x0c000000, START));
  g_assert_cmpuint (count (learned, "many.example", 0x0b000000, 10000), ==, NET_LEARNED_PER_NAME - 1);
  g_assert_cmpuint (count (learned, "many.example", 0x0b000000 + 10000 - 63, 63), ==, 63);
  net_learned_free (learned);
}

/* Many names: the oldest go. */
static void
test_all (void)
{
  NetLearned *learned = net_learned_new ();
  guint there = 0;

  for (guint i = 0; i < 3 * NET_LEARNED_MAX; i++) {
    g_autofree char *name = g_strdup_printf ("n%u.example", i);

    net_learned_add (learned, name, 0x0b000000 + i, 600, START);
    if (i % 100 == 0)
      net_learned_add (learned, "kept.example", A, 600, START);
  }
  for (guint i = 0; i < 3 * NET_LEARNED_MAX; i++) {
    g_autofree char *name = g_strdup_printf ("n%u.example", i);
    gboolean is_there = net_learned_has (learned, name, 0x0b000000 + i, START);

    g_assert_cmpint (is_there, ==, i > 2 * NET_LEARNED_MAX);
    there += is_there;
  }
  g_assert_cmpuint (there, ==, NET_LEARNED_MAX - 1);
  g_assert_true (net_learned_has (learned, "kept.example", A, START));
  net_learned_free (learned);
}

/* All with one address, and all of one bucket. */
static void
test_same_address (void)
{
  NetLearned *learned = net_learned_new ();
  g_autoptr (GString) seen = g_string_new (NULL);
  guint n = 0;

  for (guint i = 0; i < NET_LEARNED_MAX + 10; i++) {
    g_autofree char *name = g_strdup_printf ("n%u", i);

    net_learned_add (learned, name, A, 600, START);
  }
  (void)net_learned_any (learned, A, START, append, seen);
  for (const char *p = seen->str; *p != '\0'; p++)
    n += *p == ' ';
  g_assert_cmpuint (n, ==, NET_LEARNED_MAX);
  g_assert_true (g_str_has_prefix (seen->str, "n4105 n4104 "));
  net_learned_free (learned);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/net/learned/pairs", test_pairs);
  g_test_add_func ("/net/learned/time", test_time);
  g_test_add_func ("/net/learned/per-name", test_per_name);
  g_test_add_func ("/net/learned/all", test_all);
  g_test_add_func ("/net/learned/same-address", test_same_address);
  return g_test_run ();
}
