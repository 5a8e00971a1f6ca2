/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl attach: this terminal to the main command of a sandbox that runs without one. */
#include <stddef.h>

#include "vmctl/attached.h"
#include "vmctl/store.h"
#include "vmctl/verbs.h"

typedef struct {
  gboolean steal;
} AttachOptions;

static const VmOption options[] = {
    {"steal", 0, VM_OPTION_FLAG, offsetof (AttachOptions, steal), NULL,
     "take it from the terminal that has it", NULL},
    {NULL},
};

static int
attach (VmContext *context, gpointer data, char **args, char **command, GError **error)
{
  const AttachOptions *o = data;
  g_autoptr (VmRecord) record = vm_store_find (&context->dirs, args[0] != NULL ? args[0] : ".", FALSE, error);
  gboolean tty;

  if (record == NULL || !vm_attached_wants_tty (VM_TTY_AUTO, &tty, error))
    return -1;
  return vm_attached_main (context, record, &(VmAttachedHow){.tty = tty, .steal = o->steal}, error);
}

const VmVerb vm_verb_attach = {
    .name = "attach",
    .usage = "[OPTIONS] [SANDBOX]",
    .summary = "attach this terminal to a detached sandbox",
    .details = "Without SANDBOX: the one that runs on this directory. Ctrl-] then d detaches again. The exit "
               "status is the command's.",
    .options = options,
    .options_size = sizeof (AttachOptions),
    .max_args = 1,
    .flags = VM_VERB_RUNS,
    .complete = "sandbox",
    .run = attach,
};
