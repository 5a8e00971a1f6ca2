/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl list: the sandboxes of this user. */
#include <stddef.h>
#include <stdio.h>

#include "vmctl/base/json.h"
#include "vmctl/show.h"
#include "vmctl/store.h"
#include "vmctl/table.h"
#include "vmctl/verbs.h"

enum { COMMAND_SHOWN = 40 };

typedef struct {
  gboolean all, json, quiet;
} ListOptions;

static const VmOption options[] = {
    {"all", 'a', VM_OPTION_FLAG, offsetof (ListOptions, all), NULL, "also those that have ended", NULL},
    {"json", 0, VM_OPTION_FLAG, offsetof (ListOptions, json), NULL, "print an array of records as JSON",
     NULL},
    {"quiet", 'q', VM_OPTION_FLAG, offsetof (ListOptions, quiet), NULL, "print ids only", NULL},
    {NULL},
};

static void
print_json (GPtrArray *records)
{
  json_object *array = json_object_new_array ();

  for (guint i = 0; i < records->len; i++)
    json_object_array_add (array, vm_record_to_json (g_ptr_array_index (records, i)));
  vm_show_json (array);
}

static void
add_row (VmTable *table, const VmRecord *record)
{
  g_autofree char *state = vm_show_state (record), *age = vm_show_age (record);
  g_autofree char *isolation = vm_show_isolation (record);
  g_autofree char *command = vm_show_command (record->command, COMMAND_SHOWN);

  vm_table_add (table, (const char *const[]){record->id, record->name, state, age, isolation, record->project,
                                             command, NULL});
}

static void
print_table (GPtrArray *records, gboolean all)
{
  static const char *const headers[] = {"ID",        "NAME",    "STATE",   "AGE",
                                        "ISOLATION", "PROJECT", "COMMAND", NULL};
  g_autoptr (VmTable) table = vm_table_new (headers);

  for (guint i = 0; i < records->len; i++)
    add_row (table, g_ptr_array_index (records, i));
  if (records->len > 0)
    vm_table_print (table);
  else
    fprintf (stderr, "vmctl: %s\n",
             all ? "there are no sandboxes" : "no sandbox is running; ended ones: vmctl list --all");
}

static int
list (VmContext *context, gpointer data, char **args, char **command, GError **error)
{
  const ListOptions *o = data;
  g_autoptr (GPtrArray) problems = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) records = vm_store_list (&context->dirs, o->all, problems, error);

  if (records == NULL)
    return -1;
  vm_show_problems (problems);
  if (o->json)
    print_json (records);
  else if (!o->quiet)
    print_table (records, o->all);
  for (guint i = 0; o->quiet && !o->json && i < records->len; i++)
    printf ("%s\n", ((const VmRecord *)g_ptr_array_index (records, i))->id);
  return 0;
}

const VmVerb vm_verb_list = {
    .name = "list",
    .usage = "[OPTIONS]",
    .summary = "list the sandboxes",
    .details = "Oldest first. What a crash left behind is cleaned up, or taken over, on the way.",
    .options = options,
    .options_size = sizeof (ListOptions),
    .run = list,
};
