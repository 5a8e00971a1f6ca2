/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl exec: another command in a running sandbox. */
#include <stddef.h>

#include "vmctl/attached.h"
#include "vmctl/base/error.h"
#include "vmctl/store.h"
#include "vmctl/verbs.h"

typedef struct {
  char *cwd;
  char **env;
  gboolean tty, no_tty, root;
} ExecOptions;

static const VmOption options[] = {
    {"cwd", 'C', VM_OPTION_STRING, offsetof (ExecOptions, cwd), "DIR", "start there (default: the project)",
     NULL},
    {"env", 'e', VM_OPTION_LIST, offsetof (ExecOptions, env), "NAME[=VALUE]",
     "set a variable, or pass the host's on (repeat)", NULL},
    {"no-tty", 'T', VM_OPTION_FLAG, offsetof (ExecOptions, no_tty), NULL, "no terminal for the command",
     NULL},
    {"root", 0, VM_OPTION_FLAG, offsetof (ExecOptions, root), NULL, "run as root inside (virtual machines)",
     NULL},
    {"tty", 't', VM_OPTION_FLAG, offsetof (ExecOptions, tty), NULL, "a terminal for the command", NULL},
    {NULL},
};

static int
exec_run (VmContext *context, gpointer data, char **args, char **command, GError **error)
{
  const ExecOptions *o = data;
  g_autoptr (VmRecord) record = NULL;
  VmAttachedCommand what = {.argv = command, .env = o->env, .cwd = o->cwd, .root = o->root};

  if (command == NULL || command[0] == NULL) {
    vm_error (error, VM_ERROR_USAGE, "no command; usage: vmctl exec SANDBOX -- COMMAND...");
    return -1;
  }
  record = vm_store_find (&context->dirs, args[0], FALSE, error);
  if (record == NULL || !vm_attached_wants_tty (o->no_tty ? VM_TTY_NO
                                                : o->tty  ? VM_TTY_YES
                                                          : VM_TTY_AUTO,
                                                &what.tty, error))
    return -1;
  return vm_attached_exec (context, record, &what, error);
}

const VmVerb vm_verb_exec = {
    .name = "exec",
    .usage = "[OPTIONS] SANDBOX -- COMMAND...",
    .summary = "run another command in a running sandbox",
    .details = "SANDBOX is an id, a unique beginning of one, a name, or the project's path.",
    .options = options,
    .options_size = sizeof (ExecOptions),
    .min_args = 1,
    .max_args = 1,
    .flags = VM_VERB_TAKES_COMMAND | VM_VERB_RUNS,
    .complete = "sandbox",
    .run = exec_run,
};
