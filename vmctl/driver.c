/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/driver.h"

#include "vmctl/base/json.h"

const VmDriver *const vm_drivers[] = {&vm_driver_qemu, &vm_driver_null, NULL};

const VmDriver *
vm_driver_find (const char *name)
{
  for (const VmDriver *const *d = vm_drivers; *d != NULL; d++)
    if (g_str_equal ((*d)->name, name))
      return *d;
  return NULL;
}

void
vm_launch_clear (VmLaunch *launch)
{
  g_clear_pointer (&launch->argv, vm_argv_free);
  g_clear_pointer (&launch->inner, g_ptr_array_unref);
}

json_object *
vm_launch_to_json (VmLaunch *launch)
{
  json_object *object = vm_argv_to_json (launch->argv);

  if (launch->inner != NULL)
    vm_json_add_strv (object, "inner", (const char *const *)launch->inner->pdata);
  return object;
}

void
vm_driver_add_keeper (const VmPlan *plan, VmArgv *argv, gboolean namespaces, gboolean console)
{
  static const char *const slots[] = {"go", "listen", "dir"};
  static const char *const names[] = {"go", "keeper", "dir"};

  vm_argv_add (argv, plan->keeper);
  for (guint i = 0; i < G_N_ELEMENTS (slots); i++) {
    vm_argv_addf (argv, "--%s", slots[i]);
    vm_argv_addf (argv, "%d", vm_argv_slot (argv, names[i]));
  }
  if (console) {
    vm_argv_add (argv, "--console");
    vm_argv_addf (argv, "%d", vm_argv_slot (argv, "console"));
  }
  if (namespaces) {
    vm_argv_add (argv, "--door");
    vm_argv_addf (argv, "%s/door", plan->runtime_dir);
  } else {
    vm_argv_add_many (argv, "--namespaces", "no", NULL);
  }
  vm_argv_add_many (argv, "--", NULL);
}
