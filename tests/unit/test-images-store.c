/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The store, with made-up disks: what is in them does not matter here. */
#include "images/store.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/image-fixture.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"

static char *
sum_of (const char *text)
{
  return g_compute_checksum_for_string (G_CHECKSUM_SHA256, text, -1);
}

static ImageInfo *
sample (const char *content)
{
  ImageInfo *info = image_info_new ();
  g_autofree char *sum = sum_of (content);

  info->origin = g_strdup ("/x/disk");
  info->format = g_strdup ("raw");
  info->filesystem = g_strdup ("ext4");
  info->size = 512;
  info->created = 17;
  info->id = g_strconcat (IMAGE_ID_PREFIX, sum, NULL);
  return info;
}

static gboolean
try_add (Fixture *f, const char *content, const char *name, gboolean force, ImageInfo **ret, GError **error)
{
  g_autofree char *data = fixture_path (f, "data");
  g_auto (ImageStorePart) part = IMAGE_STORE_PART_INIT;
  g_autoptr (ImageInfo) info = sample (content);
  g_autofree char *disk = NULL;

  if (!image_store_begin (data, &part, error))
    return FALSE;
  disk = g_build_filename (part.path, "disk.qcow2", NULL);
  g_assert_true (g_file_set_contents (disk, content, -1, NULL));
  if (!image_store_commit (&part, info, name, force, error))
    return FALSE;
  *ret = image_store_find (data, info->id, error);
  return *ret != NULL;
}

static ImageInfo *
add (Fixture *f, const char *content, const char *name)
{
  g_autoptr (GError) error = NULL;
  ImageInfo *info = NULL;

  (void)try_add (f, content, name, FALSE, &info, &error);
  g_assert_no_error (error);
  return info;
}

static guint
count (Fixture *f, const char *prefix)
{
  g_autofree char *store = fixture_path (f, "data/images");

  return fixture_count (store, prefix);
}

static void
test_names (void)
{
  static const char *const good[] = {"a", "debian-12", "Debian_12.1", "0"};
  static const char *const bad[] = {"", ".", "..", "-a", ".a", "a/b", "a b", "a:b", "\xc3\xa9", "sha256-a"};
  g_autofree char *longest = g_strnfill (64, 'a'), *longer = g_strnfill (65, 'a');

  for (guint i = 0; i < G_N_ELEMENTS (good); i++)
    g_assert_true (image_store_is_name (good[i]));
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    g_assert_false (image_store_is_name (bad[i]));
  g_assert_true (image_store_is_name (longest));
  g_assert_false (image_store_is_name (longer));
}

static void
test_find (Fixture *f, gconstpointer unused)
{
  g_autofree char *data = fixture_path (f, "data");
  g_autoptr (GError) error = NULL;
  g_autoptr (ImageInfo) none = image_store_find (data, "debian", &error), one = NULL, two = NULL,
                        by_name = NULL, by_digits = NULL;
  g_autoptr (GPtrArray) all = NULL;
  g_autofree char *digits = NULL;

  g_assert_null (none);
  g_assert_error (error, VM_ERROR, VM_ERROR_NOT_FOUND);
  g_clear_error (&error);
  one = add (f, "one", "debian");
  two = add (f, "two", "alpine");
  by_name = image_store_find (data, "debian", &error);
  g_assert_cmpstr (by_name->id, ==, one->id);
  g_assert_cmpstr (by_name->names[0], ==, "debian");
  digits = image_info_short_id (two);
  by_digits = image_store_find (data, digits, &error);
  g_assert_cmpstr (by_digits->id, ==, two->id);
  g_assert_null (image_store_find (data, "fedora", &error));
  fixture_assert_error (&error, "no image 'fedora'", "alpine, debian", NULL);
  all = image_store_list (data, NULL, &error);
  g_assert_cmpuint (all->len, ==, 2);
  g_assert_cmpstr (((ImageInfo *)g_ptr_array_index (all, 0))->names[0], ==, "alpine");
  g_assert_cmpuint (count (f, ".part-"), ==, 0);
}

/* The same disk twice is one image with two names; a name that is taken moves only by force. */
static void
test_same (Fixture *f, gconstpointer unused)
{
  g_autofree char *data = fixture_path (f, "data");
  g_autoptr (GError) error = NULL;
  g_autoptr (ImageInfo) one = add (f, "one", "a"), again = add (f, "one", "b"), other = NULL, moved = NULL,
                        old = NULL;

  g_assert_cmpstr (one->id, ==, again->id);
  g_assert_cmpuint (g_strv_length (again->names), ==, 2);
  g_assert_cmpuint (count (f, "sha256-"), ==, 1);
  g_assert_false (try_add (f, "two", "a", FALSE, &other, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_EXISTS);
  g_clear_error (&error);
  g_assert_true (try_add (f, "two", "a", TRUE, &other, &error));
  moved = image_store_find (data, "a", &error);
  g_assert_cmpstr (moved->id, ==, other->id);
  g_assert_true (image_store_unname (data, "b", &error));
  g_assert_false (image_store_unname (data, "b", &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_NOT_FOUND);
  g_clear_error (&error);
  old = image_store_find (data, one->id, &error);
  g_assert_cmpuint (g_strv_length (old->names), ==, 0);
}

static void
test_use (Fixture *f, gconstpointer unused)
{
  g_autofree char *data = fixture_path (f, "data");
  g_autoptr (GError) error = NULL;
  g_autoptr (ImageInfo) one = add (f, "one", "a");
  vm_autofd fd = image_store_open (one, &error), copy = -1;
  char text[3];

  g_assert_no_error (error);
  g_assert_cmpint (read (fd, text, sizeof text), ==, 3);
  g_assert_cmpint (fcntl (fd, F_GETFL) & O_ACCMODE, ==, O_RDONLY);
  copy = fcntl (fd, F_DUPFD_CLOEXEC, 3);
  vm_fd_clear (&fd);
  g_assert_false (image_store_remove (data, one, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_BUSY);
  g_clear_error (&error);
  g_assert_cmpuint (count (f, "sha256-"), ==, 1);
  vm_fd_clear (&copy);
  g_assert_true (image_store_remove (data, one, &error));
  g_assert_cmpuint (count (f, "sha256-"), ==, 0);
  g_assert_null (image_store_find (data, "a", &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_NOT_FOUND);
}

/* Changed, or merely copied: it has to be verified, and only the latter passes. */
static void
test_changed (Fixture *f, gconstpointer unused)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (ImageInfo) one = add (f, "one", "a");
  g_autofree char *disk = image_info_disk (one), *good = sum_of ("one"), *bad = sum_of ("two");
  vm_autofd fd = -1;

  g_assert_cmpint (chmod (disk, 0600), ==, 0); /* its ctime is another one */
  g_assert_cmpint (image_store_open (one, &error), ==, -1);
  fixture_assert_error (&error, "changed or copied", "vmctl image verify a", NULL);
  fd = open (disk, O_RDONLY | O_CLOEXEC);
  g_assert_false (image_store_trust (one, bad, fd, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_INVALID);
  g_clear_error (&error);
  g_assert_cmpint (image_store_open (one, NULL), ==, -1);
  g_assert_true (image_store_trust (one, good, fd, &error));
  vm_fd_clear (&fd);
  fd = image_store_open (one, &error);
  g_assert_no_error (error);
}

/* What is in the store but not ours to use. */
static void
test_hostile (Fixture *f, gconstpointer unused)
{
  g_autofree char *data = fixture_path (f, "data"), *names = fixture_path (f, "data/images/names");
  g_autoptr (GError) error = NULL;
  g_autoptr (ImageInfo) one = add (f, "one", "a"), found = NULL;
  g_autoptr (GPtrArray) problems = g_ptr_array_new_with_free_func (g_free), all = NULL;
  g_autofree char *disk = image_info_disk (one), *json = g_build_filename (one->dir, "image.json", NULL);
  g_autofree char *away = g_build_filename (names, "away", NULL), *up = g_build_filename (names, "up", NULL);

  g_assert_cmpint (symlink ("/etc", away), ==, 0);
  g_assert_cmpint (symlink ("../../../etc", up), ==, 0);
  g_assert_null (image_store_find (data, "away", NULL));
  g_assert_null (image_store_find (data, "up", NULL));
  g_assert_null (image_store_find (data, "../names", NULL));
  /* A disk that is a link, or that others can write. */
  g_assert_cmpint (chmod (disk, 0466), ==, 0);
  g_assert_cmpint (image_store_open (one, &error), ==, -1);
  g_assert_error (error, VM_ERROR, VM_ERROR_INVALID);
  g_clear_error (&error);
  g_assert_cmpint (unlink (disk), ==, 0);
  g_assert_cmpint (symlink ("/etc/passwd", disk), ==, 0);
  g_assert_cmpint (image_store_open (one, NULL), ==, -1);
  /* A description that does not parse is one problem, and no end of the list. */
  found = add (f, "two", "b");
  g_assert_true (g_file_set_contents (json, "{\"size\": ", -1, NULL));
  all = image_store_list (data, problems, &error);
  g_assert_cmpuint (all->len, ==, 1);
  g_assert_cmpuint (problems->len, ==, 1);
  g_assert_null (image_store_find (data, "a", &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_INVALID);
}

/* A part whose maker lives stays, one whose maker was killed goes. */
static void
test_sweep (Fixture *f, gconstpointer unused)
{
  g_autofree char *data = fixture_path (f, "data"), *dead = NULL, *written = NULL;
  g_autoptr (GError) error = NULL;
  g_auto (ImageStorePart) part = IMAGE_STORE_PART_INIT;

  g_assert_true (image_store_begin (data, &part, &error));
  dead = fixture_mkdir (f, "data/images/.part-dead/kernel/boot");
  written = fixture_write_text (f, "data/images/.part-dead/disk.qcow2", "x");
  g_assert_cmpuint (count (f, ".part-"), ==, 2);
  image_store_sweep (data);
  g_assert_cmpuint (count (f, ".part-"), ==, 1);
  g_assert_true (g_file_test (part.path, G_FILE_TEST_IS_DIR));
  image_store_part_clear (&part);
  g_assert_cmpuint (count (f, ".part-"), ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/images/store/names", test_names);
  fixture_test ("/images/store/find", test_find);
  fixture_test ("/images/store/same", test_same);
  fixture_test ("/images/store/use", test_use);
  fixture_test ("/images/store/changed", test_changed);
  fixture_test ("/images/store/hostile", test_hostile);
  fixture_test ("/images/store/sweep", test_sweep);
  return g_test_run ();
}
