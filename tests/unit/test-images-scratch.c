/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/scratch.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/image-fixture.h"
#include "vmctl/base/argv.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"

#define MIB (G_GUINT64_CONSTANT (1) << 20)

static gboolean
have_tools (void)
{
  g_autofree char *qemu_img = g_find_program_in_path ("qemu-img");

  if (qemu_img != NULL && (g_file_test ("/usr/sbin/mke2fs", G_FILE_TEST_EXISTS) ||
                           g_file_test ("/sbin/mke2fs", G_FILE_TEST_EXISTS)))
    return TRUE;
  g_test_skip ("'mke2fs' or 'qemu-img' is not installed");
  return FALSE;
}

/* (transfer full) the base's path */
static char *
build (Fixture *f, guint64 bytes)
{
  g_autofree char *cache = fixture_path (f, "cache");
  char *base = image_scratch_base (cache, bytes);
  g_autofree char *disks = g_path_get_dirname (base);
  g_autoptr (GError) error = NULL;

  (void)image_scratch_build (cache, bytes, NULL, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (image_scratch_ready (base));
  g_assert_cmpuint (fixture_count (disks, ".part-"), ==, 0);
  return base;
}

static char *
run (const char *first, ...)
{
  g_autoptr (VmArgv) argv = vm_argv_new ();
  g_autoptr (GError) error = NULL;
  char *out = NULL;
  const char *word;
  va_list ap;

  va_start (ap, first);
  for (word = first; word != NULL; word = va_arg (ap, const char *))
    vm_argv_add (argv, word);
  va_end (ap);
  (void)vm_argv_run (argv, &out, &error);
  g_assert_no_error (error);
  return out;
}

static gsize
on_disk (const char *path)
{
  struct stat st;

  g_assert_cmpint (stat (path, &st), ==, 0);
  g_assert_cmpuint (st.st_mode & 0777, ==, 0600);
  return (gsize)st.st_blocks * 512;
}

/* A sound ext4 of the full size, without anything that makes its guest work in the background. */
static void
test_base (Fixture *f, gconstpointer unused)
{
  g_autofree char *base = NULL, *raw = fixture_path (f, "raw"), *said = NULL, *info = NULL, *overlay = NULL;
  g_autofree char *converted = NULL, *checked = NULL;

  if (!have_tools ())
    return;
  base = build (f, 16384 * MIB);
  g_assert_true (g_str_has_suffix (base, "/cache/disks/ext4-17179869184.qcow2"));
  g_assert_cmpuint (on_disk (base), <, 2 * MIB);
  overlay = fixture_path (f, "cache/disks/ext4-17179869184.overlay");
  g_assert_cmpuint (on_disk (overlay), <, MIB);
  converted = run ("qemu-img", "convert", "-O", "raw", base, raw, NULL);
  checked = run ("/sbin/e2fsck", "-fn", raw, NULL);
  said = run ("/sbin/dumpe2fs", raw, NULL);
  g_assert_null (strstr (said, "has_journal"));
  g_assert_null (strstr (said, "metadata_csum"));
  g_assert_nonnull (strstr (said, "Block count:              4194304\n"));
  g_assert_nonnull (strstr (said, "Reserved block count:     0\n"));
  g_assert_nonnull (strstr (said, "[INODE_UNINIT, BLOCK_UNINIT, ITABLE_ZEROED]"));
  g_assert_null (strstr (said, "UNINIT]")); /* a group whose inodes would have to be zeroed in the guest */
  info = run ("qemu-img", "info", overlay, NULL);
  g_assert_nonnull (strstr (info, "(17179869184 bytes)"));
  g_assert_null (strstr (info, "backing"));
}

static void
test_once (Fixture *f, gconstpointer unused)
{
  g_autofree char *base = NULL, *again = NULL;
  struct stat before, after;

  if (!have_tools ())
    return;
  base = build (f, 64 * MIB);
  g_assert_cmpint (stat (base, &before), ==, 0);
  again = build (f, 64 * MIB - 5); /* whole MiB */
  g_assert_cmpstr (base, ==, again);
  g_assert_cmpint (stat (base, &after), ==, 0);
  g_assert_cmpuint (before.st_ino, ==, after.st_ino);
}

static void
test_sizes (Fixture *f, gconstpointer unused)
{
  static const struct {
    guint64 bytes;
    const char *word;
  } cases[] = {
      {0, "too small"}, {MIB, "too small"}, {16 * MIB * MIB, "too large"}, {G_MAXUINT64, "too large"}};
  g_autofree char *cache = fixture_path (f, "cache");

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;

    g_assert_false (image_scratch_build (cache, cases[i].bytes, NULL, NULL, &error));
    g_assert_error (error, VM_ERROR, VM_ERROR_USAGE);
    fixture_assert_error (&error, cases[i].word, NULL);
  }
  g_assert_false (g_file_test (cache, G_FILE_TEST_EXISTS));
}

static gpointer
build_in_thread (gpointer data)
{
  g_free (build (data, 32 * MIB));
  return NULL;
}

static void
test_concurrent (Fixture *f, gconstpointer unused)
{
  GThread *threads[3];

  if (!have_tools ())
    return;
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("builder", build_in_thread, f);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
}

static void
test_missing_tool (Fixture *f, gconstpointer unused)
{
  g_autofree char *path = g_strdup (g_getenv ("PATH")), *cache = fixture_path (f, "cache");
  g_autofree char *disks = fixture_path (f, "cache/disks");
  g_autoptr (GError) error = NULL;

  if (!have_tools ())
    return;
  g_setenv ("PATH", f->dir, TRUE); /* mke2fs is found in sbin all the same */
  g_assert_false (image_scratch_build (cache, 32 * MIB, NULL, NULL, &error));
  g_setenv ("PATH", path, TRUE);
  fixture_assert_error (&error, "qemu-img", "apt install qemu-utils", "--disk none", NULL);
  g_assert_cmpuint (fixture_count (disks, ""), ==, 0);
}

static void
test_disk_full (Fixture *f, gconstpointer unused)
{
  g_autofree char *cache = fixture_path (f, "cache"), *disks = fixture_path (f, "cache/disks");
  struct rlimit old, low;
  g_autoptr (GError) error = NULL;

  if (!have_tools ())
    return;
  (void)signal (SIGXFSZ, SIG_IGN);
  g_assert_cmpint (getrlimit (RLIMIT_FSIZE, &old), ==, 0);
  low = (struct rlimit){.rlim_cur = 100000, .rlim_max = old.rlim_max};
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &low), ==, 0);
  g_assert_false (image_scratch_build (cache, 32 * MIB, NULL, NULL, &error));
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &old), ==, 0);
  fixture_assert_error (&error, "cannot make the scratch disk", "File too large", NULL);
  g_assert_cmpuint (fixture_count (disks, ""), ==, 0);
  g_free (build (f, 32 * MIB));
}

/* What killed builders left goes away with the next build. */
static void
test_sweeps (Fixture *f, gconstpointer unused)
{
  g_autofree char *left = NULL, *base = NULL;

  if (!have_tools ())
    return;
  left = fixture_write_text (f, "cache/disks/.part-abcdef", "half");
  base = build (f, 32 * MIB);
  g_assert_false (g_file_test (left, G_FILE_TEST_EXISTS));
}

static void
test_open (Fixture *f, gconstpointer unused)
{
  g_autofree char *base = NULL, *dir = fixture_mkdir (f, "run"), *overlay = NULL;
  vm_autofd overlay_fd = -1, base_fd = -1, second_fd = -1, second_base_fd = -1;
  g_autoptr (GByteArray) template = NULL;
  g_autoptr (GError) error = NULL;
  struct stat st, second;
  char data[4];

  if (!have_tools ())
    return;
  base = build (f, 32 * MIB);
  (void)image_scratch_open (base, -1, dir, &overlay_fd, &base_fd, &error);
  g_assert_no_error (error);
  (void)image_scratch_open (base, -1, dir, &second_fd, &second_base_fd, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (fixture_count (dir, ""), ==, 0);
  g_assert_cmpint (fcntl (base_fd, F_GETFL) & O_ACCMODE, ==, O_RDONLY);
  g_assert_cmpint (fcntl (overlay_fd, F_GETFL) & O_ACCMODE, ==, O_RDWR);
  g_assert_cmpint (fcntl (overlay_fd, F_GETFD) & FD_CLOEXEC, !=, 0);
  g_assert_cmpint (fstat (overlay_fd, &st), ==, 0);
  g_assert_cmpint (fstat (second_fd, &second), ==, 0);
  g_assert_cmpuint (st.st_nlink, ==, 0);
  g_assert_cmpuint (st.st_ino, !=, second.st_ino);
  overlay = fixture_path (f, "cache/disks/ext4-33554432.overlay");
  template = fixture_read (overlay);
  g_assert_cmpint (st.st_size, ==, template->len);
  g_assert_cmpint (pread (overlay_fd, data, 4, 0), ==, 4);
  g_assert_cmpmem (data, 4, "QFI\xfb", 4);
}

static void
test_open_fails (Fixture *f, gconstpointer unused)
{
  g_autofree char *cache = fixture_path (f, "cache"), *missing = image_scratch_base (cache, 32 * MIB);
  g_autofree char *no_dir = fixture_path (f, "none"), *base = NULL;
  g_autoptr (GError) error = NULL;
  int overlay_fd = -7, base_fd = -7;

  g_assert_false (image_scratch_ready (missing));
  g_assert_false (image_scratch_open (missing, -1, f->dir, &overlay_fd, &base_fd, &error));
  fixture_assert_error (&error, missing, "No such file", NULL);
  if (!have_tools ())
    return;
  base = build (f, 32 * MIB);
  g_assert_false (image_scratch_open (base, -1, no_dir, &overlay_fd, &base_fd, &error));
  fixture_assert_error (&error, no_dir, "No such file", NULL);
  g_assert_cmpint (overlay_fd, ==, -7);
  g_assert_cmpint (base_fd, ==, -7);
}

/* qemu-img finds nothing wrong with them, and what is written to them is there. */
static void
test_new (Fixture *f, gconstpointer unused)
{
  static const guint64 sizes[] = {MIB, 512 * MIB, 512 * MIB + 512, G_GUINT64_CONSTANT (16) << 40};

  if (!have_tools ())
    return;
  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++) {
    g_autofree char *size = NULL, *link = NULL;
    g_autofree char *info = NULL, *checked = NULL;
    g_autoptr (GError) error = NULL;
    vm_autofd fd = image_scratch_new (sizes[i], f->dir, &error);
    struct stat st;

    g_assert_no_error (error);
    g_assert_cmpuint (fixture_count (f->dir, "disk-"), ==, 0);
    g_assert_cmpint (fstat (fd, &st), ==, 0);
    g_assert_cmpuint (st.st_nlink, ==, 0);
    g_assert_cmpuint ((guint64)st.st_blocks * 512, <, MIB);
    link = g_strdup_printf ("/proc/%d/fd/%d", (int)getpid (), fd);
    size = g_strdup_printf ("(%" G_GUINT64_FORMAT " bytes)", sizes[i]);
    info = run ("qemu-img", "info", link, NULL);
    g_assert_nonnull (strstr (info, "qcow2"));
    g_assert_nonnull (strstr (info, size));
    checked = run ("qemu-img", "check", link, NULL);
    g_assert_nonnull (strstr (checked, "No errors"));
  }
}

static void
test_new_fails (Fixture *f, gconstpointer unused)
{
  g_autofree char *no_dir = fixture_path (f, "none");
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (image_scratch_new (MIB - 1, f->dir, &error), <, 0);
  fixture_assert_error (&error, "1 MiB", NULL);
  g_assert_cmpint (image_scratch_new (G_MAXUINT64, f->dir, &error), <, 0);
  fixture_assert_error (&error, "16 TiB", NULL);
  g_assert_cmpint (image_scratch_new (MIB, no_dir, &error), <, 0);
  fixture_assert_error (&error, no_dir, "No such file", NULL);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  fixture_test ("/images/scratch/base-is-sound", test_base);
  fixture_test ("/images/scratch/built-once", test_once);
  fixture_test ("/images/scratch/sizes", test_sizes);
  fixture_test ("/images/scratch/concurrent", test_concurrent);
  fixture_test ("/images/scratch/missing-tool", test_missing_tool);
  fixture_test ("/images/scratch/disk-full", test_disk_full);
  fixture_test ("/images/scratch/sweeps", test_sweeps);
  fixture_test ("/images/scratch/open", test_open);
  fixture_test ("/images/scratch/open-fails", test_open_fails);
  fixture_test ("/images/scratch/new", test_new);
  fixture_test ("/images/scratch/new-fails", test_new_fails);
  return g_test_run ();
}
