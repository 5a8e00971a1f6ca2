/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where the time of a start goes: moments that client and supervisor note in the record, and the stages
 * between them. */
#pragma once

#include <glib.h>
#include <json-c/json.h>

typedef enum {
  VM_STAMP_BEGAN,      /* the client's process */
  VM_STAMP_PLANNED,    /* the plan is made, and what it needs is built */
  VM_STAMP_SUPERVISED, /* the supervisor has its directory, sockets and the meta dir */
  VM_STAMP_LAUNCHED,   /* the keeper may go on */
  VM_STAMP_JAILED,     /* QEMU is executed; only with --trace */
  VM_STAMP_MONITORED,  /* QEMU's monitor answers */
  VM_STAMP_GREETED,    /* the agent greets: it has booted, or gone on from a template */
  VM_STAMP_UP,         /* the fix-up is done */
  VM_STAMP_STARTED,    /* the command runs */
  VM_STAMP_EXITED,     /* the command has ended */
  VM_STAMP_ENDED,      /* so has everything */
  VM_STAMP_N,
} VmStampName;

typedef gint64 VmStamps[VM_STAMP_N]; /* microseconds since the epoch; 0: was not seen */

json_object *vm_stamps_to_json (const gint64 *stamps);       /* (transfer full) */
void vm_stamps_from_json (json_object *object, gint64 *ret); /* NULL: none */

typedef struct {
  const char *name; /* static */
  gint64 microseconds;
} VmStage;

enum { VM_STAGES_MAX = VM_STAMP_N };

/* The stages between the moments that were seen, in their order. Returns how many. Pure. */
guint vm_stages (const gint64 *stamps, gboolean is_template, VmStage ret[VM_STAGES_MAX]);
/* A line a stage, and the whole. (transfer full) */
char *vm_stages_to_text (const gint64 *stamps, gboolean is_template);
