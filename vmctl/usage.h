/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the processes of a sandbox use, read from /proc: all below its keeper, whatever the driver. */
#pragma once

#include <glib.h>
#include <sys/types.h>

#include "vmctl/group.h"

typedef struct {
  guint processes;
  guint64 cpu_us; /* of those that have ended, too, as far as somebody waited for them */
  guint64 rss, pss;
  gboolean has_pss; /* else they are too many, or not ours to look into */
  guint64 received, sent;
  gboolean has_net;
} VmUsage;

/* `top` counts too. `groups` knows the processor time better, if there is such a group. `interface`: whose
 * bytes are counted, in the network namespace of the processes; NULL: none. All zero: there is no such
 * process. */
void vm_usage_gather (pid_t top, const VmGroups *groups, const char *interface, VmUsage *ret);

/* Text of /proc/PID/net/dev. FALSE: there is no such interface. */
gboolean
vm_usage_parse_net (const char *text, const char *interface, guint64 *ret_received, guint64 *ret_sent);
/* Text of /proc/PID/stat: the parent, and clock ticks of the process and the children it waited for. */
gboolean vm_usage_parse_stat (const char *text, pid_t *ret_parent, guint64 *ret_ticks);
