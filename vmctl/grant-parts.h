/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to vmctl/grants/: what several grants do alike. All pure. */
#pragma once

#include "vmctl/grant.h"
#include "vmctl/plan-parts.h"

/* The thing is not there: TRUE if it came from a profile, else an error "grant 'NAME': REASON". */
gboolean vm_grant_absent (gboolean asked, const char *grant, const char *reason, GError **error);

/* What the allow-list of /etc gives to this grant. Returns how many entries. */
guint vm_grant_add_etc (VmPlan *plan, const VmHost *host, const char *grant);
/* A variable that names a file: only if that file is inside. */
void vm_grant_pass_file (VmPlan *plan, const VmHost *host, const char *name);

/* The entry ~/NAME of the host's dotfiles, borrowed; NULL: it is not there. */
const VmHostEntry *vm_grant_dotfile (const VmHost *host, const char *name);
/* ~/NAME as it is seen inside. (transfer full) */
char *vm_grant_in_home (const VmHost *host, const char *name);
/* Where the entry really is; NULL: it leads nowhere, or to where a sandbox could have put something. A link
 * in the home is followed: its user made it. But not into a project, or to what nobody may have. Borrowed */
const char *vm_grant_source (const VmHost *host, const VmHostEntry *entry);

/* The path below /run/user/UID inside. (transfer full) */
char *vm_grant_in_runtime (const VmPlan *plan, const char *name);
/* Lets in the host's socket `socket` at `target` (vm_plan_add_socket). *ret_added
 * says whether it is in. One that is not there is `absent`'s reason; one that must not be used is an error if
 * asked for, else a note. */
gboolean vm_grant_add_socket (VmPlan *plan, const VmHost *host, gboolean asked, const char *grant,
                              const char *socket, const char *target, VmSocketNeeds needs, const char *absent,
                              gboolean *ret_added, GError **error);
