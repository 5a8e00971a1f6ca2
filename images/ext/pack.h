/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Disks written into the store, with their checksum taken on the way. What is read is only copied: nothing in
 * it is looked at but whether it is zero.
 *
 * A raw disk becomes a qcow2 (QEMU, docs/interop/qcow2.txt) of clusters of 64 KiB:
 *
 *   the head | the refcount table | refcount blocks | the L1 table | L2 tables | the clusters with data
 *
 * Clusters that are zero are left out, whether they are holes or not, so the same content is always the same
 * file. Everything but the data comes first because the checksum is taken in the order of the file; so the
 * disk is read twice: first only as far as it takes to see that a cluster is not zero. */
#pragma once

#include <glib.h>

#include "images/boot.h"

/* All of them: `from` and `to` are borrowed, and at their beginning; the SHA-256 of what was written, in
 * hexadecimal (transfer full); NULL and error. */

/* The checksum only. */
char *image_pack_sum (int from, ImageProgress progress, gpointer data, GError **error);
/* As it is, with its holes. */
char *image_pack_copy (int from, int to, ImageProgress progress, gpointer data, GError **error);
/* A raw disk of whole sectors to a qcow2. */
char *image_pack_raw (int from, int to, ImageProgress progress, gpointer data, GError **error);
