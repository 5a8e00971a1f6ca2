/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/layout.h"

#include <string.h>

enum { SECTOR = 512, DISK = 2 << 20 };

typedef struct {
  guint8 *bytes;
} Disk;

static gboolean
read_disk (guint64 at, gpointer to, gsize length, gpointer data)
{
  Disk *d = data;

  g_assert_cmpuint (at + length, <=, DISK);
  memcpy (to, d->bytes + at, length);
  return TRUE;
}

static void
put (Disk *d, gsize at, guint n, guint64 value)
{
  for (guint i = 0; i < n; i++)
    d->bytes[at + i] = (guint8)(value >> 8 * i);
}

static void
put_ext (Disk *d, gsize at, gboolean ext4)
{
  put (d, at + 1024 + 0x38, 2, 0xef53);
  put (d, at + 1024 + 0x5c, 4, 4);
  put (d, at + 1024 + 0x60, 4, ext4 ? 0x242 : 0x2);
}

static void
put_mbr (Disk *d, gsize sector, guint entry, guint8 type, guint32 first, guint32 n)
{
  gsize at = sector * SECTOR + 446 + entry * 16;

  d->bytes[at + 4] = type;
  put (d, at + 8, 4, first);
  put (d, at + 12, 4, n);
  put (d, sector * SECTOR + 510, 2, 0xaa55);
}

static void
put_gpt (Disk *d, guint number, guint64 first, guint64 last)
{
  gsize at = 2 * SECTOR + (number - 1) * 128;

  put_mbr (d, 0, 0, 0xee, 1, DISK / SECTOR - 1);
  memcpy (d->bytes + SECTOR, "EFI PART", 8);
  put (d, SECTOR + 72, 8, 2);
  put (d, SECTOR + 80, 4, 128);
  put (d, SECTOR + 84, 4, 128);
  d->bytes[at] = 1;
  put (d, at + 32, 8, first);
  put (d, at + 40, 8, last);
}

/* "1:ext4@40+10 ..." in sectors */
static char *
describe (Disk *d)
{
  g_autoptr (GArray) all = image_layout_read (read_disk, DISK, d);
  GString *out = g_string_new (NULL);

  for (guint i = 0; i < all->len; i++) {
    const ImagePartition *p = &g_array_index (all, ImagePartition, i);

    g_string_append_printf (out, "%s%d:%s@%" G_GUINT64_FORMAT "+%" G_GUINT64_FORMAT, i > 0 ? " " : "",
                            p->number, p->type != NULL ? p->type : "?", p->start / SECTOR,
                            p->length / SECTOR);
  }
  return g_string_free (out, FALSE);
}

static void
expect (Disk *d, const char *wanted)
{
  g_autofree char *got = describe (d);

  g_assert_cmpstr (got, ==, wanted);
  memset (d->bytes, 0, DISK);
}

static void
test_whole (void)
{
  g_autofree guint8 *bytes = g_malloc0 (DISK);
  Disk d = {bytes};

  expect (&d, "0:?@0+4096");
  put_ext (&d, 0, TRUE);
  expect (&d, "0:ext4@0+4096");
  put_ext (&d, 0, FALSE);
  expect (&d, "0:ext3@0+4096");
  memcpy (bytes, "LUKS\xba\xbe", 6);
  expect (&d, "0:LUKS@0+4096");
  memcpy (bytes + 512, "LABELONE", 8);
  expect (&d, "0:LVM@0+4096");
  memcpy (bytes + 65600, "_BHRfS_M", 8);
  expect (&d, "0:btrfs@0+4096");
  /* A file system counts more than what its first sector looks like. */
  put_ext (&d, 0, TRUE);
  put_mbr (&d, 0, 0, 0x83, 100, 100);
  expect (&d, "0:ext4@0+4096");
}

static void
test_gpt (void)
{
  g_autofree guint8 *bytes = g_malloc0 (DISK);
  Disk d = {bytes};

  put_gpt (&d, 15, 100, 199);
  put_gpt (&d, 1, 300, 1299);
  put_ext (&d, 300 * SECTOR, TRUE);
  memcpy (bytes + 100 * SECTOR + 82, "FAT32   ", 8);
  expect (&d, "1:ext4@300+1000 15:vfat@100+100");
  /* Outside, backwards, and so large that it wraps. */
  put_gpt (&d, 1, 300, 5000);
  put_gpt (&d, 2, 400, 300);
  put_gpt (&d, 3, G_MAXUINT64, G_MAXUINT64);
  put_gpt (&d, 4, 1, G_MAXUINT64 - 1);
  put_gpt (&d, 5, 100, 109);
  expect (&d, "5:?@100+10");
  put_gpt (&d, 1, 300, 309);
  put (&d, SECTOR + 72, 8, G_MAXUINT64 / SECTOR);
  expect (&d, "0:?@0+4096");
}

static void
test_mbr (void)
{
  g_autofree guint8 *bytes = g_malloc0 (DISK);
  Disk d = {bytes};

  put_mbr (&d, 0, 0, 0x83, 10, 20);
  put_mbr (&d, 0, 1, 0x05, 100, 1000);
  put_mbr (&d, 0, 3, 0x83, 2000, 5000); /* ends outside */
  put_mbr (&d, 100, 0, 0x83, 10, 30);
  put_mbr (&d, 100, 1, 0x05, 500, 100);
  put_mbr (&d, 600, 0, 0x82, 1, 9);
  put_ext (&d, 110 * SECTOR, TRUE);
  expect (&d, "1:?@10+20 5:ext4@110+30 6:?@601+9");
  /* One that leads back to itself ends. */
  put_mbr (&d, 0, 0, 0x05, 100, 1000);
  put_mbr (&d, 100, 0, 0x83, 10, 30);
  put_mbr (&d, 100, 1, 0x05, 0, 100);
  expect (&d, "5:?@110+30");
  put_mbr (&d, 0, 0, 0x05, 100, 1000);
  put_mbr (&d, 100, 1, 0x05, 500, 100);
  put_mbr (&d, 600, 1, 0x05, 500, 100);
  expect (&d, "0:?@0+4096");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/images/layout/whole", test_whole);
  g_test_add_func ("/images/layout/gpt", test_gpt);
  g_test_add_func ("/images/layout/mbr", test_mbr);
  return g_test_run ();
}
