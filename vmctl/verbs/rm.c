/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl rm: removes the record and the logs of ended sandboxes. */
#include <stddef.h>

#include "vmctl/base/error.h"
#include "vmctl/stopping.h"
#include "vmctl/store.h"
#include "vmctl/verbs.h"

typedef struct {
  gboolean force;
} RmOptions;

static const VmOption options[] = {
    {"force", 'f', VM_OPTION_FLAG, offsetof (RmOptions, force), NULL, "also one that runs: end it first",
     NULL},
    {NULL},
};

static gboolean
end_first (VmContext *context, const RmOptions *o, VmRecord *record, GError **error)
{
  g_autoptr (GPtrArray) one = g_ptr_array_new ();
  VmStopping how = {.force = TRUE};

  if (record->state == VM_STATE_ENDED)
    return TRUE;
  if (!o->force)
    return vm_error (error, VM_ERROR_BUSY, "sandbox '%s' (%s) is running; run: vmctl stop %s, or add --force",
                     record->name, record->id, record->id);
  g_ptr_array_add (one, record);
  return vm_stopping_run (&context->dirs, one, &how, error);
}

static int
rm (VmContext *context, gpointer data, char **args, char **command, GError **error)
{
  const RmOptions *o = data;

  for (char **word = args; *word != NULL; word++) {
    g_autoptr (VmRecord) record = vm_store_find (&context->dirs, *word, TRUE, error);

    if (record == NULL || !end_first (context, o, record, error) ||
        !vm_store_remove (&context->dirs, record->id, error))
      return -1;
  }
  return 0;
}

const VmVerb vm_verb_rm = {
    .name = "rm",
    .usage = "[OPTIONS] SANDBOX...",
    .summary = "remove ended sandboxes: their records and logs",
    .details = "The project, and what persists of its home, stay as they are.",
    .options = options,
    .options_size = sizeof (RmOptions),
    .min_args = 1,
    .max_args = G_MAXUINT,
    .complete = "any-sandbox...",
    .run = rm,
};
