/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/layout.h"

#include <string.h>

enum {
  SECTOR = 512,
  MBR_TABLE = 446,
  MBR_ENTRY = 16,
  GPT_ENTRY_MIN = 128,
  GPT_ENTRY_MAX = 4096,
  LOGICAL_FIRST = 5,
  EXT_SUPER = 1024,
};

typedef struct {
  ImageReadFunc read;
  gpointer data;
  guint64 size;
  GArray *out;
} Disk;

static guint64
little (const guint8 *at, guint n)
{
  guint64 value = 0;

  for (guint i = n; i > 0; i--)
    value = value << 8 | at[i - 1];
  return value;
}

static gboolean
get (const Disk *d, guint64 at, gpointer to, gsize length)
{
  return at <= d->size && length <= d->size - at && d->read (at, to, length, d->data);
}

/* File systems */

typedef struct {
  guint64 at;
  const char *magic;
  guint length;
  const char *type;
} Signature;

static const Signature signatures[] = {
    {0, "LUKS\xba\xbe", 6, "LUKS"},
    {0, "XFSB", 4, "xfs"},
    {0, "hsqs", 4, "squashfs"},
    {512, "LABELONE", 8, "LVM"},
    {4096, "\xfc\x4e\x2b\xa9", 4, "RAID"}, /* md 1.2 */
    {65536 + 64, "_BHRfS_M", 8, "btrfs"},
    {4096 - 10, "SWAPSPACE2", 10, "swap"},
    {32769, "CD001", 5, "iso9660"},
    {82, "FAT32   ", 8, "vfat"},
    {54, "FAT16   ", 8, "vfat"},
    {54, "FAT12   ", 8, "vfat"},
};

static const char *
ext_type (const guint8 *super)
{
  enum { JOURNAL = 0x4, EXTENTS_AND_LATER = 0x40 | 0x80 | 0x200 | 0x1000 | 0x2000 | 0x4000 | 0x8000 };

  if (little (super + 0x38, 2) != 0xef53)
    return NULL;
  if ((little (super + 0x60, 4) & EXTENTS_AND_LATER) != 0)
    return "ext4";
  return (little (super + 0x5c, 4) & JOURNAL) != 0 ? "ext3" : "ext2";
}

static const char *
find_type (const Disk *d, guint64 start, guint64 length)
{
  guint8 block[SECTOR], magic[16];

  for (guint i = 0; i < G_N_ELEMENTS (signatures); i++) {
    const Signature *s = &signatures[i];

    if (s->at + s->length <= length && get (d, start + s->at, magic, s->length) &&
        memcmp (magic, s->magic, s->length) == 0)
      return s->type;
  }
  return length >= EXT_SUPER + sizeof block && get (d, start + EXT_SUPER, block, sizeof block)
             ? ext_type (block)
             : NULL;
}

/* Tables */

static void
add (Disk *d, int number, guint64 first, guint64 sectors)
{
  ImagePartition p = {.number = number};

  if (sectors == 0 || first >= d->size / SECTOR || sectors > d->size / SECTOR - first ||
      d->out->len >= IMAGE_PARTITIONS_MAX)
    return;
  p.start = first * SECTOR;
  p.length = sectors * SECTOR;
  p.type = find_type (d, p.start, p.length);
  g_array_append_val (d->out, p);
}

static gboolean
read_gpt (Disk *d)
{
  static const guint8 unused[16] = {0};
  guint8 head[92], entry[GPT_ENTRY_MIN];
  guint64 at, n, each;

  if (!get (d, SECTOR, head, sizeof head) || memcmp (head, "EFI PART", 8) != 0)
    return FALSE;
  at = little (head + 72, 8);
  n = little (head + 80, 4);
  each = little (head + 84, 4);
  if (at > d->size / SECTOR || each < GPT_ENTRY_MIN || each > GPT_ENTRY_MAX)
    return TRUE; /* a table it is, but one that leads nowhere */
  for (guint64 i = 0; i < MIN (n, IMAGE_PARTITIONS_MAX); i++) {
    guint64 first, last;

    if (!get (d, at * SECTOR + i * each, entry, sizeof entry))
      break;
    first = little (entry + 32, 8);
    last = little (entry + 40, 8);
    if (memcmp (entry, unused, sizeof unused) != 0 && last >= first && last < G_MAXUINT64)
      add (d, (int)i + 1, first, last - first + 1);
  }
  return TRUE;
}

static gboolean
is_extended (guint8 type)
{
  return type == 0x05 || type == 0x0f || type == 0x85;
}

static gboolean
get_mbr (const Disk *d, guint64 sector, guint8 *block)
{
  return get (d, sector * SECTOR, block, SECTOR) && block[510] == 0x55 && block[511] == 0xaa;
}

/* Each has one partition, relative to itself, and the next, relative to the first. */
static void
read_logical (Disk *d, guint64 first)
{
  guint64 at = first;

  for (int number = LOGICAL_FIRST; number < IMAGE_PARTITIONS_MAX; number++) {
    guint8 block[SECTOR];
    const guint8 *own = block + MBR_TABLE, *next = own + MBR_ENTRY;

    if (!get_mbr (d, at, block))
      return;
    if (own[4] != 0)
      add (d, number, at + little (own + 8, 4), little (own + 12, 4));
    if (!is_extended (next[4]) || little (next + 8, 4) == 0)
      return;
    at = first + little (next + 8, 4);
  }
}

static void
read_mbr (Disk *d)
{
  guint8 block[SECTOR];

  if (!get_mbr (d, 0, block))
    return;
  for (int i = 0; i < 4; i++) {
    const guint8 *entry = block + MBR_TABLE + i * MBR_ENTRY;

    if (entry[4] == 0)
      continue;
    if (is_extended (entry[4]))
      read_logical (d, little (entry + 8, 4));
    else
      add (d, i + 1, little (entry + 8, 4), little (entry + 12, 4));
  }
}

static int
by_number (gconstpointer a, gconstpointer b)
{
  const ImagePartition *x = a, *y = b;

  return x->number - y->number;
}

GArray *
image_layout_read (ImageReadFunc read, guint64 size, gpointer data)
{
  Disk d = {
      .read = read, .data = data, .size = size, .out = g_array_new (FALSE, FALSE, sizeof (ImagePartition))};
  const char *whole = find_type (&d, 0, size);

  /* vfat and ISO images may have a table as well, and then the table counts. */
  if (whole == NULL || g_str_equal (whole, "vfat") || g_str_equal (whole, "iso9660"))
    if (!read_gpt (&d))
      read_mbr (&d);
  if (d.out->len == 0 && size >= SECTOR) {
    ImagePartition p = {.length = size, .type = whole};

    g_array_append_val (d.out, p);
  }
  g_array_sort (d.out, by_number);
  return d.out;
}

gboolean
image_layout_is_ext (const char *type)
{
  return type != NULL && strlen (type) == 4 && g_str_has_prefix (type, "ext");
}
