/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Following the events of sandboxes, each to its end, also across a change of its supervisor. */
#pragma once

#include <glib.h>
#include <json-c/json.h>

#include "vmctl/record.h"

typedef struct VmFollowing VmFollowing;

/* `record` (borrowed) is as it was when the sandbox was added: id and name. `message` is the whole event
 * (borrowed); NULL for two that are made here: the first of each connection, SANDBOX_STATE with its state
 * then, and SANDBOX_ENDED of one whose supervisor could not say so any more. */
typedef void (*VmFollowingEvent) (const VmRecord *record, const char *name, json_object *event_data,
                                  json_object *message, gpointer data);

VmFollowing *vm_following_new (const VmDirs *dirs, VmFollowingEvent event, gpointer data);
void vm_following_free (VmFollowing *following);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmFollowing, vm_following_free)

/* Takes `record`. */
gboolean vm_following_add (VmFollowing *following, VmRecord *take_record, GError **error);
/* All that run, and those that start from now on. What cannot be followed is left out, and described in
 * `problems` (of char *). */
gboolean vm_following_add_all (VmFollowing *following, GPtrArray *problems, GError **error);

/* How many have not ended. */
guint vm_following_count (const VmFollowing *following);
