/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Control groups: one around everything of a sandbox but its supervisor and keeper. It bounds memory,
 * processor time and the number of processes, freezes all of it, and tells when a limit was hit. */
#pragma once

#include <glib.h>
#include <json-c/json.h>

typedef enum {
  VM_GROUP_NONE,
  VM_GROUP_UNIFIED, /* cgroup v2, delegated to this user: made by the supervisor */
  VM_GROUP_V1,      /* a hierarchy for each controller: made by the supervisor */
  VM_GROUP_SYSTEMD, /* a scope, made by systemd-run around the keeper */
} VmGroupKind;

typedef enum { VM_GROUP_MEMORY, VM_GROUP_CPU, VM_GROUP_PIDS, VM_GROUP_FREEZER, VM_GROUP_PARTS } VmGroupPart;

/* In host facts the directories are those below which a group can be made; in a plan the group's own. */
typedef struct {
  VmGroupKind kind;
  char *dirs[VM_GROUP_PARTS]; /* owned; absolute; NULL: this part cannot be had. All the same but for V1 */
  char *command;              /* owned; SYSTEMD: systemd-run */
  gboolean is_system;         /* SYSTEMD: the system's manager, not the user's */
  gboolean is_roots;          /* made and removed by a keeper that stays root: vmctl/keeper-group.h */
} VmGroups;

void vm_groups_clear (VmGroups *groups);
void vm_groups_copy (const VmGroups *groups, VmGroups *ret);
json_object *vm_groups_to_json (const VmGroups *groups); /* NULL: NONE; (transfer full) */
void vm_groups_from_json (json_object *object, VmGroups *ret);
/* Each directory once. (transfer full), NULL-terminated */
char **vm_groups_list (const VmGroups *groups);

/* What this process may use, by its place in the hierarchies: texts of /proc/self/mountinfo and
 * /proc/self/cgroup. `has_systemd`: it runs this machine, so only what it delegated is ours. No group at all:
 * kind NONE; v2 without controllers still freezes. (host-group.c) */
void vm_groups_find (const char *mountinfo, const char *self, guint uid, gboolean has_systemd, VmGroups *ret);

typedef struct {
  guint64 memory;    /* bytes; 0: no limit */
  guint cpus;        /* 0: no limit */
  guint processes;   /* 0: no limit */
  gboolean together; /* if one of them is killed for want of memory, all are */
} VmGroupLimits;

/* Makes the group's directories, with the limits. What was made stays when it fails: vm_group_remove. */
gboolean vm_group_make (const VmGroups *groups, const VmGroupLimits *limits, GError **error);
/* Changes those of the limits that are not 0, while it runs. UNSUPPORTED: there is no group for it. BUSY:
 * more memory is in use. */
gboolean vm_group_limit (const VmGroups *groups, const VmGroupLimits *limits, GError **error);
/* A descriptor; who writes "0" there is in the group. -1 and error. */
int vm_group_open_entrance (const char *dir, GError **error);

/* Stops everything in the group, or lets it go on; returns when it has. UNSUPPORTED without a freezer. */
gboolean vm_group_freeze (const VmGroups *groups, gboolean frozen, GError **error);
gboolean vm_group_is_frozen (const VmGroups *groups);

/* How often a process was killed for want of memory, and how often none could be made. 0: never, or unknown.
 */
guint64 vm_group_oom_kills (const VmGroups *groups);
guint64 vm_group_refused (const VmGroups *groups);
/* The file of the latter, for poll: it has G_IO_PRI when the count changes, until it is read again. -1: none.
 */
int vm_group_open_refused (const VmGroups *groups);
guint64 vm_group_read_refused (int fd);
/* Processor time that the group has used, in microseconds. 0: none, or unknown. */
guint64 vm_group_cpu_us (const VmGroups *groups);

/* What vmctl may use that runs as `uid`. `systemd_run`: absolute path, NULL: not found. (host-group.c) */
void vm_groups_gather (guint uid, const char *systemd_run, VmGroups *ret);

/* Kills what is left in the group, frozen or not, and removes its directories; absent is success. Only names
 * that are a sandbox's ("vmctl-ID") are touched. What is root's, root's keeper removes: that is only let go
 * on. */
gboolean vm_group_remove (const char *const *dirs, GError **error);
