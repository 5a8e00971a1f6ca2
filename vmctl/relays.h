/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The supervisor's side of relays (meta/frame.h): sockets of the host that programs inside talk to. The agent
 * names a relay by its index, the plan says which socket that is. The agent may be hostile: it can have
 * FRAME_RELAYS_MAX connections, FRAME_WINDOW bytes each, to the sockets of the plan, and nothing else. */
#pragma once

#include <glib.h>

#include "vmctl/link.h"
#include "vmctl/log.h"
#include "vmctl/plan.h"

typedef struct VmRelays VmRelays;

/* The agent broke the protocol: everything it sends afterwards is ignored. */
typedef void (*VmRelaysBroken) (const char *why, gpointer data);

/* `plan` and `log` are borrowed. Relay N is the Nth VM_MOUNT_RELAY of the plan. */
VmRelays *vm_relays_new (const VmPlan *plan, VmLog *log, VmRelaysBroken broken, gpointer data);
void vm_relays_free (VmRelays *relays);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmRelays, vm_relays_free)

/* The agent's connection (borrowed); NULL when it is lost: then all relays end. */
void vm_relays_set_agent (VmRelays *relays, VmLink *agent);

/* Is this frame one of a relay? Channel numbers of relays are never those of sessions. */
gboolean vm_relays_wants (const FrameHeader *header);
void vm_relays_frame (VmRelays *relays, const FrameHeader *header, const guint8 *payload);
