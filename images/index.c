/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/index.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"

enum {
  INDEX_MAX = 1 << 20,
  LINES_MAX = 512,     /* some kernels with a dozen modules each; old lines go first */
  SETTLED_SECONDS = 2, /* a file changed this recently may change again within one tick of its clock */
};

struct ImageIndex {
  char *cache_dir;
  GPtrArray *lines;   /* char *; oldest first */
  GHashTable *hashes; /* identity (owned) -> hash (owned) */
  gboolean changed;
};

static gboolean
is_hash (const char *text)
{
  return strlen (text) == 64 && strspn (text, "0123456789abcdef") == 64;
}

static void
add_line (ImageIndex *index, const char *line)
{
  const char *space = strrchr (line, ' ');

  if (space == NULL || !is_hash (space + 1))
    return;
  g_ptr_array_add (index->lines, g_strdup (line));
  g_hash_table_insert (index->hashes, g_strndup (line, (gsize)(space - line)), g_strdup (space + 1));
}

ImageIndex *
image_index_open (const char *cache_dir)
{
  ImageIndex *index = g_new0 (ImageIndex, 1);
  vm_autofd dir_fd = vm_file_open_private_dir (cache_dir, NULL);
  g_autofree char *text = dir_fd >= 0 ? vm_file_read (dir_fd, "index", INDEX_MAX, NULL, NULL) : NULL;
  g_auto (GStrv) lines = g_strsplit (text != NULL ? text : "", "\n", -1);

  index->cache_dir = g_strdup (cache_dir);
  index->lines = g_ptr_array_new_with_free_func (g_free);
  index->hashes = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  for (guint i = 0; lines[i] != NULL; i++)
    add_line (index, lines[i]);
  return index;
}

void
image_index_free (ImageIndex *index)
{
  if (index == NULL)
    return;
  g_free (index->cache_dir);
  g_ptr_array_unref (index->lines);
  g_hash_table_unref (index->hashes);
  g_free (index);
}

static char *
identity (const struct stat *st)
{
  return g_strdup_printf ("%llx:%llx:%llx:%lld.%09ld:%lld.%09ld", (unsigned long long)st->st_dev,
                          (unsigned long long)st->st_ino, (unsigned long long)st->st_size,
                          (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec, (long long)st->st_ctim.tv_sec,
                          st->st_ctim.tv_nsec);
}

static char *
hash_file (int fd, const char *path, GError **error)
{
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);
  g_autofree guint8 *buffer = g_malloc (65536);
  ssize_t n;

  while ((n = read (fd, buffer, 65536)) != 0) {
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0) {
      vm_error_errno (error, errno, "cannot read '%s'", path);
      return NULL;
    }
    g_checksum_update (sum, buffer, n);
  }
  return g_strdup (g_checksum_get_string (sum));
}

static const char *
learn (ImageIndex *index, const char *path, GError **error)
{
  vm_autofd fd = open (path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  g_autofree char *id = NULL, *hash = NULL, *line = NULL;
  struct stat before, after;

  if (fd < 0 || fstat (fd, &before) < 0) {
    vm_error_errno (error, errno, "cannot read '%s'", path);
    return NULL;
  }
  if (!S_ISREG (before.st_mode)) {
    vm_error (error, VM_ERROR_HOST, "cannot read '%s': not a regular file", path);
    return NULL;
  }
  if ((hash = hash_file (fd, path, error)) == NULL)
    return NULL;
  id = identity (&before);
  if (fstat (fd, &after) == 0 && after.st_ctim.tv_sec + SETTLED_SECONDS < time (NULL)) {
    g_autofree char *id_after = identity (&after);

    line = g_strdup_printf ("%s %s", id, hash);
    if (strcmp (id, id_after) == 0) {
      g_ptr_array_add (index->lines, g_steal_pointer (&line));
      index->changed = TRUE;
    }
  }
  g_hash_table_replace (index->hashes, g_strdup (id), g_steal_pointer (&hash));
  return g_hash_table_lookup (index->hashes, id);
}

const char *
image_index_hash (ImageIndex *index, const char *path, GError **error)
{
  g_autofree char *id = NULL;
  const char *known;
  struct stat st;

  if (stat (path, &st) < 0) {
    vm_error_errno (error, errno, "cannot read '%s'", path);
    return NULL;
  }
  id = identity (&st);
  known = g_hash_table_lookup (index->hashes, id);
  return known != NULL ? known : learn (index, path, error);
}

void
image_index_save (ImageIndex *index)
{
  g_autoptr (GString) text = g_string_new (NULL);
  guint first = index->lines->len > LINES_MAX ? index->lines->len - LINES_MAX : 0;
  vm_autofd dir_fd = -1;

  if (!index->changed || !vm_file_make_private_dir (index->cache_dir, NULL))
    return;
  for (guint i = first; i < index->lines->len; i++)
    g_string_append_printf (text, "%s\n", (const char *)g_ptr_array_index (index->lines, i));
  dir_fd = vm_file_open_private_dir (index->cache_dir, NULL);
  if (dir_fd >= 0)
    (void)vm_file_replace (dir_fd, "index", text->str, text->len, 0600, FALSE, NULL); /* only a cache */
  index->changed = FALSE;
}
