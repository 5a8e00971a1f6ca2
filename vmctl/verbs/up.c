/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl up: runs a command on a project in a sandbox, or joins the one that is there. */
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include "vmctl/attached.h"
#include "vmctl/base/error.h"
#include "vmctl/base/escape.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/json.h"
#include "vmctl/base/tty.h"
#include "vmctl/runspec.h"
#include "vmctl/store.h"
#include "vmctl/supervisor.h"
#include "vmctl/verbs.h"

typedef struct {
  VmRunOptions run;
  gboolean detach, new, quiet, tty, no_tty, json;
} UpOptions;

static const VmOption options[] = {
    {"detach", 'd', VM_OPTION_FLAG, offsetof (UpOptions, detach), NULL, "return at once and print the id",
     NULL},
    {"json", 0, VM_OPTION_FLAG, offsetof (UpOptions, json), NULL, "with --detach: print the record as JSON",
     NULL},
    {"new", 0, VM_OPTION_FLAG, offsetof (UpOptions, new), NULL, "make another sandbox though one runs", NULL},
    {"no-tty", 'T', VM_OPTION_FLAG, offsetof (UpOptions, no_tty), NULL, "no terminal for the command", NULL},
    {"quiet", 'q', VM_OPTION_FLAG, offsetof (UpOptions, quiet), NULL, "no progress and no notes", NULL},
    {"tty", 't', VM_OPTION_FLAG, offsetof (UpOptions, tty), NULL, "a terminal for the command", NULL},
    VM_RUN_OPTIONS (UpOptions),
    {NULL},
};

static VmTtyMode
tty_mode (const UpOptions *o)
{
  return o->no_tty ? VM_TTY_NO : o->tty ? VM_TTY_YES : VM_TTY_AUTO;
}

static void
note (const UpOptions *o, const char *text, const char *name, const char *id)
{
  g_autofree char *shown = vm_escape_terminal (name, -1, 100);

  if (!o->quiet)
    fprintf (stderr, "vmctl: %s '%s' (%s)\n", text, shown, id);
}

/* An option that a running sandbox cannot take on any more; NULL: none was given. Above all those that would
 * make it tighter must not seem to have an effect. */
static const char *
fixed_option (const VmRunOptions *run, const VmRecord *record)
{
  const struct {
    const char *name;
    gboolean given;
  } fixed[] = {
      {"--net", run->net != NULL && g_strcmp0 (run->net, record->net) != 0},
      {"--driver", run->driver != NULL && !g_str_equal (run->driver, "auto") &&
                       g_strcmp0 (run->driver, record->driver) != 0},
      {"--profile", run->profile != NULL && g_strcmp0 (run->profile, record->profile) != 0},
      {"--no-root", run->no_root},
      {"--serial", run->serial && !record->serial},
      {"--memory", run->memory != NULL},
      {"--cpus", run->cpus != NULL},
      {"--disk", run->disk != NULL},
      {"--kernel", run->kernel != NULL},
      {"--grant", run->grants != NULL},
      {"--no-grant", run->no_grants != NULL},
  };

  for (guint i = 0; i < G_N_ELEMENTS (fixed); i++)
    if (fixed[i].given)
      return fixed[i].name;
  return NULL;
}

static gboolean
may_join (const UpOptions *o, const VmRecord *record, GError **error)
{
  const char *fixed = fixed_option (&o->run, record);

  if (o->detach)
    return vm_error (error, VM_ERROR_EXISTS,
                     "sandbox '%s' (%s) runs on this project already; add --new to make another",
                     record->name, record->id);
  if (fixed != NULL)
    return vm_error (
        error, VM_ERROR_USAGE,
        "sandbox '%s' (%s) runs on this project already, and %s cannot change it; add --new to make "
        "another, or stop it: vmctl stop %s",
        record->name, record->id, fixed, record->id);
  return TRUE;
}

/* The project's sandbox runs: the command goes into it, or our terminal to the command that runs there
 * unattended. */
static int
join (VmContext *context, const UpOptions *o, const VmRecord *record, const VmSpec *spec, GError **error)
{
  json_object *arguments;
  gboolean tty;

  if (!may_join (o, record, error))
    return -1;
  if (!vm_attached_wants_tty (tty_mode (o), &tty, error))
    return -1;
  note (o, "joining the running sandbox", record->name, record->id);
  if (spec->command == NULL && record->detached && tty && record->command == NULL &&
      vm_attached_main_is_free (context, record))
    return vm_attached_main (context, record, tty, FALSE, FALSE, error);
  arguments = json_object_new_object ();
  if (spec->command != NULL)
    vm_json_add_strv (arguments, "argv", (const char *const *)spec->command);
  else
    vm_json_add_bool (arguments, "shell", TRUE);
  if (o->run.env != NULL)
    vm_json_add_strv (arguments, "env", (const char *const *)o->run.env);
  return vm_attached_exec (context, record, arguments, tty, error);
}

static gboolean
start (VmContext *context, const UpOptions *o, VmRun *run, gboolean tty, VmRecord **ret_record,
       int *ret_lifeline, GError **error)
{
  const VmDriver *driver = vm_run_choose_driver (run, error);
  VmStartOptions how = {.detached = o->detach, .tty = tty};
  g_autoptr (VmPlan) plan = NULL;
  g_autofree char *name = NULL;
  char id[9];

  if (driver == NULL || !vm_store_new_id (&context->dirs, id, error) ||
      (name = vm_store_new_name (&context->dirs, run->spec.name, run->host.project.path, error)) == NULL)
    return FALSE;
  plan = vm_plan_make (&run->spec, &run->profile, &run->host, id, name, error);
  if (plan == NULL)
    return FALSE;
  if (driver->isolation == VM_ISOLATION_VM && !vm_run_build_images (context, run, o->quiet, error))
    return FALSE;
  vm_tty_size (STDIN_FILENO, &how.rows, &how.columns);
  if (!vm_supervisor_start (&context->dirs, plan, &how, ret_lifeline, error))
    return FALSE;
  *ret_record = vm_store_find (&context->dirs, id, TRUE, error);
  return *ret_record != NULL;
}

static int
print_started (const UpOptions *o, const VmRecord *record)
{
  if (o->json) {
    g_autoptr (json_object) object = vm_record_to_json (record);
    g_autofree char *text = vm_json_pretty (object);

    fputs (text, stdout);
  } else {
    printf ("%s\n", record->id);
  }
  return 0;
}

static int
run_new (VmContext *context, const UpOptions *o, VmRun *run, GError **error)
{
  g_autoptr (VmRecord) record = NULL;
  vm_autofd lifeline = -1;
  gboolean tty;

  if (o->detach)
    tty = tty_mode (o) == VM_TTY_YES || (tty_mode (o) == VM_TTY_AUTO && run->spec.command == NULL);
  else if (!vm_attached_wants_tty (tty_mode (o), &tty, error))
    return -1;
  if (!start (context, o, run, tty, &record, &lifeline, error))
    return -1;
  if (o->detach)
    return print_started (o, record);
  return vm_attached_main (context, record, tty, FALSE, !o->quiet, error);
}

static int
up (VmContext *context, gpointer data, char **args, char **command, GError **error)
{
  const UpOptions *o = data;
  g_autoptr (VmRecord) running = NULL;
  VmRun run;
  int status;

  if (!vm_run_gather (context, &o->run, args[0], command, &run, error))
    return -1;
  if (!o->quiet)
    vm_run_print_ignored (&run);
  if (!o->new &&run.spec.name == NULL)
    running = vm_store_find_project (&context->dirs, run.host.project.path);
  status = running != NULL ? join (context, o, running, &run.spec, error) : run_new (context, o, &run, error);
  vm_run_clear (&run);
  return status;
}

const VmVerb vm_verb_up = {
    .name = "up",
    .usage = "[OPTIONS] [PROJECT] [-- COMMAND...]",
    .summary = "run a command on a project in a sandbox",
    .details =
        "PROJECT is a directory (default: this one). Without COMMAND the profile's program runs, usually a "
        "shell. If a sandbox runs on the project it is joined. Ctrl-] then d detaches a terminal. The exit "
        "status is the command's; 125: vmctl failed, 126: it cannot be executed, 127: it was not found.",
    .options = options,
    .options_size = sizeof (UpOptions),
    .max_args = 1,
    .flags = VM_VERB_TAKES_COMMAND | VM_VERB_RUNS,
    .complete = "dir",
    .run = up,
};
