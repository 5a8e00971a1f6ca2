/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a disk has at which place: partition tables (GPT, MBR) and the signatures of file systems. Everything
 * in it is hostile. Pure but for `read`. */
#pragma once

#include <glib.h>

/* Reads `length` bytes of the disk at `at`; FALSE: they cannot be had. Never asked for what is beyond its
 * end. */
typedef gboolean (*ImageReadFunc) (guint64 at, gpointer to, gsize length, gpointer data);

typedef struct {
  int number;            /* as in /dev/vdaN; 0: the whole disk */
  guint64 start, length; /* bytes; inside the disk, length not 0 */
  const char *type;      /* "ext4", "ext3", "ext2", "vfat", "xfs", "btrfs", "LVM", "LUKS", "swap", "squashfs",
                            "iso9660", "RAID"; NULL: not recognised */
} ImagePartition;

enum { IMAGE_PARTITIONS_MAX = 128 };

/* (transfer full) of ImagePartition, by number; one of number 0 if there is no table, or a file system where
 * one would be. Partitions that lie outside of the disk are left out. */
GArray *image_layout_read (ImageReadFunc read, guint64 size, gpointer data);

gboolean image_layout_is_ext (const char *type); /* NULL is fine */
