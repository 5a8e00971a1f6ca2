/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Events of control sockets as lines for people and programs. What they hold may be a sandbox's own words:
 * nothing that a terminal would obey comes out. Pure. Strings that come back are (transfer full). */
#pragma once

#include <glib.h>
#include <json-c/json.h>

/* What happened, in a few words; "" where there is nothing to say. `event_data` may be NULL. */
char *vm_event_summary (const char *name, json_object *event_data);
/* "2026-11-30 08:44:00.123" of an event's timestamp, in the zone `zone`; of `now` (microseconds since the
 * epoch) where it has none. */
char *vm_event_time (json_object *message, gint64 now, GTimeZone *zone);
/* The event with the members "sandbox" and "name" in front, in ASCII. `message` may be NULL: an event of
 * this name and data, at `now`. */
char *vm_event_json (const char *id, const char *sandbox_name, const char *name, json_object *event_data,
                     json_object *message, gint64 now);
