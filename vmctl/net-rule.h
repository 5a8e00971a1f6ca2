/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One item of a list of --net: what people write, and the line of vmctl/net/policy.h that it becomes.
 *
 *   NAME[:PORTS][/PROTOCOL]             a host's name, or "*." and a name for all names below it
 *   ADDRESS[/PREFIX][:PORTS][/PROTOCOL] IPv4
 *
 * PORTS is a number or two with '-' between them, PROTOCOL tcp or udp. Pure. */
#pragma once

#include <glib.h>

#include "vmctl/net/name.h"

typedef struct {
  gboolean deny;
  guint8 protocol;             /* 0: any; IPPROTO_TCP, IPPROTO_UDP */
  guint16 first, last;         /* ports; 0, 0: all */
  char name[NET_PATTERN_SIZE]; /* canonical; "": a network */
  guint32 network, mask;       /* host order */
} VmNetRule;

/* USAGE errors name the item, what is wrong, and the mend. Nothing that could never be reached is allowed. */
gboolean vm_net_rule_parse (const char *item, gboolean deny, VmNetRule *ret, GError **error);
/* As it would be written: "*.npmjs.org:443/tcp". (transfer full) */
char *vm_net_rule_item (const VmNetRule *rule);
/* The policy's line, without its end; `text` is what is told to people. (transfer full) */
char *vm_net_rule_line (const VmNetRule *rule, const char *text);
/* A line of a policy that is sound; *ret_text is borrowed from it. FALSE: it is no rule. */
gboolean vm_net_rule_read (const char *line, VmNetRule *ret, const char **ret_text);
/* Is everything that `narrow` names also named by `wide`? Whether they deny does not matter. */
gboolean vm_net_rule_covers (const VmNetRule *wide, const VmNetRule *narrow);
