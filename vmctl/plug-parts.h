/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to plug-*.c: the pieces of a plug plan. */
#pragma once

#include "vmctl/plug.h"

#define VM_PLUG_QEMU_PREFIX "plug-" /* so that an id is never one of the machine's own */

/* Of a device in the record: it is what the plan plugs at this place, from 1. */
#define VM_PLUG_NTH "nth"

/* (transfer full) */
json_object *vm_plug_act (const char *at, const char *command, json_object *take_arguments);
/* The words end with NULL. */
json_object *vm_plug_words (const char *at, const char *command, ...) G_GNUC_NULL_TERMINATED;
/* With one argument; `value` NULL: none. */
json_object *vm_plug_qmp (const char *command, const char *key, const char *value);
json_object *vm_plug_device_add (const char *driver, const char *id, const char *bus);
json_object *vm_plug_device_del (const char *id);
/* Without steps. (transfer full) */
VmPlugPlan *vm_plug_plan_new (const char *id);
/* Takes both; `undo` may be NULL. */
void vm_plug_add_step (VmPlugPlan *plan, json_object *take_act, json_object *take_undo);

/* The device with this id; NULL: none. Borrowed. */
json_object *vm_plug_find (json_object *devices, const char *id);

/* plug-nic.c. `words`: a policy for a card. USAGE: it is none. */
gboolean vm_plug_check_net (const char *words, GError **error);
/* NIC, at the root port `port` of a machine. */
gboolean vm_plug_plan_nic (VmPlugPlan *plan, const VmPlugSpec *spec, const VmPlugFacts *facts,
                           const char *port, GError **error);

/* plug-size.c: CPU and MEM. */
gboolean
vm_plug_plan_size (VmPlugPlan *plan, const VmPlugSpec *spec, const VmPlugFacts *facts, GError **error);
