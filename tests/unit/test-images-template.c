/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/template.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/image-fixture.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"

#define KEY "0123456789abcdef0123456789abcdef"
#define OTHER "fedcba9876543210fedcba9876543210"

enum { RAM = 1 << 20, PIECE = 65536 };

/* (transfer full) the template's path */
static char *
path_of (Fixture *f, const char *key)
{
  g_autofree char *cache = fixture_path (f, "cache");

  return image_template_path (cache, key);
}

static void
put (const ImageTemplatePart *part, const char *name, char byte, gsize length)
{
  g_autofree char *data = g_malloc (length);
  g_autoptr (GError) error = NULL;
  vm_autofd fd = image_template_create (part, name, &error);

  g_assert_no_error (error);
  memset (data, byte, length);
  g_assert_true (vm_fd_write_all (fd, data, length, NULL));
}

/* (transfer full) the template's path */
static char *
make (Fixture *f, const char *key)
{
  g_auto (ImageTemplatePart) part = IMAGE_TEMPLATE_PART_INIT;
  g_autoptr (GError) error = NULL;
  char *path = path_of (f, key);

  (void)image_template_begin (path, FALSE, NULL, NULL, &part, &error);
  g_assert_no_error (error);
  put (&part, "ram", 'r', RAM);
  put (&part, "state", 's', PIECE);
  put (&part, "disk", 'd', PIECE);
  (void)image_template_commit (&part, json_object_new_object (), &error);
  g_assert_no_error (error);
  return path;
}

static void
assert_opens (const char *path)
{
  g_auto (ImageTemplateFiles) files = IMAGE_TEMPLATE_FILES_INIT;
  g_autoptr (GError) error = NULL;
  char byte = 0;

  (void)image_template_open (path, &files, &error);
  g_assert_no_error (error);
  g_assert_cmpint (read (files.state, &byte, 1), ==, 1);
  g_assert_cmpint (byte, ==, 's');
  g_assert_cmpint (write (files.state, &byte, 1), ==, -1);
}

static void
assert_refused (const char *path, const char *needle)
{
  g_auto (ImageTemplateFiles) files = IMAGE_TEMPLATE_FILES_INIT;
  g_autoptr (GError) error = NULL;

  g_assert_false (image_template_open (path, &files, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_INVALID);
  g_assert_nonnull (strstr (error->message, needle));
  g_assert_cmpint (files.state, ==, -1);
}

static void
test_life (Fixture *f, gconstpointer data)
{
  g_autofree char *cache = fixture_path (f, "cache"), *path = NULL;
  g_auto (GStrv) none = image_template_keys (cache), one = NULL;
  g_auto (ImageTemplateFiles) files = IMAGE_TEMPLATE_FILES_INIT;
  g_autoptr (GPtrArray) all = NULL;
  g_autoptr (GError) error = NULL;
  const ImageTemplate *template;
  struct stat st;

  g_assert_cmpuint (g_strv_length (none), ==, 0);
  path = make (f, KEY);
  one = image_template_keys (cache);
  g_assert_cmpstr (one[0], ==, KEY);
  g_assert_cmpint (stat (path, &st), ==, 0);
  g_assert_cmpuint (st.st_mode & 0777, ==, 0700);
  assert_opens (path);
  g_assert_true (image_template_open (path, &files, NULL));
  image_template_used (&files);
  image_template_used (&files);
  all = image_template_scan (cache, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (all->len, ==, 1);
  template = g_ptr_array_index (all, 0);
  g_assert_cmpuint (template->uses, ==, 2);
  g_assert_cmpint (template->used + G_USEC_PER_SEC, >=, template->created); /* ticks */
  g_assert_null (template->problem);
  g_assert_cmpuint (template->bytes, >=, RAM + 2 * PIECE);
  assert_opens (path); /* a use is no change */
  g_assert_true (image_template_remove (path, NULL));
  g_assert_true (image_template_remove (path, NULL));
  g_assert_cmpuint (fixture_count (cache, ".part-"), ==, 0);
}

static void
test_absent (Fixture *f, gconstpointer data)
{
  g_autofree char *path = path_of (f, KEY);
  g_auto (ImageTemplateFiles) files = IMAGE_TEMPLATE_FILES_INIT;
  g_autoptr (GError) error = NULL;

  g_assert_false (image_template_open (path, &files, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_NOT_FOUND);
}

/* Whatever was done to a file, it is seen: cut anywhere, overwritten with what was there, made another's. */
static void
test_changed (Fixture *f, gconstpointer data)
{
  static const char *const names[] = {"ram", "state", "disk"};

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    for (int how = 0; how < 6; how++) {
      g_autofree char *path = make (f, KEY), *file = g_build_filename (path, names[i], NULL);
      g_autofree char *aside = g_build_filename (path, "aside", NULL);
      vm_autofd fd = open (file, O_RDWR | O_CLOEXEC);

      g_assert_cmpint (fd, >=, 0);
      if (how == 0)
        g_assert_cmpint (pwrite (fd, i == 0 ? "r" : i == 1 ? "s" : "d", 1, 0), ==, 1);
      else if (how == 1)
        g_assert_cmpint (unlink (file), ==, 0);
      else if (how == 2)
        g_assert_true (unlink (file) == 0 && mkfifo (file, 0600) == 0);
      else if (how == 3)
        g_assert_true (rename (file, aside) == 0 && symlink ("aside", file) == 0);
      else if (how == 4)
        g_assert_cmpint (fchmod (fd, 0644), ==, 0);
      else
        g_assert_cmpint (ftruncate (fd, 0), ==, 0);
      assert_refused (path, names[i]);
      g_assert_true (image_template_remove (path, NULL));
    }
}

static void
test_truncated (Fixture *f, gconstpointer data)
{
  g_autofree char *path = make (f, KEY), *file = g_build_filename (path, "ram", NULL);

  for (off_t size = RAM - PIECE; size >= 0; size -= PIECE) {
    g_assert_cmpint (truncate (file, size), ==, 0);
    assert_refused (path, "'ram' was changed");
  }
}

static void
test_info (Fixture *f, gconstpointer data)
{
  static const char *const broken[] = {"",
                                       "{",
                                       "[]",
                                       "{\"key\":\"" OTHER "\",\"machine\":{}}",
                                       "{\"key\":\"" KEY "\"}",
                                       "{\"key\":\"" KEY "\",\"machine\":{},\"files\":[]}"};
  g_autofree char *path = make (f, KEY), *info = g_build_filename (path, "info.json", NULL);

  for (gsize i = 0; i < G_N_ELEMENTS (broken); i++) {
    g_assert_true (g_file_set_contents (info, broken[i], -1, NULL));
    assert_refused (path, "cannot be used");
  }
}

/* A directory that others may write to, or one of theirs. */
static void
test_directory (Fixture *f, gconstpointer data)
{
  g_autofree char *path = make (f, KEY), *other = path_of (f, OTHER);

  g_assert_cmpint (chmod (path, 0777), ==, 0);
  assert_refused (path, "cannot be used");
  g_assert_cmpint (symlink (path, other), ==, 0);
  assert_refused (other, "cannot be used");
}

/* What was zero is given back; what was not stays. */
static void
test_sparse (Fixture *f, gconstpointer data)
{
  g_auto (ImageTemplatePart) part = IMAGE_TEMPLATE_PART_INIT;
  g_autofree char *path = path_of (f, KEY), *file = g_build_filename (path, "ram", NULL), *text = NULL;
  vm_autofd fd = -1;
  struct stat st;
  gsize length;

  g_assert_true (image_template_begin (path, FALSE, NULL, NULL, &part, NULL));
  put (&part, "ram", '\0', RAM);
  put (&part, "state", 's', 1);
  put (&part, "disk", 'd', 1);
  fd = openat (part.dir, "ram", O_WRONLY | O_CLOEXEC);
  g_assert_cmpint (pwrite (fd, "x", 1, RAM / 2 + 17), ==, 1);
  g_assert_true (image_template_commit (&part, json_object_new_object (), NULL));
  g_assert_cmpint (stat (file, &st), ==, 0);
  g_assert_cmpint (st.st_size, ==, RAM);
  g_assert_cmpint (st.st_blocks * 512, <=, PIECE);
  g_assert_true (g_file_get_contents (file, &text, &length, NULL));
  g_assert_cmpint (text[RAM / 2 + 17], ==, 'x');
  g_assert_cmpint (text[RAM / 2], ==, '\0');
  assert_opens (path);
}

/* One builder at a time; a part that a killed one left goes; without a commit nothing is left. */
static void
test_builders (Fixture *f, gconstpointer data)
{
  g_autofree char *path = path_of (f, KEY), *dir = g_path_get_dirname (path);
  g_autofree char *left = g_build_filename (dir, ".part-left", NULL);
  g_auto (ImageTemplatePart) first = IMAGE_TEMPLATE_PART_INIT, second = IMAGE_TEMPLATE_PART_INIT;
  g_autoptr (GError) error = NULL;

  g_assert_true (image_template_begin (path, FALSE, NULL, NULL, &first, NULL));
  g_assert_false (image_template_begin (path, FALSE, NULL, NULL, &second, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_BUSY);
  g_clear_error (&error);
  put (&first, "ram", 'r', PIECE);
  image_template_part_clear (&first);
  g_assert_cmpuint (fixture_count (dir, ""), ==, 0);
  g_assert_cmpint (mkdir (left, 0700), ==, 0);
  g_assert_true (image_template_begin (path, FALSE, NULL, NULL, &second, NULL));
  g_assert_false (g_file_test (left, G_FILE_TEST_EXISTS));
  image_template_part_clear (&second);
  g_free (make (f, KEY));
  g_assert_false (image_template_begin (path, FALSE, NULL, NULL, &first, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_EXISTS);
}

static void
test_suspect (Fixture *f, gconstpointer data)
{
  g_autofree char *path = make (f, KEY);

  g_assert_false (image_template_suspect (path));
  g_assert_true (image_template_suspect (path));
  image_template_good (path);
  g_assert_false (image_template_suspect (path));
  assert_opens (path);
}

/* A file's times are those of the kernel's last tick, which may be before what came before it. */
static void
make_later (const char *path)
{
  g_autofree char *uses = g_build_filename (path, "uses", NULL);
  struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = g_get_real_time () / G_USEC_PER_SEC + 10}};

  g_assert_cmpint (utimensat (AT_FDCWD, uses, times, 0), ==, 0);
}

static void
test_shrink (Fixture *f, gconstpointer data)
{
  g_autofree char *cache = fixture_path (f, "cache"), *old = make (f, KEY), *new = make (f, OTHER);
  g_auto (ImageTemplateFiles) files = IMAGE_TEMPLATE_FILES_INIT;
  g_autoptr (GPtrArray) removed = g_ptr_array_new_with_free_func (g_free);

  g_assert_true (image_template_shrink (cache, 64 << 20, NULL, removed, NULL));
  g_assert_cmpuint (removed->len, ==, 0);
  g_assert_true (image_template_open (old, &files, NULL));
  image_template_used (&files); /* now the other one is the one that was not used for longest */
  make_later (old);
  g_assert_true (image_template_shrink (cache, 3 << 19, NULL, removed, NULL));
  g_assert_cmpuint (removed->len, ==, 1);
  g_assert_cmpstr (g_ptr_array_index (removed, 0), ==, OTHER);
  assert_opens (old);
  g_assert_true (image_template_shrink (cache, 1, KEY, removed, NULL));
  assert_opens (old);
  g_assert_true (image_template_shrink (cache, 1, NULL, removed, NULL));
  g_assert_false (g_file_test (old, G_FILE_TEST_EXISTS));
  g_assert_false (g_file_test (new, G_FILE_TEST_EXISTS));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  fixture_test ("/images/template/life", test_life);
  fixture_test ("/images/template/absent", test_absent);
  fixture_test ("/images/template/changed", test_changed);
  fixture_test ("/images/template/truncated", test_truncated);
  fixture_test ("/images/template/info", test_info);
  fixture_test ("/images/template/directory", test_directory);
  fixture_test ("/images/template/sparse", test_sparse);
  fixture_test ("/images/template/builders", test_builders);
  fixture_test ("/images/template/suspect", test_suspect);
  fixture_test ("/images/template/shrink", test_shrink);
  return g_test_run ();
}
