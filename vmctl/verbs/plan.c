/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl plan: what `vmctl up` would do, to the last word of the command line, without doing it. */
#include <stddef.h>
#include <stdio.h>

#include "vmctl/base/escape.h"
#include "vmctl/base/json.h"
#include "vmctl/runspec.h"
#include "vmctl/show.h"
#include "vmctl/store.h"
#include "vmctl/verbs.h"

#define PLAN_ID "planonly"

typedef struct {
  VmRunOptions run;
  gboolean json;
} PlanOptions;

static const VmOption options[] = {
    {"json", 0, VM_OPTION_FLAG, offsetof (PlanOptions, json), NULL, "print plan and command line as JSON",
     NULL},
    VM_RUN_OPTIONS (PlanOptions),
    {NULL},
};

static void
print_json (const VmPlan *plan, VmLaunch *launch, const GError *problem)
{
  json_object *object = json_object_new_object ();

  vm_json_add (object, "plan", vm_plan_to_shown_json (plan));
  vm_json_add (object, "launch", vm_launch_to_json (launch));
  if (problem != NULL)
    vm_json_add_str (object, "problem", problem->message);
  vm_show_json (object);
}

/* An option and its values on one line. */
static void
print_inner (GPtrArray *words)
{
  for (guint i = 0; i < words->len && g_ptr_array_index (words, i) != NULL; i++) {
    const char *word = g_ptr_array_index (words, i);
    g_autofree char *quoted = vm_escape_shell (word);
    g_autofree char *shown = vm_escape_terminal (quoted, -1, -1);

    printf ("%s%s", i == 0 ? "  " : g_str_has_prefix (word, "--") ? "\n  " : " ", shown);
  }
  printf ("\n");
}

/* An entry of five words a line. */
static void
print_tree (GPtrArray *words)
{
  enum { WORDS = 5 };

  for (guint i = 0; i < words->len && g_ptr_array_index (words, i) != NULL; i++) {
    g_autofree char *quoted = vm_escape_shell (g_ptr_array_index (words, i));
    g_autofree char *shown = vm_escape_terminal (quoted, -1, -1);

    printf ("%s%s%s", i % WORDS == 0 ? "  " : " ", shown, i % WORDS == WORDS - 1 ? "\n" : "");
  }
}

static void
print_text (const VmPlan *plan, VmLaunch *launch)
{
  g_autofree char *text = vm_plan_to_text (plan);
  g_autofree char *argv = vm_argv_to_string (launch->argv, TRUE);

  printf ("%s\nThe command line:\n%s\n", text, argv);
  if (launch->inner == NULL)
    return;
  printf ("\nThe words that come by descriptor (bwrap's --args, the keeper's --stage):\n");
  print_inner (launch->inner);
  if (launch->tree == NULL)
    return;
  printf ("\nThe tree that the keeper builds (kind, place, mode, owner, what):\n");
  print_tree (launch->tree);
}

static int
show (const PlanOptions *o, VmRun *run, const char *name, GError **error)
{
  g_autoptr (VmPlan) plan = vm_run_make_plan (run, PLAN_ID, name, error);
  g_autoptr (GError) problem = NULL;
  VmLaunch launch = {0};

  if (plan == NULL || !vm_driver_find (plan->driver)->render (plan, &launch, error))
    return -1;
  vm_run_print_notes (plan);
  if (!vm_run_probe (run, plan, &problem))
    fprintf (stderr, "vmctl: warning: %s\n", problem->message);
  if (o->json)
    print_json (plan, &launch, problem);
  else
    print_text (plan, &launch);
  vm_launch_clear (&launch);
  return 0;
}

static int
plan_run (VmContext *context, gpointer data, char **args, char **command, GError **error)
{
  const PlanOptions *o = data;
  g_autofree char *name = NULL;
  VmRun run;
  int status;

  if (!vm_run_gather (context, &o->run, args[0], command, &run, error))
    return -1;
  vm_run_print_ignored (&run);
  name = run.spec.name != NULL ? g_strdup (run.spec.name) : vm_store_name_of_project (run.host.project.path);
  status = show (o, &run, name, error);
  vm_run_clear (&run);
  return status;
}

const VmVerb vm_verb_plan = {
    .name = "plan",
    .usage = "[OPTIONS] [PROJECT] [-- COMMAND...]",
    .summary = "show what 'up' would do, without doing it",
    .details = "Takes the options of 'vmctl up'. Prints what is let in, from where and how, and the exact "
               "command line. Nothing is started.",
    .options = options,
    .options_size = sizeof (PlanOptions),
    .max_args = 1,
    .flags = VM_VERB_TAKES_COMMAND,
    .complete = "dir",
    .run = plan_run,
};
