/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What vmctl-net is told, and what it says (vmctl/net/control.h). Pure. */
#pragma once

#include <glib.h>
#include <json-c/json.h>

#include "vmctl/spec.h"

/* The IPv4 name servers of a resolv.conf(5), at most three; 127.0.0.1 if it has none. NULL is an empty one.
 * (transfer full) */
char **vm_net_nameservers (const char *resolv_conf);

/* The policy as vmctl/net/policy.h has it, `net` PUBLIC or LIST. The error (USAGE): it is too long for one
 * message. (transfer full) */
char *vm_net_text (VmNet net, char **rules, char **nameservers, GError **error);

/* Does vmctl-net take it? *ret_line is what it does not like. */
gboolean vm_net_text_check (const char *text, guint *ret_line);

typedef enum {
  VM_NET_HEARD_NONSENSE,
  VM_NET_HEARD_HELLO,
  VM_NET_HEARD_OK,      /* `serial` */
  VM_NET_HEARD_BAD,     /* `serial`, `line` */
  VM_NET_HEARD_REFUSED, /* `object`: protocol, [name], [address], port, rule */
  VM_NET_HEARD_STATS,   /* `object`: numbers by word */
} VmNetHeardKind;

typedef struct {
  VmNetHeardKind kind;
  guint serial, line;
  json_object *object; /* owned; NULL */
} VmNetHeard;

void vm_net_heard_clear (VmNetHeard *heard);
/* It parses what a sandbox sends, so what it says is taken for hostile: bounded, known words, plain
 * characters, names that are names. */
void vm_net_heard_parse (const char *bytes, gsize length, VmNetHeard *ret);
