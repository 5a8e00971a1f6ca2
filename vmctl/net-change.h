/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A running sandbox's network becomes another one. Pure. */
#pragma once

#include <json-c/json.h>

#include "vmctl/spec.h"

typedef struct {
  VmNet net;
  char **rules; /* owned; as in a plan */
} VmNetState;

void vm_net_state_clear (VmNetState *state);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (VmNetState, vm_net_state_clear)

/* What is wanted, of a client: {"allow": [ITEM...]}, {"deny": [ITEM...]} (both may be there; what is allowed
 * is not denied by the very same item any more, and the other way round), or {"set": "WORDS"}
 * (vmctl/net-words.h), which keeps only the ports of this host. Groups are the built-in ones. USAGE errors
 * name the item. */
gboolean vm_net_change (const VmNetState *now, json_object *arguments, VmNetState *ret, GError **error);

/* For people and programs: "net", "words", "rules", "host-ports". (transfer full) */
json_object *vm_net_state_to_json (const VmNetState *state);
