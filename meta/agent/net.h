/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

void net_loopback_up (void);
/* Address ("10.0.2.15/24") and default route on the first ethernet interface. 0; -ENODEV if there is none. */
int net_configure (const char *address, const char *gateway);
