/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/image-tools.h"

#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/host.h"

gboolean
vm_image_tools_find (const VmDirs *dirs, VmImageTools *ret, GError **error)
{
  *ret = (VmImageTools){.ext = vm_dirs_helper (dirs, "vmctl-ext", error)};
  if (ret->ext != NULL)
    ret->keeper = vm_dirs_helper (dirs, "vmctl-keeper", error);
  ret->paths = (ImageTools){.ext = ret->ext, .keeper = ret->keeper};
  return ret->keeper != NULL;
}

void
vm_image_tools_clear (VmImageTools *tools)
{
  g_free (tools->ext);
  g_free (tools->keeper);
  *tools = (VmImageTools){NULL};
}

static gboolean
can_use_kvm (void)
{
  g_autofree char *problem = vm_host_kvm_problem ();

  return problem == NULL && access ("/dev/kvm", R_OK | W_OK) == 0;
}

gboolean
vm_image_guestfs_find (const VmDirs *dirs, VmImageGuestfs *ret, GError **error)
{
  *ret = (VmImageGuestfs){.program = vm_dirs_helper (dirs, "vmctl-guestfs", NULL)};
  if (ret->program == NULL)
    return vm_error (
        error, VM_ERROR_HOST,
        "this vmctl was built without libguestfs, which looks into images; install it (Debian: apt "
        "install libguestfs-dev) and build vmctl again: ./bootstrap build");
  if (!vm_image_tools_find (dirs, &ret->tools, error))
    return FALSE;
  ret->paths = (ImageGuestfs){
      .tools = ret->tools.paths, .program = ret->program, .cache_dir = dirs->cache, .kvm = can_use_kvm ()};
  return TRUE;
}

void
vm_image_guestfs_clear (VmImageGuestfs *guestfs)
{
  vm_image_tools_clear (&guestfs->tools);
  g_free (guestfs->program);
  *guestfs = (VmImageGuestfs){0};
}
