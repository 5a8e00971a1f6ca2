/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/hotpages.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"

enum { DEPTH_MAX = 8, MAPPING_MAX = 1 << 24 }; /* pages of one mapping: 64 GiB */

#define IS_PRESENT (G_GUINT64_CONSTANT (1) << 63)
#define IS_FILE (G_GUINT64_CONSTANT (1) << 61)

typedef struct {
  guint64 start, end;
} Range;

static gboolean
is_of (guint64 word, guint32 kind)
{
  return (word & IS_PRESENT) != 0 && ((word & IS_FILE) == 0) == (kind != 0);
}

GBytes *
vm_hot_pages_pack (const guint64 *words, gsize n)
{
  GArray *out = g_array_new (FALSE, FALSE, sizeof (guint32));
  gsize budget = VM_HOT_PAGES_MAX, length;

  for (gsize i = 0; i < n && budget > 0 && out->len / 2 < VM_HOT_RANGES_MAX; i += length) {
    guint32 kind = (words[i] & IS_FILE) == 0 ? VM_HOT_WRITTEN : 0, pair[2] = {(guint32)i, 0};

    length = 1;
    if ((words[i] & IS_PRESENT) == 0)
      continue;
    while (i + length < n && length < budget && is_of (words[i + length], kind))
      length++;
    pair[1] = (guint32)length | kind;
    g_array_append_vals (out, pair, 2);
    budget -= length;
  }
  length = out->len * sizeof (guint32);
  return g_bytes_new_take (g_array_free (out, FALSE), length);
}

static char *
read_proc (pid_t pid, const char *name)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/%s", (int)pid, name);
  char *text = NULL;

  return g_file_get_contents (path, &text, NULL, NULL) ? text : NULL;
}

/* START-END PERMS OFFSET MAJOR:MINOR INODE PATH; private mappings have a `p`. */
static gboolean
find_mapping (pid_t pid, const struct stat *file, Range *ret)
{
  g_autofree char *maps = read_proc (pid, "maps");
  g_auto (GStrv) lines = maps != NULL ? g_strsplit (maps, "\n", -1) : NULL;

  for (char **line = lines; line != NULL && *line != NULL; line++) {
    unsigned long start, end, offset, inode;
    unsigned major_, minor_;
    char perms[5];

    if (sscanf (*line, "%lx-%lx %4s %lx %x:%x %lu", &start, &end, perms, &offset, &major_, &minor_, &inode) !=
        7)
      continue;
    if (inode != file->st_ino || makedev (major_, minor_) != file->st_dev || offset != 0 || perms[3] != 'p')
      continue;
    *ret = (Range){start, end};
    return TRUE;
  }
  return FALSE;
}

/* Whoever of the tree maps it. 0: nobody. */
static pid_t
find_process (pid_t pid, const struct stat *file, Range *ret, guint depth)
{
  g_autofree char *name = g_strdup_printf ("task/%d/children", (int)pid), *text = NULL;
  g_auto (GStrv) children = NULL;
  pid_t found = 0;

  if (find_mapping (pid, file, ret))
    return pid;
  text = depth < DEPTH_MAX ? read_proc (pid, name) : NULL;
  children = text != NULL ? g_strsplit (g_strstrip (text), " ", -1) : NULL;
  for (char **child = children; found == 0 && child != NULL && *child != NULL; child++) {
    guint64 number;

    if (g_ascii_string_to_unsigned (*child, 10, 1, G_MAXINT32, &number, NULL))
      found = find_process ((pid_t)number, file, ret, depth + 1);
  }
  return found;
}

static GBytes *
read_pagemap (pid_t pid, const Range *range, GError **error)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/pagemap", (int)pid);
  vm_autofd fd = open (path, O_RDONLY | O_CLOEXEC);
  gsize n = (gsize)MIN ((range->end - range->start) / VM_HOT_PAGE, MAPPING_MAX), done = 0;
  g_autofree guint64 *words = g_new (guint64, n);
  off_t at = (off_t)(range->start / VM_HOT_PAGE * sizeof *words);

  while (fd >= 0 && done < n * sizeof *words) {
    ssize_t got = pread (fd, (char *)words + done, n * sizeof *words - done, at + (off_t)done);

    if (got <= 0)
      break;
    done += (gsize)got;
  }
  if (fd < 0 || done < n * sizeof *words) {
    vm_error_errno (error, errno, "cannot read '%s'", path);
    return NULL;
  }
  return vm_hot_pages_pack (words, n);
}

GBytes *
vm_hot_pages_read (pid_t root, const struct stat *file, GError **error)
{
  Range range;
  pid_t pid = find_process (root, file, &range, 0);

  if (pid == 0) {
    vm_error (error, VM_ERROR_NOT_FOUND, "no process below %d maps the template's memory", (int)root);
    return NULL;
  }
  return read_pagemap (pid, &range, error);
}
