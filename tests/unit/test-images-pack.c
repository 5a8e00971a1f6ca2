/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Disks as they are written into the store. What qemu-img says of them is in tests/cli/image.sh. */
#include "images/ext/pack.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "images/qcow2-head.h"
#include "vmctl/base/fd.h"

enum { CLUSTER = 65536 };
#define ADDRESS (((guint64)1 << 56) - 512)

static void
ignore (const char *what, int percent, gpointer data)
{
}

static int
make_file (guint64 size)
{
  int fd = memfd_create ("disk", MFD_CLOEXEC);

  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (ftruncate (fd, (off_t)size), ==, 0);
  return fd;
}

static void
write_byte (int fd, guint64 at, guint8 byte)
{
  g_assert_cmpint (pwrite (fd, &byte, 1, (off_t)at), ==, 1);
}

static guint64
number (const guint8 *at, guint n)
{
  guint64 value = 0;

  for (guint i = 0; i < n; i++)
    value = value << 8 | at[i];
  return value;
}

static guint8 *
contents (int fd, gsize *ret_length)
{
  off_t size = lseek (fd, 0, SEEK_END);
  guint8 *data = g_malloc0 ((gsize)size + 1);

  g_assert_cmpint (pread (fd, data, (gsize)size, 0), ==, size);
  *ret_length = (gsize)size;
  return data;
}

/* The byte of the disk that is `at`, by the tables. */
static guint8
look_up (const guint8 *file, gsize length, guint64 at)
{
  guint64 l1 = number (file + 40, 8), cluster = at / CLUSTER, l2, data;

  l2 = number (file + l1 + cluster / 8192 * 8, 8) & ADDRESS;
  if (l2 == 0)
    return 0;
  data = number (file + l2 + cluster % 8192 * 8, 8) & ADDRESS;
  g_assert_cmpint (data % CLUSTER, ==, 0);
  g_assert_cmpint (data + CLUSTER, <=, length);
  return data == 0 ? 0 : file[data + at % CLUSTER];
}

/* Each cluster of the file is counted once, and none beyond its end. */
static void
check_counts (const guint8 *file, gsize length)
{
  guint64 table = number (file + 48, 8), clusters = length / CLUSTER;

  for (guint64 i = 0; i < (clusters / 32768 + 1) * 32768; i++) {
    guint64 block = number (file + table + i / 32768 * 8, 8);

    if (block == 0)
      g_assert_cmpint (i, >=, clusters);
    else
      g_assert_cmpint (number (file + block + i % 32768 * 2, 2), ==, i < clusters ? 1 : 0);
  }
}

static char *
pack (int from, guint8 **ret_file, gsize *ret_length)
{
  vm_autofd to = make_file (0);
  g_autoptr (GError) error = NULL;
  g_autofree char *sum = image_pack_raw (from, to, ignore, NULL, &error), *expected = NULL;
  ImageQcow2Head head;

  g_assert_no_error (error);
  *ret_file = contents (to, ret_length);
  expected = g_compute_checksum_for_data (G_CHECKSUM_SHA256, *ret_file, *ret_length);
  g_assert_cmpstr (sum, ==, expected);
  g_assert_true (
      image_qcow2_parse (*ret_file, MIN (*ret_length, IMAGE_QCOW2_HEAD), *ret_length, &head, &error));
  g_assert_no_error (error);
  check_counts (*ret_file, *ret_length);
  return g_steal_pointer (&sum);
}

static void
test_raw (void)
{
  static const guint64 places[] = {0, 5 * CLUSTER + 4096, 9 * CLUSTER - 1, 8192ULL * CLUSTER,
                                   8192ULL * CLUSTER * 3};
  guint64 size = 8192ULL * CLUSTER * 3 + 512;
  vm_autofd from = make_file (size);
  g_autofree guint8 *file = NULL;
  g_autofree char *sum = NULL;
  gsize length;

  for (guint i = 0; i < G_N_ELEMENTS (places); i++)
    write_byte (from, places[i], (guint8)(i + 1));
  sum = pack (from, &file, &length);
  for (guint i = 0; i < G_N_ELEMENTS (places); i++)
    g_assert_cmpint (look_up (file, length, places[i]), ==, i + 1);
  g_assert_cmpint (look_up (file, length, 1), ==, 0);
  g_assert_cmpint (look_up (file, length, 2 * CLUSTER), ==, 0);
  g_assert_cmpint (number (file + 24, 8), ==, size);
  /* A head, table and block of counts, L1, an L2 for each of three tables, and five clusters. */
  g_assert_cmpint (length, ==, (1 + 1 + 1 + 1 + 3 + 5) * CLUSTER);
}

/* Zeroes are no data, whether they are a hole or not: the same content is the same file. */
static void
test_zeroes (void)
{
  vm_autofd sparse = make_file (4 * CLUSTER), full = make_file (4 * CLUSTER);
  g_autofree guint8 *zeroes = g_malloc0 (4 * CLUSTER), *a = NULL, *b = NULL;
  g_autofree char *sum_a = NULL, *sum_b = NULL;
  gsize length;

  g_assert_cmpint (pwrite (full, zeroes, 4 * CLUSTER, 0), ==, 4 * CLUSTER);
  write_byte (full, 3 * CLUSTER, 7);
  write_byte (sparse, 3 * CLUSTER, 7);
  sum_a = pack (sparse, &a, &length);
  sum_b = pack (full, &b, &length);
  g_assert_cmpstr (sum_a, ==, sum_b);
  g_assert_cmpint (length, ==, (4 + 1 + 1) * CLUSTER);
}

static void
test_empty_disk (void)
{
  vm_autofd from = make_file (10ULL << 40);
  g_autofree guint8 *file = NULL;
  g_autofree char *sum = NULL;
  gsize length;

  sum = pack (from, &file, &length);
  g_assert_cmpint (number (file + 36, 4), ==, (10ULL << 40) / CLUSTER / 8192);
  g_assert_cmpint (length, ==, (3 + 3) * CLUSTER); /* 20480 entries of 8 bytes */
}

static void
test_copy (void)
{
  guint64 size = (5 << 20) + 3;
  vm_autofd from = make_file (size), to = make_file (0);
  g_autofree guint8 *a = NULL, *b = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *sum = NULL, *only = NULL, *expected = NULL;
  gsize n, m;

  write_byte (from, 2 << 20, 3);
  write_byte (from, 4100 << 10, 4);
  sum = image_pack_copy (from, to, ignore, NULL, &error);
  g_assert_no_error (error);
  only = image_pack_sum (from, ignore, NULL, &error);
  g_assert_no_error (error);
  a = contents (from, &n);
  b = contents (to, &m);
  g_assert_cmpmem (a, n, b, m);
  expected = g_compute_checksum_for_data (G_CHECKSUM_SHA256, a, n);
  g_assert_cmpstr (sum, ==, expected);
  g_assert_cmpstr (only, ==, expected);
}

static void
test_refused (void)
{
  vm_autofd from = make_file (CLUSTER), full = open ("/dev/full", O_RDWR | O_CLOEXEC);
  g_autoptr (GError) error = NULL;

  write_byte (from, 0, 1);
  g_assert_null (image_pack_raw (from, full, ignore, NULL, &error));
  g_assert_nonnull (strstr (error->message, "No space left"));
  g_clear_error (&error);
  g_assert_null (image_pack_copy (from, full, ignore, NULL, &error));
  g_assert_nonnull (strstr (error->message, "No space left"));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/images/pack/raw", test_raw);
  g_test_add_func ("/images/pack/zeroes", test_zeroes);
  g_test_add_func ("/images/pack/empty-disk", test_empty_disk);
  g_test_add_func ("/images/pack/copy", test_copy);
  g_test_add_func ("/images/pack/refused", test_refused);
  return g_test_run ();
}
