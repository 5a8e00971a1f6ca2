/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How it works
 *
 * A directory of the store, locked, is filled: disk.qcow2 (convert.c), what is in it (examine.c), its
 * checksum, which is its name; then it is renamed to that. The source is opened once, and is what it was when
 * all is done, or all was for nothing: a program in a jail has opened it by its path. */
#include "images/import.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "images/host-systemd.h"
#include "images/import-parts.h"
#include "images/interrupt.h"
#include "images/layout.h"
#include "images/nix.h"
#include "images/qcow2-head.h"
#include "images/store-parts.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/json.h"

enum { SNIFF = 256 << 10 };

const char *const image_import_formats[] = {"qcow2", "raw", "vmdk", "vdi", "tar", "directory", NULL};

/* Formats */

typedef struct {
  gsize at;
  const char *magic;
  gsize length;
  const char *format; /* NULL: cannot be imported */
  const char *what;
} Magic;

static const Magic magics[] = {
    {0, "QFI\xfb", 4, "qcow2", "a qcow2 disk"},
    {0, "KDMV", 4, "vmdk", "a vmdk disk"},
    {0, "# Disk DescriptorFile", 21, NULL, "the description of a vmdk disk whose data is in other files"},
    {0, "COWD", 4, NULL, "an old vmdk disk"},
    {64, "\x7f\x10\xda\xbe", 4, "vdi", "a vdi disk"},
    {0, "QED", 4, NULL, "a QED disk"},
    {0, "vhdxfile", 8, NULL, "a vhdx disk"},
    {0, "conectix", 8, NULL, "a vpc disk"},
    {0, "LUKS\xba\xbe", 6, NULL, "an encrypted disk (LUKS)"},
    {0, "PK\x03\x04", 4, NULL, "a zip archive"},
    {257, "ustar", 5, "tar", "a tar"},
    {0, "\x1f\x8b", 2, "tar", "something compressed by gzip"},
    {0,
     "\xfd"
     "7zXZ",
     6, "tar", "something compressed by xz"},
    {0, "\x28\xb5\x2f\xfd", 4, "tar", "something compressed by zstd"},
    {0, "BZh", 3, "tar", "something compressed by bzip2"},
};

typedef struct {
  const guint8 *data;
  gsize length;
} Beginning;

static gboolean
read_beginning (guint64 at, gpointer to, gsize length, gpointer data)
{
  const Beginning *b = data;

  if (at > b->length || length > b->length - at)
    return FALSE;
  memcpy (to, b->data + at, length);
  return TRUE;
}

/* A table of partitions, or a file system that is known. */
static gboolean
is_disk (const guint8 *data, gsize length, guint64 size)
{
  Beginning b = {.data = data, .length = length};
  g_autoptr (GArray) partitions = image_layout_read (read_beginning, size, &b);

  for (guint i = 0; i < partitions->len; i++) {
    const ImagePartition *p = &g_array_index (partitions, ImagePartition, i);

    if (p->number > 0 || p->type != NULL)
      return TRUE;
  }
  return FALSE;
}

const char *
image_import_sniff (const guint8 *data, gsize length, guint64 size, const char **ret_what)
{
  for (guint i = 0; i < G_N_ELEMENTS (magics); i++)
    if (length >= magics[i].at + magics[i].length &&
        memcmp (data + magics[i].at, magics[i].magic, magics[i].length) == 0) {
      *ret_what = magics[i].what;
      return magics[i].format;
    }
  *ret_what = NULL;
  if (!is_disk (data, length, size))
    return NULL;
  *ret_what = "a raw disk";
  return "raw";
}

/* What is said to be raw and begins as another format does would be that format to whoever looks next. */
static gboolean
agree (const char *wanted, const char *found, const char *what, GError **error)
{
  if (wanted == NULL && found != NULL)
    return TRUE;
  if (wanted == NULL && what != NULL)
    return vm_error (error, VM_ERROR_UNSUPPORTED, "it is %s, which vmctl does not import", what);
  if (wanted == NULL)
    return vm_error (
        error, VM_ERROR_INVALID,
        "it is no image that is recognised: neither qcow2, vmdk, vdi, tar, nor a disk with partitions or "
        "a file system");
  if (!g_strv_contains (image_import_formats, wanted))
    return vm_error (error, VM_ERROR_USAGE, "--format '%s' is not one of qcow2, raw, vmdk, vdi, tar", wanted);
  if (g_strcmp0 (wanted, found) == 0)
    return TRUE;
  if (g_str_equal (wanted, "raw") && what == NULL)
    return TRUE; /* nothing speaks against it */
  if (g_str_equal (wanted, "tar") && what == NULL)
    return TRUE; /* old ones have no mark */
  return vm_error (error, VM_ERROR_INVALID, "it is said to be %s, but begins like %s", wanted,
                   what != NULL ? what : "none");
}

static gboolean
find_format (ImageImporting *i, GError **error)
{
  g_autofree guint8 *data = g_malloc0 (SNIFF);
  const char *found, *what = NULL;
  ssize_t n;

  if (S_ISDIR (i->stat.st_mode)) {
    i->format = i->import->sum != NULL ? IMAGE_NIX_FORMAT : "directory";
    return i->import->format == NULL || g_str_equal (i->import->format, "directory") ||
           vm_error (error, VM_ERROR_USAGE, "it is a directory, and no %s", i->import->format);
  }
  if (!S_ISREG (i->stat.st_mode))
    return vm_error (error, VM_ERROR_USAGE, "it is neither a regular file nor a directory");
  if (i->stat.st_size == 0)
    return vm_error (error, VM_ERROR_INVALID, "it is empty");
  n = pread (i->fd, data, SNIFF, 0);
  if (n < 0)
    return vm_error_errno (error, errno, "cannot read it");
  found = image_import_sniff (data, (gsize)n, (guint64)i->stat.st_size, &what);
  if (!agree (i->import->format, found, what, error))
    return FALSE;
  i->format = i->import->format != NULL ? i->import->format : found;
  return TRUE;
}

/* Names */

/* "debian-12" of "/x/Debian 12.tar.xz". (transfer full) NULL: nothing is left. */
static char *
name_of_path (const char *path)
{
  static const char *const ends[] = {".gz",    ".xz",  ".zst", ".bz2",  ".tar", ".tgz",
                                     ".qcow2", ".img", ".raw", ".vmdk", ".vdi", NULL};
  g_autofree char *base = g_path_get_basename (path), *name = g_ascii_strdown (base, -1);
  char *from = name;

  for (const char *const *end = ends; *end != NULL; end++)
    if (g_str_has_suffix (name, *end))
      name[strlen (name) - strlen (*end)] = '\0';
  for (char *at = name; *at != '\0'; at++)
    if (!g_ascii_isalnum (*at) && strchr ("._-", *at) == NULL)
      *at = '-';
  while (*from != '\0' && !g_ascii_isalnum (*from))
    from++;
  return image_store_is_name (from) ? g_strdup (from) : NULL;
}

static gboolean
choose_name (const ImageImport *import, char **ret, GError **error)
{
  *ret = import->name != NULL ? g_strdup (import->name) : name_of_path (import->path);
  if (*ret == NULL)
    return vm_error (error, VM_ERROR_USAGE, "no name can be made of that of the file; write --name NAME");
  return image_store_check_name (import->data_dir, *ret, import->force, error);
}

/* What is there already */

static gboolean
is_same_origin (const ImageImporting *i, const ImageInfo *info)
{
  g_autoptr (json_object) identity = image_store_identity (&i->stat);

  return !info->system && i->fd >= 0 && info->origin_identity != NULL &&
         g_str_equal (info->format, i->format) && json_object_equal (identity, info->origin_identity) &&
         (i->import->root < 0 || i->import->root == info->partition) &&
         (i->import->size == 0 || i->import->size == info->size);
}

/* The same file as it was, or (a tar) one with the same content. */
static ImageInfo *
find_earlier (ImageImporting *i, const char *sum)
{
  g_autoptr (GPtrArray) all = image_store_list (i->import->data_dir, NULL, NULL);

  for (guint n = 0; all != NULL && n < all->len; n++) {
    const ImageInfo *info = g_ptr_array_index (all, n);
    vm_autofd disk = -1;

    if (!is_same_origin (i, info) &&
        (sum == NULL || info->system || g_strcmp0 (sum, info->origin_sha256) != 0 ||
         (i->import->size != 0 && i->import->size != info->size)))
      continue;
    if ((disk = image_store_open (info, NULL)) >= 0) /* one that was spoilt is none */
      return g_ptr_array_steal_index (all, n);
  }
  return NULL;
}

/* Steps */

static gboolean
is_unchanged (const ImageImporting *i, GError **error)
{
  g_autoptr (json_object) then = image_store_identity (&i->stat), now = NULL;
  struct stat st;

  if (i->fd < 0)
    return TRUE;
  if (fstat (i->fd, &st) < 0)
    return vm_error_errno (error, errno, "cannot look at it");
  now = image_store_identity (&st);
  return json_object_equal (then, now) ||
         vm_error (error, VM_ERROR_BUSY,
                   "it was changed while it was imported; is something running from it?");
}

static gboolean
take_sum (ImageImporting *i, char **ret, GError **error)
{
  vm_autofd disk = openat (i->part.dir, IMAGE_STORE_DISK, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

  if (disk < 0)
    return vm_error_errno (error, errno, "cannot open the new disk");
  if (i->sum == NULL)
    i->sum = image_sum (&i->import->tools, disk, i->progress, i->data, error);
  if (i->sum == NULL)
    return FALSE;
  *ret = g_strconcat (IMAGE_ID_PREFIX, i->sum, NULL);
  return TRUE;
}

static ImageInfo *
new_info (const ImageImporting *i)
{
  ImageInfo *info = image_info_new ();

  /* Whatever the path's bytes are. */
  info->origin = g_utf8_make_valid (i->import->origin != NULL ? i->import->origin : i->path, -1);
  for (char *at = info->origin; *at != '\0'; at++)
    if (g_ascii_iscntrl (*at))
      *at = '?';
  info->created = g_get_real_time ();
  return info;
}

static gboolean
make (ImageImporting *i, const char *name, const char *sum, GError **error)
{
  i->info = new_info (i);
  if (!image_store_begin (i->import->data_dir, &i->part, error) || !image_convert (i, error) ||
      !image_examine (i, error) || !take_sum (i, &i->info->id, error) || !is_unchanged (i, error) ||
      !image_interrupt_check (error))
    return FALSE;
  i->info->origin_sha256 = g_strdup (sum);
  i->info->origin_identity = i->fd >= 0 ? image_store_identity (&i->stat) : NULL;
  i->progress ("writing everything to the disk", -1, i->data);
  return image_store_commit (&i->part, i->info, name, i->import->force, error);
}

/* The checksum of a tar saves much; that of a disk would take as long as the disk itself. */
static gboolean
run (ImageImporting *i, const char *name, gboolean *ret_was_there, GError **error)
{
  g_autofree char *sum = NULL;

  i->info = find_earlier (i, NULL);
  sum = g_strdup (i->import->sum);
  if (i->info == NULL && g_str_equal (i->format, "tar") &&
      (sum = image_sum (&i->import->tools, i->fd, i->progress, i->data, error)) == NULL)
    return FALSE;
  if (i->info == NULL && sum != NULL)
    i->info = find_earlier (i, sum);
  *ret_was_there = i->info != NULL;
  if (i->info != NULL)
    return image_store_name (i->import->data_dir, name, i->info->id, i->import->force, error);
  return make (i, name, sum, error);
}

static gboolean
open_source (ImageImporting *i, GError **error)
{
  i->path = g_canonicalize_filename (i->import->path, NULL);
  i->fd = open (i->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (i->fd < 0 || fstat (i->fd, &i->stat) < 0)
    return vm_error_errno (error, errno, "cannot open it");
  if (!find_format (i, error))
    return FALSE;
  if (S_ISDIR (i->stat.st_mode))
    vm_fd_clear (&i->fd);
  return TRUE;
}

gboolean
image_import (const ImageImport *import, ImageProgress progress, gpointer data, ImageInfo **ret,
              gboolean *ret_was_there, GError **error)
{
  ImageImporting i = {.import = import,
                      .progress = progress != NULL ? progress : image_progress_none,
                      .data = data,
                      .fd = -1,
                      .part = IMAGE_STORE_PART_INIT};
  g_autofree char *name = NULL;
  GError *problem = NULL;
  gboolean ok;

  ok = open_source (&i, &problem) && choose_name (import, &name, &problem) &&
       run (&i, name, ret_was_there, &problem);
  image_store_part_clear (&i.part);
  vm_fd_clear (&i.fd);
  g_free (i.path);
  g_free (i.sum);
  if (ok) {
    *ret = image_store_find (import->data_dir, i.info->id, error);
    image_info_free (i.info);
    return *ret != NULL;
  }
  image_info_free (i.info);
  g_prefix_error (&problem, "cannot import '%s': ", import->path);
  g_propagate_error (error, problem);
  return FALSE;
}

gboolean
image_import_verify (const ImageTools *tools, const ImageInfo *info, ImageProgress progress, gpointer data,
                     GError **error)
{
  g_autofree char *path = image_info_disk (info), *sum = NULL;
  vm_autofd disk = -1;
  struct stat st;

  if (info->is_host)
    return image_host_systemd_check (info, error);
  disk = open (path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (disk < 0 || fstat (disk, &st) < 0)
    return vm_error_errno (error, errno, "cannot open '%s'", path);
  if (!S_ISREG (st.st_mode))
    return vm_error (error, VM_ERROR_INVALID, "'%s' is not a regular file", path);
  sum = image_sum (tools, disk, progress, data, error);
  return sum != NULL && image_store_trust (info, sum, disk, error);
}

gboolean
image_import_export (const ImageTools *tools, const ImageInfo *info, const char *format, const char *path,
                     ImageProgress progress, gpointer data, GError **error)
{
  g_autofree char *full = g_canonicalize_filename (path, NULL), *dir = g_path_get_dirname (full);
  g_autofree char *part = g_build_filename (dir, IMAGE_STORE_PART_PREFIX "XXXXXX", NULL), *name = NULL;
  g_autofree char *disk = image_info_disk (info);
  vm_autofd held = image_store_open (info, error), fd = -1;
  gboolean ok;

  if (held < 0)
    return FALSE;
  if (g_file_test (full, G_FILE_TEST_EXISTS) || g_file_test (full, G_FILE_TEST_IS_SYMLINK))
    return vm_error (error, VM_ERROR_EXISTS, "'%s' is there already; remove it, or write another name", path);
  if (!g_str_equal (format, "qcow2") && !g_str_equal (format, "raw"))
    return vm_error (error, VM_ERROR_USAGE, "--format '%s' is not one of qcow2, raw", format);
  if ((fd = g_mkstemp_full (part, O_RDWR | O_CLOEXEC, 0600)) < 0)
    return vm_error_errno (error, errno, "cannot write in '%s'", dir);
  name = g_path_get_basename (part);
  ok = image_convert_file (tools, disk, "qcow2", dir, name, format, info->size, progress, data, error) &&
       (fsync (fd) == 0 || vm_error_errno (error, errno, "cannot write '%s'", path));
  /* Never over a file that came meanwhile. */
  if (ok && link (part, full) < 0)
    ok = vm_error_errno (error, errno, "cannot make '%s'", path);
  (void)unlink (part);
  return ok;
}
