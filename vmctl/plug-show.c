/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Specs, plans and acts for people and as JSON. */
#include "vmctl/plug.h"

#include "vmctl/base/file.h"
#include "vmctl/base/json.h"

char *
vm_plug_spec_to_text (const VmPlugSpec *spec)
{
  const char *kind = vm_plug_kind_name (spec->kind), *ro = spec->read_only ? ", read-only" : "";
  g_autofree char *size = spec->size != 0 ? vm_size_format (spec->size) : NULL;

  switch (spec->kind) {
  case VM_PLUG_DIR:
    return g_strdup_printf ("%s %s%s%s%s", kind, spec->source, spec->target != NULL ? " at " : "",
                            spec->target != NULL ? spec->target : "", ro);
  case VM_PLUG_DISK:
    return g_strdup_printf ("%s %s%s", kind, spec->source != NULL ? spec->source : size, ro);
  case VM_PLUG_CPU:
    return g_strdup_printf ("%s %u", kind, spec->count);
  case VM_PLUG_MEM:
    return g_strdup_printf ("%s %s", kind, size);
  case VM_PLUG_SERIAL:
    return g_strdup_printf ("%s %s", kind, spec->name);
  case VM_PLUG_PORT:
    return g_strdup_printf ("%s %u of %s to %u inside%s", kind, spec->host_port,
                            spec->address != NULL ? spec->address : "127.0.0.1", spec->guest_port,
                            spec->udp ? ", udp" : "");
  case VM_PLUG_NIC:
    return g_strdup_printf ("%s%s%s", kind, spec->net != NULL ? ", " : "",
                            spec->net != NULL ? spec->net : "");
  case VM_PLUG_USB:
  case VM_PLUG_KINDS:
    break;
  }
  if (spec->vendor != 0 || spec->product != 0)
    return g_strdup_printf ("%s %04x:%04x", kind, spec->vendor, spec->product);
  return g_strdup_printf ("%s %u.%u", kind, spec->bus, spec->device);
}

json_object *
vm_plug_plan_to_json (const VmPlugPlan *plan)
{
  json_object *object = json_object_new_object (), *steps = json_object_new_array ();

  for (guint i = 0; i < plan->steps->len; i++) {
    const VmPlugStep *step = g_ptr_array_index (plan->steps, i);
    json_object *one = json_object_new_object ();

    vm_json_add (one, "act", json_object_get (step->act));
    if (step->undo != NULL)
      vm_json_add (one, "undo", json_object_get (step->undo));
    json_object_array_add (steps, one);
  }
  vm_json_add_str (object, "id", plan->id);
  vm_json_add_str (object, "kind", vm_plug_kind_name (plan->kind));
  vm_json_add (object, "steps", steps);
  return object;
}

char *
vm_plug_act_to_text (json_object *act)
{
  g_autofree char *arguments = vm_json_line (json_object_object_get (act, "arguments"));

  return g_strdup_printf ("%-6s  %s %s", vm_json_str (act, "at", ""), vm_json_str (act, "command", ""),
                          arguments);
}
