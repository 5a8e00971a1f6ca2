/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Limits: how much, by which control group, and which of them nobody keeps. */
#include "vmctl/base/file.h"
#include "vmctl/driver.h"
#include "vmctl/plan-parts.h"

/* What QEMU needs beside the guest's memory; under emulation also for translated code. */
#define VM_OVERHEAD (G_GUINT64_CONSTANT (512) << 20)
#define TCG_OVERHEAD (G_GUINT64_CONSTANT (1) << 30)

enum { VM_PROCESSES = 512 };

static void
take_groups (VmPlan *plan, const VmGroups *host)
{
  const char *suffix = host->kind == VM_GROUP_SYSTEMD ? ".scope" : host->is_roots ? ".sudo" : "";

  plan->groups.kind = host->kind;
  plan->groups.command = g_strdup (host->command);
  plan->groups.is_system = host->is_system;
  plan->groups.is_roots = host->is_roots;
  for (gsize i = 0; i < VM_GROUP_PARTS; i++)
    if (host->dirs[i] != NULL)
      plan->groups.dirs[i] = g_strdup_printf ("%s/vmctl-%s%s", host->dirs[i], plan->id, suffix);
}

/* "memory, CPU and process" of those that are missing. */
static char *
missing (const VmGroups *groups)
{
  static const char *const names[] = {
      [VM_GROUP_MEMORY] = "memory", [VM_GROUP_CPU] = "CPU", [VM_GROUP_PIDS] = "process"};
  const char *have[3];
  guint n = 0;

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    if (groups->dirs[i] == NULL)
      have[n++] = names[i];
  if (n == 0)
    return NULL;
  return n == 1   ? g_strdup (have[0])
         : n == 2 ? g_strdup_printf ("%s and %s", have[0], have[1])
                  : g_strdup_printf ("%s, %s and %s", have[0], have[1], have[2]);
}

static void
tell (VmPlan *plan, char *take_sentence)
{
  char *sentences[] = {take_sentence, NULL};

  g_strfreev (plan->unkept);
  plan->unkept = g_strdupv (sentences);
  g_free (take_sentence);
}

void
vm_plan_set_limits (VmPlan *plan, const VmSpec *spec, const VmHost *host)
{
  g_autofree char *what = NULL;

  /* Under sudo it is root's processes that are to be bounded, which is for the keeper that stays root. */
  take_groups (plan, vm_driver_needs_root_keeper (vm_driver_find (plan->driver), host->uid)
                         ? &host->root_groups
                         : &host->groups);
  /* Only in a unit of its own: machined may end the unit of a container. */
  plan->registered = plan->nspawn != NULL && host->systemd && plan->groups.kind == VM_GROUP_SYSTEMD &&
                     plan->groups.is_system;
  if (plan->isolation == VM_ISOLATION_VM) { /* QEMU's own options bound the machine */
    if (spec->processes != 0)
      tell (plan, g_strdup ("the process limit is not kept: a virtual machine has a kernel of its own"));
    return;
  }
  plan->processes = spec->processes != 0 ? spec->processes : VM_SPEC_PROCESSES_DEFAULT;
  what = missing (&plan->groups);
  if (what != NULL)
    tell (plan,
          g_strdup_printf ("%s limits are not kept: no control group for them may be made here; run vmctl "
                           "in a session of a systemd user manager, or in a delegated control group",
                           what));
}

void
vm_plan_group_limits (const VmPlan *plan, VmGroupLimits *ret)
{
  gboolean is_vm = plan->isolation == VM_ISOLATION_VM;

  *ret = (VmGroupLimits){.memory = plan->memory, .cpus = plan->cpus, .processes = plan->processes};
  if (!is_vm)
    return;
  ret->memory += VM_OVERHEAD + (g_strcmp0 (plan->accel, "tcg") == 0 ? TCG_OVERHEAD : 0);
  ret->cpus = 0; /* it has no more processors than that, and its input and output need some more */
  ret->processes = VM_PROCESSES + plan->cpus;
  ret->together = TRUE;
}

gboolean
vm_plan_makes_groups (const VmPlan *plan)
{
  return !plan->groups.is_roots &&
         (plan->groups.kind == VM_GROUP_UNIFIED || plan->groups.kind == VM_GROUP_V1);
}
