/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How it works
 *
 * The base is an empty ext4, made once for each size. It is meant for one mount, of the upper layer of an
 * overlay: no journal and no checksums (it does not outlive its sandbox), every inode table known to be zero
 * (so that the guest's kernel starts no thread to write zeros), all metadata packed at the start and no
 * backup superblocks (so that it takes few clusters of the qcow2 file).
 *
 * The overlay is a copy of an empty qcow2 file of the same size that names no backing file. */
#include "images/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "images/build.h"
#include "vmctl/base/argv.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"

#define MIB (G_GUINT64_CONSTANT (1) << 20)
#define BYTES_MIN (16 * MIB)
#define BYTES_MAX (15 * MIB << 20) /* ext4 without 64-bit block numbers ends at 16 TiB */

/* Every feature is named, so that /etc/mke2fs.conf and the version of mke2fs do not matter. */
#define FEATURES                                                                                             \
  "none,sparse_super2,large_file,huge_file,filetype,extent,flex_bg,dir_index,dir_nlink,extra_isize,"         \
  "ext_attr,uninit_bg"
#define EXTENDED "root_owner=0:0,lazy_itable_init=1,packed_meta_blocks=1,num_backup_sb=0"

static guint64
whole_mib (guint64 bytes)
{
  return bytes <= G_MAXUINT64 - MIB ? (bytes + MIB - 1) / MIB * MIB : bytes;
}

char *
image_scratch_base (const char *cache_dir, guint64 bytes)
{
  g_autofree char *name = g_strdup_printf ("ext4-%" G_GUINT64_FORMAT ".qcow2", whole_mib (bytes));

  return g_build_filename (cache_dir, "disks", name, NULL);
}

static char *
overlay_of (const char *base)
{
  gsize length = g_str_has_suffix (base, ".qcow2") ? strlen (base) - strlen (".qcow2") : strlen (base);

  return g_strdup_printf ("%.*s.overlay", (int)length, base);
}

gboolean
image_scratch_ready (const char *base)
{
  g_autofree char *overlay = overlay_of (base);

  return image_build_exists (base) && image_build_exists (overlay);
}

static char *
find_mke2fs (GError **error)
{
  /* Users' PATH seldom has the sbin directories. */
  static const char *const places[] = {"/usr/sbin/mke2fs", "/sbin/mke2fs"};
  char *found = g_find_program_in_path ("mke2fs");

  for (guint i = 0; found == NULL && i < G_N_ELEMENTS (places); i++)
    if (g_file_test (places[i], G_FILE_TEST_IS_EXECUTABLE))
      found = g_strdup (places[i]);
  if (found == NULL)
    vm_error (error, VM_ERROR_HOST,
              "'mke2fs' is missing; install it (Debian: apt install e2fsprogs), or run with --disk none");
  return found;
}

static char *
find_qemu_img (GError **error)
{
  char *found = g_find_program_in_path ("qemu-img");

  if (found == NULL)
    vm_error (error, VM_ERROR_HOST,
              "'qemu-img' is missing; install it (Debian: apt install qemu-utils), or run with --disk none");
  return found;
}

gboolean
image_scratch_check_tools (GError **error)
{
  g_autofree char *qemu_img = find_qemu_img (error), *mke2fs = NULL;

  if (qemu_img == NULL)
    return FALSE;
  mke2fs = find_mke2fs (error);
  return mke2fs != NULL;
}

static gboolean
format_raw (const char *path, int fd, guint64 bytes, GError **error)
{
  g_autofree char *program = find_mke2fs (error);
  g_autoptr (VmArgv) argv = vm_argv_new ();

  if (program == NULL)
    return FALSE;
  if (ftruncate (fd, (off_t)bytes) < 0)
    return vm_error_errno (error, errno, "cannot make a sparse file of %" G_GUINT64_FORMAT " bytes", bytes);
  vm_argv_add_many (argv, program, "-q", "-F", "-b", "4096", "-I", "256", "-i", "16384", "-m", "0", "-O",
                    FEATURES, "-E", EXTENDED, path, NULL);
  vm_argv_setenv (argv, "MKE2FS_CONFIG", "/dev/null");
  vm_argv_setenv (argv, "LC_ALL", "C");
  return vm_argv_run (argv, NULL, error);
}

static gboolean
run_qemu_img (VmArgv *argv, GError **error)
{
  g_autofree char *program = find_qemu_img (error);

  if (program == NULL)
    return FALSE;
  return vm_argv_run (argv, NULL, error);
}

static gboolean
convert (const char *raw, const char *qcow2, GError **error)
{
  g_autoptr (VmArgv) argv = vm_argv_new ();

  vm_argv_add_many (argv, "qemu-img", "convert", "-q", "-f", "raw", "-O", "qcow2", raw, qcow2, NULL);
  return run_qemu_img (argv, error);
}

static gboolean
create_overlay (const char *qcow2, guint64 bytes, GError **error)
{
  g_autoptr (VmArgv) argv = vm_argv_new ();

  vm_argv_add_many (argv, "qemu-img", "create", "-q", "-f", "qcow2", qcow2, NULL);
  vm_argv_addf (argv, "%" G_GUINT64_FORMAT, bytes);
  return run_qemu_img (argv, error);
}

/* A temporary file, and what it becomes. */
typedef struct {
  char *path; /* owned */
  int fd;
} Part;

static void
part_clear (Part *part)
{
  if (part->path != NULL)
    (void)unlink (part->path);
  g_free (part->path);
  vm_fd_clear (&part->fd);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Part, part_clear)

static gboolean
part_open (Part *part, const char *dir, GError **error)
{
  g_autofree char *path = g_build_filename (dir, IMAGE_PART_PREFIX "XXXXXX", NULL);

  part->fd = mkostemp (path, O_CLOEXEC); /* 0600 */
  if (part->fd < 0)
    return vm_error_errno (error, errno, "cannot make a file in '%s'", dir);
  part->path = g_steal_pointer (&path);
  return TRUE;
}

static gboolean
part_publish (Part *part, const char *final, GError **error)
{
  if (fsync (part->fd) < 0 || rename (part->path, final) < 0)
    return vm_error_errno (error, errno, "cannot write '%s'", final);
  g_clear_pointer (&part->path, g_free);
  return TRUE;
}

static gboolean
build_base (const char *dir, const char *base, guint64 bytes, GError **error)
{
  g_auto (Part) raw = {.fd = -1}, qcow2 = {.fd = -1};

  return part_open (&raw, dir, error) && part_open (&qcow2, dir, error) &&
         format_raw (raw.path, raw.fd, bytes, error) && convert (raw.path, qcow2.path, error) &&
         part_publish (&qcow2, base, error);
}

static gboolean
build_overlay (const char *dir, const char *overlay, guint64 bytes, GError **error)
{
  g_auto (Part) qcow2 = {.fd = -1};

  return part_open (&qcow2, dir, error) && create_overlay (qcow2.path, bytes, error) &&
         part_publish (&qcow2, overlay, error);
}

static gboolean
check_size (guint64 bytes, GError **error)
{
  g_autofree char *shown = vm_size_format (bytes);

  if (bytes < BYTES_MIN)
    return vm_error (error, VM_ERROR_USAGE, "a scratch disk of %s is too small; the least is 16 MiB", shown);
  if (bytes > BYTES_MAX)
    return vm_error (error, VM_ERROR_USAGE, "a scratch disk of %s is too large; the most is 15 TiB", shown);
  return TRUE;
}

gboolean
image_scratch_build (const char *cache_dir, guint64 bytes, ImageProgress progress, gpointer data,
                     GError **error)
{
  guint64 size = whole_mib (bytes);
  g_autofree char *base = image_scratch_base (cache_dir, bytes), *overlay = overlay_of (base);
  g_autofree char *dir = g_path_get_dirname (base);
  vm_autofd lock = -1;

  if (!check_size (bytes, error))
    return FALSE;
  if (image_scratch_ready (base))
    return TRUE;
  if ((lock = image_build_lock (dir, "the scratch disk", progress, data, error)) < 0)
    return FALSE;
  if (image_scratch_ready (base))
    return TRUE;
  if (progress != NULL)
    progress ("formatting the scratch disk", -1, data);
  if ((!image_build_exists (base) && !build_base (dir, base, size, error)) ||
      (!image_build_exists (overlay) && !build_overlay (dir, overlay, size, error))) {
    g_prefix_error (error, "cannot make the scratch disk '%s': ", base);
    return FALSE;
  }
  return TRUE;
}

static gboolean
copy_file (int from, int to, GError **error)
{
  char buffer[65536];
  ssize_t n;

  while ((n = read (from, buffer, sizeof buffer)) != 0) {
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return vm_error_errno (error, errno, "cannot read the template");
    if (!vm_fd_write_all (to, buffer, (gsize)n, error))
      return FALSE;
  }
  return TRUE;
}

static int
open_empty (const char *base, GError **error)
{
  g_autofree char *path = overlay_of (base);
  int fd = open (path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

  if (fd < 0)
    vm_error_errno (error, errno, "cannot open the scratch disk '%s'", path);
  return fd;
}

gboolean
image_scratch_copy (const char *base, int to_fd, GError **error)
{
  vm_autofd empty = open_empty (base, error);

  return empty >= 0 && copy_file (empty, to_fd, error);
}

static int
open_nameless (const char *dir, GError **error)
{
  g_autofree char *path = g_build_filename (dir, "scratch-XXXXXX", NULL);
  int fd = mkostemp (path, O_CLOEXEC);

  if (fd < 0)
    vm_error_errno (error, errno, "cannot make a scratch disk in '%s'", dir);
  else
    (void)unlink (path); /* cannot fail in a way that harms: it is our own file */
  return fd;
}

/* What is in `overlay`, or, if that is -1, an empty one over `base`. */
static int
new_overlay (int overlay, const char *base, const char *dir, GError **error)
{
  vm_autofd fd = open_nameless (dir, error);

  if (fd < 0)
    return -1;
  if (overlay >= 0 ? copy_file (overlay, fd, error) : image_scratch_copy (base, fd, error))
    return vm_fd_steal (&fd);
  g_prefix_error (error, "cannot make a scratch disk in '%s': ", dir);
  return -1;
}

int
image_scratch_clone (int overlay, const char *dir, GError **error)
{
  return new_overlay (overlay, NULL, dir, error);
}

gboolean
image_scratch_open (const char *base, int overlay, const char *dir, int *ret_overlay_fd, int *ret_base_fd,
                    GError **error)
{
  vm_autofd base_fd = open (base, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), overlay_fd = -1;

  if (base_fd < 0)
    return vm_error_errno (error, errno, "cannot open the scratch disk '%s'", base);
  overlay_fd = new_overlay (overlay, base, dir, error);
  if (overlay_fd < 0)
    return FALSE;
  *ret_overlay_fd = vm_fd_steal (&overlay_fd);
  *ret_base_fd = vm_fd_steal (&base_fd);
  return TRUE;
}

int
image_scratch_take_file (const char *path, GError **error)
{
  vm_autofd fd = open (path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);

  if (fd >= 0 && unlink (path) == 0)
    return vm_fd_steal (&fd);
  vm_error_errno (error, errno, "cannot use the scratch disk '%s'", path);
  return -1;
}

gboolean
image_scratch_take (const char *base, const char *path, int *ret_overlay_fd, int *ret_base_fd, GError **error)
{
  vm_autofd base_fd = open (base, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), overlay_fd = -1;

  if (base_fd < 0)
    return vm_error_errno (error, errno, "cannot use the scratch disk '%s'", base);
  if ((overlay_fd = image_scratch_take_file (path, error)) < 0)
    return FALSE;
  *ret_overlay_fd = vm_fd_steal (&overlay_fd);
  *ret_base_fd = vm_fd_steal (&base_fd);
  return TRUE;
}
