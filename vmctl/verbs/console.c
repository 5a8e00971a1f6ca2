/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl console: this terminal on the serial console of a virtual machine. */
#include <stdio.h>
#include <unistd.h>

#include "vmctl/base/escape.h"
#include "vmctl/client.h"
#include "vmctl/config.h"
#include "vmctl/store.h"
#include "vmctl/terminal.h"
#include "vmctl/verbs.h"

static void
greet (const VmRecord *record, char detach_key)
{
  g_autofree char *name = vm_escape_terminal (record->name, -1, 100);

  if (isatty (STDIN_FILENO))
    fprintf (stderr, "vmctl: serial console of '%s' (%s); Enter gives a shell, Ctrl-%c then d leaves\n", name,
             record->id, g_ascii_tolower (detach_key + '@'));
  else
    fprintf (stderr, "vmctl: serial console of '%s' (%s); Ctrl-C leaves\n", name, record->id);
}

static int
console (VmContext *context, gpointer data, char **args, char **command, GError **error)
{
  g_autoptr (VmRecord) record = vm_store_find (&context->dirs, args[0] != NULL ? args[0] : ".", FALSE, error);
  g_autoptr (VmClient) client = NULL;
  VmTerminalEnd end;
  char detach_key;
  int stream;

  if (record == NULL || !vm_config_detach_key (&context->dirs, &detach_key, error) ||
      (client = vm_client_connect (&context->dirs, record->id, error)) == NULL)
    return -1;
  stream = vm_client_call_stream (client, "attach-console", NULL, NULL, error);
  if (stream < 0)
    return -1;
  greet (record, detach_key);
  if (!vm_terminal_run_raw (stream, detach_key, &end, error))
    return -1;
  fprintf (stderr, "\nvmctl: %s\n",
           end == VM_TERMINAL_DETACHED ? "left the console; the sandbox goes on" : "the console has ended");
  return 0;
}

const VmVerb vm_verb_console = {
    .name = "console",
    .usage = "[SANDBOX]",
    .summary = "the serial console of a running sandbox",
    .details =
        "Without SANDBOX: the one that runs on this directory. The console shows what the guest's kernel "
        "says. Once the sandbox is up it has a shell: press Enter. Ctrl-] then d leaves.",
    .max_args = 1,
    .complete = "sandbox",
    .run = console,
};
