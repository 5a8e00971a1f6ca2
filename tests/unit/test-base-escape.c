/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "vmctl/base/argv.h"
#include "vmctl/base/escape.h"

static void
check (const char *bytes, gssize length, gssize max, const char *expected)
{
  g_autofree char *shown = vm_escape_terminal (bytes, length, max);

  g_assert_cmpstr (shown, ==, expected);
}

static void
test_terminal (void)
{
  check ("plain text", -1, -1, "plain text");
  check ("caf\303\251 \346\227\245 \360\237\220\247", -1, -1, "caf\303\251 \346\227\245 \360\237\220\247");
  check ("a\033[31mb\007\177", -1, -1, "a\\x1b[31mb\\x07\\x7f");
  check ("a\nb\tc\r", -1, -1, "a\\nb\\tc\\x0d");
  check ("a\\nb", -1, -1, "a\\\\nb");
  check ("a\0b", 3, -1, "a\\x00b");
  check ("", -1, -1, "");
}

static void
test_c1 (void)
{
  check ("\302\233"
         "31m",
         -1, -1, "\\u{9b}31m"); /* CSI as one UTF-8 character */
  check ("\233"
         "31m",
         -1, -1, "\\x9b31m"); /* and as one byte */
  check ("\302\240x", -1, -1, "\302\240x");
}

static void
test_invalid (void)
{
  check ("\377\376", -1, -1, "\\xff\\xfe");
  check ("a\303", -1, -1, "a\\xc3");                 /* cut short */
  check ("\300\257", -1, -1, "\\xc0\\xaf");          /* overlong */
  check ("\355\240\200", -1, -1, "\\xed\\xa0\\x80"); /* surrogate */
}

static void
test_bidi (void)
{
  check ("a\342\200\256b", -1, -1, "a\\u{202e}b");
  check ("a\342\201\246b", -1, -1, "a\\u{2066}b");
  check ("a\342\200\213b", -1, -1, "a\\u{200b}b");
  check ("a\342\200\250b", -1, -1, "a\\u{2028}b");
  check ("a\330\234b", -1, -1, "a\\u{61c}b");
  check ("a\357\273\277b", -1, -1, "a\\u{feff}b");
}

static void
test_cut (void)
{
  check ("abcdef", -1, 3, "abc...");
  check ("abc", -1, 3, "abc");
  check ("abc", -1, 0, "...");
  check ("ab\303\251", -1, 3, "ab\\xc3..."); /* in the middle of a character */
  check ("abcdef", 2, 10, "ab");
}

/* Whatever the bytes: what comes out is UTF-8 without a control character. */
static void
test_any (void)
{
  for (int i = 0; i < 20000; i++) {
    char bytes[12];
    g_autofree char *shown = NULL;

    for (gsize j = 0; j < sizeof bytes; j++)
      bytes[j] = (char)g_test_rand_int_range (0, 256);
    shown = vm_escape_terminal (bytes, sizeof bytes, -1);
    g_assert_true (g_utf8_validate (shown, -1, NULL));
    for (const char *p = shown; *p != '\0'; p = g_utf8_next_char (p))
      g_assert_false (g_unichar_iscntrl (g_utf8_get_char (p)));
  }
}

static void
test_comma (void)
{
  static const char *const pairs[][2] = {
      {"", ""}, {"/a", "/a"}, {",", ",,"}, {"a,b,,c", "a,,b,,,,c"}, {"a\n'\"=", "a\n'\"="}};

  for (gsize i = 0; i < G_N_ELEMENTS (pairs); i++) {
    g_autofree char *escaped = vm_escape_comma (pairs[i][0]);

    g_assert_cmpstr (escaped, ==, pairs[i][1]);
  }
}

static void
through_shell (const char *word)
{
  g_autoptr (VmArgv) argv = vm_argv_new ();
  g_autofree char *quoted = vm_escape_shell (word), *out = NULL;
  g_autoptr (GError) error = NULL;

  vm_argv_add_many (argv, "/bin/sh", "-c", NULL);
  vm_argv_addf (argv, "printf %%s %s", quoted);
  vm_argv_run (argv, &out, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (out, ==, word);
}

static void
test_shell (void)
{
  static const char *const words[] = {
      "plain", "",      " ",   "a b", "'",        "''",          "\"", "$HOME", "`id`",       "$(id)", "\\",
      "\\'",   "a\nb",  "*",   "?",   "~",        "#x",          "!",  "a;b",   "&",          "|",     "<>",
      "(x)",   "{a,b}", "[x]", "\t",  "\001\177", "caf\303\251", "-n", "a=b",   "x'y'z\"$a\\"};

  for (gsize i = 0; i < G_N_ELEMENTS (words); i++)
    through_shell (words[i]);
}

static void
test_shell_bare (void)
{
  g_autofree char *bare = vm_escape_shell ("/usr/bin/x-y_z.1:@%+,="), *quoted = vm_escape_shell ("a b");

  g_assert_cmpstr (bare, ==, "/usr/bin/x-y_z.1:@%+,=");
  g_assert_cmpstr (quoted, ==, "'a b'");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/base/escape/terminal", test_terminal);
  g_test_add_func ("/base/escape/c1", test_c1);
  g_test_add_func ("/base/escape/invalid", test_invalid);
  g_test_add_func ("/base/escape/bidi", test_bidi);
  g_test_add_func ("/base/escape/cut", test_cut);
  g_test_add_func ("/base/escape/any", test_any);
  g_test_add_func ("/base/escape/comma", test_comma);
  g_test_add_func ("/base/escape/shell", test_shell);
  g_test_add_func ("/base/escape/shell-bare", test_shell_bare);
  return g_test_run ();
}
