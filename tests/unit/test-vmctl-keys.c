/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "vmctl/keys.h"

#define K "\035"

static const struct {
  const char *typed, *passed;
  gboolean leave, pending;
} cases[] = {
    {"", "", FALSE, FALSE},
    {"plain", "plain", FALSE, FALSE},
    {K "d", "", TRUE, FALSE},
    {K "D", "", TRUE, FALSE},
    {"ab" K "dcd", "ab", TRUE, FALSE},
    {K, "", FALSE, TRUE},
    {"x" K, "x", FALSE, TRUE},
    {K K, K, FALSE, FALSE},
    {K K "d", K "d", FALSE, FALSE},
    {K K K "d", K, TRUE, FALSE},
    {K "x", K "x", FALSE, FALSE},
    {"d" K "xd", "d" K "xd", FALSE, FALSE},
};

/* The same however the bytes come in pieces. */
static void
test_all (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    gsize n = strlen (cases[i].typed);

    for (gsize cut = 0; cut <= n; cut++) {
      g_autoptr (GByteArray) out = g_byte_array_new ();
      VmKeys keys = {.key = K[0]};
      const guint8 *typed = (const guint8 *)cases[i].typed;
      gboolean leave = vm_keys_feed (&keys, typed, cut, out);

      leave = leave || vm_keys_feed (&keys, typed + cut, n - cut, out);
      g_assert_cmpmem (out->data, out->len, cases[i].passed, strlen (cases[i].passed));
      g_assert_cmpint (leave, ==, cases[i].leave);
      if (!leave)
        g_assert_cmpint (keys.pending, ==, cases[i].pending);
    }
  }
}

static void
test_none (void)
{
  g_autoptr (GByteArray) out = g_byte_array_new ();
  VmKeys keys = {0};

  g_assert_false (vm_keys_feed (&keys, (const guint8 *)"\0" K "d\0", 4, out));
  g_assert_cmpmem (out->data, out->len, "\0" K "d\0", 4);
}

/* At most one byte more comes out than went in: the client's window counts on it. */
static void
test_growth (void)
{
  for (guint i = 0; i < 20000; i++) {
    g_autoptr (GByteArray) out = g_byte_array_new ();
    VmKeys keys = {.key = K[0], .pending = (gboolean)(i % 2)};
    guint8 bytes[6];

    for (gsize j = 0; j < sizeof bytes; j++)
      bytes[j] = (guint8)(K "d" K "x")[g_test_rand_int_range (0, 4)];
    (void)vm_keys_feed (&keys, bytes, sizeof bytes, out);
    g_assert_cmpuint (out->len, <=, sizeof bytes + 1);
  }
}

/* The key may be a byte of the upper half. */
static void
test_high (void)
{
  g_autoptr (GByteArray) out = g_byte_array_new ();
  VmKeys keys = {.key = (char)0xff};

  g_assert_true (vm_keys_feed (&keys, (const guint8 *)"a\377d", 3, out));
  g_assert_cmpmem (out->data, out->len, "a", 1);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/vmctl/keys/all", test_all);
  g_test_add_func ("/vmctl/keys/none", test_none);
  g_test_add_func ("/vmctl/keys/growth", test_growth);
  g_test_add_func ("/vmctl/keys/high", test_high);
  return g_test_run ();
}
