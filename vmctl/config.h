/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Configuration files (GKeyFile). Group [defaults]: accel, cold, driver, min-isolation, profile, memory,
 * cpus, processes, disk, net, net-host-ports (;-list), display, size, env (;-list), grants, no-grants,
 * no-root, kernel, boot-timeout, restart, watchdog. Group [net-groups]: NAME=ITEM;ITEM (vmctl/net-rule.h).
 * Group [templates]: make, max-size. Group [terminal]: detach-key ("ctrl-]" by default). A profile file has
 * [profile]: summary, entrypoint (a ;-list), grants, env, and may set the [defaults] keys. Unknown groups and
 * keys are errors that name the file and the line's key: a typing mistake must not weaken anything. */
#pragma once

#include <glib.h>

#include "vmctl/dirs.h"
#include "vmctl/spec.h"

typedef struct {
  char *name;        /* owned */
  char *summary;     /* owned */
  char **entrypoint; /* owned; NULL: the login shell */
  char **grants;     /* owned, never NULL */
  char **path;       /* owned; directories in front of PATH, absolute or "~/..."; NULL: none */
  gboolean appends;  /* what follows `--` are arguments of the entrypoint, not another command */
  char *prompt;      /* owned; the option of the entrypoint that takes a text about the sandbox; NULL: none */
  char *get;         /* owned; the command that installs the entrypoint on the host; NULL: not known */
  gboolean is_builtin;
} VmProfile;

void vm_profile_clear (VmProfile *profile);
/* What runs if `command` (NULL: none) was given after `--`. (transfer full) NULL: the login shell */
char **vm_profile_command (const VmProfile *profile, char **command);
/* "shell", "claude" or "claude-shell" as they come with vmctl. FALSE: there is no such one. */
gboolean vm_profile_builtin (const char *name, VmProfile *ret);

/* Fills what `spec` leaves open: project's .vmctl.conf (at `project_dir`; NULL: not read), profile, user
 * config, system config, in that order of strength, and returns the profile. An unreadable or broken file is
 * an error, never skipped; an absent one is fine. The project file may only tighten: net, no-root=true,
 * smaller memory, cpus, processes, disk, no-grants; the rest is listed in spec->ignored and has no effect.
 *
 * min-isolation is no default but a policy: of all files and the command line the strongest counts. */
gboolean vm_config_apply (const VmDirs *dirs, const char *system_config, const char *project_dir,
                          VmSpec *spec, VmProfile *ret_profile, GError **error);

/* What holds wherever vmctl is installed, and even where no configuration is read (--no-config):
 * min-isolation of `system_config`. An administrator who writes it to VM_CONFIG_POLICY is not ignored because
 * of a prefix. `system_config` outlives the spec. */
#define VM_CONFIG_POLICY "/etc/vmctl/config"
gboolean vm_config_apply_policy (const char *system_config, VmSpec *spec, GError **error);

/* The key that detaches: a control character, 0x1d (Ctrl-]) by default. */
gboolean vm_config_detach_key (const VmDirs *dirs, char *ret_key, GError **error);

/* The groups of [net-groups], of the user's and the system's files: "NAME=ITEM,ITEM". (transfer full) */
gboolean vm_config_net_groups (const VmDirs *dirs, const char *system_config, char ***ret, GError **error);

/* Parses one file's bytes (the fuzz target). `origin` names it in errors. TRUE: well-formed for `is_profile`.
 */
gboolean
vm_config_check (const char *bytes, gsize length, const char *origin, gboolean is_profile, GError **error);
