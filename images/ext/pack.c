/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/ext/pack.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "images/ext/sum.h"
#include "vmctl/base/error.h"

enum {
  CLUSTER_BITS = 16,
  CLUSTER = 1 << CLUSTER_BITS,
  HEAD_LENGTH = 104,
  REFCOUNT_ORDER = 4, /* 16 bits */
  REFCOUNTS = CLUSTER / 2,
  POINTERS = CLUSTER / 8, /* in a table that is a cluster */
  GLANCE = 4096,
  WRITE_BACK = 8 << 20,
};

#define COPIED ((guint64)1 << 63) /* its reference count is 1 */

typedef struct {
  int from, to;  /* borrowed; `to` -1: only the checksum */
  guint64 size;  /* of `from` */
  guint64 at;    /* where in `to` the next byte is written */
  guint64 asked; /* up to where its writing to the disk was asked for */
  ImageSum *sum;
  const char *what; /* that is being done */
  ImageProgress progress;
  gpointer data;
} Pack;

static void
pack_clear (Pack *p)
{
  g_clear_pointer (&p->sum, image_sum_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Pack, pack_clear)

static gboolean
begin (Pack *p, GError **error)
{
  struct stat st;

  if (fstat (p->from, &st) < 0)
    return vm_error_errno (error, errno, "cannot look at the disk");
  p->size = (guint64)st.st_size;
  (void)posix_fadvise (p->from, 0, 0, POSIX_FADV_SEQUENTIAL);
  p->sum = image_sum_new (error);
  return p->sum != NULL;
}

static gboolean
read_at (const Pack *p, guint8 *to, gsize length, guint64 at, GError **error)
{
  while (length > 0) {
    ssize_t n = pread (p->from, to, length, (off_t)at);

    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return vm_error (error, VM_ERROR_FAILED, "cannot read the disk: %s",
                       n < 0 ? g_strerror (errno) : "it was cut off meanwhile");
    to += n;
    length -= (gsize)n;
    at += (guint64)n;
  }
  return TRUE;
}

/* The kernel begins to write it to the disk at once: waiting for that in the end takes less time. */
static void
ask_for_write_back (Pack *p)
{
  if (p->at - p->asked < WRITE_BACK)
    return;
  (void)sync_file_range (p->to, (off_t)p->asked, (off_t)(p->at - p->asked), SYNC_FILE_RANGE_WRITE);
  p->asked = p->at;
}

/* What is in the block comes next; gives the block away. */
static gboolean
put (Pack *p, guint8 *block, gsize length, GError **error)
{
  gsize done = 0;

  while (p->to >= 0 && done < length) {
    ssize_t n = pwrite (p->to, block + done, length - done, (off_t)(p->at + done));

    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return vm_error_errno (error, n < 0 ? errno : ENOSPC, "cannot write the new disk");
    done += (gsize)n;
  }
  p->at += length;
  image_sum_put (p->sum, block, length);
  ask_for_write_back (p);
  return TRUE;
}

/* `length` bytes of zero come next, as a hole. */
static void
skip (Pack *p, guint64 length)
{
  image_sum_skip (p->sum, length);
  p->at += length;
}

static gboolean
copy_range (Pack *p, guint64 from, guint64 length, GError **error)
{
  while (length > 0) {
    gsize n = (gsize)MIN (length, (guint64)IMAGE_SUM_BLOCK);
    guint8 *block = image_sum_block (p->sum);

    if (!read_at (p, block, n, from, error) || !put (p, block, n, error))
      return FALSE;
    from += n;
    length -= n;
    if (from / IMAGE_SUM_BLOCK % 64 == 0)
      p->progress (p->what, (int)(from * 100 / p->size), p->data);
  }
  return TRUE;
}

/* Where the next data is, and its end; both p->size: there is no more. A file system that has no holes says
 * that all is data. */
static void
next_data (const Pack *p, guint64 at, guint64 *ret_start, guint64 *ret_end)
{
  off_t start = lseek (p->from, (off_t)at, SEEK_DATA), end;

  *ret_start = *ret_end = p->size;
  if (start < 0 && errno != ENXIO)
    *ret_start = at;
  else if (start >= 0 && (guint64)start < p->size) {
    *ret_start = MAX ((guint64)start, at);
    end = lseek (p->from, start, SEEK_HOLE);
    if (end > start)
      *ret_end = MIN ((guint64)end, p->size);
  }
}

/* As it is */

char *
image_pack_copy (int from, int to, ImageProgress progress, gpointer data, GError **error)
{
  g_auto (Pack) p = {.from = from,
                     .to = to,
                     .what = to < 0 ? "checking" : "copying the disk",
                     .progress = progress,
                     .data = data};
  guint64 start, end;

  if (!begin (&p, error))
    return NULL;
  for (; p.at < p.size;) {
    next_data (&p, p.at, &start, &end);
    skip (&p, start - p.at);
    if (!copy_range (&p, start, end - start, error))
      return NULL;
  }
  if (to >= 0 && ftruncate (to, (off_t)p.size) < 0) {
    vm_error_errno (error, errno, "cannot write the new disk");
    return NULL;
  }
  return image_sum_end (p.sum);
}

char *
image_pack_sum (int from, ImageProgress progress, gpointer data, GError **error)
{
  return image_pack_copy (from, -1, progress, data, error);
}

/* Raw to qcow2 */

typedef struct {
  guint64 clusters;                     /* of the disk */
  guint8 *used;                         /* owned; a bit for each: it is not zero */
  guint64 n_used;                       /* of them */
  guint64 l1;                           /* entries of the L1 table */
  guint8 *tables;                       /* owned; for each: it is not 0 */
  guint64 n_l2;                         /* of them */
  guint64 l1_at, l2_at, data_at, total; /* in clusters of the file */
  guint64 refcount_tables, refcount_blocks;
} Layout;

static void
layout_clear (Layout *l)
{
  g_free (l->used);
  g_free (l->tables);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Layout, layout_clear)

static guint64
divide_up (guint64 a, guint64 b)
{
  return (a + b - 1) / b;
}

static gboolean
is_used (const Layout *l, guint64 cluster)
{
  return (l->used[cluster / 8] & 1 << cluster % 8) != 0;
}

static gboolean
is_zero (const guint8 *data, gsize length)
{
  return data[0] == 0 && memcmp (data, data + 1, length - 1) == 0;
}

/* Most clusters are seen not to be zero at a glance. */
static gboolean
look_at_cluster (const Pack *p, Layout *l, guint64 cluster, guint8 *room, GError **error)
{
  guint64 at = cluster * CLUSTER;
  gsize length = (gsize)MIN ((guint64)CLUSTER, p->size - at), glance = MIN (length, GLANCE);
  gboolean zero;

  if (!read_at (p, room, glance, at, error))
    return FALSE;
  zero = is_zero (room, glance);
  if (zero && length > glance) {
    if (!read_at (p, room, length - glance, at + glance, error))
      return FALSE;
    zero = is_zero (room, length - glance);
  }
  if (!zero) {
    l->used[cluster / 8] |= (guint8)(1 << cluster % 8);
    l->n_used++;
    l->n_l2 += l->tables[cluster / POINTERS] == 0;
    l->tables[cluster / POINTERS] = 1;
  }
  return TRUE;
}

static gboolean
find_used (const Pack *p, Layout *l, GError **error)
{
  g_autofree guint8 *room = g_malloc (CLUSTER);
  guint64 start, end, next = 0;

  l->clusters = divide_up (p->size, CLUSTER);
  l->used = g_malloc0 (l->clusters / 8 + 1);
  l->l1 = divide_up (l->clusters, POINTERS);
  l->tables = g_malloc0 (l->l1 + 1);
  while (next < l->clusters) {
    next_data (p, next * CLUSTER, &start, &end);
    next = MAX (next, start / CLUSTER);
    for (; next < divide_up (end, CLUSTER) && start < p->size; next++) {
      if (!look_at_cluster (p, l, next, room, error))
        return FALSE;
      if (next % 4096 == 0)
        p->progress ("looking for what is in the disk", (int)(next * 100 / l->clusters), p->data);
    }
    if (start >= p->size)
      return TRUE;
  }
  return TRUE;
}

/* The counts of references count themselves. */
static void
lay_out (Layout *l)
{
  guint64 l1_clusters = divide_up (l->l1, POINTERS), before;

  do {
    before = l->total;
    l->refcount_blocks = divide_up (l->total, REFCOUNTS);
    l->refcount_tables = divide_up (l->refcount_blocks, POINTERS);
    l->total = 1 + l->refcount_tables + l->refcount_blocks + l1_clusters + l->n_l2 + l->n_used;
  } while (l->total != before);
  l->l1_at = 1 + l->refcount_tables + l->refcount_blocks;
  l->l2_at = l->l1_at + l1_clusters;
  l->data_at = l->l2_at + l->n_l2;
}

static void
number (guint8 *at, guint n, guint64 value)
{
  for (guint i = 0; i < n; i++)
    at[i] = (guint8)(value >> 8 * (n - 1 - i));
}

static gboolean
put_head (Pack *p, const Layout *l, GError **error)
{
  guint8 *head = image_sum_block (p->sum);

  memset (head, 0, CLUSTER);
  memcpy (head, "QFI\xfb", 4);
  number (head + 4, 4, 3);
  number (head + 20, 4, CLUSTER_BITS);
  number (head + 24, 8, p->size);
  number (head + 36, 4, l->l1);
  number (head + 40, 8, l->l1_at * CLUSTER);
  number (head + 48, 8, CLUSTER);
  number (head + 56, 4, l->refcount_tables);
  number (head + 96, 4, REFCOUNT_ORDER);
  number (head + 100, 4, HEAD_LENGTH);
  return put (p, head, CLUSTER, error);
}

/* `n` clusters of pointers of 8 bytes: entry i of them is what `value` says. */
typedef guint64 (*ValueFunc) (const Layout *l, guint64 i, gpointer data);

static gboolean
put_pointers (Pack *p, const Layout *l, guint64 n, ValueFunc value, gpointer data, GError **error)
{
  for (guint64 i = 0; i < n; i++) {
    guint8 *block = image_sum_block (p->sum);

    for (guint64 j = 0; j < POINTERS; j++)
      number (block + 8 * j, 8, value (l, i * POINTERS + j, data));
    if (!put (p, block, CLUSTER, error))
      return FALSE;
  }
  return TRUE;
}

static guint64
refcount_block (const Layout *l, guint64 i, gpointer data)
{
  return i < l->refcount_blocks ? (1 + l->refcount_tables + i) * CLUSTER : 0;
}

static gboolean
put_refcounts (Pack *p, const Layout *l, GError **error)
{
  for (guint64 i = 0; i < l->refcount_blocks; i++) {
    guint8 *block = image_sum_block (p->sum);

    for (guint64 j = 0; j < REFCOUNTS; j++)
      number (block + 2 * j, 2, i * REFCOUNTS + j < l->total ? 1 : 0);
    if (!put (p, block, CLUSTER, error))
      return FALSE;
  }
  return TRUE;
}

/* `data`: where the next one is; they are asked for in order. */
static guint64
l2_table (const Layout *l, guint64 i, gpointer data)
{
  guint64 *at = data;

  return i < l->l1 && l->tables[i] != 0 ? (*at)++ * CLUSTER | COPIED : 0;
}

static gboolean
put_l2 (Pack *p, const Layout *l, GError **error)
{
  guint64 data_at = l->data_at;

  for (guint64 table = 0; table < l->l1; table++) {
    guint8 *block;

    if (l->tables[table] == 0)
      continue;
    block = image_sum_block (p->sum);
    for (guint64 j = 0; j < POINTERS; j++) {
      guint64 i = table * POINTERS + j;

      number (block + 8 * j, 8, i < l->clusters && is_used (l, i) ? data_at++ * CLUSTER | COPIED : 0);
    }
    if (!put (p, block, CLUSTER, error))
      return FALSE;
  }
  return TRUE;
}

/* The disk's last cluster may be a part of one. */
static gboolean
put_run (Pack *p, guint64 first, guint64 n, GError **error)
{
  guint64 at = first * CLUSTER, length = MIN (n * CLUSTER, p->size - at);

  if (!copy_range (p, at, length, error))
    return FALSE;
  skip (p, n * CLUSTER - length);
  return TRUE;
}

/* Those of one table, as far as they follow each other, at a time. */
static gboolean
put_data (Pack *p, const Layout *l, GError **error)
{
  for (guint64 i = 0; i < l->clusters;) {
    guint64 first = i, end = MIN (l->clusters, (i / POINTERS + 1) * POINTERS);

    if (l->tables[i / POINTERS] == 0) {
      i = end;
      continue;
    }
    while (i < end && is_used (l, i))
      i++;
    if (i > first && !put_run (p, first, i - first, error))
      return FALSE;
    while (i < end && !is_used (l, i))
      i++;
  }
  return TRUE;
}

static gboolean
put_all (Pack *p, const Layout *l, GError **error)
{
  guint64 l2_at = l->l2_at;

  return put_head (p, l, error) && put_pointers (p, l, l->refcount_tables, refcount_block, NULL, error) &&
         put_refcounts (p, l, error) && put_pointers (p, l, l->l2_at - l->l1_at, l2_table, &l2_at, error) &&
         put_l2 (p, l, error) && put_data (p, l, error);
}

char *
image_pack_raw (int from, int to, ImageProgress progress, gpointer data, GError **error)
{
  g_auto (Pack) p = {.from = from, .to = to, .what = "copying the disk", .progress = progress, .data = data};
  g_auto (Layout) l = {0};

  if (!begin (&p, error) || !find_used (&p, &l, error))
    return NULL;
  lay_out (&l);
  if (!put_all (&p, &l, error))
    return NULL;
  if (ftruncate (to, (off_t)(l.total * CLUSTER)) < 0) {
    vm_error_errno (error, errno, "cannot write the new disk");
    return NULL;
  }
  return image_sum_end (p.sum);
}
