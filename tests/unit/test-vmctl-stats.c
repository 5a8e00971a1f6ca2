/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What sandboxes use: the files of /proc, the table, and what a core is written as. */
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmctl/base/json.h"
#include "vmctl/core-dump.h"
#include "vmctl/stats.h"
#include "vmctl/usage.h"

static json_object *
parse (const char *text)
{
  GError *error = NULL;
  json_object *object = vm_json_parse_object (text, strlen (text), &error);

  g_assert_no_error (error);
  return object;
}

static void
stat_line (void)
{
  static const char line[] =
      "42 (a) b (c) S 7 42 42 0 -1 4194304 1 2 3 4 100 20 3000 400000 20 0 1 0 99 1 2\n";
  static const char *const bad[] = {"", "42", "42 (x)", "42 (x) S 7",
                                    "42 (x) S 7 1 2 3 4 5 6 7 8 9 10 11 12"};
  guint64 ticks;
  pid_t parent;

  g_assert_true (vm_usage_parse_stat (line, &parent, &ticks));
  g_assert_cmpint (parent, ==, 7);
  g_assert_cmpuint (ticks, ==, 403120);
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    g_assert_false (vm_usage_parse_stat (bad[i], &parent, &ticks));
}

static void
net_lines (void)
{
  static const char text[] =
      "Inter-|   Receive                                                |  Transmit\n"
      " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo\n"
      "    lo:     500       5    0    0    0     0          0         0      500       5    0    0    0\n"
      "  tap00:      1       2    0    0    0     0          0         0        3       5    0    0    0\n"
      "  tap0: 7000000000  12    0    0    0     0          0         0     4321      10    0    0    0\n";
  guint64 received = 0, sent = 0;

  g_assert_true (vm_usage_parse_net (text, "tap0", &received, &sent));
  g_assert_cmpuint (received, ==, G_GUINT64_CONSTANT (7000000000));
  g_assert_cmpuint (sent, ==, 4321);
  g_assert_false (vm_usage_parse_net (text, "tap", &received, &sent));
  g_assert_false (vm_usage_parse_net ("", "tap0", &received, &sent));
}

/* This process and a child; then one that is not there. */
static void
gathered (void)
{
  VmGroups none = {0};
  VmUsage usage;
  int ends[2];
  pid_t pid;

  g_assert_cmpint (pipe (ends), ==, 0);
  pid = fork ();
  if (pid == 0) {
    char byte;

    (void)close (ends[1]);
    _exit (read (ends[0], &byte, 1) == 0 ? 0 : 1);
  }
  (void)close (ends[0]);
  vm_usage_gather (getpid (), &none, NULL, &usage);
  g_assert_cmpuint (usage.processes, ==, 2);
  g_assert_cmpuint (usage.rss, >, 100000);
  g_assert_true (usage.has_pss);
  g_assert_cmpuint (usage.pss, <=, usage.rss);
  g_assert_false (usage.has_net);
  (void)close (ends[1]);
  g_assert_cmpint (waitpid (pid, NULL, 0), ==, pid);
  vm_usage_gather (pid, &none, "tap0", &usage);
  g_assert_cmpuint (usage.processes, ==, 0);
  g_assert_cmpuint (usage.rss, ==, 0);
}

static void
percent (void)
{
  g_autoptr (json_object) before = parse ("{\"now-us\": 1000000, \"cpu-us\": 500000}");
  g_autoptr (json_object) after = parse ("{\"now-us\": 3000000, \"cpu-us\": 1500000}");
  g_autoptr (json_object) anew = parse ("{\"now-us\": 3000000, \"cpu-us\": 1}");

  g_assert_cmpfloat (vm_stats_percent (before, after), ==, 50);
  g_assert_cmpfloat (vm_stats_percent (before, anew), <, 0);
  g_assert_cmpfloat (vm_stats_percent (after, after), <, 0);
  g_assert_cmpfloat (vm_stats_percent (NULL, after), <, 0);
}

static void
free_json (gpointer data)
{
  json_object_put (data);
}

static void
table (void)
{
  g_autoptr (GPtrArray) answers = g_ptr_array_new_with_free_func (free_json);
  g_autofree char *text = NULL;

  g_ptr_array_add (
      answers,
      parse ("{\"name\": \"vm\", \"state\": \"running\", \"cpu-percent\": 12.34, \"cpu-us\": 61200000, "
             "\"processes\": 5, \"uptime-us\": 61000000, "
             "\"memory\": {\"rss\": 2097152, \"pss\": 1048576, \"limit\": 3145728, \"balloon\": 4194304}, "
             "\"disk\": {\"read\": 1024, \"written\": 0, \"allocated\": 2048}, \"net\": null}"));
  g_ptr_array_add (answers,
                   parse ("{\"name\": \"\\u001b[2J\", \"state\": \"paused\", \"disk\": null, "
                          "\"memory\": {\"rss\": 2097152, \"limit\": 3145728}, "
                          "\"net\": {\"received\": 1, \"sent\": 2, \"flows\": 3, \"refused\": 44}}"));
  text = vm_stats_table (answers, FALSE);
  g_assert_cmpstr (text, ==,
                   "NAME     STATE    CPU    TIME   MEMORY  LIMIT  BALLOON  READ   WRITTEN  DISK   RECEIVED  "
                   "SENT  FLOWS  REFUSED  PROCESSES  "
                   "UPTIME\n"
                   "vm       running  12.3%  61.2s  1 MiB   3 MiB  4 MiB    1 KiB  0 B      2 KiB  -         "
                   "-     -      -        5          1m\n"
                   "\\x1b[2J  paused   -      0.0s   2 MiB   3 MiB  -        -      -        -      1 B      "
                   " 2 B   3      44       0          "
                   "0s\n");
}

static void
core_format (void)
{
  g_autoptr (json_object) all = parse ("{\"formats\": [\"elf\", \"kdump-lzo\", \"kdump-zlib\"]}");
  g_autoptr (json_object) elf = parse ("{\"formats\": [\"elf\", 5]}");
  g_autoptr (json_object) none = parse ("{}");

  g_assert_cmpstr (vm_core_choose_format (all), ==, "kdump-zlib");
  g_assert_cmpstr (vm_core_choose_format (elf), ==, "elf");
  g_assert_cmpstr (vm_core_choose_format (none), ==, "elf");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/vmctl/usage/stat", stat_line);
  g_test_add_func ("/vmctl/usage/net", net_lines);
  g_test_add_func ("/vmctl/usage/gathered", gathered);
  g_test_add_func ("/vmctl/stats/percent", percent);
  g_test_add_func ("/vmctl/stats/table", table);
  g_test_add_func ("/vmctl/core-dump/format", core_format);
  return g_test_run ();
}
