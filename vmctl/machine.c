/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/machine.h"

#include <sys/socket.h>

#include "images/store.h"
#include "vmctl/base/fd.h"
#include "vmctl/bwrap.h"
#include "vmctl/filter.h"
#include "vmctl/jail.h"
#include "vmctl/path.h"

int
vm_machine_open_image (const VmPlan *plan, GError **error)
{
  g_autofree char *id = g_path_get_basename (plan->image.dir);
  char *names[] = {plan->image.name, NULL};
  const ImageInfo info = {.dir = plan->image.dir,
                          .id = id,
                          .names = names,
                          .system = vm_path_is_within (plan->image.dir, IMAGE_STORE_SYSTEM)};

  return image_store_open (&info, error);
}

static gboolean
bind_listener (VmArgv *argv, int dir, const char *slot, GError **error)
{
  int fd = vm_fd_listen_unix (dir, slot, SOCK_STREAM, error);

  if (fd < 0)
    return FALSE;
  vm_argv_bind (argv, slot, fd);
  return TRUE;
}

VmArgv *
vm_machine_argv (const VmPlan *plan, VmQemuMode mode, const char *const *before, const char *ram, int dir,
                 GError **error)
{
  g_autoptr (VmArgv) argv = vm_argv_new ();
  g_autoptr (GPtrArray) inner = NULL;
  g_autoptr (GBytes) bytes = NULL;
  int filter = vm_filter_make (VM_FILTER_VMM, plan->uid, plan->gid, error);

  if (filter < 0)
    return NULL;
  if (before != NULL)
    vm_argv_add_strv (argv, before);
  vm_argv_add_many (argv, plan->bwrap, "--args", NULL);
  vm_argv_addf (argv, "%d", vm_argv_slot (argv, "args"));
  vm_argv_add (argv, "--");
  vm_qemu_argv (plan, mode, argv);
  inner = vm_jail_empty_arguments (plan, ram, argv);
  bytes = vm_bwrap_bytes (inner);
  vm_argv_bind_bytes (argv, "args", bytes);
  vm_argv_bind (argv, "seccomp", filter);
  if (!bind_listener (argv, dir, "qmp", error) || !bind_listener (argv, dir, "agent", error))
    return NULL;
  return g_steal_pointer (&argv);
}
