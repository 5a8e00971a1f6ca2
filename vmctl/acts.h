/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Doing the acts of a plug plan (vmctl/plug.h), one at a time: asks QEMU, the keeper, the agent, and waits
 * for the answer with a deadline. */
#pragma once

#include "vmctl/plug.h"
#include "vmctl/supervisor-private.h"

typedef struct VmActs VmActs;

/* Called once for each act, perhaps before vm_acts_run returns. `error` NULL: it is done; `result` is what
 * the agent said to it, not trusted, NULL: nothing. */
typedef void (*VmActDone) (const GError *error, const char *result, gpointer data);

VmActs *vm_acts_new (VmSupervisor *sup);
/* What is under way is given up without a word. After the QMP client. NULL is fine. */
void vm_acts_free (VmActs *acts);

/* Begins one; none may be under way. `act` is borrowed for the call. */
void vm_acts_run (VmActs *acts, json_object *act, VmActDone done, gpointer data);
/* The descriptor that an act has opened for those that follow. */
void vm_acts_forget_descriptor (VmActs *acts);

/* What came; each ignores what nobody waits for. */
void vm_acts_keeper_said (VmActs *acts, const char *text);
void vm_acts_agent_said (VmActs *acts, const FrameHeader *header, const guint8 *payload);
void vm_acts_event (VmActs *acts, const char *name, json_object *event_data);
/* `problem` NULL: the helper of this network card goes by a policy; else it never will. */
void vm_acts_net_said (VmActs *acts, const char *card, const char *problem);
/* Nobody wants the end of the jobs that are followed, if some are. */
void vm_acts_interrupt (VmActs *acts, const char *why);
/* Nobody will answer any more. */
void vm_acts_give_up (VmActs *acts, const char *why);

/* acts-here.c: the supervisor's own. *fd: what it has opened, or -1. */
gboolean
vm_acts_do_here (VmSupervisor *sup, const char *command, json_object *arguments, int *fd, GError **error);
/* Looks at what a spec names on this host: fills in what the plan wants to know, refuses what may not be. */
gboolean vm_acts_look (VmSupervisor *sup, VmPlugSpec *spec, GError **error);
