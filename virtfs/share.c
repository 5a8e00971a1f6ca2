/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "virtfs/share.h"

#include "vmctl/base/escape.h"
#include "vmctl/base/json.h"

void
virtfs_share_argv (const VirtfsShare *share, VmArgv *argv)
{
  json_object *device = json_object_new_object ();
  g_autofree char *path = vm_escape_comma (share->path);

  /* QEMU 7.2 takes no JSON for -fsdev. */
  vm_argv_add (argv, "-fsdev");
  vm_argv_addf (argv, "local,id=%s,path=%s,security_model=none,multidevs=remap%s", share->id, path,
                share->read_only ? ",readonly=on" : "");
  vm_json_add_str (device, "driver", "virtio-9p-pci");
  vm_json_add_str (device, "fsdev", share->id);
  vm_json_add_str (device, "mount_tag", share->tag);
  if (share->slot != 0) {
    g_autofree char *slot = g_strdup_printf ("0x%x", share->slot);

    vm_json_add_str (device, "addr", slot);
  }
  vm_argv_add (argv, "-device");
  vm_argv_add_json (argv, device);
}
