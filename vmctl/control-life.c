/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Commands of the control socket that begin a sandbox anew. */
#include "vmctl/control-life.h"

#include "vmctl/base/json.h"

enum { TIMEOUT_MIN_MS = 100, TIMEOUT_MAX_MS = 3600 * 1000 };

static void
start_again (VmSupervisor *sup, const char *why, VmStopStep first, guint powerdown_ms,
             QmpRequest *take_request)
{
  g_autoptr (GError) error = NULL;

  if (vm_supervisor_restart (sup, why, first, powerdown_ms, &error))
    qmp_request_return (take_request, NULL);
  else
    qmp_request_error (take_request, "GenericError", "%s", error->message);
}

void
vm_control_restart (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request)
{
  gint64 timeout = vm_json_int (arguments, "timeout-ms", sup->powerdown_ms);

  start_again (sup, "vmctl restart", VM_STOP_POWERDOWN,
               (guint)CLAMP (timeout, TIMEOUT_MIN_MS, TIMEOUT_MAX_MS), take_request);
}

void
vm_control_reset (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request)
{
  start_again (sup, "vmctl reset", VM_STOP_KILL, 0, take_request);
}
