/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/ext/fill.h"

#include <archive.h>
#include <archive_entry.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "images/ext/writer.h"
#include "vmctl/base/error.h"
#include "vmctl/base/escape.h"

enum { BLOCK = 128 << 10, FS_BLOCK = 4096, INODE = 256, ENTRIES_MAX = 50 * 1000 * 1000, SHOW_EVERY = 256 };

typedef struct archive Archive;
static void
archive_done (Archive *a)
{
  (void)archive_read_free (a);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Archive, archive_done)

typedef struct archive_entry_linkresolver Resolver;
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Resolver, archive_entry_linkresolver_free)

typedef struct {
  const ImageFillSource *source; /* borrowed */
  ImageWriter *writer;           /* borrowed */
  struct archive *archive;       /* owned */
  guint opened;                  /* of source->store */
  ImageProgress progress;
  gpointer data;
  guint64 bytes, done, entries;
} Fill;

static void
fill_clear (Fill *f)
{
  g_clear_pointer (&f->archive, archive_done);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Fill, fill_clear)

static gboolean
unreadable (GError **error, struct archive *a, const ImageFillSource *source)
{
  const char *why = archive_error_string (a);
  g_autofree char *shown = vm_escape_terminal (why != NULL ? why : "it cannot be read", -1, 500);

  return vm_error (error, VM_ERROR_INVALID, "cannot read the %s: %s",
                   source->is_directory ? "directory" : "tar", shown);
}

static struct archive *
open_tar (void)
{
  struct archive *a = archive_read_new ();

  (void)archive_read_support_format_tar (a);
  (void)archive_read_support_filter_gzip (a);
  (void)archive_read_support_filter_xz (a);
  (void)archive_read_support_filter_zstd (a);
  (void)archive_read_support_filter_bzip2 (a);
  return a;
}

static struct archive *
open_source (const ImageFillSource *source, const char *path, GError **error)
{
  g_autoptr (Archive) a = source->is_directory ? archive_read_disk_new () : open_tar ();
  int result;

  if (source->is_directory) {
    (void)archive_read_disk_set_symlink_physical (a);
    (void)archive_read_disk_set_behavior (a, ARCHIVE_READDISK_NO_TRAVERSE_MOUNTS | ARCHIVE_READDISK_NO_ACL |
                                                 ARCHIVE_READDISK_NO_FFLAGS);
    result = archive_read_disk_open (a, path);
  } else {
    result = archive_read_open_filename (a, path, BLOCK);
  }
  if (result == ARCHIVE_OK)
    return g_steal_pointer (&a);
  unreadable (error, a, source);
  return NULL;
}

/* FALSE without an error: there is none. */
static gboolean
open_next (Fill *f, GError **error)
{
  const char *path = f->source->store != NULL ? f->source->store[f->opened] : NULL;

  if (path == NULL)
    return FALSE;
  f->opened++;
  g_clear_pointer (&f->archive, archive_done);
  f->archive = open_source (f->source, path, error);
  return f->archive != NULL;
}

/* The next entry; NULL without an error is the end. Warnings are of times and names that are not UTF-8: no
 * matter. */
static struct archive_entry *
next (Fill *f, GError **error)
{
  struct archive_entry *entry = NULL;
  GError *problem = NULL;
  int result;

  do
    result = archive_read_next_header (f->archive, &entry);
  while (result == ARCHIVE_RETRY || (result == ARCHIVE_EOF && open_next (f, &problem)));
  if (problem != NULL)
    g_propagate_error (error, problem);
  if (problem != NULL || result == ARCHIVE_EOF)
    return NULL;
  if (result < ARCHIVE_WARN) {
    unreadable (error, f->archive, f->source);
    return NULL;
  }
  if (f->entries++ >= ENTRIES_MAX) {
    vm_error (error, VM_ERROR_INVALID, "there are too many files");
    return NULL;
  }
  if (f->source->is_directory && archive_entry_filetype (entry) == AE_IFDIR)
    (void)archive_read_disk_descend (f->archive);
  return entry;
}

/* "./usr//bin/" is "usr/bin"; NULL: it leads out, or is no name at all. (transfer full) */
static char *
clean_path (const char *path)
{
  g_autoptr (GString) out = g_string_new (NULL);
  g_auto (GStrv) parts = path != NULL ? g_strsplit (path, "/", -1) : NULL;

  for (char **part = parts; part != NULL && *part != NULL; part++) {
    if (g_str_equal (*part, ".."))
      return NULL;
    if (**part != '\0' && !g_str_equal (*part, "."))
      g_string_append_printf (out, "%s%s", out->len > 0 ? "/" : "", *part);
  }
  return path != NULL ? g_strdup (out->str) : NULL;
}

static const char *
raw_path (const Fill *f, const char *path)
{
  /* A directory's entries begin with what it was opened as. */
  return f->source->is_directory && path != NULL && g_str_has_prefix (path, f->source->path)
             ? path + strlen (f->source->path)
             : path;
}

static guint32
owner_of (const Fill *f, gint64 id, gint64 mine)
{
  return id == mine || f->source->store != NULL ? 0 : (guint32)CLAMP (id, 0, (gint64)G_MAXUINT32 - 1);
}

static gboolean
copy_data (Fill *f, ext2_ino_t ino, guint64 size, GError **error)
{
  ext2_file_t file = image_writer_begin (f->writer, ino, error);
  const void *piece;
  size_t length;
  la_int64_t at;
  int result = ARCHIVE_OK;
  gboolean ok = file != NULL;

  while (ok && (result = archive_read_data_block (f->archive, &piece, &length, &at)) != ARCHIVE_EOF) {
    if (result == ARCHIVE_RETRY)
      continue;
    if (result < ARCHIVE_WARN)
      ok = unreadable (error, f->archive, f->source);
    else if (at < 0 || (guint64)at > size || length > size - (guint64)at)
      ok = vm_error (error, VM_ERROR_INVALID, "a file has more in it than its size, or grows");
    else
      ok = image_writer_put (file, (guint64)at, piece, length, error);
    f->done += length;
  }
  if (ok)
    return image_writer_end (file, size, error);
  if (file != NULL)
    (void)image_writer_end (file, 0, NULL);
  return FALSE;
}

static gboolean
copy_xattrs (Fill *f, struct archive_entry *entry, ext2_ino_t ino, GError **error)
{
  const char *name;
  const void *value;
  size_t length;

  (void)archive_entry_xattr_reset (entry);
  while (archive_entry_xattr_next (entry, &name, &value, &length) == ARCHIVE_OK)
    if (g_str_has_prefix (name, "user.") || g_str_equal (name, "security.capability"))
      if (!image_writer_set_xattr (f->writer, ino, name, value, length, error))
        return FALSE;
  return TRUE;
}

static gboolean
add_entry (Fill *f, const char *path, struct archive_entry *entry, GError **error)
{
  dev_t device = archive_entry_rdev (entry);
  ImageWriterEntry e = {.mode = (guint)archive_entry_filetype (entry) | (guint)archive_entry_perm (entry),
                        .uid = owner_of (f, archive_entry_uid (entry), f->source->owner),
                        .gid = owner_of (f, archive_entry_gid (entry), f->source->group),
                        .mtime = archive_entry_mtime (entry),
                        .major = major (device),
                        .minor = minor (device)};
  guint64 size = (guint64)MAX (archive_entry_size (entry), 0);
  ext2_ino_t ino;

  if (*path == '\0' && !S_ISDIR (e.mode))
    return TRUE; /* a name that is none */
  if (!image_writer_add (f->writer, path, &e, archive_entry_symlink (entry), &ino, error))
    return FALSE;
  if (S_ISREG (e.mode) && size > 0 && !copy_data (f, ino, size, error)) {
    g_prefix_error (error, "'/%s': ", path);
    return FALSE;
  }
  return copy_xattrs (f, entry, ino, error);
}

static gboolean
add_one (Fill *f, struct archive_entry *entry, GError **error)
{
  g_autofree char *path = clean_path (raw_path (f, archive_entry_pathname (entry)));
  const char *link = archive_entry_hardlink (entry);
  g_autofree char *from = link != NULL ? clean_path (raw_path (f, link)) : NULL;

  if (path == NULL || (link != NULL && from == NULL)) {
    g_autofree char *shown = vm_escape_terminal (archive_entry_pathname (entry) ?: "?", -1, 200);

    return vm_error (error, VM_ERROR_INVALID, "'%s' is a name that leads out of the image", shown);
  }
  if (f->progress != NULL && f->entries % SHOW_EVERY == 1)
    f->progress ("writing files", f->bytes > 0 ? (int)MIN (f->done * 100 / f->bytes, 100) : -1, f->data);
  if (link != NULL)
    return image_writer_link (f->writer, path, from, error);
  return add_entry (f, path, entry, error);
}

/* A directory's hard links come as such, as a tar has them. A store that was optimised has one empty file,
 * under more names than ext4 allows. */
static gboolean
has_links (const Fill *f, struct archive_entry *entry)
{
  return f->source->is_directory && (f->source->store == NULL || archive_entry_size (entry) > 0);
}

static gboolean
add_all (Fill *f, GError **error)
{
  g_autoptr (Resolver) resolver = archive_entry_linkresolver_new ();
  GError *problem = NULL;
  struct archive_entry *entry;

  archive_entry_linkresolver_set_strategy (resolver, ARCHIVE_FORMAT_TAR_GNUTAR);
  while ((entry = next (f, &problem)) != NULL) {
    struct archive_entry *later = NULL;

    if (has_links (f, entry))
      archive_entry_linkify (resolver, &entry, &later);
    if (entry != NULL && !add_one (f, entry, error))
      return FALSE;
  }
  if (problem != NULL)
    g_propagate_error (error, problem);
  return problem == NULL;
}

gboolean
image_fill_count (const ImageFillSource *source, ImageProgress progress, gpointer data, guint64 *ret_bytes,
                  guint64 *ret_entries, GError **error)
{
  g_auto (Fill) f = {.source = source, .archive = open_source (source, source->path, error)};
  GError *problem = NULL;
  struct archive_entry *entry;

  if (f.archive == NULL)
    return FALSE;
  while ((entry = next (&f, &problem)) != NULL) {
    guint64 size = (guint64)MAX (archive_entry_size (entry), 0);

    if (progress != NULL && f.entries % SHOW_EVERY == 1)
      progress ("counting files", -1, data);
    if (size > (guint64)1 << 44 || f.bytes > (guint64)1 << 44)
      return vm_error (error, VM_ERROR_INVALID, "there is more in it than 16 TiB");
    if (archive_entry_hardlink (entry) == NULL)
      f.bytes +=
          archive_entry_filetype (entry) == AE_IFREG ? (size + FS_BLOCK - 1) / FS_BLOCK * FS_BLOCK : FS_BLOCK;
  }
  if (problem != NULL) {
    g_propagate_error (error, problem);
    return FALSE;
  }
  if (f.entries == 0)
    return vm_error (error, VM_ERROR_INVALID, "there is nothing in it");
  *ret_bytes = f.bytes + f.entries * INODE;
  *ret_entries = f.entries;
  return TRUE;
}

gboolean
image_fill (const ImageFillSource *source, const char *disk, guint64 bytes, ImageProgress progress,
            gpointer data, GError **error)
{
  g_autoptr (ImageWriter) writer = image_writer_open (disk, error);
  g_auto (Fill) f = {.source = source,
                     .writer = writer,
                     .archive = writer != NULL ? open_source (source, source->path, error) : NULL,
                     .progress = progress,
                     .data = data,
                     .bytes = bytes};

  return f.archive != NULL && add_all (&f, error) && image_writer_finish (writer, error);
}
