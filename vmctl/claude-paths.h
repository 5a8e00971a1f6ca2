/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What of ~/.claude comes in with the grant `claude`, and how. Whatever is not on this list is not there
 * inside, and what a sandbox makes beside it stays inside: so a new setting of a new version can be no way
 * out. Read by the gathering and by the grant. */
#pragma once

#include <glib.h>

typedef enum {
  VM_CLAUDE_DATA_DIR,  /* sessions: read-write, made if absent */
  VM_CLAUDE_DATA_FILE, /* the same for a file */
  VM_CLAUDE_SETTING,   /* decides what runs on the host: read-only */
} VmClaudeKind;

typedef struct {
  const char *name; /* below ~/.claude */
  VmClaudeKind kind;
  const char *content; /* of a file that is made */
} VmClaudePath;

extern const VmClaudePath vm_claude_paths[]; /* ends with name NULL */
