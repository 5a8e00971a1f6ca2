/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How it works
 *
 * "cpu N" and "mem SIZE" say how much there is to be in all. A sandbox has one device `cpu` and one `mem`, which say
 * how much more than at the start that is; to plug one again changes it, and to unplug it goes back to the start.
 *
 * In a machine what is added are processors and DIMMs, for which it has room (the plan's cpus_max, memory_max); they
 * go away in the opposite order. Elsewhere it is the limit of the control group. */
#include "vmctl/plug-parts.h"

#include "vmctl/base/error.h"
#include "vmctl/base/file.h"
#include "vmctl/base/json.h"

#define MIB (G_GUINT64_CONSTANT (1) << 20)
#define DIMM_UNIT (128 * MIB) /* of the guest's kernel; of larger memories it is more, and the guest says so */

/* The control group's, in the terms of the plan. */
static json_object *
limit_act (const char *key, guint64 value)
{
  json_object *arguments = json_object_new_object ();

  vm_json_add_int (arguments, key, (gint64)value);
  return vm_plug_act ("here", "limit", arguments);
}

static void
add_limit (VmPlugPlan *plan, const char *key, guint64 from, guint64 to)
{
  vm_plug_add_step (plan, limit_act (key, to), limit_act (key, from));
}

/* Processors */

/* Of the one kind of topology that QEMU makes when it is told nothing else: one socket, one thread a core. */
static json_object *
cpu_add (const VmPlan *plan, guint n)
{
  g_autofree char *id = g_strdup_printf (VM_PLUG_QEMU_PREFIX "cpu%u", n);
  json_object *act = vm_plug_device_add (
      g_strcmp0 (plan->accel, "kvm") == 0 ? "host-x86_64-cpu" : "max-x86_64-cpu", id, NULL);
  json_object *arguments = vm_json_object (act, "arguments");

  vm_json_add_int (arguments, "socket-id", 0);
  vm_json_add_int (arguments, "die-id", 0);
  vm_json_add_int (arguments, "core-id", n);
  vm_json_add_int (arguments, "thread-id", 0);
  return act;
}

static json_object *
cpu_del (guint n)
{
  g_autofree char *id = g_strdup_printf (VM_PLUG_QEMU_PREFIX "cpu%u", n);

  return vm_plug_device_del (id);
}

static json_object *
number_act (const char *command, guint64 n)
{
  g_autofree char *text = g_strdup_printf ("%" G_GUINT64_FORMAT, n);

  return vm_plug_words ("agent", command, text, NULL);
}

static void
add_cpus (VmPlugPlan *plan, const VmPlugFacts *facts, guint from, guint to)
{
  for (guint n = from; n < to; n++)
    vm_plug_add_step (plan, cpu_add (facts->plan, n), cpu_del (n));
  for (guint n = from; n > to; n--)
    vm_plug_add_step (plan, cpu_del (n - 1), cpu_add (facts->plan, n - 1));
  if (to > from)
    vm_plug_add_step (plan, number_act ("cpus", to), NULL);
  for (guint n = to; n > facts->plan->cpus; n--)
    json_object_array_add (plan->unplug, cpu_del (n - 1));
}

static gboolean
plan_cpu (VmPlugPlan *plan, const VmPlugSpec *spec, const VmPlugFacts *facts, GError **error)
{
  const VmPlan *p = facts->plan;
  json_object *now = vm_plug_find (facts->devices, plan->id);
  guint from = (guint)vm_json_int (now, "count", p->cpus), to = spec->count;

  if (to > facts->host_cpus)
    return vm_error (error, VM_ERROR_USAGE, "cpu: %u is more than the %u of this host; ask for %u or fewer", to,
                     facts->host_cpus, facts->host_cpus);
  if (p->isolation != VM_ISOLATION_VM) {
    add_limit (plan, "cpus", from, to);
    json_object_array_add (plan->unplug, limit_act ("cpus", p->cpus));
    return TRUE;
  }
  if (to > p->cpus_max)
    return vm_error (error, VM_ERROR_USAGE,
                     "cpu: %u is more than this machine has places for (%u); start it with more: vmctl up --cpus",
                     to, p->cpus_max);
  if (to < p->cpus)
    return vm_error (error, VM_ERROR_USAGE,
                     "cpu: the %u processors that the machine began with stay; start it with fewer: vmctl up --cpus",
                     p->cpus);
  add_cpus (plan, facts, from, to);
  return TRUE;
}

/* Memory */

static gboolean
check_memory (const VmPlugSpec *spec, const VmPlugFacts *facts, GError **error)
{
  g_autofree char *asked = vm_size_format (spec->size), *there = vm_size_format (facts->host_memory);

  if (spec->size > facts->host_memory)
    return vm_error (error, VM_ERROR_USAGE, "mem: %s is more than the %s of this host; ask for less", asked, there);
  if (spec->size < VM_SPEC_MEMORY_MIN)
    return vm_error (error, VM_ERROR_USAGE, "mem: %s is too little; a sandbox needs at least 128M", asked);
  return TRUE;
}

gboolean
vm_plug_plan_size (VmPlugPlan *plan, const VmPlugSpec *spec, const VmPlugFacts *facts, GError **error)
{
  const VmPlan *p = facts->plan;
  json_object *now = vm_plug_find (facts->devices, plan->id);

  if (p->isolation == VM_ISOLATION_NONE)
    return vm_error (error, VM_ERROR_UNSUPPORTED, "%s: the null driver keeps no limits",
                     vm_plug_kind_name (spec->kind));
  plan->unplug = json_object_new_array ();
  if (spec->kind == VM_PLUG_CPU)
    return plan_cpu (plan, spec, facts, error);
  if (!check_memory (spec, facts, error))
    return FALSE;
  if (p->isolation == VM_ISOLATION_VM)
    return vm_error (error, VM_ERROR_UNSUPPORTED,
                     "mem: a machine's memory cannot be changed yet; start it with more: vmctl up --memory");
  add_limit (plan, "memory", (guint64)vm_json_int (now, "size", (gint64)p->memory), spec->size);
  json_object_array_add (plan->unplug, limit_act ("memory", p->memory));
  return TRUE;
}
