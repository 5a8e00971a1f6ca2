/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Kept disks: what is in their images does not matter here. */
#include "images/disk.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "images/store.h"
#include "tests/unit/image-fixture.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"

#define MIB ((guint64)1 << 20)
#define ID IMAGE_ID_PREFIX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OTHER_ID IMAGE_ID_PREFIX "ff23456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static int
open_disk (Fixture *f, const char *name, const char *id, GError **error)
{
  g_autofree char *data = fixture_path (f, "data"), *dir = image_disk_path (data, name);

  return image_disk_open (dir, id, "debian", 64 * MIB, error);
}

static ImageDisk *
find (Fixture *f, const char *name)
{
  g_autofree char *data = fixture_path (f, "data");
  g_autoptr (GError) error = NULL;
  ImageDisk *disk = image_disk_find (data, name, &error);

  g_assert_no_error (error);
  return disk;
}

static guint
count (Fixture *f, const char *prefix)
{
  g_autofree char *place = fixture_path (f, "data/disks");

  return fixture_count (place, prefix);
}

/* Made by the first, with its content there for the next. */
static void
test_open (Fixture *f, gconstpointer unused)
{
  g_autoptr (GError) error = NULL;
  vm_autofd fd = open_disk (f, "tools", ID, &error);
  g_autoptr (ImageDisk) disk = NULL;
  struct stat st;
  char byte = 'x';

  g_assert_no_error (error);
  g_assert_cmpint (fstat (fd, &st), ==, 0);
  g_assert_cmpuint (st.st_mode & 07777, ==, 0600);
  disk = find (f, "tools");
  g_assert_cmpstr (disk->image, ==, ID);
  g_assert_cmpstr (disk->image_name, ==, "debian");
  g_assert_cmpuint (disk->size, ==, 64 * MIB);
  g_assert_true (disk->busy);
  g_assert_cmpint (pwrite (fd, &byte, 1, st.st_size), ==, 1);
  vm_fd_clear (&fd);
  g_clear_pointer (&disk, image_disk_free);
  disk = find (f, "tools");
  g_assert_false (disk->busy);
  fd = open_disk (f, "tools", ID, &error);
  g_assert_no_error (error);
  g_assert_cmpint (pread (fd, &byte, 1, st.st_size), ==, 1);
  g_assert_cmpuint (count (f, ""), ==, 1);
}

static void
test_two (Fixture *f, gconstpointer unused)
{
  g_autofree char *data = fixture_path (f, "data");
  g_autoptr (GError) error = NULL;
  vm_autofd first = open_disk (f, "tools", ID, NULL), second = -1;
  g_autoptr (ImageDisk) disk = find (f, "tools");

  second = open_disk (f, "tools", ID, &error);
  g_assert_cmpint (second, <, 0);
  g_assert_error (error, VM_ERROR, VM_ERROR_BUSY);
  g_assert_nonnull (strstr (error->message, "'tools' is in use"));
  g_clear_error (&error);
  g_assert_false (image_disk_reset (disk, 64 * MIB, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_BUSY);
  g_clear_error (&error);
  g_assert_false (image_disk_remove (data, "tools", &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_BUSY);
  g_assert_cmpuint (count (f, ""), ==, 1);
}

static void
test_other_image (Fixture *f, gconstpointer unused)
{
  g_autoptr (GError) error = NULL;
  vm_autofd fd = open_disk (f, "tools", ID, NULL);

  vm_fd_clear (&fd);
  g_assert_cmpint (open_disk (f, "tools", OTHER_ID, &error), <, 0);
  g_assert_error (error, VM_ERROR, VM_ERROR_INVALID);
}

static void
put_restored (const char *dir, const char *text)
{
  g_autofree char *path = g_build_filename (dir, IMAGE_DISK_RESTORED, NULL),
                  *overlay = g_build_filename (dir, "disk.qcow2", NULL), *old = NULL;
  g_autofree char *data = NULL;
  gsize length;

  g_assert_true (g_file_get_contents (overlay, &old, &length, NULL));
  data = g_malloc (length + strlen (text));
  memcpy (data, old, length);
  memcpy (data + length, text, strlen (text));
  g_assert_true (g_file_set_contents (path, data, (gssize)(length + strlen (text)), NULL));
}

/* It takes the place of the disk, at once or not at all. */
static void
test_restore (Fixture *f, gconstpointer unused)
{
  g_autofree char *data = fixture_path (f, "data"), *dir = image_disk_path (data, "tools");
  g_autofree char *restored = g_build_filename (dir, IMAGE_DISK_RESTORED, NULL),
                  *overlay = g_build_filename (dir, "disk.qcow2", NULL), *got = NULL;
  g_autoptr (GError) error = NULL;
  vm_autofd fd = open_disk (f, "tools", ID, NULL);
  gsize length;

  put_restored (dir, "restored");
  g_assert_cmpint (image_disk_restore (dir, ID, "debian", &error), <, 0); /* a machine has it */
  g_assert_error (error, VM_ERROR, VM_ERROR_BUSY);
  g_clear_error (&error);
  vm_fd_clear (&fd);
  g_assert_cmpint (image_disk_restore (dir, OTHER_ID, "other", &error), <, 0);
  g_assert_error (error, VM_ERROR, VM_ERROR_INVALID);
  g_clear_error (&error);
  fd = image_disk_restore (dir, ID, "debian", &error);
  g_assert_no_error (error);
  g_assert_cmpint (open_disk (f, "tools", ID, NULL), <, 0); /* and it is locked */
  vm_fd_clear (&fd);
  g_assert_true (g_file_get_contents (overlay, &got, &length, NULL));
  g_assert_true (memcmp (got + length - strlen ("restored"), "restored", strlen ("restored")) == 0);
  g_assert_false (g_file_test (restored, G_FILE_TEST_EXISTS));
  g_assert_cmpint (image_disk_restore (dir, ID, "debian", &error), <, 0); /* there is none */
  g_clear_error (&error);
  put_restored (dir, "unwanted");
  fd = open_disk (f, "tools", ID, &error); /* whoever opens it otherwise does not want it */
  g_assert_no_error (error);
  g_assert_false (g_file_test (restored, G_FILE_TEST_EXISTS));
  vm_fd_clear (&fd);
  g_assert_true (g_file_set_contents (restored, "no qcow2", -1, NULL));
  g_assert_cmpint (image_disk_restore (dir, ID, "debian", &error), <, 0);
  g_clear_error (&error);
  g_clear_pointer (&got, g_free);
  g_assert_true (g_file_get_contents (overlay, &got, &length, NULL));
  g_assert_true (memcmp (got + length - strlen ("restored"), "restored", strlen ("restored")) == 0);
}

/* What a machine that was taken over may have left there. */
static void
test_hostile (Fixture *f, gconstpointer unused)
{
  static const char name[] = "/etc/shadow";
  static const guint8 backing[12] = {0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, sizeof name - 1};
  g_autoptr (GError) error = NULL;
  vm_autofd fd = open_disk (f, "tools", ID, NULL);

  g_assert_cmpint (pwrite (fd, backing, sizeof backing, 8), ==, sizeof backing);
  g_assert_cmpint (pwrite (fd, name, sizeof name - 1, 512), ==, sizeof name - 1);
  vm_fd_clear (&fd);
  g_assert_cmpint (open_disk (f, "tools", ID, &error), <, 0);
  g_assert_error (error, VM_ERROR, VM_ERROR_UNSUPPORTED);
  g_assert_nonnull (strstr (error->message, "the kept disk 'tools' cannot be used"));
}

static void
test_link (Fixture *f, gconstpointer unused)
{
  g_autofree char *path = fixture_path (f, "data/disks/tools/disk.qcow2"), *to = fixture_path (f, "other");
  g_autoptr (GError) error = NULL;
  vm_autofd fd = open_disk (f, "tools", ID, NULL);

  g_assert_cmpint (rename (path, to), ==, 0);
  g_assert_cmpint (symlink (to, path), ==, 0);
  vm_fd_clear (&fd);
  g_assert_cmpint (open_disk (f, "tools", ID, &error), <, 0);
  g_assert_nonnull (error);
}

static void
test_reset (Fixture *f, gconstpointer unused)
{
  g_autofree char *left = fixture_path (f, "data/disks/tools/.part-disk.qcow2");
  g_autoptr (GError) error = NULL;
  vm_autofd fd = open_disk (f, "tools", ID, NULL);
  g_autoptr (ImageDisk) disk = find (f, "tools"), now = NULL;
  struct stat before, after;

  g_assert_cmpint (ftruncate (fd, 8 << 20), ==, 0);
  g_assert_cmpint (fstat (fd, &before), ==, 0);
  vm_fd_clear (&fd);
  g_assert_true (g_file_set_contents (left, "killed", -1, NULL));
  g_assert_true (image_disk_reset (disk, 128 * MIB, &error));
  g_assert_no_error (error);
  fd = open_disk (f, "tools", ID, &error);
  g_assert_no_error (error);
  g_assert_cmpint (fstat (fd, &after), ==, 0);
  g_assert_cmpint (after.st_size, <, before.st_size);
  g_assert_false (g_file_test (left, G_FILE_TEST_EXISTS));
  now = find (f, "tools");
  g_assert_cmpuint (now->size, ==, 128 * MIB);
  g_assert_cmpint (now->created, ==, disk->created);
}

/* Parts of killed makers go when the next disk is made or removed; a broken disk can be removed. */
static void
test_remove (Fixture *f, gconstpointer unused)
{
  g_autofree char *data = fixture_path (f, "data"), *part = fixture_path (f, "data/disks/.part-1");
  g_autofree char *info = fixture_path (f, "data/disks/a/disk.json");
  g_autoptr (GPtrArray) problems = g_ptr_array_new_with_free_func (g_free), all = NULL;
  g_autoptr (GError) error = NULL;
  vm_autofd fd = open_disk (f, "a", ID, NULL);

  vm_fd_clear (&fd);
  g_assert_cmpint (g_mkdir_with_parents (part, 0700), ==, 0);
  fd = open_disk (f, "b", OTHER_ID, NULL);
  vm_fd_clear (&fd);
  g_assert_cmpuint (count (f, ".part-"), ==, 0);
  g_assert_true (g_file_set_contents (info, "{}", -1, NULL));
  all = image_disk_list (data, problems);
  g_assert_cmpuint (all->len, ==, 1);
  g_assert_cmpuint (problems->len, ==, 1);
  g_assert_true (image_disk_remove (data, "a", &error));
  g_assert_no_error (error);
  g_assert_false (image_disk_remove (data, "a", &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_NOT_FOUND);
  g_assert_nonnull (strstr (error->message, "there are: b"));
  g_clear_error (&error);
  g_assert_false (image_disk_remove (data, "../data", &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_USAGE);
  g_assert_cmpuint (count (f, ""), ==, 1);
}

static void
test_needs (Fixture *f, gconstpointer unused)
{
  g_autofree char *data = fixture_path (f, "data"), *none = image_disk_that_needs (data, ID), *one = NULL;
  vm_autofd fd = open_disk (f, "tools", ID, NULL);

  g_assert_null (none);
  one = image_disk_that_needs (data, ID);
  g_assert_cmpstr (one, ==, "tools");
  none = image_disk_that_needs (data, OTHER_ID);
  g_assert_null (none);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  fixture_test ("/images/disk/open", test_open);
  fixture_test ("/images/disk/two", test_two);
  fixture_test ("/images/disk/other-image", test_other_image);
  fixture_test ("/images/disk/restore", test_restore);
  fixture_test ("/images/disk/hostile", test_hostile);
  fixture_test ("/images/disk/link", test_link);
  fixture_test ("/images/disk/reset", test_reset);
  fixture_test ("/images/disk/remove", test_remove);
  fixture_test ("/images/disk/needs", test_needs);
  return g_test_run ();
}
