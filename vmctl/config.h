/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Configuration files (GKeyFile). Group [defaults]: driver, profile, memory, cpus, disk, net, env (;-list),
 * grants, no-grants, no-root, kernel, boot-timeout. Group [terminal]: detach-key ("ctrl-]" by default). A
 * profile file has [profile]: summary, entrypoint (a ;-list), grants, env, and may set the [defaults] keys.
 * Unknown groups and keys are errors that name the file and the line's key: a typing mistake must not weaken
 * anything. */
#pragma once

#include <glib.h>

#include "vmctl/dirs.h"
#include "vmctl/spec.h"

typedef struct {
  char *name;        /* owned */
  char *summary;     /* owned */
  char **entrypoint; /* owned; NULL: the login shell */
  char **grants;     /* owned, never NULL */
  gboolean is_builtin;
} VmProfile;

void vm_profile_clear (VmProfile *profile);

/* Fills what `spec` leaves open: project's .vmctl.conf (at `project_dir`; NULL: not read), profile, user
 * config, system config, in that order of strength, and returns the profile. An unreadable or broken file is
 * an error, never skipped; an absent one is fine. The project file may only tighten: net=none, no-root=true,
 * smaller memory, cpus, disk, no-grants; the rest is listed in spec->ignored and has no effect. */
gboolean vm_config_apply (const VmDirs *dirs, const char *system_config, const char *project_dir,
                          VmSpec *spec, VmProfile *ret_profile, GError **error);

/* The key that detaches: a control character, 0x1d (Ctrl-]) by default. */
gboolean vm_config_detach_key (const VmDirs *dirs, char *ret_key, GError **error);

/* Parses one file's bytes (the fuzz target). `origin` names it in errors. TRUE: well-formed for `is_profile`.
 */
gboolean
vm_config_check (const char *bytes, gsize length, const char *origin, gboolean is_profile, GError **error);
