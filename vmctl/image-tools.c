/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/image-tools.h"

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
