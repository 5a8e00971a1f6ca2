/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/event-text.h"

#include "vmctl/base/json.h"
#include "vmctl/net-log.h"
#include "vmctl/show.h"

enum { SUMMARY_MAX = 400 };

static int
seconds_up (gint64 ms)
{
  return (int)((CLAMP (ms, 0, G_MAXINT32) + 999) / 1000);
}

static char *
say_stopping (json_object *data)
{
  const char *step = vm_json_str (data, "step", "");
  gint64 deadline = vm_json_int (data, "deadline-ms", 0);

  return deadline > 0 ? g_strdup_printf ("%s, at most %d s", step, seconds_up (deadline)) : g_strdup (step);
}

static char *
say_restart (json_object *data)
{
  const char *text = vm_json_str (data, "text", "");
  gint64 delay = vm_json_int (data, "delay-ms", 0);

  return delay > 0 ? g_strdup_printf ("%s: in %d s", text, seconds_up (delay)) : g_strdup (text);
}

static char *
say_exit (json_object *data)
{
  g_autofree char *session = g_strdup_printf ("session %d", (int)vm_json_int (data, "session", 0));
  gint64 signal = vm_json_int (data, "signal", 0);

  return signal != 0 ? g_strdup_printf ("%s ended by signal %d", session, (int)signal)
                     : g_strdup_printf ("%s ended with %d", session, (int)vm_json_int (data, "status", 0));
}

static char *
say_state (json_object *data)
{
  const char *why = vm_json_str (data, "why", NULL);

  return g_strconcat (vm_json_str (data, "state", ""), why != NULL ? ": " : NULL, why, NULL);
}

static char *
say_ended (json_object *data)
{
  return g_strdup_printf ("%s: %s", vm_json_str (data, "reason", ""), vm_json_str (data, "text", ""));
}

static char *
say_warning (json_object *data)
{
  return g_strdup (vm_json_str (data, "text", ""));
}

static char *
say_net (json_object *data)
{
  return g_strdup (vm_json_str (data, "words", ""));
}

static char *
say_refused (json_object *data)
{
  g_autofree char *target = vm_net_target (data);

  return g_strdup_printf ("%s %s: %s", vm_json_str (data, "protocol", ""), target,
                          vm_json_str (data, "rule", ""));
}

char *
vm_event_summary (const char *name, json_object *event_data)
{
  static const struct {
    const char *name;
    char *(*say) (json_object *data);
  } known[] = {
      {"SANDBOX_STATE", say_state},     {"SANDBOX_STOPPING", say_stopping},
      {"SANDBOX_RESTART", say_restart}, {"SANDBOX_WARNING", say_warning},
      {"SANDBOX_ENDED", say_ended},     {"SESSION_EXIT", say_exit},
      {"SANDBOX_NET", say_net},         {"SANDBOX_NET_REFUSED", say_refused},
  };
  g_autofree char *text = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (known) && text == NULL; i++)
    if (g_str_equal (known[i].name, name))
      text = known[i].say (event_data);
  if (text == NULL && event_data != NULL && json_object_object_length (event_data) > 0)
    text = vm_json_line (event_data);
  return vm_show_safe (text != NULL ? text : "", SUMMARY_MAX);
}

char *
vm_event_time (json_object *message, gint64 now, GTimeZone *zone)
{
  json_object *stamp = vm_json_object (message, "timestamp");
  gint64 seconds = vm_json_int (stamp, "seconds", now / G_USEC_PER_SEC);
  gint64 micro = vm_json_int (stamp, "microseconds", now % G_USEC_PER_SEC);
  g_autoptr (GDateTime) utc = g_date_time_new_from_unix_utc (seconds);
  g_autoptr (GDateTime) local = utc != NULL ? g_date_time_to_timezone (utc, zone) : NULL;
  g_autofree char *day = local != NULL ? g_date_time_format (local, "%Y-%m-%d %H:%M:%S") : g_strdup ("-");

  return g_strdup_printf ("%s.%03d", day, (int)(CLAMP (micro, 0, G_USEC_PER_SEC - 1) / 1000));
}

/* Outside of strings JSON is ASCII: what is not can only be within one, where an escape means the same. */
static char *
to_ascii (const char *line)
{
  GString *out = g_string_new (NULL);

  for (const char *p = line; *p != '\0'; p = g_utf8_next_char (p)) {
    gunichar c = g_utf8_get_char (p);

    if (c < 0x7f)
      g_string_append_c (out, (char)c);
    else if (c < 0x10000)
      g_string_append_printf (out, "\\u%04x", c);
    else
      g_string_append_printf (out, "\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10), 0xdc00 + (c & 0x3ff));
  }
  return g_string_free (out, FALSE);
}

static json_object *
stamp_of (gint64 now)
{
  json_object *stamp = json_object_new_object ();

  vm_json_add_int (stamp, "seconds", now / G_USEC_PER_SEC);
  vm_json_add_int (stamp, "microseconds", now % G_USEC_PER_SEC);
  return stamp;
}

char *
vm_event_json (const char *id, const char *sandbox_name, const char *name, json_object *event_data,
               json_object *message, gint64 now)
{
  g_autoptr (json_object) object = json_object_new_object ();
  json_object *stamp = vm_json_object (message, "timestamp");
  g_autofree char *line = NULL;

  vm_json_add_str (object, "sandbox", id);
  vm_json_add_str (object, "name", sandbox_name);
  vm_json_add_str (object, "event", name);
  if (event_data != NULL)
    vm_json_add (object, "data", json_object_get (event_data));
  vm_json_add (object, "timestamp", stamp != NULL ? json_object_get (stamp) : stamp_of (now));
  line = vm_json_line (object);
  return to_ascii (line);
}
