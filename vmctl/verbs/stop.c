/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl stop: ends sandboxes, gently first. */
#include <stddef.h>
#include <stdio.h>

#include "vmctl/base/error.h"
#include "vmctl/base/escape.h"
#include "vmctl/base/json.h"
#include "vmctl/show.h"
#include "vmctl/stopping.h"
#include "vmctl/store.h"
#include "vmctl/verbs.h"

enum { SECONDS_MAX = 3600 };

typedef struct {
  gboolean all, force, json;
  char *time;
} StopOptions;

static const VmOption options[] = {
    {"all", 'a', VM_OPTION_FLAG, offsetof (StopOptions, all), NULL, "every running sandbox", NULL},
    {"force", 'f', VM_OPTION_FLAG, offsetof (StopOptions, force), NULL,
     "do not wait for the guest; kill what does not answer", NULL},
    {"json", 0, VM_OPTION_FLAG, offsetof (StopOptions, json), NULL, "print an array of records as JSON",
     NULL},
    {"time", 't', VM_OPTION_STRING, offsetof (StopOptions, time), "SECONDS",
     "give the guest so long to power off (default 10)", NULL},
    {NULL},
};

static gboolean
read_options (const StopOptions *o, VmStopping *how, GError **error)
{
  guint64 seconds = 0;

  if (o->time != NULL && !g_ascii_string_to_unsigned (o->time, 10, 1, SECONDS_MAX, &seconds, NULL))
    return vm_error (error, VM_ERROR_USAGE, "--time: '%s' is not a number of seconds from 1 to %d", o->time,
                     SECONDS_MAX);
  how->force = o->force;
  how->powerdown_ms = (guint)seconds * 1000;
  return TRUE;
}

static void
free_record (gpointer data)
{
  vm_record_free (data);
}

/* (transfer full) */
static GPtrArray *
choose (VmContext *context, const StopOptions *o, char **args, GError **error)
{
  static const char *const here[] = {".", NULL};
  g_autoptr (GPtrArray) records = NULL;

  if (o->all && args[0] != NULL) {
    vm_error (error, VM_ERROR_USAGE, "--all and names exclude each other");
    return NULL;
  }
  if (o->all)
    return vm_store_list (&context->dirs, FALSE, NULL, error);
  records = g_ptr_array_new_with_free_func (free_record);
  for (const char *const *word = args[0] != NULL ? (const char *const *)args : here; *word != NULL; word++) {
    VmRecord *record = vm_store_find (&context->dirs, *word, TRUE, error);

    if (record == NULL)
      return NULL;
    g_ptr_array_add (records, record);
  }
  return g_steal_pointer (&records);
}

static void
report (VmContext *context, const VmRecord *record, json_object *array)
{
  g_autoptr (VmRecord) now = vm_store_find (&context->dirs, record->id, TRUE, NULL);
  g_autofree char *name = vm_escape_terminal (record->name, -1, 100), *why = NULL;

  if (now == NULL)
    return;
  if (array != NULL) {
    json_object_array_add (array, vm_record_to_json (now));
    return;
  }
  why = vm_record_reason_text (now);
  printf ("sandbox '%s' (%s) %s: %s\n", name, record->id,
          record->state == VM_STATE_ENDED ? "had ended already" : "has ended", why);
}

static int
stop (VmContext *context, gpointer data, char **args, char **command, GError **error)
{
  const StopOptions *o = data;
  VmStopping how = {0};
  g_autoptr (GPtrArray) records = NULL;
  json_object *array = NULL;

  if (!read_options (o, &how, error) || (records = choose (context, o, args, error)) == NULL ||
      !vm_stopping_run (&context->dirs, records, &how, error))
    return -1;
  if (o->json)
    array = json_object_new_array ();
  for (guint i = 0; i < records->len; i++)
    report (context, g_ptr_array_index (records, i), array);
  if (o->json)
    vm_show_json (array);
  return 0;
}

const VmVerb vm_verb_stop = {
    .name = "stop",
    .usage = "[OPTIONS] [SANDBOX...]",
    .summary = "end sandboxes",
    .details =
        "Without SANDBOX: the one of this directory. The guest is asked to power off; after the given time "
        "QEMU is told to quit, and 5 seconds later it is killed. Returns when nothing of it runs any more.",
    .options = options,
    .options_size = sizeof (StopOptions),
    .max_args = G_MAXUINT,
    .complete = "sandbox...",
    .run = stop,
};
