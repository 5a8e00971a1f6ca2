/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The supervisor's end of vmctl-net's control socket. */
#pragma once

#include "vmctl/net-change.h"
#include "vmctl/supervisor-private.h"

/* After taking over: the socket from the keeper, and the record's policy once more. */
void vm_supervisor_take_over_net (VmSupervisor *sup);
void vm_supervisor_close_net (VmSupervisor *sup);

/* Answers the request once vmctl-net goes by the changed policy, which is on record then; or says why not,
 * and nothing has changed. `arguments` as in net-change.h (borrowed). */
void vm_supervisor_change_net (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request);
/* Why a change cannot be made at all; NULL: it can. (static) */
const char *vm_supervisor_net_problem (VmSupervisor *sup);
/* What vmctl-net counts (borrowed); NULL: nobody counts, or does not answer. Called exactly once. */
typedef void (*VmNetStatsFunc) (json_object *stats, gpointer data);
void vm_supervisor_ask_net_stats (VmSupervisor *sup, VmNetStatsFunc got, gpointer data);
