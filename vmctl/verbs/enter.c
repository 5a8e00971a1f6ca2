/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl enter: a shell in a running sandbox. */
#include <stddef.h>

#include "vmctl/attached.h"
#include "vmctl/store.h"
#include "vmctl/verbs.h"

typedef struct {
  gboolean root;
} EnterOptions;

static const VmOption options[] = {
    {"root", 0, VM_OPTION_FLAG, offsetof (EnterOptions, root), NULL, "as root inside (virtual machines)",
     NULL},
    {NULL},
};

static int
enter (VmContext *context, gpointer data, char **args, char **command, GError **error)
{
  const EnterOptions *o = data;
  g_autoptr (VmRecord) record = vm_store_find (&context->dirs, args[0] != NULL ? args[0] : ".", FALSE, error);
  VmAttachedCommand shell = {.root = o->root};

  if (record == NULL || !vm_attached_wants_tty (VM_TTY_AUTO, &shell.tty, error))
    return -1;
  return vm_attached_exec (context, record, &shell, error);
}

const VmVerb vm_verb_enter = {
    .name = "enter",
    .usage = "[OPTIONS] [SANDBOX]",
    .summary = "a shell in a running sandbox",
    .details = "Without SANDBOX: the one that runs on this directory.",
    .options = options,
    .options_size = sizeof (EnterOptions),
    .max_args = 1,
    .flags = VM_VERB_RUNS,
    .complete = "sandbox",
    .run = enter,
};
