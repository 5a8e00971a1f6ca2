/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The qemu driver: keeper, bwrap, QEMU. The jail's arguments travel by descriptor. */
#include "vmctl/driver.h"

#include <unistd.h>

#include "images/scratch.h"
#include "vmctl/base/fd.h"
#include "vmctl/checks.h"
#include "vmctl/drivers/qemu-argv.h"
#include "vmctl/filter.h"
#include "vmctl/jail.h"

static gboolean
probe (const VmHost *host, GError **error)
{
  return vm_check_require (vm_check_qemu (host), error) && vm_check_require (vm_check_bwrap (host), error) &&
         vm_check_require (vm_check_helpers (host), error) &&
         vm_check_require (vm_check_kernel (host), error);
}

static gboolean
render (const VmPlan *plan, VmLaunch *ret, GError **error)
{
  VmArgv *argv = vm_argv_new ();

  vm_driver_add_keeper (plan, argv, TRUE, TRUE);
  vm_argv_add_many (argv, plan->bwrap, "--args", NULL);
  vm_argv_addf (argv, "%d", vm_argv_slot (argv, "args"));
  vm_argv_add (argv, "--");
  vm_qemu_argv (plan, argv);
  ret->argv = argv;
  ret->inner = vm_jail_arguments (plan, argv);
  return TRUE;
}

static gboolean
prepare (const VmPlan *plan, VmLaunch *launch, GError **error)
{
  g_autoptr (GBytes) arguments = vm_jail_arguments_bytes (launch->inner);
  vm_autofd overlay = -1, base = -1, filter = vm_filter_make (error);

  if (filter < 0)
    return FALSE;
  if (plan->disk_base != NULL) {
    if (!image_scratch_open (plan->disk_base, plan->state_dir, &overlay, &base, error))
      return FALSE;
    vm_argv_bind (launch->argv, "overlay", vm_fd_steal (&overlay));
    vm_argv_bind (launch->argv, "base", vm_fd_steal (&base));
  }
  vm_argv_bind (launch->argv, "seccomp", vm_fd_steal (&filter));
  vm_argv_bind_bytes (launch->argv, "args", arguments);
  return TRUE;
}

const VmDriver vm_driver_qemu = {
    .name = "qemu",
    .summary = "a virtual machine",
    .isolation = VM_ISOLATION_VM,
    .has_qmp = TRUE,
    .probe = probe,
    .render = render,
    .prepare = prepare,
};
