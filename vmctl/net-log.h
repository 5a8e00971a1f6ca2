/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* net.log of a sandbox (vmctl/net/log.h), and what its refusals can be mended with. Pure. */
#pragma once

#include <glib.h>
#include <json-c/json.h>

/* One line, without its end: "time" (seconds), "verdict", and "protocol", [name], [address], [port], "rule";
 * or "more": so many lines that were left out. NULL: it is no line. What is in it is the helper's word.
 * (transfer full) */
json_object *vm_net_log_parse (const char *line, gsize length);
/* For people, without its end, escaped: "2026-11-30 12:00:00.123 refuse tcp a.example 1.2.3.4:443  public".
 * (transfer full) */
char *vm_net_log_to_text (json_object *line, GTimeZone *zone);

/* The command that would allow what was refused ("vmctl net allow ID registry.npmjs.org"), or another mend;
 * NULL: there is none, or none is wanted. `refusal` as above, or the data of SANDBOX_NET_REFUSED. (transfer
 * full) */
char *vm_net_hint (const char *id, json_object *refusal);
/* "registry.npmjs.org:443": what was to be reached. (transfer full) */
char *vm_net_target (json_object *refusal);
