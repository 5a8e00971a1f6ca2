/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Snapshots of a sandbox that runs (vmctl/snapshot.h): made and removed by the jobs of supervisor-plug.h, one
 * after the other and with what is plugged; restored by starting again. */
#pragma once

#include "vmctl/supervisor-private.h"

/* The commands of the control socket. */
void vm_control_snapshot_create (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request);
void vm_control_snapshot_remove (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request);
void vm_control_snapshot_restore (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request);
void vm_control_query_snapshots (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request);

/* Starting again: what the scratch disk of the next machine begins as. A template cannot be gone on from with
 * a disk other than its own. */
void vm_snapshots_choose_disk (VmSupervisor *sup);
/* The sandbox has ended. */
void vm_snapshots_end (VmSupervisor *sup);
/* What is under way is given up without a word. NULL is fine. */
void vm_restore_free (VmRestore *restore);
