/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What changes a kept disk by a program of QEMU's, in the jail: the guest has written to it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "images/build.h"
#include "images/disk-parts.h"
#include "images/flatten.h"
#include "images/import.h"
#include "images/qcow2-head.h"
#include "images/store-parts.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"

#define MIB ((guint64)1 << 20)

/* In the jail, where the disk's directory is IMAGE_CAGE_OUT. */
#define OVERLAY IMAGE_CAGE_OUT "/" IMAGE_STORE_DISK

static VmArgv *
qemu_img (const ImageTools *tools, const char *dir, guint64 max, GError **error)
{
  g_autofree char *program = image_cage_program ("qemu-img", "qemu-utils", error);
  g_autoptr (VmArgv) argv = program != NULL ? image_cage_new (tools, error) : NULL;

  if (argv == NULL)
    return NULL;
  image_cage_bind (argv, dir, IMAGE_CAGE_OUT, TRUE);
  image_cage_enter (argv, max);
  vm_argv_add (argv, program);
  return g_steal_pointer (&argv);
}

/* Its tables are as large as they can become. */
guint64
image_disk_file_max (guint64 size)
{
  return size + size / 50 + 64 * MIB;
}

static gboolean
check_size (const ImageDisk *disk, guint64 size, GError **error)
{
  g_autofree char *now = vm_size_format (disk->size);

  if (size > IMAGE_SIZE_MAX)
    return vm_error (error, VM_ERROR_USAGE, "a disk has at most 16 TiB");
  return size >= disk->size ||
         vm_error (error, VM_ERROR_USAGE,
                   "the kept disk '%s' has %s, and can only be made larger: what is in it would be cut off",
                   disk->name, now);
}

gboolean
image_disk_resize (const ImageTools *tools, const ImageDisk *disk, guint64 size, GError **error)
{
  guint64 whole = size <= IMAGE_SIZE_MAX ? (size + MIB - 1) / MIB * MIB : size;
  vm_autofd lock = -1;
  g_autoptr (VmArgv) argv = NULL;

  if (!check_size (disk, whole, error) || (lock = image_disk_lock (disk->dir, error)) < 0 ||
      !image_disk_is_sound (lock, disk->name, error))
    return FALSE;
  argv = qemu_img (tools, disk->dir, image_disk_file_max (whole), error);
  if (argv == NULL)
    return FALSE;
  vm_argv_add_many (argv, "resize", "-q", "-f", "qcow2", OVERLAY, NULL);
  vm_argv_addf (argv, "%" G_GUINT64_FORMAT, whole);
  return vm_argv_run (argv, NULL, error);
}

static gboolean
import (const ImageDiskCommit *commit, const char *path, ImageProgress progress, gpointer data,
        ImageInfo **ret, GError **error)
{
  g_autofree char *origin =
      g_strdup_printf ("the disk %s of %s", commit->disk->name, commit->disk->image_name);
  const ImageImport what = {.data_dir = commit->data_dir,
                            .tools = commit->tools,
                            .path = path,
                            .origin = origin,
                            .format = "qcow2",
                            .name = commit->name,
                            .force = commit->force,
                            .root = commit->base->partition};
  gboolean was_there;

  return image_import (&what, progress, data, ret, &was_there, error);
}

gboolean
image_disk_commit (const ImageDiskCommit *commit, ImageProgress progress, gpointer data, ImageInfo **ret,
                   GError **error)
{
  g_autofree char *base = image_info_disk (commit->base);
  g_autofree char *overlay = g_build_filename (commit->disk->dir, IMAGE_STORE_DISK, NULL);
  g_autofree char *path = g_build_filename (commit->disk->dir, IMAGE_DISK_WHOLE, NULL);
  vm_autofd held = -1, lock = -1;
  gboolean ok;

  if (!image_store_check_name (commit->data_dir, commit->name, commit->force, error) ||
      (held = image_store_open (commit->base, error)) < 0 ||
      (lock = image_disk_lock (commit->disk->dir, error)) < 0 ||
      !image_disk_is_sound (lock, commit->disk->name, error))
    return FALSE;
  ok = image_flatten (&commit->tools, overlay, base, commit->disk->size, commit->disk->dir, IMAGE_DISK_WHOLE,
                      progress, data, error) &&
       import (commit, path, progress, data, ret, error);
  (void)unlink (path);
  return ok;
}
