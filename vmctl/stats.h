/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Answers of query-stats (docs/control.md) for people. Pure. */
#pragma once

#include <glib.h>
#include <json-c/json.h>

/* What a processor was busy between two answers for the same sandbox, in percent of one; -1: that cannot be
 * said (it started anew, or no time has passed). */
double vm_stats_percent (json_object *before, json_object *now);

/* A table of such answers, each with "cpu-percent" where it is known. (transfer full) */
char *vm_stats_table (GPtrArray *answers, gboolean colour);
