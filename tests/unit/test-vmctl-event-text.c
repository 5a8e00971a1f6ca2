/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Events as lines: what is said, and that nothing of it reaches a terminal as it is. */
#include "vmctl/event-text.h"

#include <string.h>

#include "vmctl/base/json.h"

static void
check_summary (const char *name, const char *data, const char *want)
{
  g_autoptr (json_object) object = data != NULL ? vm_json_parse_object (data, strlen (data), NULL) : NULL;
  g_autofree char *text = vm_event_summary (name, object);

  g_assert_cmpstr (text, ==, want);
}

static void
summaries (void)
{
  check_summary ("SANDBOX_STATE", "{\"state\": \"running\"}", "running");
  check_summary ("SANDBOX_STATE", "{\"state\": \"paused\", \"why\": \"full\"}", "paused: full");
  check_summary ("SANDBOX_STOPPING", "{\"step\": \"powerdown\", \"deadline-ms\": 9001}",
                 "powerdown, at most 10 s");
  check_summary ("SANDBOX_STOPPING", "{\"step\": \"kill\", \"deadline-ms\": 0}", "kill");
  check_summary ("SANDBOX_RESTART", "{\"text\": \"x\", \"delay-ms\": 2000}", "x: in 2 s");
  check_summary ("SANDBOX_RESTART", "{\"text\": \"x\", \"delay-ms\": 0}", "x");
  check_summary ("SANDBOX_ENDED", "{\"reason\": \"exited\", \"text\": \"exited with 3\"}",
                 "exited: exited with 3");
  check_summary ("SESSION_EXIT", "{\"session\": 2, \"status\": 5}", "session 2 ended with 5");
  check_summary ("SESSION_EXIT", "{\"session\": 2, \"status\": 137, \"signal\": 9}",
                 "session 2 ended by signal 9");
  check_summary ("STOP", NULL, "");
  check_summary ("STOP", "{}", "");
  check_summary ("RTC_CHANGE", "{\"offset\": 1}", "{\"offset\":1}");
}

/* Members that are missing or of another kind; what would move a cursor; what is too long. */
static void
foreign (void)
{
  g_autofree char *long_text = g_strnfill (5000, 'x');
  g_autofree char *data = g_strdup_printf ("{\"text\": \"%s\"}", long_text);
  g_autoptr (json_object) object = vm_json_parse_object (data, strlen (data), NULL);
  g_autofree char *text = vm_event_summary ("SANDBOX_WARNING", object);

  g_assert_cmpuint (strlen (text), <, 500);
  check_summary ("SANDBOX_STATE", NULL, "");
  check_summary ("SANDBOX_STOPPING", "{\"step\": 5, \"deadline-ms\": \"x\"}", "");
  check_summary ("SANDBOX_STOPPING", "{\"step\": \"quit\", \"deadline-ms\": 9223372036854775807}",
                 "quit, at most 2147484 s");
  check_summary ("SANDBOX_WARNING", "{\"text\": \"a\\u001b[2Jb\\nc\\u009b\"}", "a\\x1b[2Jb\\nc\\u{9b}");
  check_summary ("X", "{\"a\": \"\\u202e\"}", "{\"a\":\"\\u{202e}\"}");
}

static void
times (void)
{
  static const char event[] = "{\"timestamp\": {\"seconds\": 1700000000, \"microseconds\": 5999}}";
  static const char bad[] = "{\"timestamp\": {\"seconds\": 9223372036854775807, \"microseconds\": -7}}";
  g_autoptr (GTimeZone) zone = g_time_zone_new_utc ();
  g_autoptr (json_object) message = vm_json_parse_object (event, strlen (event), NULL);
  g_autoptr (json_object) nonsense = vm_json_parse_object (bad, strlen (bad), NULL);
  g_autofree char *own = vm_event_time (message, 0, zone);
  g_autofree char *now = vm_event_time (NULL, G_GINT64_CONSTANT (1700000001250000), zone);
  g_autofree char *none = vm_event_time (nonsense, 0, zone);

  g_assert_cmpstr (own, ==, "2023-11-14 22:13:20.005");
  g_assert_cmpstr (now, ==, "2023-11-14 22:13:21.250");
  g_assert_cmpstr (none, ==, "-.000");
}

static void
lines (void)
{
  static const char event[] =
      "{\"event\": \"E\", \"data\": {\"t\": \"\\u001b\\u0080\\u00e4\\ud83d\\ude00\\u007f\"}, "
      "\"timestamp\": {\"seconds\": 3, \"microseconds\": 4}}";
  g_autoptr (json_object) message = vm_json_parse_object (event, strlen (event), NULL);
  g_autofree char *whole = vm_event_json ("abc", "n", "E", vm_json_object (message, "data"), message, 0);
  g_autofree char *made = vm_event_json ("abc", "n", "E", NULL, NULL, 2000005);

  g_assert_cmpstr (
      whole, ==,
      "{\"sandbox\":\"abc\",\"name\":\"n\",\"event\":\"E\",\"data\":{\"t\":\"\\u001b\\u0080\\u00e4"
      "\\ud83d\\ude00\\u007f\"},\"timestamp\":{\"seconds\":3,\"microseconds\":4}}");
  g_assert_cmpstr (made, ==,
                   "{\"sandbox\":\"abc\",\"name\":\"n\",\"event\":\"E\",\"timestamp\":{\"seconds\":2,"
                   "\"microseconds\":5}}");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/vmctl/event-text/summaries", summaries);
  g_test_add_func ("/vmctl/event-text/foreign", foreign);
  g_test_add_func ("/vmctl/event-text/times", times);
  g_test_add_func ("/vmctl/event-text/lines", lines);
  return g_test_run ();
}
