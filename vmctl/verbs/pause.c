/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/pausing.h"
#include "vmctl/verbs.h"

static int
pause_run (VmContext *context, gpointer data, char **args, char **command, GError **error)
{
  return vm_pausing_run (&context->dirs, args, TRUE, error) ? 0 : -1;
}

const VmVerb vm_verb_pause = {
    .name = "pause",
    .usage = "[SANDBOX...]",
    .summary = "stop everything in sandboxes until they are resumed",
    .details =
        "Without SANDBOX: the one of this directory. Nothing in it runs any more, and it keeps its memory. A "
        "virtual machine is paused by QEMU, everything else by the freezer of its control group; where "
        "there is none, it is refused.",
    .max_args = G_MAXUINT,
    .complete = "sandbox...",
    .run = pause_run,
};
