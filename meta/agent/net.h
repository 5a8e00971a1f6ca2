/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

void net_loopback_up (void);
/* The address of the first ethernet interface, which must be down: "52:54:00:12:34:56". 0; -ENODEV. */
int net_set_mac (const char *mac);
/* The first ethernet interface goes, with whatever it was: its driver lets go of the device. 0; -ENODEV. */
int net_remove (void);
/* No address, and down. */
int net_down (void);
/* Address ("10.0.2.15/24") and default route on the first ethernet interface. 0; -ENODEV if there is none. */
int net_configure (const char *address, const char *gateway);
