/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An empty qcow2 file (QEMU, docs/interop/qcow2.txt), version 3, written here because a running sandbox waits
 * for it:
 *
 *   cluster 0   the head
 *   cluster 1   the refcount table, one entry: cluster 2. It has room for 16 TiB
 *   cluster 2   the refcount block: all these clusters are used once
 *   cluster 3.. the L1 table, all zeroes */
#include "images/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"

enum {
  CLUSTER_BITS = 16,
  CLUSTER = 1 << CLUSTER_BITS,
  HEAD_LENGTH = 104,
  HEAD_ROOM = 112, /* with the end of the extensions */
  L1_AT = 3,
  REFCOUNT_ORDER = 4, /* 16 bits */
  L2_ENTRIES = CLUSTER / 8,
};

#define BYTES_MIN ((guint64)1 << 20)
#define BYTES_MAX ((guint64)16 << 40)

static void
put (guint8 *at, guint n, guint64 value)
{
  for (guint i = 0; i < n; i++)
    at[i] = (guint8)(value >> 8 * (n - 1 - i));
}

static guint64
l1_entries (guint64 bytes)
{
  guint64 each = (guint64)L2_ENTRIES * CLUSTER;

  return (bytes + each - 1) / each;
}

static gboolean
write_at (int fd, const guint8 *data, gsize n, guint64 at, GError **error)
{
  ssize_t r = pwrite (fd, data, n, (off_t)at);

  return r == (ssize_t)n || vm_error_errno (error, r < 0 ? errno : ENOSPC, "cannot write a disk");
}

static gboolean
write_head (int fd, guint64 bytes, GError **error)
{
  guint8 head[HEAD_ROOM] = {'Q', 'F', 'I', 0xfb};

  put (head + 4, 4, 3);
  put (head + 20, 4, CLUSTER_BITS);
  put (head + 24, 8, bytes);
  put (head + 36, 4, l1_entries (bytes));
  put (head + 40, 8, (guint64)L1_AT * CLUSTER);
  put (head + 48, 8, CLUSTER);
  put (head + 56, 4, 1);
  put (head + 96, 4, REFCOUNT_ORDER);
  put (head + 100, 4, HEAD_LENGTH);
  return write_at (fd, head, sizeof head, 0, error);
}

static gboolean
write_refcounts (int fd, guint64 clusters, GError **error)
{
  g_autofree guint8 *block = g_malloc0 (CLUSTER);
  guint8 entry[8];

  put (entry, sizeof entry, (guint64)2 * CLUSTER);
  for (guint64 i = 0; i < clusters; i++)
    put (block + 2 * i, 2, 1);
  return write_at (fd, entry, sizeof entry, CLUSTER, error) &&
         write_at (fd, block, CLUSTER, (guint64)2 * CLUSTER, error);
}

gboolean
image_scratch_format (int fd, guint64 bytes, GError **error)
{
  guint64 size = bytes / 512 * 512, clusters = L1_AT + (l1_entries (size) * 8 + CLUSTER - 1) / CLUSTER;

  if (size == 0 || bytes > BYTES_MAX)
    return vm_error (error, VM_ERROR_USAGE, "a disk has from 512 bytes to 16 TiB");
  return write_head (fd, size, error) && write_refcounts (fd, clusters, error) &&
         (ftruncate (fd, (off_t)(clusters * CLUSTER)) == 0 ||
          vm_error_errno (error, errno, "cannot make a disk"));
}

int
image_scratch_new (guint64 bytes, const char *dir, GError **error)
{
  g_autofree char *path = g_build_filename (dir, "disk-XXXXXX", NULL);
  vm_autofd fd = -1;

  if (bytes < BYTES_MIN || bytes > BYTES_MAX) {
    vm_error (error, VM_ERROR_USAGE, "a new disk has from 1 MiB to 16 TiB");
    return -1;
  }
  fd = mkostemp (path, O_CLOEXEC);
  if (fd < 0) {
    vm_error_errno (error, errno, "cannot make a disk in '%s'", dir);
    return -1;
  }
  (void)unlink (path); /* cannot fail in a way that harms: it is our own file */
  return image_scratch_format (fd, bytes, error) ? vm_fd_steal (&fd) : -1;
}
