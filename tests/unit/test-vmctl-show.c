/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What people see: tables, durations, what isolation is called. */
#include <string.h>

#include "vmctl/show.h"
#include "vmctl/table.h"

static const char *const headers[] = {"ID", "NAME", "LAST", NULL};

static void
table_aligned (void)
{
  g_autoptr (VmTable) table = vm_table_new (headers);
  g_autofree char *plain = NULL, *colour = NULL;

  vm_table_add (table, (const char *const[]){"a", "long name", "x", NULL});
  vm_table_add (table, (const char *const[]){"abc", "", "", NULL});
  plain = vm_table_to_string (table, FALSE);
  g_assert_cmpstr (plain, ==,
                   "ID   NAME       LAST\n"
                   "a    long name  x\n"
                   "abc\n");
  colour = vm_table_to_string (table, TRUE);
  g_assert_true (g_str_has_prefix (colour, "\033[1mID   NAME       LAST\033[0m\na "));
}

/* Wide characters take two columns, combining ones none; what could move the cursor is written out. */
static void
table_foreign (void)
{
  g_autoptr (VmTable) table = vm_table_new (headers);
  g_autofree char *text = NULL;

  vm_table_add (table, (const char *const[]){"日本", "e\xcc\x81", "1", NULL});
  vm_table_add (table, (const char *const[]){"abcd", "e", "2", NULL});
  vm_table_add (table, (const char *const[]){"\033[2J", "a\nb", "\xff\\", NULL});
  text = vm_table_to_string (table, FALSE);
  g_assert_cmpstr (text, ==,
                   "ID       NAME  LAST\n"
                   "日本     e\xcc\x81     1\n"
                   "abcd     e     2\n"
                   "\\x1b[2J  a\\nb  \\xff\\\n");
}

static void
check_duration (gint64 seconds, const char *want)
{
  g_autofree char *text = vm_show_duration (seconds * G_USEC_PER_SEC);

  g_assert_cmpstr (text, ==, want);
}

static void
durations (void)
{
  check_duration (-5, "0s");
  check_duration (0, "0s");
  check_duration (59, "59s");
  check_duration (60, "1m");
  check_duration (3599, "59m");
  check_duration (3600, "1h0m");
  check_duration (7500, "2h5m");
  check_duration (86400, "1d0h");
  check_duration (86400 * 400 + 3600, "400d1h");
}

static void
check_isolation (const char *isolation, const char *accel, const char *want, gboolean has_note)
{
  g_autoptr (VmRecord) record = vm_record_new ();
  g_autofree char *text = NULL;

  record->isolation = g_strdup (isolation);
  record->accel = g_strdup (accel);
  text = vm_show_isolation (record);
  g_assert_cmpstr (text, ==, want);
  g_assert_true ((vm_show_isolation_note (record) != NULL) == has_note);
}

/* Never more than is true: only KVM makes a virtual machine a boundary. */
static void
isolation (void)
{
  check_isolation ("vm", "kvm", "vm (kvm)", FALSE);
  check_isolation ("vm", "tcg", "vm (tcg: no security boundary)", TRUE);
  check_isolation ("vm", NULL, "vm (tcg: no security boundary)", TRUE);
  check_isolation ("none", NULL, "none (for tests only)", TRUE);
  check_isolation ("namespace", NULL, "namespace", FALSE);
}

static void
check_command (char **command, gsize max, const char *want)
{
  g_autofree char *text = vm_show_command (command, max);

  g_assert_cmpstr (text, ==, want);
  g_assert_true (g_utf8_validate (text, -1, NULL));
}

static void
commands (void)
{
  check_command (NULL, 0, "(login shell)");
  check_command ((char *[]){(char *)"make", (char *)"a b", (char *)"", NULL}, 0, "make 'a b' ''");
  check_command ((char *[]){(char *)"abcdefgh", NULL}, 4, "abcd...");
  /* Never half a character. */
  check_command ((char *[]){(char *)"abcü", NULL}, 5, "'abc...");
  check_command ((char *[]){(char *)"üüü", NULL}, 5, "'üü...");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/vmctl/table/aligned", table_aligned);
  g_test_add_func ("/vmctl/table/foreign", table_foreign);
  g_test_add_func ("/vmctl/show/durations", durations);
  g_test_add_func ("/vmctl/show/isolation", isolation);
  g_test_add_func ("/vmctl/show/commands", commands);
  return g_test_run ();
}
