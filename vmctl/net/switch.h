/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The loop of vmctl-net: from the sandbox to whose business a frame is, and back. */
#pragma once

/* The descriptors are as in main.c. Says hello, and serves as long as the sandbox is there; when it is gone,
 * waits to be killed. Returns with errno if it cannot even wait. */
void net_switch_serve (int packet, int control, int log);
