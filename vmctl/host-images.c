/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/boot.h"
#include "images/scratch.h"
#include "vmctl/host.h"

gboolean
vm_host_gather_images (VmHost *host, const VmSpec *spec, GError **error)
{
  ImageKernel kernel = {0};
  g_autoptr (GError) problem = NULL;
  guint64 disk = vm_spec_disk_size (spec);
  gboolean ok = TRUE;

  if (disk != 0)
    host->disk_base = image_scratch_base (host->dirs.cache, disk);
  if (!image_kernel_find ("", spec->kernel, &kernel, &problem)) {
    host->kernel_problem = g_strdup (problem->message);
    return TRUE;
  }
  if (host->agent != NULL)
    ok = image_boot_locate (host->dirs.cache, &kernel, host->agent, &host->vmlinux, &host->initramfs, error);
  host->kernel = g_strdup (kernel.path);
  host->kernel_version = g_strdup (kernel.version);
  image_kernel_clear (&kernel);
  return ok;
}
