/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Questions by TCP. libslirp ends the sandbox's TCP for us (guestfwd), but tells nothing of which connection
 * bytes belong to, and takes no guestfwd at its own addresses: so each connection to 10.0.2.3:53 goes to
 * NET_DNSTCP_ADDRESS and a port of its own, NET_DNSTCP_PORT + slot, by rewriting its frames on both ways. The
 * slot that was silent for longest goes to a new connection when all are taken.
 *
 * libslirp cannot be told to end a connection either. A connection that the sandbox has ended, and all of
 * whose answers have come, gets its end made here: a FIN for the sandbox, a reset for libslirp. */
#pragma once

#include <slirp/libslirp.h>

#include "vmctl/net/frame.h"
#include "vmctl/net/resolver.h"

enum {
  NET_DNSTCP_SLOTS = 16,
  NET_DNSTCP_ADDRESS = NET_NETWORK + 4, /* nothing of the sandbox's may get there by itself */
  NET_DNSTCP_PORT = 20000,
  NET_DNSTCP_UNREAD_MAX = 16384, /* bytes of questions at once; then the connection is reset */
  NET_DNSTCP_BUSY_MS = 15000,
};

typedef struct NetDnsTcp NetDnsTcp;

typedef void (*NetDnsTcpSend) (void *data, const uint8_t *bytes, size_t length);

/* All but `data` borrowed; `to_guest` sends a frame to the sandbox. */
NetDnsTcp *
net_dnstcp_new (Slirp *slirp, NetShared *shared, NetResolver *resolver, NetDnsTcpSend to_guest, void *data);
/* When libslirp has been cleaned up: it knows the slots. */
void net_dnstcp_free (NetDnsTcp *dns);
/* A frame of the sandbox to 10.0.2.3:53 by TCP. It is given to libslirp, and answers may be sent within. */
void net_dnstcp_outgoing (NetDnsTcp *dns, const NetFrame *frame);
/* A frame of libslirp's for the sandbox: is put back to port 53 if it comes from a slot. False: it is not to
 * be sent, for nobody waits for it. */
bool net_dnstcp_incoming (NetDnsTcp *dns, uint8_t *bytes, size_t length);
/* An answer of the resolver's for a TCP asker. */
void net_dnstcp_reply (NetDnsTcp *dns, const NetAsker *asker, const uint8_t *message, size_t length);
/* Has a connection had a frame in the last NET_DNSTCP_BUSY_MS? Then libslirp's timers are needed. */
bool net_dnstcp_busy (const NetDnsTcp *dns);
