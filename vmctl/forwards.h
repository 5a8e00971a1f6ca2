/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ports of the host that lead to ports inside (meta/frame.h, "Forwards"). The supervisor listens; each
 * connection becomes a channel, at whose other end the agent connects. So it is the same with every driver,
 * and works without a network. At most FRAME_FORWARDS_MAX connections live at once; further ones wait in
 * their queue. */
#pragma once

#include <glib.h>
#include <json-c/json.h>

#include "vmctl/link.h"

typedef struct VmForwards VmForwards;

/* The agent broke the protocol: everything it sends afterwards is ignored. */
typedef void (*VmForwardsBroken) (const char *why, gpointer data);

VmForwards *vm_forwards_new (VmForwardsBroken broken, gpointer data);
void vm_forwards_free (VmForwards *forwards); /* NULL is fine */

/* Listens: {"id", "address", "host-port", "guest-port"}. BUSY, and who might know better: the port is taken.
 */
gboolean vm_forwards_add (VmForwards *forwards, json_object *what, GError **error);
/* No longer, and cuts the connections. Absent is fine. */
void vm_forwards_remove (VmForwards *forwards, const char *id);

/* A connection that came elsewhere (owned from now on) leads to the port `inside`. FALSE: there is no agent,
 * or no room, and it is closed. */
gboolean vm_forwards_adopt (VmForwards *forwards, int take_fd, guint16 inside);

/* The agent's connection (borrowed), once it is up; NULL when it is lost: then all connections end. */
void vm_forwards_set_agent (VmForwards *forwards, VmLink *agent);

/* Is this frame one of a forward? */
gboolean vm_forwards_wants (const FrameHeader *header);
void vm_forwards_frame (VmForwards *forwards, const FrameHeader *header, const guint8 *payload);
