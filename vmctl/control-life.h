/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to control*.c: commands that are not in control.c. */
#pragma once

#include "vmctl/supervisor-private.h"

void vm_control_restart (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request);
void vm_control_stats (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request);
void vm_control_reset (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request);
