/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where vmctl keeps things (docs/architecture.md, "Where things are"), decided once from the environment of
 * the real user. */
#pragma once

#include <glib.h>

typedef struct {
  char *runtime; /* owned; $XDG_RUNTIME_DIR/vmctl, else /run/user/UID/vmctl, else /run/vmctl (root) or
                    /tmp/vmctl-UID */
  char *state;   /* owned; $XDG_STATE_HOME/vmctl, else ~/.local/state/vmctl */
  char *cache;   /* owned; $XDG_CACHE_HOME/vmctl */
  char *data;    /* owned; $XDG_DATA_HOME/vmctl */
  char *config;  /* owned; $XDG_CONFIG_HOME/vmctl */
  char *libexec; /* owned; where vmctl-agent, vmctl-keeper and vmctl-image are */
  char *self;    /* owned; this program, absolute */
  gboolean runtime_is_fallback; /* $XDG_RUNTIME_DIR was not set */
} VmDirs;

/* `home` is the real user's. An $XDG_RUNTIME_DIR that is set but not a directory of ours, private, is an
 * error with the mend; one that is not set falls back. Makes nothing. */
gboolean vm_dirs_find (const char *home, VmDirs *ret, GError **error);
void vm_dirs_clear (VmDirs *dirs);

/* The path of one of our helper programs. (transfer full) NULL and an error that says how to mend it if it is
 * not there. */
char *vm_dirs_helper (const VmDirs *dirs, const char *name, GError **error);
