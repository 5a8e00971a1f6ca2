/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "qmp/message.h"

#include <string.h>

#include "vmctl/base/json.h"

/* Everything the reader says about some input, one line each: the message, or "BAD", or "LONG". */
static void
drain (QmpReader *reader, GString *out)
{
  for (;;) {
    g_autoptr (json_object) message = NULL;
    g_autoptr (GError) error = NULL;
    QmpRead kind = qmp_reader_next (reader, &message, &error);

    g_assert_true ((error != NULL) == (kind == QMP_READ_BAD || kind == QMP_READ_TOO_LONG));
    if (error != NULL)
      g_assert_error (error, QMP_ERROR, QMP_ERROR_PROTOCOL);
    if (kind == QMP_READ_NONE)
      return;
    if (kind == QMP_READ_MESSAGE) {
      g_autofree char *line = vm_json_line (message);

      g_string_append_printf (out, "%s\n", line);
    } else {
      g_string_append (out, kind == QMP_READ_BAD ? "BAD\n" : "LONG\n");
      if (kind == QMP_READ_TOO_LONG)
        return;
    }
  }
}

static char *
read_in_pieces (const char *input, gsize length, gsize piece)
{
  g_autoptr (QmpReader) reader = qmp_reader_new ();
  GString *out = g_string_new (NULL);

  for (gsize at = 0; at < length; at += piece) {
    qmp_reader_feed (reader, input + at, MIN (piece, length - at));
    drain (reader, out);
  }
  return g_string_free (out, FALSE);
}

static void
check_n (const char *input, gsize length, const char *expected)
{
  gsize pieces[] = {length, 1, 2, 3, 7};

  for (guint i = 0; i < G_N_ELEMENTS (pieces); i++) {
    g_autofree char *got = read_in_pieces (input, length, pieces[i]);

    g_assert_cmpstr (got, ==, expected);
  }
}

static void
check (const char *input, const char *expected)
{
  check_n (input, strlen (input), expected);
}

static void
test_framing (void)
{
  check ("{\"return\":{}}\r\n", "{\"return\":{}}\n");
  check ("{\"return\":{}}\n{\"event\":\"A\"}\r\n\r\n\n  \t{\"a\":1}\n",
         "{\"return\":{}}\n{\"event\":\"A\"}\n{\"a\":1}\n");
  check ("{\"a\":\"}\\\"]\\\\\"}", "{\"a\":\"}\\\"]\\\\\"}\n"); /* no newline; brackets in strings */
  check ("{\"a\":1}{\"b\":2} [3] \"x\"", "{\"a\":1}\n{\"b\":2}\n[3]\n\"x\"\n");
  check ("{\n \"a\": [\n 1,\n 2\n ]\n}\n", "{\"a\":[1,2]}\n");
  check ("1 -2.5 true null\n", "1\n-2.5\ntrue\nnull\n");
  check ("1{\"a\":1}", "1\n{\"a\":1}\n");
  check ("{\"a\":", "");
  check ("1", ""); /* may go on */
  check ("", "");
}

/* Two replies and an event, cut at every boundary into two pieces. */
static void
test_every_split (void)
{
  const char *input =
      "{\"return\":{\"a\":\"\\u00e9\\\"\"},\"id\":1}\r\n  {\"timestamp\":{\"seconds\":1},\"event\":\"X\"}\n"
      "{\"error\":{\"class\":\"GenericError\",\"desc\":\"\xc3\xa9\"},\"id\":2}\r\n";
  gsize length = strlen (input);
  g_autofree char *whole = read_in_pieces (input, length, length);

  g_assert_nonnull (strstr (whole, "\"id\":2"));
  for (gsize cut = 1; cut < length; cut++) {
    g_autoptr (QmpReader) reader = qmp_reader_new ();
    g_autoptr (GString) out = g_string_new (NULL);

    qmp_reader_feed (reader, input, cut);
    drain (reader, out);
    qmp_reader_feed (reader, input + cut, length - cut);
    drain (reader, out);
    g_assert_cmpstr (out->str, ==, whole);
  }
}

static void
test_resync (void)
{
  check ("{]\n{\"a\":1}\n", "BAD\n{\"a\":1}\n");
  check ("{\"a\":1,}\n{\"b\":1}\n", "BAD\n{\"b\":1}\n");
  check ("hello world\n{\"b\":1}\n", "BAD\nBAD\n{\"b\":1}\n"); /* two words are two values */
  check ("}}}}\n{\"b\":1}\n", "BAD\n{\"b\":1}\n");
  check ("{\"a\":1} x}\n{\"b\":1}\n", "{\"a\":1}\nBAD\nBAD\n{\"b\":1}\n");
  check ("{\"a\": \"never closed\n{\"b\":1}\n", "BAD\n{\"b\":1}\n");
  check ("{\"a\": \"no brace\"\n{\"b\":1}\n", "BAD\n{\"b\":1}\n");
  check ("{\"a\": \"no brace\"\r\n  {\"b\":1}\n", "BAD\n{\"b\":1}\n");
  check ("{\"a\": \"no brace\" {\"b\":1}\n{\"c\":1}", "BAD\n{\"c\":1}\n");
  check ("{\"a\xff{\"b\":1}", "BAD\n{\"b\":1}\n");
  check ("\xff{\"b\":1}", "BAD\n{\"b\":1}\n");
}

static void
test_refused (void)
{
  static const char *const inputs[] = {
      "{'a':1}",
      "{\"a\":NaN}",
      "{\"a\":Infinity}",
      "{\"a\":-Infinity}",
      "{\"a\":1e999}",
      "{\"a\":\"\\u0000\"}",
      "{\"\\u0000\":1}",
      "{\"a\":\"\x01\"}",
      "{\"a\":\"\xc3\"}",
      "{\"a\":\"\xc0\x80\"}",
      "{\"a\":tru}",
      "{a:1}",
      "{\"a\" 1}",
      "{\"a\":1 \"b\":2}",
      "{\"a\":\"\\x\"}",
      "{/* c */\"a\":1}",
      "[1,]",
      "[,1]",
      "{\"a\":01x}",
      "{1:1}",
      "{\"a\":\"\t\"}",
  };

  for (guint i = 0; i < G_N_ELEMENTS (inputs); i++) {
    g_autofree char *input = g_strconcat (inputs[i], "\n{\"ok\":1}\n", NULL);
    g_autofree char *got = read_in_pieces (input, strlen (input), 1);

    g_autofree char *shown = g_strescape (inputs[i], NULL);

    g_test_message ("%s", shown);
    g_assert_true (g_str_has_prefix (got, "BAD\n"));
    g_assert_true (g_str_has_suffix (got, "\n{\"ok\":1}\n"));
    check (input, got);
  }
  check_n ("{\"a\":\"x\0y\"}\n{\"ok\":1}", 20, "BAD\n{\"ok\":1}\n");
  check_n ("\0\n{\"ok\":1}", 10, "BAD\n{\"ok\":1}\n");
}

/* Neither is an error for json-c; what matters is that they end in one defined value. */
static void
test_odd (void)
{
  check ("{\"a\":1,\"a\":2}", "{\"a\":2}\n");
  check ("{\"a\":\"\\ud800\"}", "{\"a\":\"\xef\xbf\xbd\"}\n");
}

static char *
nested (guint depth)
{
  GString *text = g_string_new ("{\"return\":");

  for (guint i = 1; i < depth; i++)
    g_string_append_c (text, '[');
  for (guint i = 1; i < depth; i++)
    g_string_append_c (text, ']');
  g_string_append (text, "}\n{\"ok\":1}\n");
  return g_string_free (text, FALSE);
}

static void
test_depth (void)
{
  g_autofree char *chain = nested (36); /* query-block on a backing chain of 30 */
  g_autofree char *deep = nested (300);
  g_autofree char *abyss = nested (100000);
  g_autofree char *got = read_in_pieces (chain, strlen (chain), 5);

  g_assert_true (g_str_has_prefix (got, "{\"return\":[[["));
  check (deep, "BAD\n{\"ok\":1}\n");
  check (abyss, "BAD\n{\"ok\":1}\n");
}

/* A message with a string of `filler` bytes, in pieces; what came out. */
static char *
read_long (gsize filler, gsize piece, gboolean *ret_long)
{
  g_autoptr (QmpReader) reader = qmp_reader_new ();
  g_autoptr (GString) out = g_string_new (NULL);
  g_autofree char *bytes = g_malloc (piece);

  qmp_reader_feed (reader, "{\"return\":\"", 11);
  memset (bytes, 'x', piece);
  for (gsize sent = 0; sent < filler; sent += piece) {
    qmp_reader_feed (reader, bytes, MIN (piece, filler - sent));
    drain (reader, out);
    if (out->len > 0)
      break;
  }
  qmp_reader_feed (reader, "\"}\n", 3);
  drain (reader, out);
  *ret_long = g_str_has_suffix (out->str, "LONG\n");
  return g_string_free (g_steal_pointer (&out), FALSE);
}

/* 1 KiB pieces: were anything quadratic, this would take minutes. */
static void
test_long_accepted (void)
{
  gboolean too_long;
  g_autofree char *got = read_long (11 << 20, 1024, &too_long);

  g_assert_false (too_long);
  g_assert_cmpuint (strlen (got), ==, (11 << 20) + strlen ("{\"return\":\"\"}\n"));
}

static void
test_too_long (void)
{
  gboolean too_long;
  g_autofree char *exact = read_long (QMP_LINE_MAX - 13, 65536, &too_long);
  g_autofree char *over = NULL;

  g_assert_false (too_long);
  over = read_long (QMP_LINE_MAX - 12, 65536, &too_long);
  g_assert_true (too_long);
  g_free (g_steal_pointer (&over));
  over = read_long (17 << 20, 65536, &too_long);
  g_assert_true (too_long);
}

/* Many tiny values are many allocations: refused before json-c sees them. */
static void
test_too_many_values (void)
{
  g_autoptr (GString) text = g_string_new ("[0");

  for (guint i = 0; i < (1 << 20); i++)
    g_string_append (text, ",0");
  g_string_append (text, "]\n{\"ok\":1}\n");
  {
    g_autofree char *got = read_in_pieces (text->str, text->len, 65536);

    g_assert_cmpstr (got, ==, "BAD\n{\"ok\":1}\n");
  }
}

static QmpKind
kind_of (const char *text)
{
  g_autoptr (json_object) message = vm_json_parse (text, strlen (text), NULL);

  return qmp_message_kind (message);
}

static void
test_kinds (void)
{
  g_assert_cmpint (kind_of ("{\"QMP\":null}"), ==, QMP_KIND_GREETING);
  g_assert_cmpint (kind_of ("{\"return\":null}"), ==, QMP_KIND_RETURN);
  g_assert_cmpint (kind_of ("{\"id\":1,\"error\":{}}"), ==, QMP_KIND_ERROR);
  g_assert_cmpint (kind_of ("{\"event\":\"X\"}"), ==, QMP_KIND_EVENT);
  g_assert_cmpint (kind_of ("{\"event\":1}"), ==, QMP_KIND_UNKNOWN);
  g_assert_cmpint (kind_of ("{\"execute\":\"x\"}"), ==, QMP_KIND_COMMAND);
  g_assert_cmpint (kind_of ("{}"), ==, QMP_KIND_UNKNOWN);
  g_assert_cmpint (kind_of ("[]"), ==, QMP_KIND_UNKNOWN);
  g_assert_cmpint (kind_of ("null"), ==, QMP_KIND_UNKNOWN);
}

static void
check_text (json_object *take_message, const char *expected)
{
  g_autoptr (json_object) message = take_message;
  g_autoptr (GBytes) bytes = qmp_message_to_bytes (message);
  g_autofree char *text = g_strndup (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));

  g_assert_cmpstr (text, ==, expected);
}

static void
test_makers (void)
{
  check_text (qmp_message_greeting (json_object_new_object ()),
              "{\"QMP\":{\"version\":{},\"capabilities\":[]}}\r\n");
  check_text (qmp_message_command ("stop", NULL), "{\"execute\":\"stop\"}\r\n");
  check_text (qmp_message_command ("a/b", json_object_new_object ()),
              "{\"execute\":\"a/b\",\"arguments\":{}}\r\n");
  check_text (qmp_message_return (NULL), "{\"return\":{}}\r\n");
  check_text (qmp_message_error (NULL, "no\nway"),
              "{\"error\":{\"class\":\"GenericError\",\"desc\":\"no\\nway\"}}\r\n");
  {
    g_autoptr (json_object) event = qmp_message_event ("X", NULL);
    json_object *timestamp = vm_json_object (event, "timestamp");

    g_assert_cmpint (vm_json_int (timestamp, "seconds", 0), >, 1500000000);
    g_assert_cmpint (vm_json_int (timestamp, "microseconds", -1), >=, 0);
    g_assert_false (json_object_object_get_ex (event, "data", NULL));
  }
}

static void
test_error_classes (void)
{
  static const char *const names[] = {"GenericError", "CommandNotFound", "DeviceNotActive", "DeviceNotFound",
                                      "KVMMissingCap"};

  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autoptr (json_object) message = qmp_message_error (names[i], "why");
    g_autoptr (GError) error = qmp_message_to_error (message);

    g_assert_error (error, QMP_ERROR, (int)i);
    g_assert_cmpstr (error->message, ==, "why");
    g_assert_cmpstr (qmp_error_class (error), ==, names[i]);
    g_assert_cmpint (qmp_error_code (names[i]), ==, i);
  }
  g_assert_cmpint (qmp_error_code ("Later"), ==, QMP_ERROR_GENERIC);
  g_assert_cmpint (qmp_error_code (NULL), ==, QMP_ERROR_GENERIC);
  {
    g_autoptr (json_object) odd = vm_json_parse ("{\"error\":7}", 11, NULL);
    g_autoptr (GError) error = qmp_message_to_error (odd);
    g_autoptr (GError) other = g_error_new_literal (QMP_ERROR, QMP_ERROR_TIMEOUT, "late");

    g_assert_error (error, QMP_ERROR, QMP_ERROR_GENERIC);
    g_assert_null (qmp_error_class (other));
  }
}

static void
check_command (const char *text, const char *complaint)
{
  g_autoptr (json_object) message = vm_json_parse (text, strlen (text), NULL);
  g_autoptr (GError) error = NULL;

  g_assert_true (qmp_message_check_command (message, &error) == (complaint == NULL));
  g_assert_cmpstr (error != NULL ? error->message : NULL, ==, complaint);
}

/* QEMU 7.2's own words. */
static void
test_check_command (void)
{
  check_command ("{\"execute\":\"x\",\"arguments\":{},\"id\":null}", NULL);
  check_command ("{}", "QMP input lacks member 'execute'");
  check_command ("[]", "QMP input must be a JSON object");
  check_command ("null", "QMP input must be a JSON object");
  check_command ("{\"execute\":1}", "QMP input member 'execute' must be a string");
  check_command ("{\"execute\":\"x\",\"arguments\":null}", "QMP input member 'arguments' must be an object");
  check_command ("{\"exec-oob\":\"x\"}", "QMP input member 'exec-oob' is unexpected");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/qmp/message/framing", test_framing);
  g_test_add_func ("/qmp/message/every-split", test_every_split);
  g_test_add_func ("/qmp/message/resync", test_resync);
  g_test_add_func ("/qmp/message/refused", test_refused);
  g_test_add_func ("/qmp/message/odd", test_odd);
  g_test_add_func ("/qmp/message/depth", test_depth);
  g_test_add_func ("/qmp/message/long-accepted", test_long_accepted);
  g_test_add_func ("/qmp/message/too-long", test_too_long);
  g_test_add_func ("/qmp/message/too-many-values", test_too_many_values);
  g_test_add_func ("/qmp/message/kinds", test_kinds);
  g_test_add_func ("/qmp/message/makers", test_makers);
  g_test_add_func ("/qmp/message/error-classes", test_error_classes);
  g_test_add_func ("/qmp/message/check-command", test_check_command);
  return g_test_run ();
}
