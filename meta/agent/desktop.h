/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A screen inside: an X server and a window manager, both the user's, for as long as the sandbox lives. */
#pragma once

#include <sys/types.h>

#include "meta/agent/util.h"

struct Agent;

typedef struct {
  pid_t server, manager; /* 0: none */
} Desktop;

/* Starts what the meta dir names, and waits until the server answers: nothing else runs yet, so nobody is
 * kept waiting by that. 0, or -errno and a text with the server's last words. */
int desktop_start (struct Agent *agent, Why *why);
/* A child has ended: one of the two is missed, and that is said. */
void desktop_reaped (struct Agent *agent, pid_t pid);
