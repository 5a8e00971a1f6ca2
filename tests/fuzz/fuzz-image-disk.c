/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a disk's bytes say, to our own code: the header of a qcow2, which format it is, partitions and file
 * systems. The first byte says how much larger the file claims to be than what is there. */
#include <string.h>

#include "images/import.h"
#include "images/layout.h"
#include "images/qcow2-head.h"

int LLVMFuzzerTestOneInput (const guint8 *data, gsize size);

typedef struct {
  const guint8 *data;
  gsize length;
  guint64 size;
} Disk;

static gboolean
read_disk (guint64 at, gpointer to, gsize length, gpointer data)
{
  const Disk *d = data;

  g_assert (at <= d->size && length <= d->size - at);
  if (at > d->length || length > d->length - at)
    return FALSE;
  memcpy (to, d->data + at, length);
  return TRUE;
}

static void
check_layout (const Disk *d)
{
  g_autoptr (GArray) partitions = image_layout_read (read_disk, d->size, (gpointer)d);

  g_assert_cmpuint (partitions->len, <=, IMAGE_PARTITIONS_MAX);
  for (guint i = 0; i < partitions->len; i++) {
    const ImagePartition *p = &g_array_index (partitions, ImagePartition, i);

    g_assert (p->length > 0 && p->start <= d->size && p->length <= d->size - p->start);
    g_assert (p->number >= 0 && (i == 0 || p->number >= p[-1].number));
  }
}

static void
check_head (const ImageQcow2Head *head)
{
  g_assert (head->version == 2 || head->version == 3);
  g_assert (head->size > 0 && head->size <= IMAGE_SIZE_MAX);
  g_assert (head->cluster_bits >= 9 && head->cluster_bits <= 21);
}

/* Both readers agree; what one of them takes names no other file, and the other's file has a name. */
static void
check_qcow2 (const Disk *d)
{
  g_autoptr (GError) error = NULL, over_error = NULL;
  g_autofree char *backing = NULL;
  ImageQcow2Head head = {0}, over = {0};
  gboolean ok = image_qcow2_parse (d->data, d->length, d->size, &head, &error);
  gboolean over_ok = image_qcow2_parse_overlay (d->data, d->length, d->size, &over, &backing, &over_error);

  g_assert (ok == (error == NULL) && over_ok == (over_error == NULL));
  g_assert (ok == (over_ok && backing == NULL));
  if (over_ok)
    check_head (&over);
  if (ok)
    g_assert (head.size == over.size && head.cluster_bits == over.cluster_bits);
  else
    g_assert (head.size == 0);
  if (backing != NULL)
    g_assert (over_ok && *backing != '\0' && strlen (backing) < 1024);
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  const char *what;
  Disk d;

  if (size == 0)
    return 0;
  d = (Disk){.data = data + 1, .length = size - 1, .size = (guint64)(size - 1) << data[0] % 40};
  check_qcow2 (&d);
  (void)image_import_sniff (d.data, d.length, d.size, &what);
  check_layout (&d);
  return 0;
}
