/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/guestfs/walk.h"

#include <string.h>
#include <sys/stat.h>

void
image_walk_entry_free (ImageWalkEntry *entry)
{
  if (entry == NULL)
    return;
  g_free (entry->path);
  g_free (entry->target);
  g_free (entry);
}

static void
free_entry (gpointer data)
{
  image_walk_entry_free (data);
}

GPtrArray *
image_walk_new (void)
{
  return g_ptr_array_new_with_free_func (free_entry);
}

char
image_walk_type (guint32 mode)
{
  switch (mode & S_IFMT) {
  case S_IFREG:
    return 'f';
  case S_IFDIR:
    return 'd';
  case S_IFLNK:
    return 'l';
  case S_IFBLK:
    return 'b';
  case S_IFCHR:
    return 'c';
  case S_IFIFO:
    return 'p';
  case S_IFSOCK:
    return 's';
  default:
    return '?';
  }
}

static gboolean
is_same_file (const ImageWalkEntry *a, const ImageWalkEntry *b)
{
  return a->size == b->size && a->mtime == b->mtime && a->mtime_ns == b->mtime_ns;
}

/* Whoever sets a time back, as package managers do, still changes this one. */
static gboolean
is_untouched (const ImageWalkEntry *a, const ImageWalkEntry *b)
{
  return a->ino == b->ino && a->ctime == b->ctime && a->ctime_ns == b->ctime_ns;
}

ImageWalkVerdict
image_walk_judge (const ImageWalkEntry *a, const ImageWalkEntry *b)
{
  char type = image_walk_type (a->mode);

  if (a->mode != b->mode || a->uid != b->uid || a->gid != b->gid)
    return IMAGE_WALK_CHANGED;
  if (type == 'f' && !is_same_file (a, b))
    return IMAGE_WALK_CHANGED;
  if (type == 'f')
    return is_untouched (a, b) || a->size == 0 ? IMAGE_WALK_SAME : IMAGE_WALK_ASK;
  if (type == 'l')
    return g_strcmp0 (a->target, b->target) == 0 ? IMAGE_WALK_SAME : IMAGE_WALK_CHANGED;
  if (type == 'b' || type == 'c')
    return a->rdev == b->rdev ? IMAGE_WALK_SAME : IMAGE_WALK_CHANGED;
  return IMAGE_WALK_SAME;
}

static int
by_path (gconstpointer a, gconstpointer b)
{
  return strcmp ((*(ImageWalkEntry *const *)a)->path, (*(ImageWalkEntry *const *)b)->path);
}

static gboolean
compare (const ImageWalkEntry *a, const ImageWalkEntry *b, ImageWalkAsk ask, ImageWalkFound found,
         gpointer data, GError **error)
{
  ImageWalkVerdict verdict = image_walk_judge (a, b);
  gboolean same = verdict == IMAGE_WALK_SAME;

  if (verdict == IMAGE_WALK_ASK && !ask (b->path, data, &same, error))
    return FALSE;
  if (!same)
    found ('M', b, data);
  return TRUE;
}

gboolean
image_walk_diff (GPtrArray *before, GPtrArray *after, ImageWalkAsk ask, ImageWalkFound found, gpointer data,
                 GError **error)
{
  guint i = 0, j = 0;

  g_ptr_array_sort (before, by_path);
  g_ptr_array_sort (after, by_path);
  while (i < before->len || j < after->len) {
    const ImageWalkEntry *a = i < before->len ? g_ptr_array_index (before, i) : NULL;
    const ImageWalkEntry *b = j < after->len ? g_ptr_array_index (after, j) : NULL;
    int order = a == NULL ? 1 : b == NULL ? -1 : strcmp (a->path, b->path);

    if (order < 0)
      found ('D', a, data);
    else if (order > 0)
      found ('A', b, data);
    else if (!compare (a, b, ask, found, data, error))
      return FALSE;
    i += order <= 0;
    j += order >= 0;
  }
  return TRUE;
}
