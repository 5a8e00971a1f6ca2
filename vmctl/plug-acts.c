/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a plug plan is made of: steps, and the acts in them. */
#include <stdarg.h>

#include "vmctl/base/json.h"
#include "vmctl/plug-parts.h"

void
vm_plug_plan_free (VmPlugPlan *plan)
{
  if (plan == NULL)
    return;
  g_free (plan->id);
  json_object_put (plan->device);
  json_object_put (plan->unplug);
  json_object_put (plan->abandon);
  g_ptr_array_unref (plan->steps);
  g_free (plan);
}

static void
free_step (gpointer data)
{
  VmPlugStep *step = data;

  json_object_put (step->act);
  json_object_put (step->undo);
  g_free (step);
}

VmPlugPlan *
vm_plug_plan_new (const char *id)
{
  VmPlugPlan *plan = g_new0 (VmPlugPlan, 1);

  plan->id = g_strdup (id);
  plan->steps = g_ptr_array_new_with_free_func (free_step);
  return plan;
}

/* Acts */

json_object *
vm_plug_act (const char *at, const char *command, json_object *take_arguments)
{
  json_object *act = json_object_new_object ();

  vm_json_add_str (act, "at", at);
  vm_json_add_str (act, "command", command);
  vm_json_add (act, "arguments", take_arguments);
  return act;
}

json_object *
vm_plug_words (const char *at, const char *command, ...)
{
  json_object *words = json_object_new_array ();
  const char *word;
  va_list ap;

  va_start (ap, command);
  while ((word = va_arg (ap, const char *)) != NULL)
    json_object_array_add (words, json_object_new_string (word));
  va_end (ap);
  return vm_plug_act (at, command, words);
}

json_object *
vm_plug_qmp (const char *command, const char *key, const char *value)
{
  json_object *arguments = json_object_new_object ();

  vm_json_add_str (arguments, key, value);
  return vm_plug_act ("qmp", command, arguments);
}

json_object *
vm_plug_device_add (const char *driver, const char *id, const char *bus)
{
  json_object *act = vm_plug_qmp ("device_add", "driver", driver),
              *arguments = vm_json_object (act, "arguments");

  vm_json_add_str (arguments, "id", id);
  vm_json_add_str (arguments, "bus", bus);
  return act;
}

json_object *
vm_plug_device_del (const char *id)
{
  json_object *act = vm_plug_qmp ("device_del", "id", id);

  vm_json_add_str (act, "awaits", "DEVICE_DELETED");
  return act;
}

void
vm_plug_add_step (VmPlugPlan *plan, json_object *take_act, json_object *take_undo)
{
  VmPlugStep *step = g_new0 (VmPlugStep, 1);

  step->act = take_act;
  step->undo = take_undo;
  g_ptr_array_add (plan->steps, step);
}
