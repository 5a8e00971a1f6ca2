/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/driver.h"

#include "vmctl/base/error.h"
#include "vmctl/base/json.h"
#include "vmctl/checks.h"

const VmDriver *const vm_drivers[] = {&vm_driver_qemu, &vm_driver_nspawn, &vm_driver_bwrap, &vm_driver_null,
                                      NULL};

const VmDriver *
vm_driver_find (const char *name)
{
  for (const VmDriver *const *d = vm_drivers; *d != NULL; d++)
    if (g_str_equal ((*d)->name, name))
      return *d;
  return NULL;
}

gboolean
vm_driver_has_monitor (const VmDriver *driver)
{
  return driver->has_qmp;
}

gboolean
vm_driver_has_console (const VmDriver *driver)
{
  return driver->has_qmp;
}

gboolean
vm_driver_pauses_itself (const VmDriver *driver)
{
  return driver->has_qmp;
}

gboolean
vm_driver_needs_root_keeper (const VmDriver *driver, guint uid)
{
  return driver->needs_root && uid != 0;
}

gboolean
vm_driver_check_net (const VmDriver *driver, VmNet net, const VmHost *host, GError **error)
{
  if (net == VM_NET_HOST && driver->net == VM_KEEPER_NET_FRAMES)
    return vm_error (error, VM_ERROR_USAGE,
                     "a virtual machine cannot share this host's network (--net host); use --driver bwrap or "
                     "nspawn, or reach a service of this host with --net-host-port PORT");
  return driver->net != VM_KEEPER_NET_NAMESPACE || net == VM_NET_NONE || net == VM_NET_HOST ||
         vm_check_require (vm_check_tun (host), error);
}

void
vm_launch_clear (VmLaunch *launch)
{
  g_clear_pointer (&launch->argv, vm_argv_free);
  g_clear_pointer (&launch->inner, g_ptr_array_unref);
  g_clear_pointer (&launch->tree, g_ptr_array_unref);
}

json_object *
vm_launch_to_json (VmLaunch *launch)
{
  json_object *object = vm_argv_to_json (launch->argv);

  if (launch->inner != NULL)
    vm_json_add_strv (object, "inner", (const char *const *)launch->inner->pdata);
  if (launch->tree != NULL)
    vm_json_add_strv (object, "tree", (const char *const *)launch->tree->pdata);
  return object;
}

gboolean
vm_driver_has_helper (const VmPlan *plan, VmKeeperNet net)
{
  return vm_plan_has_card (plan) && net != VM_KEEPER_NET_HOST;
}

static void
add_slot (VmArgv *argv, const char *option, const char *slot)
{
  vm_argv_add (argv, option);
  vm_argv_addf (argv, "%d", vm_argv_slot (argv, slot));
}

/* As the plan's user even where the keeper is real root; root's own is nobody's. */
void
vm_driver_add_net (const VmPlan *plan, VmArgv *argv, VmKeeperNet net)
{
  enum { NOBODY = 65534 };
  g_autofree char *dir = g_path_get_dirname (plan->keeper);
  gboolean helper = vm_driver_has_helper (plan, net);

  if (net == VM_KEEPER_NET_NAMESPACE && plan->net != VM_NET_HOST)
    vm_argv_add_many (argv, "--netns", helper ? "tap" : "lo", NULL);
  if (!helper)
    return;
  if (net == VM_KEEPER_NET_FRAMES)
    add_slot (argv, "--packet", "packet");
  vm_argv_add (argv, "--net");
  vm_argv_addf (argv, "%s/vmctl-net", dir);
  add_slot (argv, "--control", "net-control");
  add_slot (argv, "--control-peer", "net-control-peer");
  add_slot (argv, "--net-log", "net-log");
  vm_argv_add (argv, "--net-user");
  vm_argv_addf (argv, "%u:%u", plan->uid == 0 ? NOBODY : plan->uid, plan->gid == 0 ? NOBODY : plan->gid);
}

/* The words before the keeper's, where systemd makes the group. */
static void
add_scope (const VmPlan *plan, VmArgv *argv)
{
  VmGroupLimits limits;

  if (plan->groups.kind != VM_GROUP_SYSTEMD)
    return;
  vm_plan_group_limits (plan, &limits);
  vm_argv_add (argv, plan->groups.command);
  if (!plan->groups.is_system)
    vm_argv_add (argv, "--user");
  vm_argv_add_many (argv, "--scope", "--quiet", "--collect", NULL);
  vm_argv_addf (argv, "--unit=vmctl-%s", plan->id);
  vm_argv_addf (argv, "--slice=%s", plan->groups.is_system ? "system.slice" : "app.slice");
  if (plan->groups.dirs[VM_GROUP_MEMORY] != NULL) {
    vm_argv_addf (argv, "--property=MemoryMax=%" G_GUINT64_FORMAT, limits.memory);
    vm_argv_add (argv, "--property=MemorySwapMax=0");
  }
  if (plan->groups.dirs[VM_GROUP_PIDS] != NULL)
    vm_argv_addf (argv, "--property=TasksMax=%u", limits.processes);
  if (plan->groups.dirs[VM_GROUP_CPU] != NULL && limits.cpus != 0)
    vm_argv_addf (argv, "--property=CPUQuota=%u%%", limits.cpus * 100);
  vm_argv_add (argv, "--");
}

char *
vm_driver_group_slot (guint n)
{
  return g_strdup_printf ("group%u", n);
}

static void
add_groups (const VmPlan *plan, VmArgv *argv)
{
  g_auto (GStrv) dirs = vm_groups_list (&plan->groups);

  VmGroupLimits limits;

  if (plan->groups.is_roots && plan->groups.kind != VM_GROUP_SYSTEMD && plan->groups.kind != VM_GROUP_NONE) {
    vm_plan_group_limits (plan, &limits);
    vm_argv_add (argv, "--make-group");
    vm_argv_addf (argv, "%s:%" G_GUINT64_FORMAT ":%u:%u", plan->id, limits.memory, limits.cpus,
                  limits.processes);
  }
  for (guint i = 0; vm_plan_makes_groups (plan) && dirs[i] != NULL; i++) {
    g_autofree char *slot = vm_driver_group_slot (i);

    add_slot (argv, "--group", slot);
  }
}

void
vm_driver_begin_keeper (const VmPlan *plan, VmArgv *argv)
{
  add_scope (plan, argv);
  vm_argv_add (argv, plan->keeper);
  add_slot (argv, "--go", "go");
  add_slot (argv, "--listen", "keeper");
  add_slot (argv, "--dir", "dir");
  add_groups (plan, argv);
}

void
vm_driver_add_keeper (const VmPlan *plan, VmArgv *argv, gboolean namespaces, gboolean console,
                      VmKeeperNet net)
{
  vm_driver_begin_keeper (plan, argv);
  if (console)
    add_slot (argv, "--console", "console");
  if (namespaces) {
    vm_argv_add (argv, "--door");
    vm_argv_addf (argv, "%s/door", plan->runtime_dir);
  } else {
    vm_argv_add_many (argv, "--namespaces", "no", NULL);
  }
  vm_driver_add_net (plan, argv, net);
}
