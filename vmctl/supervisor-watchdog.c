/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* up --watchdog: the agent is asked for a sign of life, and a sandbox that gives none ends, whatever its
 * driver. A guest's kernel that hangs runs no agent either; no device has to be there for that. Answers are
 * missed, not seconds: a supervisor that was stopped itself has not heard what was said meanwhile. */
#include "vmctl/supervisor-private.h"

enum { PINGS = 3 }; /* so many are sent in the time that is allowed */

static gboolean
ask (gpointer data)
{
  VmSupervisor *sup = data;
  g_autofree char *text = NULL;

  if (sup->record->state != VM_STATE_RUNNING || sup->agent == NULL) {
    sup->pings = 0; /* paused, or its end is being seen to already */
    return G_SOURCE_CONTINUE;
  }
  if (sup->pings < PINGS) {
    sup->pings++;
    vm_link_send (sup->agent, FRAME_PING, FRAME_CHANNEL_CONTROL, FRAME_STDIN, NULL, 0);
    return G_SOURCE_CONTINUE;
  }
  sup->watchdog_timer = 0;
  text = g_strdup_printf ("no sign of life for %u s (--watchdog)", sup->plan->watchdog);
  vm_supervisor_stop (sup, VM_REASON_WATCHDOG, text, VM_STOP_QUIT, 0);
  return G_SOURCE_REMOVE;
}

void
vm_supervisor_watch_agent (VmSupervisor *sup)
{
  sup->pings = 0;
  if (sup->plan->watchdog != 0 && sup->watchdog_timer == 0)
    sup->watchdog_timer = g_timeout_add (sup->plan->watchdog * 1000 / PINGS, ask, sup);
}

void
vm_supervisor_agent_answered (VmSupervisor *sup)
{
  sup->pings = 0;
}
