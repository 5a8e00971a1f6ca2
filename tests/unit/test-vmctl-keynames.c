/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "vmctl/base/error.h"
#include "vmctl/keynames.h"

/* "+shift +a -a -shift" */
static char *
show (const VmKeyStroke *strokes)
{
  GString *out = g_string_new (NULL);

  for (; strokes->qcode != NULL; strokes++)
    g_string_append_printf (out, "%s%c%s", out->len > 0 ? " " : "", strokes->down ? '+' : '-',
                            strokes->qcode);
  return g_string_free (out, FALSE);
}

static void
assert_char (gunichar c, const char *wanted)
{
  g_autofree VmKeyStroke *strokes = vm_keys_for_char (c);
  g_autofree char *shown = strokes != NULL ? show (strokes) : NULL;

  g_assert_cmpstr (shown, ==, wanted);
}

static void
assert_combination (const char *text, const char *wanted)
{
  g_autoptr (GError) error = NULL;
  g_autofree VmKeyStroke *strokes = vm_keys_for_combination (text, &error);
  g_autofree char *shown = strokes != NULL ? show (strokes) : NULL;

  g_assert_no_error (error);
  g_assert_cmpstr (shown, ==, wanted);
}

static void
test_characters (void)
{
  assert_char ('a', "+a -a");
  assert_char ('A', "+shift +a -a -shift");
  assert_char ('7', "+7 -7");
  assert_char ('&', "+shift +7 -7 -shift");
  assert_char (' ', "+spc -spc");
  assert_char ('"', "+shift +apostrophe -apostrophe -shift");
  assert_char ('~', "+shift +grave_accent -grave_accent -shift");
  assert_char ('\n', "+ret -ret");
  assert_char ('\t', "+tab -tab");
}

/* Every printable character has a key, and the key a symbol; no two have the same. */
static void
test_all_of_ascii (void)
{
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);

  for (gunichar c = ' '; c <= '~'; c++) {
    g_autofree VmKeyStroke *strokes = vm_keys_for_char (c);

    g_assert_nonnull (strokes);
    g_assert_true (g_hash_table_add (seen, show (strokes)));
    for (const VmKeyStroke *s = strokes; s->qcode != NULL; s++)
      g_assert_cmpuint (vm_key_symbol (s->qcode), !=, 0);
  }
}

static void
test_no_key (void)
{
  const gunichar bad[] = {0, 1, 27, 127, 0xe4, 0x20ac, 0x1f600};

  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    assert_char (bad[i], NULL);
  g_assert_cmpuint (vm_key_symbol (""), ==, 0);
  g_assert_cmpuint (vm_key_symbol ("aa"), ==, 0);
  g_assert_cmpuint (vm_key_symbol ("A"), ==, 0);
  g_assert_cmpuint (vm_key_symbol ("z"), ==, 'z');
  g_assert_cmpuint (vm_key_symbol ("f12"), ==, 0xffc9);
}

static void
test_combinations (void)
{
  assert_combination ("ctrl-l", "+ctrl +l -l -ctrl");
  assert_combination ("alt-F4", "+alt +f4 -f4 -alt");
  assert_combination ("Return", "+ret -ret");
  assert_combination ("ctrl-shift-Page_Up", "+ctrl +shift +pgup -pgup -shift -ctrl");
  assert_combination ("a", "+a -a");
  assert_combination ("A", "+shift +a -a -shift");
  assert_combination ("-", "+minus -minus");
  assert_combination ("ctrl--", "+ctrl +minus -minus -ctrl");
}

static void
test_bad_combinations (void)
{
  const char *const bad[] = {"",    "hyper-l",  "ctrl-",  "ctrl--l",           "-l",
                             "f13", "\xc3\xa4", "ctrl l", "a-b-c-d-e-f-g-h-i", NULL};

  for (const char *const *text = bad; *text != NULL; text++) {
    g_autoptr (GError) error = NULL;

    g_assert_null (vm_keys_for_combination (*text, &error));
    g_assert_error (error, VM_ERROR, VM_ERROR_USAGE);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/vmctl/keynames/characters", test_characters);
  g_test_add_func ("/vmctl/keynames/all-of-ascii", test_all_of_ascii);
  g_test_add_func ("/vmctl/keynames/no-key", test_no_key);
  g_test_add_func ("/vmctl/keynames/combinations", test_combinations);
  g_test_add_func ("/vmctl/keynames/bad-combinations", test_bad_combinations);
  return g_test_run ();
}
