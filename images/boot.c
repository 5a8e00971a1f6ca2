/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/boot.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "images/build.h"
#include "images/index.h"
#include "images/modules.h"
#include "vmctl/base/argv.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"

/* Part of the keys: raise it when vmctl-image makes something else of the same input. */
#define FORMAT "vmctl-image 1"

/* DIR/SUB/VERSION-KEY.SUFFIX */
static char *
result_path (const char *cache_dir, const char *sub, const char *version, GChecksum *key, const char *suffix)
{
  g_autofree char *name = g_strdup_printf ("%s-%.24s.%s", version, g_checksum_get_string (key), suffix);

  return g_build_filename (cache_dir, sub, name, NULL);
}

static gboolean
add_to_key (GChecksum *key, ImageIndex *index, const char *path, GError **error)
{
  const char *hash = image_index_hash (index, path, error);
  g_autofree char *base = g_path_get_basename (path);

  if (hash == NULL)
    return FALSE;
  g_checksum_update (key, (const guchar *)hash, -1);
  g_checksum_update (key, (const guchar *)base, (gssize)strlen (base) + 1); /* the NUL ends the name */
  return TRUE;
}

static char *
locate_vmlinux (const char *cache_dir, ImageIndex *index, const ImageKernel *kernel, GError **error)
{
  g_autoptr (GChecksum) key = g_checksum_new (G_CHECKSUM_SHA256);
  const char *hash = image_index_hash (index, kernel->path, error);

  if (hash == NULL)
    return NULL;
  g_checksum_update (key, (const guchar *)FORMAT, -1);
  g_checksum_update (key, (const guchar *)hash, -1);
  return result_path (cache_dir, "kernels", kernel->version, key, "vmlinux");
}

/* (transfer full) */
static char **
find_modules (const ImageKernel *kernel, GError **error)
{
  char **files = kernel->modules != NULL ? g_strdupv (kernel->modules)
                                         : image_modules_resolve (kernel->modules_dir, image_modules, error);

  if (files == NULL)
    g_prefix_error (error, "kernel '%s': ", kernel->version);
  return files;
}

static char *
locate_initramfs (const char *cache_dir, ImageIndex *index, const ImageKernel *kernel, const char *agent_path,
                  GError **error)
{
  g_autoptr (GChecksum) key = g_checksum_new (G_CHECKSUM_SHA256);
  g_auto (GStrv) files = find_modules (kernel, error);
  const char *agent;

  if (files == NULL)
    return NULL;
  agent = image_index_hash (index, agent_path, error);
  if (agent == NULL)
    return NULL;
  g_checksum_update (key, (const guchar *)FORMAT, -1);
  g_checksum_update (key, (const guchar *)agent, -1);
  for (guint i = 0; files[i] != NULL; i++)
    if (!add_to_key (key, index, files[i], error))
      return NULL;
  return result_path (cache_dir, "initramfs", kernel->version, key, "cpio");
}

gboolean
image_boot_locate (const char *cache_dir, const ImageKernel *kernel, const char *agent_path,
                   char **ret_vmlinux, char **ret_initramfs, GError **error)
{
  g_autoptr (ImageIndex) index = image_index_open (cache_dir);
  g_autofree char *vmlinux = locate_vmlinux (cache_dir, index, kernel, error);
  g_autofree char *initramfs = NULL;

  if (vmlinux == NULL)
    return FALSE;
  initramfs = locate_initramfs (cache_dir, index, kernel, agent_path, error);
  if (initramfs == NULL)
    return FALSE;
  image_index_save (index);
  *ret_vmlinux = g_steal_pointer (&vmlinux);
  *ret_initramfs = g_steal_pointer (&initramfs);
  return TRUE;
}

void
image_progress_none (const char *what, int percent, gpointer data)
{
}

gboolean
image_boot_ready (const char *vmlinux, const char *initramfs)
{
  return image_build_exists (vmlinux) && image_build_exists (initramfs);
}

static gboolean
build_vmlinux (const char *helper, const ImageKernel *kernel, const char *out, ImageProgress progress,
               gpointer data, GError **error)
{
  g_autoptr (VmArgv) argv = vm_argv_new ();

  vm_argv_add_many (argv, helper, "kernel", kernel->path, out, NULL);
  return image_build_run (argv, progress, data, error);
}

static gboolean
build_initramfs (const char *helper, const ImageKernel *kernel, const char *agent_path, const char *out,
                 ImageProgress progress, gpointer data, GError **error)
{
  g_autoptr (VmArgv) argv = vm_argv_new ();
  g_auto (GStrv) files = find_modules (kernel, error);

  if (files == NULL)
    return FALSE;
  vm_argv_add_many (argv, helper, "initramfs", out, "--agent", agent_path, NULL);
  for (guint i = 0; files[i] != NULL; i++)
    vm_argv_add_many (argv, "--module", files[i], NULL);
  return image_build_run (argv, progress, data, error);
}

/* The helper opened its input later than the key was made: when that has changed meanwhile, the results have
 * the wrong names. */
static gboolean
check_unchanged (const char *cache_dir, const ImageKernel *kernel, const char *agent_path,
                 const char *vmlinux, const char *initramfs, GError **error)
{
  g_autofree char *vmlinux_now = NULL, *initramfs_now = NULL;

  if (!image_boot_locate (cache_dir, kernel, agent_path, &vmlinux_now, &initramfs_now, error))
    return FALSE;
  if (strcmp (vmlinux, vmlinux_now) == 0 && strcmp (initramfs, initramfs_now) == 0)
    return TRUE;
  (void)unlink (vmlinux);
  (void)unlink (initramfs);
  return vm_error (error, VM_ERROR_BUSY,
                   "kernel '%s', its modules or the agent changed while they were read; "
                   "run the command again",
                   kernel->version);
}

gboolean
image_boot_build (const char *helper, const char *cache_dir, const ImageKernel *kernel,
                  const char *agent_path, const char *vmlinux, const char *initramfs, ImageProgress progress,
                  gpointer data, GError **error)
{
  g_autofree char *kernel_dir = g_path_get_dirname (vmlinux), *cpio_dir = g_path_get_dirname (initramfs);
  g_autofree char *what = g_strdup_printf ("kernel %s", kernel->version);
  vm_autofd kernel_lock = -1, cpio_lock = -1;

  if (image_boot_ready (vmlinux, initramfs))
    return TRUE;
  /* Always in this order, so that two builders cannot wait for each other. */
  if ((kernel_lock = image_build_lock (kernel_dir, what, progress, data, error)) < 0 ||
      (cpio_lock = image_build_lock (cpio_dir, what, progress, data, error)) < 0)
    return FALSE;
  if (image_boot_ready (vmlinux, initramfs))
    return TRUE;
  if (!image_build_exists (vmlinux) && !build_vmlinux (helper, kernel, vmlinux, progress, data, error)) {
    g_prefix_error (error, "cannot unpack kernel '%s': ", kernel->path);
    return FALSE;
  }
  if (!image_build_exists (initramfs) &&
      !build_initramfs (helper, kernel, agent_path, initramfs, progress, data, error)) {
    g_prefix_error (error, "cannot make the initramfs of kernel '%s': ", kernel->version);
    return FALSE;
  }
  return check_unchanged (cache_dir, kernel, agent_path, vmlinux, initramfs, error);
}
