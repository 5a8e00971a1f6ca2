/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to plan*.c and grant.c: how entries get into a plan, and the parts that vm_plan_make puts together.
 * All pure. */
#pragma once

#include "vmctl/plan.h"

/* Entries. Every string is copied. The ones of one target: the later wins nothing, so add once. */
void vm_plan_add_dir (VmPlan *plan, const char *target, guint mode, gboolean owner_root, const char *why);
void vm_plan_add_ro (VmPlan *plan, const char *source, const char *target, gboolean is_dir, const char *why);
void vm_plan_add_rw (VmPlan *plan, const char *source, const char *target, const char *why);
void vm_plan_add_inside (VmPlan *plan, VmMountKind kind, const char *path, gboolean is_dir,
                         const char *why); /* PIN or PROTECT */
void vm_plan_add_link (VmPlan *plan, const char *target, const char *text, const char *why);
void
vm_plan_add_file (VmPlan *plan, const char *target, const char *content, const char *why); /* 0644, root's */
/* A host entry as it is: a link as LINK, all else RO. */
void vm_plan_add_entry (VmPlan *plan, const VmHostEntry *entry, const char *why);

/* The entry with this target, borrowed; NULL: none. */
const VmMount *vm_plan_mount_at (const VmPlan *plan, const char *target);
/* TRUE if `path` lies in something of the host's that is let in (read-only, read-write, or a link to it). */
gboolean vm_plan_shows (const VmPlan *plan, const char *path);
/* Where the user's home is inside, with symbolic links followed. Borrowed from `host`. */
const char *vm_plan_home (const VmHost *host);

/* Sets a variable of the environment inside; an empty value is no value. */
void vm_plan_setenv (VmPlan *plan, const char *name, const char *value);
/* Passes one on from the host if it is set, not empty, and UTF-8. TRUE if it was. */
gboolean vm_plan_passenv (VmPlan *plan, const VmHost *host, const char *name);

/* The parts, in this order. */
gboolean vm_plan_check_project (const VmHost *host, GError **error);
/* TRUE if nobody may have `path` read-write: a part of the system, of vmctl's own, or of the user's secrets.
 * *ret_why says which ("is your home directory"), borrowed. */
gboolean vm_plan_is_forbidden (const VmHost *host, const char *path, const char **ret_why);
gboolean vm_plan_add_root (VmPlan *plan, const VmHost *host, GError **error);
void vm_plan_add_home (VmPlan *plan, const VmHost *host);
void vm_plan_add_project (VmPlan *plan, const VmHost *host);
/* After the grants: what they did not add and what must exist. */
void vm_plan_finish_etc (VmPlan *plan);
void vm_plan_add_environment (VmPlan *plan, const VmHost *host);
gboolean vm_plan_add_spec_environment (VmPlan *plan, const VmSpec *spec, const VmHost *host, GError **error);
