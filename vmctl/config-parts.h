/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to config*.c: one file, parsed. */
#pragma once

#include "vmctl/config.h"

typedef struct {
  VmSpec spec; /* what the file sets */
  gboolean sets_no_root;
  VmProfile profile;    /* group [profile] */
  char *detach_key;     /* owned; NULL */
  char *profile_origin; /* owned; "'FILE' line N: profile", where spec.profile comes from */
  char **asked;         /* owned; "group/key=value" for each key, for the project's file */
} VmLayer;

void vm_layer_clear (VmLayer *layer);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (VmLayer, vm_layer_clear)

/* Reads `path` into an empty layer; *ret_found is FALSE if there is no such file. `flags` are open()'s:
 * O_NOFOLLOW for the project's file, where a link may have been made by a sandbox. */
gboolean vm_layer_load (const char *path, gboolean is_profile, int flags, VmLayer *layer, gboolean *ret_found,
                        GError **error);
