/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Groups of a list of --net: "@npm" for what npm needs. Those that come with vmctl, and those of the
 * configuration ([net-groups]), which go before them. */
#pragma once

#include <glib.h>

typedef struct {
  const char *name, *summary;
  const char *items; /* as in a list: vmctl/net-rule.h, ',' between them */
} VmNetGroup;

extern const VmNetGroup vm_net_groups[]; /* sorted, ends with a NULL name */

/* [a-z0-9][a-z0-9-]{0,31} */
gboolean vm_net_group_is_name (const char *name);
/* Its items. `configured`: "NAME=ITEM,ITEM" each; may be NULL. The error (USAGE) lists the groups that there
 * are. (transfer full) */
char **vm_net_group_items (char **configured, const char *name, GError **error);
