/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

enum { NET_CARD_MAX = 16 }; /* IF_NAMESIZE */

void net_loopback_up (void);
/* The name of the first ethernet interface. 0; -ENODEV. The others below are for what it says. */
int net_find_card (char ret[NET_CARD_MAX]);
/* Its hardware address: "52:54:00:12:34:56". 0 or -errno. */
int net_set_mac (const char *card, const char *mac);
/* No IPv6 there, before it is up: vmctl-net has none, and programs are not to try. As in vmctl/keeper-net.c.
 */
void net_without_ipv6 (const char *card);
/* It goes, with whatever it was: its driver lets go of the device. 0 or -errno. */
int net_remove (const char *card);
/* Address ("10.0.2.15/24") and default route. 0 or -errno. */
int net_configure (const char *card, const char *address, const char *gateway);
/* The same for one that came later: its route counts where no other card has one, and for what is bound to
 * it. */
int net_configure_more (const char *card, const char *address, const char *gateway);
