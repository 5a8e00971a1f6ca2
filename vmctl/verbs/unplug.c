/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl unplug: takes away what was plugged. */
#include "vmctl/base/json.h"
#include "vmctl/client.h"
#include "vmctl/store.h"
#include "vmctl/verbs.h"

static int
unplug_run (VmContext *context, gpointer data, char **args, char **command, GError **error)
{
  g_autoptr (VmRecord) record = vm_store_find (&context->dirs, args[0], FALSE, error);
  g_autoptr (VmClient) client = NULL;

  if (record == NULL || (client = vm_client_connect (&context->dirs, record->id, error)) == NULL)
    return -1;
  for (char **id = args + 1; *id != NULL; id++) {
    json_object *arguments = json_object_new_object (), *reply;

    vm_json_add_str (arguments, "id", *id);
    reply = vm_client_call (client, "unplug", arguments, error);
    if (reply == NULL)
      return -1;
    json_object_put (reply);
  }
  return 0;
}

const VmVerb vm_verb_unplug = {
    .name = "unplug",
    .usage = "SANDBOX ID...",
    .summary = "take away what was plugged into a sandbox",
    .details = "ID is what vmctl plug printed; vmctl devices shows them. A guest may refuse to release a "
               "device that it "
               "uses: then it stays, and that is an error.",
    .min_args = 2,
    .max_args = G_MAXUINT,
    .complete = "sandbox device...",
    .run = unplug_run,
};
