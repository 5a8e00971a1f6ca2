/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Everything becomes a qcow2 without a backing file. A sound qcow2 is copied, where possible by reference;
 * one that is over an image of the store becomes one with it; a raw one is packed by vmctl-ext; other disks
 * are converted by qemu-img; a tar or directory is written into a new ext4. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "images/build.h"
#include "images/cage.h"
#include "images/flatten.h"
#include "images/import-parts.h"
#include "images/interrupt.h"
#include "images/nix.h"
#include "images/qcow2-head.h"
#include "images/store-parts.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"
#include "vmctl/base/json.h"

enum { RESULT_MAX = 4 << 20 };

#define GIB ((guint64)1 << 30)
#define MIB ((guint64)1 << 20)
#define TREE_SIZE_DEFAULT (8 * GIB)
#define TREE_SIZE_MIN (64 * MIB)
#define RAW "disk.raw"

/* Every feature is named, so that /etc/mke2fs.conf and the version of mke2fs do not matter. */
#define FEATURES                                                                                             \
  "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,"  \
  "huge_file,"                                                                                               \
  "dir_nlink,extra_isize,metadata_csum"

json_object *
image_run_for_result (VmArgv *argv, ImageProgress progress, gpointer data, GError **error)
{
  vm_autofd result = memfd_create ("result", MFD_CLOEXEC);
  g_autofree char *text = NULL;
  gsize length;

  if (result < 0) {
    vm_error_errno (error, errno, "cannot make a memory file");
    return NULL;
  }
  vm_argv_bind (argv, "result", fcntl (result, F_DUPFD_CLOEXEC, 3));
  if (!image_build_run (argv, progress, data, error) || lseek (result, 0, SEEK_SET) < 0)
    return NULL;
  text = vm_fd_read_all (result, RESULT_MAX, &length, error);
  return text != NULL ? vm_json_parse_object (text, length, error) : NULL;
}

static void
add_file (VmArgv *argv, const char *slot, int fd)
{
  vm_argv_addf (argv, "%d", vm_argv_slot (argv, slot));
  vm_argv_bind (argv, slot, fcntl (fd, F_DUPFD_CLOEXEC, 3));
}

/* Not in the jail: it looks into nothing, and has no file but these. */
char *
image_write (const ImageTools *tools, const char *verb, int from, int to, ImageProgress progress,
             gpointer data, GError **error)
{
  g_autoptr (VmArgv) argv = vm_argv_new ();
  g_autoptr (json_object) result = NULL;
  const char *sum;

  vm_argv_add_many (argv, tools->ext, verb, NULL);
  add_file (argv, "from", from);
  if (to >= 0)
    add_file (argv, "to", to);
  vm_argv_addf (argv, "%d", vm_argv_slot (argv, "result"));
  result = image_run_for_result (argv, progress, data, error);
  return result != NULL && vm_json_need_str (result, "sha256", &sum, error) ? g_strdup (sum) : NULL;
}

char *
image_sum (const ImageTools *tools, int fd, ImageProgress progress, gpointer data, GError **error)
{
  return image_write (tools, "sum", fd, -1, progress, data, error);
}

/* qemu-img */

/* Clusters of nothing but tables come on top of the content. */
static guint64
file_max (guint64 size)
{
  return size + size / 50 + 64 * MIB;
}

static VmArgv *
qemu_img (const ImageTools *tools, const char *path, const char *out_dir, guint64 max, GError **error)
{
  g_autofree char *program = image_cage_program ("qemu-img", "qemu-utils", error);
  g_autoptr (VmArgv) argv = program != NULL ? image_cage_new (tools, error) : NULL;

  if (argv == NULL)
    return NULL;
  image_cage_bind (argv, path, IMAGE_CAGE_IN, FALSE);
  if (out_dir != NULL)
    image_cage_bind (argv, out_dir, IMAGE_CAGE_OUT, TRUE);
  image_cage_enter (argv, max);
  vm_argv_add (argv, program);
  return g_steal_pointer (&argv);
}

gboolean
image_convert_file (const ImageTools *tools, const char *path, const char *from, const char *to_dir,
                    const char *to_name, const char *to_format, guint64 size, ImageProgress progress,
                    gpointer data, GError **error)
{
  guint64 max = g_str_equal (to_format, "raw") ? size : file_max (size);
  g_autoptr (VmArgv) argv = qemu_img (tools, path, to_dir, max, error);

  if (argv == NULL)
    return FALSE;
  vm_argv_add_many (argv, "convert", "-p", "-f", from, "-O", to_format, IMAGE_CAGE_IN, NULL);
  vm_argv_addf (argv, IMAGE_CAGE_OUT "/%s", to_name);
  return image_build_run_as (argv, "converting the disk", progress, data, error);
}

static gboolean
convert_disk (ImageImporting *i, const char *path, const char *from, guint64 size, GError **error)
{
  return image_convert_file (&i->import->tools, path, from, i->part.path, IMAGE_STORE_DISK, "qcow2", size,
                             i->progress, i->data, error);
}

/* What qemu-img says of a disk whose header we do not read ourselves. */
static gboolean
ask_size (ImageImporting *i, guint64 *ret, GError **error)
{
  g_autoptr (VmArgv) argv = qemu_img (&i->import->tools, i->path, NULL, 0, error);
  g_autoptr (json_object) object = NULL;
  g_autofree char *text = NULL;
  gint64 size;

  if (argv == NULL)
    return FALSE;
  vm_argv_add_many (argv, "info", "--output=json", "-f", i->format, IMAGE_CAGE_IN, NULL);
  if (!vm_argv_run (argv, &text, error) ||
      (object = vm_json_parse_object (text, strlen (text), error)) == NULL ||
      !vm_json_need_int (object, "virtual-size", &size, error))
    return FALSE;
  if (vm_json_str (object, "backing-filename", NULL) != NULL)
    return vm_error (
        error, VM_ERROR_UNSUPPORTED,
        "it is only what differs from another file, and vmctl opens no file that an image names");
  if (size <= 0 || (guint64)size > IMAGE_SIZE_MAX)
    return vm_error (error, VM_ERROR_UNSUPPORTED,
                     "its disk is larger than 16 TiB, the most that vmctl takes");
  *ret = (guint64)size;
  return TRUE;
}

/* A leak (status 3) wastes room and harms nothing. */
static gboolean
check_qcow2 (ImageImporting *i, const char *path, GError **error)
{
  g_autoptr (VmArgv) argv = qemu_img (&i->import->tools, path, NULL, 0, error);
  g_autoptr (GError) problem = NULL;
  g_autofree char *text = NULL;

  if (argv == NULL)
    return FALSE;
  i->progress ("checking the disk", -1, i->data);
  vm_argv_add_many (argv, "check", "-q", "-f", "qcow2", IMAGE_CAGE_IN, NULL);
  if (vm_argv_run (argv, &text, &problem) || strstr (problem->message, "status 3") != NULL)
    return TRUE;
  return vm_error (error, VM_ERROR_INVALID, "its tables are damaged: %s", problem->message);
}

/* Copying */

/* Where the part's disk goes; -1 and error. */
static int
make_disk (ImageImporting *i, GError **error)
{
  int fd = openat (i->part.dir, IMAGE_STORE_DISK, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

  if (fd < 0)
    vm_error_errno (error, errno, "cannot write in '%s'", i->part.path);
  return fd;
}

/* As it is, if nothing in it is odd. By reference where the file system can; its checksum is taken later. */
static gboolean
take_qcow2 (ImageImporting *i, const ImageQcow2Head *head, GError **error)
{
  g_autofree char *path = g_build_filename (i->part.path, IMAGE_STORE_DISK, NULL);
  vm_autofd to = -1;

  if (head->snapshots > 0 || head->bitmaps || head->dirty)
    return convert_disk (i, i->path, "qcow2", head->size, error);
  if ((to = make_disk (i, error)) < 0)
    return FALSE;
  if (ioctl (to, FICLONE, i->fd) < 0 &&
      (i->sum = image_write (&i->import->tools, "copy", i->fd, to, i->progress, i->data, error)) == NULL)
    return FALSE;
  return check_qcow2 (i, path, error);
}

/* Only what differs from another file. That has to be the disk of an image of the store, which is found by
 * its path and not opened by that. */
static gboolean
from_overlay (ImageImporting *i, const ImageQcow2Head *head, const char *backing, GError **error)
{
  g_autoptr (ImageInfo) base = image_flatten_find_base (i->import->data_dir, backing, error);
  g_autofree char *disk = base != NULL ? image_info_disk (base) : NULL;
  vm_autofd held = -1;

  if (base == NULL || (held = image_store_open (base, error)) < 0)
    return FALSE;
  if (head->backing_is_other)
    return vm_error (error, VM_ERROR_INVALID,
                     "it says that its backing file, an image of the store, is no qcow2");
  return image_flatten (&i->import->tools, i->path, disk, head->size, i->part.path, IMAGE_STORE_DISK,
                        i->progress, i->data, error);
}

static gboolean
from_qcow2 (ImageImporting *i, GError **error)
{
  g_autofree guint8 *data = g_malloc (IMAGE_QCOW2_HEAD);
  ssize_t n = pread (i->fd, data, IMAGE_QCOW2_HEAD, 0);
  g_autofree char *backing = NULL;
  ImageQcow2Head head;

  if (n < 0)
    return vm_error_errno (error, errno, "cannot read it");
  if (!image_qcow2_parse_overlay (data, (gsize)n, (guint64)i->stat.st_size, &head, &backing, error))
    return FALSE;
  return backing != NULL ? from_overlay (i, &head, backing, error) : take_qcow2 (i, &head, error);
}

/* Nobody looks into it: a raw disk cannot name other files. */
static gboolean
pack_raw (ImageImporting *i, int from, GError **error)
{
  vm_autofd to = make_disk (i, error);

  if (to < 0)
    return FALSE;
  i->sum = image_write (&i->import->tools, "pack", from, to, i->progress, i->data, error);
  return i->sum != NULL;
}

/* Raw disks are taken at their word; qemu-img would round up what is no whole sector. */
static gboolean
from_raw (ImageImporting *i, GError **error)
{
  guint64 size = (guint64)i->stat.st_size;

  if (size == 0 || size % 512 != 0)
    return vm_error (error, VM_ERROR_INVALID,
                     "it has %" G_GUINT64_FORMAT " bytes, and a raw disk has whole sectors of 512", size);
  if (size > IMAGE_SIZE_MAX)
    return vm_error (error, VM_ERROR_UNSUPPORTED, "it is larger than 16 TiB, the most that vmctl takes");
  return pack_raw (i, i->fd, error);
}

static gboolean
from_foreign (ImageImporting *i, GError **error)
{
  guint64 size = 0;

  return ask_size (i, &size, error) && convert_disk (i, i->path, i->format, size, error);
}

/* Trees */

/* vmctl-ext on the source. A tar is read in the jail; a directory of the host cannot be: there, other users'
 * files would belong to nobody. It is no archive, and vmctl-ext has a filter of its own. */
static VmArgv *
tree_argv (ImageImporting *i, const char *verb, guint64 max, const char *out_dir, GError **error)
{
  gboolean is_tar = g_str_equal (i->format, "tar");
  g_autoptr (VmArgv) argv = is_tar ? image_cage_new (&i->import->tools, error) : vm_argv_new ();

  if (argv == NULL)
    return NULL;
  if (is_tar) {
    image_cage_bind (argv, i->path, IMAGE_CAGE_IN, FALSE);
    if (out_dir != NULL)
      image_cage_bind (argv, out_dir, IMAGE_CAGE_OUT, TRUE);
    image_cage_enter (argv, max);
  }
  vm_argv_add_many (argv, is_tar ? IMAGE_CAGE_EXT : i->import->tools.ext, verb, i->format,
                    is_tar ? IMAGE_CAGE_IN : i->path, NULL);
  return g_steal_pointer (&argv);
}

static gboolean
count_tree (ImageImporting *i, guint64 *ret, guint64 *ret_entries, GError **error)
{
  g_autoptr (VmArgv) argv = tree_argv (i, "count", 0, NULL, error);
  g_autoptr (json_object) result = NULL;
  gint64 bytes, entries;

  if (argv == NULL)
    return FALSE;
  vm_argv_addf (argv, "%d", vm_argv_slot (argv, "result"));
  result = image_run_for_result (argv, i->progress, i->data, error);
  if (result == NULL || !vm_json_need_int (result, "bytes", &bytes, error) ||
      !vm_json_need_int (result, "entries", &entries, error))
    return FALSE;
  *ret = (guint64)MAX (bytes, 0);
  *ret_entries = (guint64)MAX (entries, 0);
  return TRUE;
}

/* Half as much again as is in it, in whole GiB, and no less than what is handy. */
static gboolean
choose_size (const ImageImporting *i, guint64 bytes, guint64 *ret, GError **error)
{
  guint64 size = i->import->size / MIB * MIB;

  if (size == 0)
    size = MAX ((bytes + bytes / 2 + GIB - 1) / GIB * GIB, TREE_SIZE_DEFAULT);
  if (size < TREE_SIZE_MIN || size > IMAGE_SIZE_MAX)
    return vm_error (error, VM_ERROR_USAGE, "--size: a disk has from 64 MiB to 16 TiB");
  if (bytes > size)
    return vm_error (error, VM_ERROR_USAGE,
                     "what is imported has %" G_GUINT64_FORMAT " MiB, and the disk %" G_GUINT64_FORMAT
                     " MiB; give it more room with --size",
                     bytes / MIB, size / MIB);
  *ret = size;
  return TRUE;
}

static gboolean
check_room (const ImageImporting *i, guint64 bytes, GError **error)
{
  g_autofree char *needed = vm_size_format (bytes);
  struct statvfs room;

  /* Once in the raw disk, and once in the qcow2. */
  return fstatvfs (i->part.dir, &room) < 0 || (guint64)room.f_bavail * room.f_frsize / 2 > bytes ||
         vm_error (error, VM_ERROR_HOST, "there is no room for twice %s in '%s'", needed, i->part.store);
}

/* Inodes: one for 16 KiB, or as many as there are files, and as many again. */
static gboolean
format_raw (ImageImporting *i, const char *path, guint64 size, guint64 entries, GError **error)
{
  g_autofree char *program = image_cage_program ("mke2fs", "e2fsprogs", error);
  g_autoptr (VmArgv) argv = vm_argv_new ();
  vm_autofd fd = -1;

  if (program == NULL)
    return FALSE;
  fd = openat (i->part.dir, RAW, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0 || ftruncate (fd, (off_t)size) < 0)
    return vm_error_errno (error, errno, "cannot make a sparse file of %" G_GUINT64_FORMAT " bytes", size);
  vm_argv_add_many (argv, program, "-q", "-F", "-b", "4096", "-I", "256", "-m", "1", "-L", "root", "-O",
                    FEATURES, "-E", "root_owner=0:0,lazy_itable_init=1,lazy_journal_init=1,nodiscard", "-N",
                    NULL);
  vm_argv_addf (argv, "%" G_GUINT64_FORMAT, MIN (MAX (size / 16384, entries * 2), (guint64)G_MAXUINT32 / 2));
  vm_argv_add (argv, path);
  vm_argv_setenv (argv, "MKE2FS_CONFIG", "/dev/null");
  vm_argv_setenv (argv, "LC_ALL", "C");
  i->progress ("making a file system", -1, i->data);
  return vm_argv_run (argv, NULL, error);
}

static gboolean
fill_raw (ImageImporting *i, const char *path, guint64 size, guint64 bytes, GError **error)
{
  gboolean is_tar = g_str_equal (i->format, "tar"),
           is_mine = is_tar || geteuid () == 0 || i->import->any_owner;
  g_autoptr (VmArgv) argv = tree_argv (i, "fill", size, i->part.path, error);

  if (argv == NULL)
    return FALSE;
  vm_argv_add (argv, is_tar ? IMAGE_CAGE_OUT "/" RAW : path);
  vm_argv_addf (argv, "%" G_GUINT64_FORMAT, bytes);
  vm_argv_addf (argv, "%lld", is_mine ? -1LL : (long long)geteuid ());
  vm_argv_addf (argv, "%lld", is_mine ? -1LL : (long long)getegid ());
  return image_build_run (argv, i->progress, i->data, error);
}

static gboolean
from_tree (ImageImporting *i, GError **error)
{
  g_autofree char *raw = g_build_filename (i->part.path, RAW, NULL);
  guint64 bytes = 0, entries = 0, size = 0;
  vm_autofd fd = -1;

  if (!count_tree (i, &bytes, &entries, error) || !choose_size (i, bytes, &size, error) ||
      !check_room (i, bytes, error) || !format_raw (i, raw, size, entries, error) ||
      !fill_raw (i, raw, size, bytes, error))
    return FALSE;
  fd = openat (i->part.dir, RAW, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0 || unlinkat (i->part.dir, RAW, 0) < 0)
    return vm_error_errno (error, errno, "cannot open '%s'", raw);
  return pack_raw (i, fd, error);
}

gboolean
image_convert (ImageImporting *i, GError **error)
{
  if (g_str_equal (i->format, "qcow2"))
    return from_qcow2 (i, error);
  if (g_str_equal (i->format, "raw"))
    return from_raw (i, error);
  if (g_str_equal (i->format, "tar") || g_str_equal (i->format, "directory") ||
      g_str_equal (i->format, IMAGE_NIX_FORMAT))
    return from_tree (i, error);
  return from_foreign (i, error);
}
