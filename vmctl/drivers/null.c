/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The null driver: no isolation at all. The same agent runs as an ordinary process of the host, so that the
 * supervisor, the control socket and the verbs can be tested in milliseconds. Never chosen by --driver auto.
 */
#include "vmctl/driver.h"

#include "vmctl/base/error.h"
#include "vmctl/checks.h"

static gboolean
probe (const VmHost *host, GError **error)
{
  return vm_check_require (vm_check_helpers (host), error);
}

static gboolean
fill (VmPlan *plan, const VmSpec *spec, const VmHost *host, GError **error)
{
  plan->disk = vm_spec_disk_size (spec);
  return TRUE;
}

static gboolean
render (const VmPlan *plan, VmLaunch *ret, GError **error)
{
  VmArgv *argv;
  g_autofree char *agent_dir = NULL;

  if (plan->keeper == NULL)
    return vm_error (error, VM_ERROR_HOST, "vmctl-keeper is missing; install vmctl again");
  argv = vm_argv_new ();
  agent_dir = g_path_get_dirname (plan->keeper);
  vm_driver_add_keeper (plan, argv, FALSE, FALSE, VM_KEEPER_NET_HOST);
  vm_argv_add (argv, "--");
  vm_argv_addf (argv, "%s/vmctl-agent", agent_dir);
  vm_argv_add (argv, "--listen");
  vm_argv_addf (argv, "%d", vm_argv_slot (argv, "agent"));
  vm_argv_add (argv, "--meta");
  vm_argv_addf (argv, "%s/meta", plan->runtime_dir);
  ret->argv = argv;
  ret->inner = NULL;
  return TRUE;
}

const VmDriver vm_driver_null = {
    .name = "null",
    .summary = "no isolation, for tests",
    .isolation = VM_ISOLATION_NONE,
    .probe = probe,
    .fill = fill,
    .render = render,
};
