/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How it works
 *
 * "cpu N" and "mem SIZE" say how much there is to be in all. A sandbox has one device `cpu` and one `mem`,
 * which say how much more than at the start that is; to plug one again changes it, and to unplug it goes back
 * to the start.
 *
 * In a machine what is added are processors and DIMMs, for which it has room (the plan's cpus_max,
 * memory_max). DIMMs go away in the opposite order; less than at the start is the balloon's. Processors stay,
 * unused: QEMU 7.2 that emulates them corrupts its memory when one is taken away (device_del, then the next
 * device_add: "malloc(): unsorted double linked list corrupted"), and one that the guest does not use costs
 * nothing. Elsewhere it is the limit of the control group. */
#include "vmctl/plug-parts.h"

#include "vmctl/base/error.h"
#include "vmctl/base/file.h"
#include "vmctl/base/json.h"
#include "vmctl/drivers/qemu-argv.h"

#define MIB (G_GUINT64_CONSTANT (1) << 20)
#define DIMM_UNIT (128 * MIB) /* of the guest's kernel; where that wants more, the guest says so */

/* The control group's, in the terms of the plan; 0: as it is. A group that is root's its keeper changes. */
static json_object *
limit_act (const VmPlan *plan, guint64 memory, guint cpus)
{
  g_autofree char *bytes = g_strdup_printf ("%" G_GUINT64_FORMAT, memory), *n = g_strdup_printf ("%u", cpus);
  json_object *arguments;

  if (plan->groups.is_roots && plan->groups.kind != VM_GROUP_SYSTEMD)
    return vm_plug_words ("keeper", "limit", bytes, n, NULL);
  arguments = json_object_new_object ();
  vm_json_add_int (arguments, "memory", (gint64)memory);
  vm_json_add_int (arguments, "cpus", cpus);
  return vm_plug_act ("here", "limit", arguments);
}

/* What the device is once this act is done: an unplug may end between two. */
static json_object *
leaving (json_object *take_act, const char *key, guint64 value)
{
  json_object *leaves = json_object_new_object ();

  vm_json_add_int (leaves, key, (gint64)value);
  vm_json_add (take_act, "leaves", leaves);
  return take_act;
}

/* Processors */

/* Of the one kind of topology that QEMU makes when it is told nothing else: one socket, one thread a core.
 * One that was added before is still there. */
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
  vm_json_add_bool (act, "may-fail", TRUE);
  return act;
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
  for (guint n = MAX (from, facts->plan->cpus); n < to; n++)
    vm_plug_add_step (plan, cpu_add (facts->plan, n), NULL);
  vm_plug_add_step (plan, number_act ("cpus", to), number_act ("cpus", from));
  json_object_array_add (plan->unplug, number_act ("cpus", facts->plan->cpus));
}

static gboolean
plan_cpu (VmPlugPlan *plan, const VmPlugSpec *spec, const VmPlugFacts *facts, GError **error)
{
  const VmPlan *p = facts->plan;
  json_object *now = vm_plug_find (facts->devices, plan->id);
  guint from = (guint)vm_json_int (now, "count", p->cpus), to = spec->count;

  if (to > facts->host_cpus)
    return vm_error (error, VM_ERROR_USAGE, "cpu: %u is more than the %u of this host; ask for %u or fewer",
                     to, facts->host_cpus, facts->host_cpus);
  if (p->isolation != VM_ISOLATION_VM) {
    vm_plug_add_step (plan, limit_act (p, 0, to), limit_act (p, 0, from));
    json_object_array_add (plan->unplug, limit_act (p, 0, p->cpus));
    return TRUE;
  }
  if (to > p->cpus_max)
    return vm_error (
        error, VM_ERROR_USAGE,
        "cpu: %u is more than this machine has places for (%u); start it with more: vmctl up --cpus", to,
        p->cpus_max);
  add_cpus (plan, facts, from, to);
  return TRUE;
}

/* Memory */

static gboolean
check_memory (const VmPlugSpec *spec, const VmPlugFacts *facts, GError **error)
{
  g_autofree char *asked = vm_size_format (spec->size), *there = vm_size_format (facts->host_memory);

  if (spec->size > facts->host_memory)
    return vm_error (error, VM_ERROR_USAGE, "mem: %s is more than the %s of this host; ask for less", asked,
                     there);
  if (spec->size < VM_SPEC_MEMORY_MIN)
    return vm_error (error, VM_ERROR_USAGE, "mem: %s is too little; a sandbox needs at least 128M", asked);
  return TRUE;
}

static json_object *
dimm_act (const char *command, const char *key, const char *what, gint64 n)
{
  g_autofree char *id = g_strdup_printf (VM_PLUG_QEMU_PREFIX "%s%" G_GINT64_FORMAT, what, n);

  return vm_plug_qmp (command, key, id);
}

/* One interrupt may tell the guest that a module has come and is to go. It then looks at the slot once, and
 * hears of the coming only (QEMU's AML method MSCN): the wish is said again. */
static json_object *
dimm_del (gint64 n)
{
  g_autofree char *id = g_strdup_printf (VM_PLUG_QEMU_PREFIX "dimm%" G_GINT64_FORMAT, n);
  json_object *act = vm_plug_device_del (id);

  vm_json_add_bool (act, "repeats", TRUE);
  return act;
}

static json_object *
memory_add (gint64 n, guint64 bytes)
{
  json_object *act = dimm_act ("object-add", "id", "mem", n);

  vm_json_add_str (vm_json_object (act, "arguments"), "qom-type", "memory-backend-ram");
  vm_json_add_int (vm_json_object (act, "arguments"), "size", (gint64)bytes);
  return act;
}

static json_object *
dimm_add (gint64 n)
{
  g_autofree char *memory = g_strdup_printf (VM_PLUG_QEMU_PREFIX "mem%" G_GINT64_FORMAT, n);
  json_object *act = dimm_act ("device_add", "id", "dimm", n);

  vm_json_add_str (vm_json_object (act, "arguments"), "driver", "pc-dimm");
  vm_json_add_str (vm_json_object (act, "arguments"), "memdev", memory);
  return act;
}

/* The memory itself, then the module that holds it; `size` is what there is in all then. */
static void
add_dimm (VmPlugPlan *plan, gint64 n, guint64 bytes, guint64 size)
{
  vm_plug_add_step (plan, memory_add (n, bytes), dimm_act ("object-del", "id", "mem", n));
  vm_plug_add_step (plan, dimm_add (n), dimm_del (n));
  vm_plug_add_step (plan, number_act ("memory", size / MIB), NULL);
}

static void
take_dimm (VmPlugPlan *plan, gint64 n, guint64 bytes)
{
  vm_plug_add_step (plan, dimm_del (n), dimm_add (n));
  vm_plug_add_step (plan, dimm_act ("object-del", "id", "mem", n), memory_add (n, bytes));
}

/* The acts that are left for the unplug, and the sizes of the modules, in the device. */
static void
keep_dimms (VmPlugPlan *plan, const VmPlan *p, json_object *sizes)
{
  guint64 size = p->memory;

  for (gsize i = 0; i < json_object_array_length (sizes); i++)
    size += (guint64)json_object_get_int64 (json_object_array_get_idx (sizes, i));
  for (gsize i = json_object_array_length (sizes); i > 0; i--) {
    size -= (guint64)json_object_get_int64 (json_object_array_get_idx (sizes, i - 1));
    json_object_array_add (plan->unplug, dimm_del ((gint64)i - 1));
    json_object_array_add (plan->unplug,
                           leaving (dimm_act ("object-del", "id", "mem", (gint64)i - 1), "size", size));
  }
  json_object_array_add (plan->unplug, limit_act (p, p->memory, 0));
  vm_json_add (plan->device, "modules", sizes);
}

/* What the machine began with cannot be taken away, but the guest can be asked to do without; how far it did
 * is the result. */
static json_object *
balloon_act (guint64 bytes)
{
  json_object *act = vm_plug_qmp ("balloon", NULL, NULL);

  vm_json_add_int (vm_json_object (act, "arguments"), "value", (gint64)bytes);
  return act;
}

static gboolean
grow (VmPlugPlan *plan, const VmPlugFacts *facts, guint64 from, guint64 to, json_object *sizes,
      GError **error)
{
  const VmPlan *p = facts->plan;
  gsize n = json_object_array_length (sizes);

  if (to > p->memory_max)
    return vm_error (error, VM_ERROR_USAGE,
                     "mem: the machine has no places for so much; start it with more: vmctl up "
                     "--memory");
  if (n >= VM_QEMU_DIMMS)
    return vm_error (error, VM_ERROR_BUSY,
                     "mem: all %d places for memory are taken; take it away (vmctl unplug), and "
                     "add it in one piece",
                     VM_QEMU_DIMMS);
  vm_plug_add_step (plan, limit_act (p, to, 0), limit_act (p, from, 0));
  add_dimm (plan, (gint64)n, to - from, to);
  json_object_array_add (sizes, json_object_new_int64 ((gint64)(to - from)));
  return TRUE;
}

/* A module goes as a whole: to what is left when the last ones are gone. */
static gboolean
shrink (VmPlugPlan *plan, const VmPlugFacts *facts, guint64 from, guint64 to, json_object *sizes,
        GError **error)
{
  const VmPlan *p = facts->plan;
  gsize n = json_object_array_length (sizes);
  g_autofree char *next = NULL;

  /* Should it be undone, what comes back is put to use last. */
  vm_plug_add_step (plan, limit_act (p, from, 0), number_act ("memory", from / MIB));
  while (from > to && n > 0) {
    guint64 bytes = (guint64)json_object_get_int64 (json_object_array_get_idx (sizes, --n));

    from -= bytes;
    if (from < to) {
      next = vm_size_format (from);
      return vm_error (error, VM_ERROR_USAGE,
                       "mem: what was added goes away in the pieces in which it was added; the "
                       "next less is %s",
                       next);
    }
    take_dimm (plan, (gint64)n, bytes);
    json_object_array_del_idx (sizes, n, 1);
  }
  if (from > to) {
    vm_plug_add_step (plan, vm_plug_words ("agent", "balloon", NULL, NULL),
                      NULL); /* its driver may not be there */
    vm_plug_add_step (plan, balloon_act (to), balloon_act (from));
  }
  vm_plug_add_step (plan, limit_act (p, MAX (to, p->memory), 0), NULL);
  return TRUE;
}

/* (transfer full) */
static json_object *
copy_sizes (json_object *device)
{
  json_object *copy = json_object_new_array (), *sizes = vm_json_array (device, "modules");

  for (gsize i = 0; sizes != NULL && i < json_object_array_length (sizes); i++)
    json_object_array_add (copy, json_object_get (json_object_array_get_idx (sizes, i)));
  return copy;
}

static gboolean
plan_memory (VmPlugPlan *plan, const VmPlugSpec *spec, const VmPlugFacts *facts, GError **error)
{
  const VmPlan *p = facts->plan;
  json_object *now = vm_plug_find (facts->devices, plan->id);
  guint64 from = (guint64)vm_json_int (now, "size", (gint64)p->memory), to = spec->size;
  g_autoptr (json_object) sizes = copy_sizes (now);

  if (p->isolation != VM_ISOLATION_VM) {
    vm_plug_add_step (plan, limit_act (p, to, 0), limit_act (p, from, 0));
    json_object_array_add (plan->unplug, limit_act (p, p->memory, 0));
    return TRUE;
  }
  if (to % DIMM_UNIT != p->memory % DIMM_UNIT)
    return vm_error (error, VM_ERROR_USAGE,
                     "mem: a machine's memory changes by multiples of 128M, and it has %" G_GUINT64_FORMAT
                     "M",
                     from / MIB);
  if (from < p->memory) { /* first it gets back what it was asked to do without */
    vm_plug_add_step (plan, balloon_act (p->memory), balloon_act (from));
    from = p->memory;
  }
  if (!(to > from ? grow (plan, facts, from, to, sizes, error)
                  : shrink (plan, facts, from, to, sizes, error)))
    return FALSE;
  if (to < p->memory)
    json_object_array_add (plan->unplug, balloon_act (p->memory));
  keep_dimms (plan, p, g_steal_pointer (&sizes));
  return TRUE;
}

gboolean
vm_plug_plan_size (VmPlugPlan *plan, const VmPlugSpec *spec, const VmPlugFacts *facts, GError **error)
{
  if (facts->plan->isolation == VM_ISOLATION_NONE)
    return vm_error (error, VM_ERROR_UNSUPPORTED, "%s: the null driver keeps no limits",
                     vm_plug_kind_name (spec->kind));
  plan->unplug = json_object_new_array ();
  if (spec->kind == VM_PLUG_CPU)
    return plan_cpu (plan, spec, facts, error);
  return check_memory (spec, facts, error) && plan_memory (plan, spec, facts, error);
}
