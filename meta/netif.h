/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Network interfaces of the namespace in which the caller is, by ioctls: libc only, for the agent and the
 * keeper. */
#pragma once

#include <netinet/in.h>

/* 0, or -errno. */
int netif_up (const char *name);
int netif_down (const char *name); /* and without an address */
/* Address, mask and default route (`gateway`, NULL: none), then up. `mtu` 0: as it is. */
int netif_configure (const char *name, struct in_addr address, struct in_addr mask,
                     const struct in_addr *gateway, int mtu);
/* One more default route, by this interface, behind those with a smaller `metric`. 0, or -errno. */
int netif_add_route (const char *name, struct in_addr gateway, unsigned metric);
