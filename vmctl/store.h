/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All sandboxes of this user: finding them, naming them, sweeping what died. */
#pragma once

#include <glib.h>

#include "vmctl/record.h"

/* Sandboxes in the runtime directory, oldest first; with `ended` also those that have ended. What cannot be
 * read is left out and described in `problems` (may be NULL; of char *). Dead ones are swept first
 * (vm_store_sweep). (transfer full) of VmRecord. */
GPtrArray *vm_store_list (const VmDirs *dirs, gboolean ended, GPtrArray *problems, GError **error);

/* Looks at every runtime directory whose supervisor has died (its lock is free):
 *  - its keeper, hence QEMU, lives and the agent was up: a new supervisor is started that takes over;
 *  - else the keeper is killed, the record goes to the state directory as ended, the runtime directory is
 * removed. Never touches one whose lock is held. Cheap when there is nothing to do. Errors are described in
 * `problems`. */
void vm_store_sweep (const VmDirs *dirs, GPtrArray *problems);

/* By id, unique id prefix (3 or more characters), name, or project path (a path has a slash or is "."; it is
 * made absolute and real). Running ones are preferred; with `ended` ended ones are found as well, the newest
 * first. NOT_FOUND, or USAGE when several match (the message lists them). (transfer full) */
VmRecord *vm_store_find (const VmDirs *dirs, const char *word, gboolean ended, GError **error);

/* The running sandbox of a project (real path), newest first; NULL without error if there is none. */
VmRecord *vm_store_find_project (const VmDirs *dirs, const char *project);

/* Eight characters of [a-z0-9]. */
gboolean vm_store_is_id (const char *name);
/* A new id that no directory has, and a name that no running sandbox has: `wanted`, or made from the
 * project's base name ("app", "app-2"). */
gboolean vm_store_new_id (const VmDirs *dirs, char ret_id[9], GError **error);
char *vm_store_name_of_project (const char *project);
char *vm_store_new_name (const VmDirs *dirs, const char *wanted, const char *project, GError **error);

/* Takes a sandbox's runtime directory away. Only whoever holds its lock may. */
gboolean vm_store_remove_runtime (const VmDirs *dirs, const char *id, GError **error);

/* Removes an ended sandbox's record and logs. */
gboolean vm_store_remove (const VmDirs *dirs, const char *id, GError **error);

/* Somebody has the sandbox of this runtime directory: its supervisor, or one that is about to be it. */
gboolean vm_store_is_held (int runtime_fd);

/* Directory descriptors, -1 and error. */
int vm_store_open_runtime (const VmDirs *dirs, const char *id, GError **error);
int vm_store_open_state (const VmDirs *dirs, const char *id, GError **error);
