/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/pausing.h"
#include "vmctl/verbs.h"

static int
resume (VmContext *context, gpointer data, char **args, char **command, GError **error)
{
  return vm_pausing_run (&context->dirs, args, FALSE, error) ? 0 : -1;
}

const VmVerb vm_verb_resume = {
    .name = "resume",
    .usage = "[SANDBOX...]",
    .summary = "let paused sandboxes go on",
    .details = "Without SANDBOX: the one of this directory. One that is not paused stays as it is.",
    .max_args = G_MAXUINT,
    .complete = "sandbox...",
    .run = resume,
};
