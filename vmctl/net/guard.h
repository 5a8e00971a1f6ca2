/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whose business a frame of the sandbox is, whatever the policy says. libc only. */
#pragma once

#include "vmctl/net/frame.h"
#include "vmctl/net/policy.h"

typedef enum {
  NET_ROUTE_DROP,
  NET_ROUTE_REFUSE,
  NET_ROUTE_SLIRP, /* ARP, DHCP, pings of the gateway */
  NET_ROUTE_NAMES, /* a question to the name server, by UDP or TCP */
  NET_ROUTE_FLOWS, /* what the policy is asked about (flows.h) */
} NetRoute;

/* *ret_why: for people, for DROP and REFUSE. (static) */
NetRoute net_guard_route (const NetFrame *frame, const char **ret_why);

/* Is the address one of this host's? By asking the kernel: can a socket be bound to it? Cached for a second.
 */
bool net_guard_is_local (uint32_t address);
