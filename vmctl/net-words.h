/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The grammar of --net, and what it comes to.
 *
 *   none | host            alone
 *   public                 the public internet
 *   allow:ITEM[,ITEM...]   only this, or with `public` this too; "allow:" alone: nothing
 *   deny:ITEM[,ITEM...]    all but this; of a list: not this, though the list has it
 *
 * Words are separated by commas; several --net come to one. ITEM is one of vmctl/net-rule.h, or @GROUP. Pure.
 */
#pragma once

#include <glib.h>

#include "vmctl/spec.h"

enum { VM_NET_RULES_MAX = 4096, VM_NET_HOST_PORTS_MAX = 32 };

/* What was said, piece by piece; all zero: nothing yet. */
typedef struct {
  VmNet mode;
  gboolean says_public; /* then `allow` adds to it */
  char **items;         /* owned; "allow:ITEM" or "deny:ITEM", each a known form; NULL: none */
} VmNetSaid;

void vm_net_said_clear (VmNetSaid *said);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (VmNetSaid, vm_net_said_clear)

/* Adds one --net. Errors (USAGE) begin with `what`; then nothing was added. Groups are not looked up yet. */
gboolean vm_net_said_add (VmNetSaid *said, const char *text, const char *what, GError **error);
/* Adds "allow:ITEM" or "deny:ITEM". */
gboolean vm_net_said_add_item (VmNetSaid *said, gboolean deny, const char *item, GError **error);
/* What it comes to as rules of vmctl/net/policy.h, one a line; `groups` as in net-groups.h. (transfer full)
 */
char **vm_net_resolve (char **items, char **groups, GError **error);
/* Items with the groups of the configuration replaced by what is in them; those that come with vmctl stay.
 * (transfer full) NULL and an error: there is no such group */
char **vm_net_expand (char **items, char **groups, GError **error);
/* One --net that says the same. (transfer full) */
char *vm_net_said_to_words (const VmNetSaid *said);
/* A port of this host; its rule. (transfer full) NULL: it is none */
char *vm_net_host_port (const char *text, const char *what, GError **error);

/* "none", "public", "list", "host"; NULL: DEFAULT */
const char *vm_net_name (VmNet net);
gboolean vm_net_from_name (const char *name, VmNet *ret); /* FALSE: no such word */
/* As it would be said: "allow:@npm,github.com". (transfer full) */
char *vm_net_to_words (VmNet net, char **rules);
/* The same of a record's `net`, which may be of an older vmctl; NULL is "none". (transfer full) */
char *vm_net_name_to_words (const char *name, char **rules);
