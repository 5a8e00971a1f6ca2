/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl completion: the script that completes vmctl's words in a shell. */
#include "vmctl/completion.h"

#include <stdio.h>

#include "vmctl/base/error.h"
#include "vmctl/verbs.h"

static const struct {
  const char *shell;
  char *(*make) (void);
} shells[] = {{"bash", vm_completion_bash}, {"fish", vm_completion_fish}, {"zsh", vm_completion_zsh}};

static int
completion (VmContext *context, gpointer data, char **args, char **command, GError **error)
{
  for (guint i = 0; i < G_N_ELEMENTS (shells); i++)
    if (g_str_equal (shells[i].shell, args[0])) {
      g_autofree char *text = shells[i].make ();

      fputs (text, stdout);
      return 0;
    }
  vm_error (error, VM_ERROR_USAGE, "there is no completion for '%s'; it is made for bash, fish and zsh",
            args[0]);
  return -1;
}

const VmVerb vm_verb_completion = {
    .name = "completion",
    .usage = "bash|fish|zsh",
    .summary = "print the completion script of a shell",
    .details = "bash: source <(vmctl completion bash)\n"
               "fish: vmctl completion fish | source\n"
               "zsh:  source <(vmctl completion zsh), after compinit",
    .min_args = 1,
    .max_args = 1,
    .flags = VM_VERB_NO_DIRS,
    .complete = "shell",
    .run = completion,
};
