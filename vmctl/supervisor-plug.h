/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is plugged into a sandbox while it runs: one job after the other, each done as a whole or undone. The
 * devices are in the record, with the acts that take them away, so that whoever supervises the sandbox can.
 */
#pragma once

#include "vmctl/plug.h"
#include "vmctl/supervisor-private.h"

VmPlugs *vm_plugs_new (VmSupervisor *sup);
/* After the QMP client. Jobs that wait are answered with an error. NULL is fine. */
void vm_plugs_free (VmPlugs *plugs);

/* Waits for those before it, and for the agent. `take_spec` is emptied. `fail_after`: for tests, fails behind
 * that many steps; 0: does not. */
void vm_plugs_plug (VmPlugs *plugs, VmPlugSpec *take_spec, guint fail_after, QmpRequest *take_request);
void vm_plugs_unplug (VmPlugs *plugs, const char *id, QmpRequest *take_request);
/* What would be done; nothing is. (transfer full) */
json_object *vm_plugs_dry_run (VmPlugs *plugs, const VmPlugSpec *spec, GError **error);
/* [{"id", "kind", ...}] (transfer full) */
json_object *vm_plugs_to_json (VmPlugs *plugs);

/* The plan's own plugs are not done yet: the command waits for them. */
gboolean vm_plugs_hold_command (VmPlugs *plugs);
/* The command's client is there: if one of the plan's plugs cannot be had, the sandbox ends now. */
void vm_plugs_client_came (VmPlugs *plugs);
/* The agent is up; what waits can begin. */
void vm_plugs_agent_up (VmPlugs *plugs);
/* A supervisor that takes over: what is this process's is done again, and what was half done is undone. */
void vm_plugs_take_over (VmPlugs *plugs);
/* The machine has gone and another one starts in the same sandbox: what was plugged into it is gone, and what
 * the plan plugs is plugged again. */
void vm_plugs_begin_anew (VmPlugs *plugs);
/* The sandbox ends, or its agent has gone. */
void vm_plugs_give_up (VmPlugs *plugs, const char *why);

/* A client has gone: a snapshot that it asked for is given up. */
void vm_plugs_peer_gone (VmPlugs *plugs);
void vm_plugs_keeper_said (VmPlugs *plugs, const char *text);
void vm_plugs_agent_said (VmPlugs *plugs, const FrameHeader *header, const guint8 *payload);
/* As vm_acts_net_said. */
void vm_plugs_net_said (VmPlugs *plugs, const char *card, const char *problem);
void vm_plugs_event (VmPlugs *plugs, const char *name, json_object *event_data);
