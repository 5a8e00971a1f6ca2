/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The driver by which memory that is free inside goes back to the host, and by which the host asks for more.
 * It begins with reporting all of the memory, two seconds after it was loaded, which is just when a machine
 * that goes on from a template has better things to do. So it is loaded when the sandbox has been up for a
 * while, or when it is needed. */
#pragma once

#include <stdbool.h>

struct Agent;

/* Is this file of the initramfs ("NN-NAME.ko") the driver? */
bool balloon_is_module (const char *file);
/* The poll's timeout (-1: none), made shorter if the driver is due. */
int balloon_timeout (struct Agent *agent, int timeout);
/* Begins to load it, if it is due; a child does it. */
void balloon_step (struct Agent *agent);
/* Loads it in this process, which waits. Already there is success; so is a kernel without such a module. 0 or
 * -errno. */
int balloon_load (const struct Agent *agent);
