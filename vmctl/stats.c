/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/stats.h"

#include "vmctl/base/file.h"
#include "vmctl/base/json.h"
#include "vmctl/show.h"
#include "vmctl/table.h"

static const char *const headers[] = {"NAME",    "STATE",   "CPU",       "TIME",   "MEMORY",   "LIMIT",
                                      "BALLOON", "READ",    "WRITTEN",   "DISK",   "RECEIVED", "SENT",
                                      "FLOWS",   "REFUSED", "PROCESSES", "UPTIME", NULL};

double
vm_stats_percent (json_object *before, json_object *now)
{
  gint64 time = vm_json_int (now, "now-us", 0) - vm_json_int (before, "now-us", 0);
  gint64 busy = vm_json_int (now, "cpu-us", 0) - vm_json_int (before, "cpu-us", 0);

  return time > 0 && busy >= 0 && before != NULL ? (double)busy * 100 / (double)time : -1;
}

/* "-": it is not known, or not counted. (transfer full) */
static char *
size_of (json_object *object, const char *key)
{
  gint64 bytes = vm_json_int (object, key, -1);

  return bytes >= 0 ? vm_size_format ((guint64)bytes) : g_strdup ("-");
}

static char *
count_of (json_object *object, const char *key)
{
  gint64 count = vm_json_int (object, key, -1);

  return count >= 0 ? g_strdup_printf ("%" G_GINT64_FORMAT, count) : g_strdup ("-");
}

static char *
percent_of (json_object *answer)
{
  json_object *value = NULL;

  if (!json_object_object_get_ex (answer, "cpu-percent", &value))
    return g_strdup ("-");
  return g_strdup_printf ("%.1f%%", json_object_get_double (value));
}

static void
add_row (VmTable *table, json_object *answer)
{
  json_object *memory = vm_json_object (answer, "memory"), *disk = vm_json_object (answer, "disk");
  json_object *net = vm_json_object (answer, "net");
  gboolean has_pss = vm_json_int (memory, "pss", -1) >= 0;
  g_autofree char *cpu = percent_of (answer), *used = size_of (memory, has_pss ? "pss" : "rss");
  g_autofree char *limit = size_of (memory, "limit"), *balloon = size_of (memory, "balloon");
  g_autofree char *bytes_read = size_of (disk, "read"), *written = size_of (disk, "written");
  g_autofree char *allocated = size_of (disk, "allocated"), *received = size_of (net, "received");
  g_autofree char *sent = size_of (net, "sent");
  g_autofree char *flows = count_of (net, "flows"), *refused = count_of (net, "refused");
  g_autofree char *time =
      g_strdup_printf ("%.1fs", (double)vm_json_int (answer, "cpu-us", 0) / G_USEC_PER_SEC);
  g_autofree char *processes = g_strdup_printf ("%d", (int)vm_json_int (answer, "processes", 0));
  g_autofree char *uptime = vm_show_duration (vm_json_int (answer, "uptime-us", 0));

  vm_table_add (table,
                (const char *const[]){vm_json_str (answer, "name", "?"), vm_json_str (answer, "state", "?"),
                                      cpu, time, used, limit, balloon, bytes_read, written, allocated,
                                      received, sent, flows, refused, processes, uptime, NULL});
}

char *
vm_stats_table (GPtrArray *answers, gboolean colour)
{
  g_autoptr (VmTable) table = vm_table_new (headers);

  for (guint i = 0; i < answers->len; i++)
    add_row (table, g_ptr_array_index (answers, i));
  return vm_table_to_string (table, colour);
}
