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

/* supervisor-nics.c: network cards that are plugged. */
/* Makes what the helper of {"id", ["net", "rules"]} is to be given; *fd: QEMU's end of it. With "net" that
 * becomes the sandbox's policy. */
gboolean vm_supervisor_add_nic (VmSupervisor *sup, json_object *arguments, int *fd, GError **error);
/* Nothing is said to the helper of this card any more. It need not be there. */
void vm_supervisor_remove_nic (VmSupervisor *sup, const char *card);
/* Sends a request to the keeper with what was made. As send(2). */
gssize vm_supervisor_pass_nic (VmSupervisor *sup, const char *card, const void *request, gsize length);
/* It has taken a policy, so packets pass. */
gboolean vm_supervisor_nic_is_ready (VmSupervisor *sup, const char *card);
/* One that a predecessor has plugged: its socket from the keeper, and the policy once more. */
void vm_supervisor_take_over_nic (VmSupervisor *sup, const char *card);
