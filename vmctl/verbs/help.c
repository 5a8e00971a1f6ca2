/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl help: all verbs, or one. */
#include <stdio.h>

#include "vmctl/base/error.h"
#include "vmctl/base/escape.h"
#include "vmctl/verbs.h"

static int
refuse (const char *name, GError **error)
{
  g_autofree char *shown = vm_escape_terminal (name, -1, 64);
  const char *guess = vm_verb_guess (name);

  if (guess != NULL)
    vm_error (error, VM_ERROR_USAGE, "there is no verb '%s'; did you mean 'vmctl help %s'?", shown, guess);
  else
    vm_error (error, VM_ERROR_USAGE, "there is no verb '%s'; see: vmctl help", shown);
  return -1;
}

static int
help (VmContext *context, gpointer data, char **args, char **command, GError **error)
{
  const VmVerb *verb = args[0] != NULL ? vm_verb_find (args[0]) : NULL;
  g_autofree char *text = NULL;

  if (args[0] != NULL && verb == NULL)
    return refuse (args[0], error);
  text = verb != NULL ? vm_verb_help_text (verb) : vm_verbs_help_text ();
  fputs (text, stdout);
  return 0;
}

const VmVerb vm_verb_help = {
    .name = "help",
    .usage = "[VERB]",
    .summary = "explain vmctl, or one verb",
    .max_args = 1,
    .flags = VM_VERB_NO_DIRS,
    .complete = "verb",
    .run = help,
};
