/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The commands query-net and net-change of the control socket. */
#include "vmctl/base/json.h"
#include "vmctl/supervisor-net.h"

void
vm_control_query_net (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request)
{
  const VmNetState now = {.net = sup->plan->net, .rules = sup->plan->net_rules};
  json_object *object = vm_net_state_to_json (&now);

  vm_json_add_str (object, "fixed", vm_supervisor_net_problem (sup));
  qmp_request_return (take_request, object);
}

void
vm_control_net_change (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request)
{
  vm_supervisor_change_net (sup, arguments, take_request);
}
