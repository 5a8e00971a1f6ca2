/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/file.h"
#include "vmctl/log.h"

typedef struct {
  char *path;
  int dir;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  f->path = g_dir_make_tmp ("vmctl-log-XXXXXX", NULL);
  f->dir = open (f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  close (f->dir);
  g_assert_true (vm_file_remove_tree (AT_FDCWD, f->path, NULL));
  g_free (f->path);
}

static gint64
size_of (Fixture *f, const char *name)
{
  struct stat st;

  return fstatat (f->dir, name, &st, 0) == 0 ? st.st_size : -1;
}

static void
assert_tail (Fixture *f, gsize max, const char *expected)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = vm_log_tail (f->dir, "x.log", max, &error);

  g_assert_no_error (error);
  g_assert_cmpmem (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), expected, strlen (expected));
}

static void
test_append (Fixture *f, gconstpointer data)
{
  g_autoptr (VmLog) log = vm_log_open (f->dir, "x.log", 1000, NULL);
  struct stat st;

  vm_log_write (log, "one", 3);
  g_clear_pointer (&log, vm_log_free);
  log = vm_log_open (f->dir, "x.log", 1000, NULL);
  vm_log_write (log, "two", 3);
  assert_tail (f, 100, "onetwo");
  assert_tail (f, 4, "etwo");
  assert_tail (f, 0, "");
  g_assert_cmpint (fstatat (f->dir, "x.log", &st, 0), ==, 0);
  g_assert_cmpuint (st.st_mode & 0777, ==, 0600);
}

static void
test_rotate (Fixture *f, gconstpointer data)
{
  g_autoptr (VmLog) log = vm_log_open (f->dir, "x.log", 10, NULL);

  vm_log_write (log, "0123456789", 10);
  g_assert_cmpint (size_of (f, "x.log.1"), ==, -1);
  vm_log_write (log, "abc", 3);
  g_assert_cmpint (size_of (f, "x.log.1"), ==, 10);
  assert_tail (f, 100, "0123456789abc");
  assert_tail (f, 5, "89abc");
  vm_log_write (log, "defghijk", 8);
  assert_tail (f, 100, "abcdefghijk");
}

static void
test_bound (Fixture *f, gconstpointer data)
{
  g_autoptr (VmLog) log = vm_log_open (f->dir, "x.log", 100, NULL);
  g_autofree char *much = g_strnfill (1000, 'm');

  for (guint i = 0; i < 1000; i++) {
    vm_log_write (log, much, i % 300);
    g_assert_cmpint (size_of (f, "x.log"), <=, 100);
    g_assert_cmpint (size_of (f, "x.log.1"), <=, 100);
  }
  vm_log_write (log, "the end", 7);
  memcpy (much + 993, "the end", 7);
  vm_log_write (log, much, 1000); /* of too much the end stays */
  assert_tail (f, 7, "the end");
}

static void
test_line (Fixture *f, gconstpointer data)
{
  g_autoptr (VmLog) log = vm_log_open (f->dir, "x.log", 1000, NULL);
  g_autoptr (GBytes) bytes = NULL;
  g_autofree char *text = NULL;

  vm_log_line (log, "state %s", "running");
  bytes = vm_log_tail (f->dir, "x.log", 1000, NULL);
  text = g_strndup (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
  g_assert_true (g_regex_match_simple (
      "^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z state running\n$", text, 0, 0));
}

static void
test_refused (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (symlinkat ("/dev/null", f->dir, "x.log"), ==, 0);
  g_assert_null (vm_log_open (f->dir, "x.log", 10, &error));
  g_assert_nonnull (strstr (error->message, "'x.log'"));
  g_clear_error (&error);
  g_assert_null (vm_log_tail (f->dir, "x.log", 10, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_FAILED);
  g_assert_cmpint (unlinkat (f->dir, "x.log", 0), ==, 0);
  g_assert_cmpint (mkfifoat (f->dir, "x.log", 0600), ==, 0);
  g_clear_error (&error);
  g_assert_null (vm_log_tail (f->dir, "x.log", 10, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_FAILED);
}

static void
test_absent (Fixture *f, gconstpointer data)
{
  assert_tail (f, 100, "");
}

/* A log that cannot be written drops what it gets, and goes on once it can. */
static void
test_in_the_way (Fixture *f, gconstpointer data)
{
  g_autoptr (VmLog) log = vm_log_open (f->dir, "x.log", 10, NULL);

  vm_log_write (log, "01234567", 8);
  g_assert_cmpint (unlinkat (f->dir, "x.log", 0), ==, 0);
  g_assert_cmpint (mkdirat (f->dir, "x.log.1", 0700), ==, 0);
  g_assert_cmpint (mkdirat (f->dir, "x.log.1/y", 0700), ==, 0);
  g_assert_cmpint (mkdirat (f->dir, "x.log", 0700), ==, 0);
  vm_log_write (log, "dropped", 7);
  vm_log_write (log, "dropped", 7);
  g_assert_cmpint (unlinkat (f->dir, "x.log", AT_REMOVEDIR), ==, 0);
  vm_log_write (log, "kept", 4);
  g_assert_cmpint (size_of (f, "x.log"), ==, 4);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func) g_test_add ("/vmctl/log/" name, Fixture, NULL, set_up, func, tear_down)
  ADD ("append", test_append);
  ADD ("rotate", test_rotate);
  ADD ("bound", test_bound);
  ADD ("line", test_line);
  ADD ("refused", test_refused);
  ADD ("absent", test_absent);
  ADD ("in-the-way", test_in_the_way);
  return g_test_run ();
}
