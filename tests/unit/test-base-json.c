/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "vmctl/base/error.h"
#include "vmctl/base/json.h"

static json_object *
parse (const char *text)
{
  g_autoptr (GError) error = NULL;
  json_object *value = vm_json_parse (text, strlen (text), &error);

  if (error != NULL)
    g_error ("%s: %s", text, error->message);
  return value;
}

static void
refuse (const char *text, gsize length)
{
  g_autoptr (GError) error = NULL;
  json_object *value = vm_json_parse (text, length, &error);

  if (error == NULL)
    g_error ("taken: %.*s", (int)length, text);
  g_assert_error (error, VM_ERROR, VM_ERROR_INVALID);
  g_assert_null (value);
}

static char *
nested (guint depth)
{
  g_autofree char *open = g_strnfill (depth, '['), *close = g_strnfill (depth, ']');

  return g_strconcat (open, close, NULL);
}

static void
test_depth (void)
{
  g_autofree char *most = nested (VM_JSON_DEPTH - 1), *more = nested (VM_JSON_DEPTH + 1);
  g_autofree char *far = g_strnfill (1 << 20, '[');

  json_object_put (parse (most));
  refuse (more, strlen (more));
  refuse (far, strlen (far));
}

static void
test_numbers (void)
{
  static const char *const bad[] = {"NaN",   "-NaN",     "Infinity", "-Infinity", "[NaN]", "{\"a\":Infinity}",
                                    "1e999", "[-1e999]", "01",       "+1",        ".5",    "0x10",
                                    "--1",   "1e"};
  g_autoptr (json_object) lone = parse ("42"), negative = parse (" -7 \n"), real = parse ("1.5");

  g_assert_cmpint (json_object_get_int64 (lone), ==, 42);
  g_assert_cmpint (json_object_get_int64 (negative), ==, -7);
  g_assert_cmpfloat (json_object_get_double (real), ==, 1.5);
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    refuse (bad[i], strlen (bad[i]));
}

static void
test_nul (void)
{
  g_autoptr (json_object) escaped = parse ("\"\\\\u0000\"");

  refuse ("\"a\\u0000b\"", 10);
  refuse ("{\"a\\u0000\":1}", 13);
  refuse ("[{\"x\":[\"\\u0000\"]}]", 19);
  refuse ("\"a\0b\"", 5);
  refuse ("1\0", 2);
  refuse ("\"\\\\\\u0000\"", 10);
  g_assert_cmpstr (json_object_get_string (escaped), ==, "\\u0000");
}

static void
test_trailing (void)
{
  static const char *const bad[] = {"{} {}",     "1 2",  "[] x", "{},",   "\"a\" \"b\"",
                                    "null null", "{}\v", "{}//", "{}/**/"};

  json_object_put (parse ("{} \n\t\r "));
  json_object_put (parse (" \n[]"));
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    refuse (bad[i], strlen (bad[i]));
}

static void
test_strict (void)
{
  static const char *const bad[] = {"",      " ",       "{",         "[1",        "[1,]", "{\"a\":1,}",
                                    "{a:1}", "\"a",     "'a'",       "[1 2]",     "tru",  "True",
                                    "NULL",  "\"\\x\"", "\"\\u12\"", "{\"a\" 1}", "[,]",  "/* */ 1"};

  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    refuse (bad[i], strlen (bad[i]));
}

static void
test_utf8 (void)
{
  static const char *const bad[] = {"\"\377\"", "\"\300\257\"", "\"\355\240\200\"", "\"a\303\"", "\377"};
  g_autoptr (json_object) good = parse ("\"caf\303\251 \\ud83d\\udc27\"");

  g_assert_cmpstr (json_object_get_string (good), ==, "caf\303\251 \360\237\220\247");
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    refuse (bad[i], strlen (bad[i]));
}

static void
test_duplicate (void)
{
  g_autoptr (json_object) object = parse ("{\"a\":1,\"b\":2,\"a\":3}");

  g_assert_cmpint (vm_json_int (object, "a", 0), ==, 3);
  g_assert_cmpint (json_object_object_length (object), ==, 2);
}

static void
test_null (void)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (vm_json_parse ("null", 4, &error));
  g_assert_no_error (error);
}

static void
test_object (void)
{
  static const char *const bad[] = {"null", "1", "[]", "\"{}\"", "{", ""};
  g_autoptr (json_object) good = vm_json_parse_object ("{\"a\":null}", 10, NULL);

  g_assert_nonnull (good);
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_autoptr (GError) error = NULL;

    g_assert_null (vm_json_parse_object (bad[i], strlen (bad[i]), &error));
    g_assert_error (error, VM_ERROR, VM_ERROR_INVALID);
    g_assert_null (vm_json_parse_object (bad[i], strlen (bad[i]), NULL));
  }
}

static void
test_lookup (void)
{
  g_autoptr (json_object) o = parse (
      "{\"s\":\"x\",\"i\":-5,\"b\":true,\"o\":{\"k\":1},\"a\":[\"p\",2,\"q\",null],\"n\":null,\"d\":1.0}");
  g_auto (GStrv) strings = vm_json_dup_strv (vm_json_array (o, "a")), none = vm_json_dup_strv (NULL);

  g_assert_cmpstr (vm_json_str (o, "s", "?"), ==, "x");
  g_assert_cmpstr (vm_json_str (o, "i", "?"), ==, "?");
  g_assert_cmpstr (vm_json_str (o, "n", "?"), ==, "?");
  g_assert_cmpstr (vm_json_str (o, "absent", NULL), ==, NULL);
  g_assert_cmpstr (vm_json_str (NULL, "s", "?"), ==, "?");
  g_assert_cmpint (vm_json_int (o, "i", 9), ==, -5);
  g_assert_cmpint (vm_json_int (o, "d", 9), ==, 9);
  g_assert_cmpint (vm_json_int (o, "s", 9), ==, 9);
  g_assert_true (vm_json_bool (o, "b", FALSE));
  g_assert_true (vm_json_bool (o, "i", TRUE));
  g_assert_nonnull (vm_json_object (o, "o"));
  g_assert_null (vm_json_object (o, "a"));
  g_assert_null (vm_json_array (o, "o"));
  g_assert_null (vm_json_object (vm_json_array (o, "a"), "k"));
  g_assert_cmpstr (strings[0], ==, "p");
  g_assert_cmpstr (strings[1], ==, "q");
  g_assert_null (strings[2]);
  g_assert_null (none[0]);
}

static void
test_need (void)
{
  g_autoptr (json_object) o = parse ("{\"s\":\"x\",\"i\":3}");
  g_autoptr (GError) error = NULL;
  const char *text = "before";
  gint64 number = 7;

  g_assert_true (vm_json_need_str (o, "s", &text, NULL));
  g_assert_true (vm_json_need_int (o, "i", &number, NULL));
  g_assert_cmpint (number, ==, 3);
  g_assert_false (vm_json_need_str (o, "i", &text, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_INVALID);
  g_assert_nonnull (strstr (error->message, "'i'"));
  g_assert_cmpstr (text, ==, "x");
  g_clear_error (&error);
  g_assert_false (vm_json_need_int (o, "zzz", &number, &error));
  g_assert_nonnull (strstr (error->message, "'zzz'"));
}

static void
test_write (void)
{
  g_autoptr (json_object) o = json_object_new_object ();
  g_autofree char *line = NULL, *pretty = NULL;

  vm_json_add_str (o, "s", "a/b\377");
  vm_json_add_str (o, "skip", NULL);
  vm_json_add_int (o, "i", G_GINT64_CONSTANT (1) << 60);
  vm_json_add_bool (o, "b", FALSE);
  vm_json_add_strv (o, "v", (const char *const[]){"x", "y", NULL});
  vm_json_add_strv (o, "e", NULL);
  line = vm_json_line (o);
  pretty = vm_json_pretty (o);
  g_assert_cmpstr (
      line, ==, "{\"s\":\"a/b\\\\xff\",\"i\":1152921504606846976,\"b\":false,\"v\":[\"x\",\"y\"],\"e\":[]}");
  g_assert_true (g_str_has_suffix (pretty, "\n"));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/base/json/depth", test_depth);
  g_test_add_func ("/base/json/numbers", test_numbers);
  g_test_add_func ("/base/json/nul", test_nul);
  g_test_add_func ("/base/json/trailing", test_trailing);
  g_test_add_func ("/base/json/strict", test_strict);
  g_test_add_func ("/base/json/utf8", test_utf8);
  g_test_add_func ("/base/json/duplicate", test_duplicate);
  g_test_add_func ("/base/json/null", test_null);
  g_test_add_func ("/base/json/object", test_object);
  g_test_add_func ("/base/json/lookup", test_lookup);
  g_test_add_func ("/base/json/need", test_need);
  g_test_add_func ("/base/json/write", test_write);
  return g_test_run ();
}
