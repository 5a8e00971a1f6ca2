/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl reset: the reset button. */
#include <stddef.h>

#include "vmctl/restarting.h"
#include "vmctl/verbs.h"

typedef struct {
  gboolean json;
} ResetOptions;

static const VmOption options[] = {
    {"json", 0, VM_OPTION_FLAG, offsetof (ResetOptions, json), NULL, "print an array of records as JSON",
     NULL},
    {NULL},
};

static int
reset (VmContext *context, gpointer data, char **args, char **command, GError **error)
{
  const ResetOptions *o = data;
  VmRestarting how = {.command = "sandbox-reset", .json = o->json};

  return vm_restarting_run (&context->dirs, args, &how, error) ? 0 : -1;
}

const VmVerb vm_verb_reset = {
    .name = "reset",
    .usage = "[OPTIONS] [SANDBOX...]",
    .summary = "kill what runs in sandboxes and start them again",
    .details = "Without SANDBOX: the one of this directory. As vmctl restart, but at once and without asking "
               "anybody inside: what a guest has not written to the project yet may be lost.",
    .options = options,
    .options_size = sizeof (ResetOptions),
    .max_args = G_MAXUINT,
    .complete = "sandbox...",
    .run = reset,
};
