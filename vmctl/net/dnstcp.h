/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Questions by TCP. libslirp ends the sandbox's TCP for us (guestfwd), but tells nothing of which connection
 * bytes belong to: so each connection to 10.0.2.3:53 gets a port of its own, NET_DNSTCP_PORT + slot, by
 * rewriting its frames on both ways. The oldest slot goes to a new connection when all are taken. */
#pragma once

#include <slirp/libslirp.h>

#include "vmctl/net/frame.h"
#include "vmctl/net/resolver.h"

enum { NET_DNSTCP_SLOTS = 16, NET_DNSTCP_PORT = 20000 };

typedef struct NetDnsTcp NetDnsTcp;

NetDnsTcp *net_dnstcp_new (Slirp *slirp, NetResolver *resolver);
void net_dnstcp_free (NetDnsTcp *dns);
/* A frame of the sandbox to 10.0.2.3:53 by TCP: rewritten in `bytes` (a writable copy of the frame) to the
 * port of its slot; the caller gives it to libslirp. */
void net_dnstcp_outgoing (NetDnsTcp *dns, const NetFrame *frame, uint8_t *bytes);
/* A frame of libslirp's to the sandbox: is put back to port 53 if it comes from a slot's. */
void net_dnstcp_incoming (NetDnsTcp *dns, uint8_t *bytes, size_t length);
/* An answer of the resolver's for a TCP asker. */
void net_dnstcp_reply (NetDnsTcp *dns, const NetAsker *asker, const uint8_t *message, size_t length);
