/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The commands plug, unplug and query-devices of the control socket. */
#include "vmctl/base/error.h"
#include "vmctl/base/json.h"
#include "vmctl/supervisor-plug.h"

static void
refuse (QmpRequest *take_request, GError *take_error)
{
  qmp_request_error (take_request, "GenericError", "%s", take_error->message);
  g_error_free (take_error);
}

void
vm_control_plug (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request)
{
  gint64 fail_after = CLAMP (vm_json_int (arguments, "fail-after", 0), 0, G_MAXINT);
  GError *error = NULL;
  VmPlugSpec spec;
  json_object *plan;

  if (!vm_plug_spec_from_json (arguments, &spec, &error)) {
    refuse (take_request, error);
    return;
  }
  if (!vm_json_bool (arguments, "dry-run", FALSE)) {
    vm_plugs_plug (sup->plugs, &spec, (guint)fail_after, take_request);
    return;
  }
  plan = vm_plugs_dry_run (sup->plugs, &spec, &error);
  vm_plug_spec_clear (&spec);
  if (plan != NULL)
    qmp_request_return (take_request, plan);
  else
    refuse (take_request, error);
}

void
vm_control_unplug (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request)
{
  const char *id = vm_json_str (arguments, "id", NULL);

  if (id == NULL)
    qmp_request_error (take_request, "GenericError", "'id' is missing");
  else
    vm_plugs_unplug (sup->plugs, id, take_request);
}

void
vm_control_query_devices (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request)
{
  qmp_request_return (take_request, vm_plugs_to_json (sup->plugs));
}
