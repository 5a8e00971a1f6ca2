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
#include "vmctl/choice.h"
#include "vmctl/driver.h"
#include "vmctl/net-words.h"
#include "vmctl/path.h"
#include "vmctl/runspec.h"
#include "vmctl/store.h"
#include "vmctl/supervisor.h"
#include "vmctl/verbs.h"

typedef struct {
  VmRunOptions run;
  gboolean detach, new, quiet, tty, no_tty, json, trace;
} UpOptions;

static const VmOption options[] = {
    {"detach", 'd', VM_OPTION_FLAG, offsetof (UpOptions, detach), NULL, "return at once and print the id",
     NULL},
    {"json", 0, VM_OPTION_FLAG, offsetof (UpOptions, json), NULL, "with --detach: print the record as JSON",
     NULL},
    {"new", 0, VM_OPTION_FLAG, offsetof (UpOptions, new), NULL, "make another sandbox though one runs", NULL},
    {"no-tty", 'T', VM_OPTION_FLAG, offsetof (UpOptions, no_tty), NULL, "no terminal for the command", NULL},
    {"quiet", 'q', VM_OPTION_FLAG, offsetof (UpOptions, quiet), NULL, "no progress and no notes", NULL},
    {"trace", 0, VM_OPTION_FLAG, offsetof (UpOptions, trace), NULL, "at the end show where the time went",
     NULL},
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

/* Is its network what is asked for, as people would write it? */
static gboolean
has_net (const VmSpec *spec, const VmRecord *record)
{
  g_auto (GStrv) rules = vm_net_resolve (spec->net_items, spec->net_groups, NULL);
  g_autofree char *asked = rules != NULL ? vm_net_to_words (spec->net, rules) : NULL, *now = NULL;
  VmNet net;

  if (asked == NULL || record->net == NULL || !vm_net_from_name (record->net, &net))
    return FALSE;
  now = vm_net_to_words (net, record->net_rules);
  return g_str_equal (asked, now);
}

/* An option that a running sandbox cannot take on any more; NULL: none was given. Above all those that would
 * make it tighter must not seem to have an effect. */
static const char *
fixed_option (const VmRunOptions *run, const VmSpec *spec, const VmRecord *record)
{
  const struct {
    const char *name;
    gboolean given;
  } fixed[] = {
      {"--net", run->nets != NULL && !has_net (spec, record)},
      {"--net-host-port", run->host_ports != NULL},
      {"--publish", run->publish != NULL},
      {"--accel",
       run->accel != NULL && !g_str_equal (run->accel, "auto") && g_strcmp0 (run->accel, record->accel) != 0},
      {"--driver", run->driver != NULL && !g_str_equal (run->driver, "auto") &&
                       g_strcmp0 (run->driver, record->driver) != 0},
      {"--profile", run->profile != NULL && g_strcmp0 (run->profile, record->profile) != 0},
      {"--display", run->display != NULL && g_strcmp0 (run->display, record->display) != 0},
      {"--size", run->size != NULL && g_strcmp0 (run->size, record->size) != 0},
      {"--no-root", run->no_root},
      {"--serial", run->serial && !record->serial},
      {"--tmux", run->tmux},
      {"--memory", run->memory != NULL},
      {"--cpus", run->cpus != NULL},
      {"--processes", run->processes != NULL},
      {"--disk", run->disk != NULL},
      {"--image", run->image != NULL && g_strcmp0 (run->image, record->image) != 0},
      {"--keep", run->keep != NULL && g_strcmp0 (run->keep, record->keep) != 0},
      {"--kernel", run->kernel != NULL},
      {"--grant", run->grants != NULL},
      {"--no-grant", run->no_grants != NULL},
      {"--socket", run->sockets != NULL},
      {"--restart", run->restart != NULL},
      {"--watchdog", run->watchdog != NULL},
      {"--plug", run->plugs != NULL},
      {"--root-ports", run->root_ports != NULL},
  };

  for (guint i = 0; i < G_N_ELEMENTS (fixed); i++)
    if (fixed[i].given)
      return fixed[i].name;
  return NULL;
}

static gboolean
may_join (const UpOptions *o, const VmSpec *spec, const VmRecord *record, GError **error)
{
  const char *fixed = fixed_option (&o->run, spec, record);

  if (o->detach)
    return vm_error (error, VM_ERROR_EXISTS,
                     "sandbox '%s' (%s) runs on this project already; add --new to make another",
                     record->name, record->id);
  if (fixed != NULL)
    return vm_error (
        error, VM_ERROR_USAGE,
        "sandbox '%s' (%s) runs on this project already, and %s cannot change it; %sadd --new to make "
        "another, or stop it: vmctl stop %s",
        record->name, record->id, fixed, g_str_equal (fixed, "--net") ? "vmctl net set does, or " : "",
        record->id);
  return TRUE;
}

/* What goes into a running sandbox: NULL is a shell. A profile that was named runs its program there too. */
static char **
command_to_join (const UpOptions *o, const VmRun *run)
{
  if (run->spec.command == NULL && o->run.profile == NULL)
    return NULL;
  return vm_profile_command (&run->profile, run->spec.command);
}

/* Where a start would begin: here, if this is in the project. */
static const char *
cwd_to_join (const VmRun *run)
{
  const char *cwd = run->host.cwd, *project = run->host.project.path;

  return vm_path_is_within (cwd, project) ? cwd : project;
}

/* The project's sandbox runs: the command goes into it, or our terminal to the command that runs there
 * unattended. */
static int
join (VmContext *context, const UpOptions *o, const VmRecord *record, const VmRun *run, GError **error)
{
  const VmSpec *spec = &run->spec;
  g_auto (GStrv) argv = command_to_join (o, run);
  VmAttachedCommand what = {.argv = argv, .env = o->run.env, .cwd = cwd_to_join (run), .quiet = o->quiet};

  if (!may_join (o, spec, record, error) || !vm_choice_allows (spec, record->isolation, error))
    return -1;
  if (!vm_attached_wants_tty (tty_mode (o), &what.tty, error))
    return -1;
  note (o, "joining the running sandbox", record->name, record->id);
  if (argv == NULL && record->detached && what.tty && record->command == NULL &&
      vm_attached_main_is_free (context, record))
    return vm_attached_main (context, record, &(VmAttachedHow){.tty = what.tty, .quiet = o->quiet}, error);
  return vm_attached_exec (context, record, &what, error);
}

/* Only the nspawn driver needs it; else it ends here. */
static gboolean
take_root_keeper (VmContext *context, const VmPlan *plan, VmStartOptions *how, GError **error)
{
  if (!vm_driver_needs_root_keeper (vm_driver_find (plan->driver), geteuid ())) {
    vm_fd_clear (&context->root_keeper);
    return TRUE;
  }
  if (context->root_keeper < 0)
    return vm_error (error, VM_ERROR_HOST, "nspawn needs root; run: sudo vmctl ...");
  how->root_keeper = context->root_keeper;
  return TRUE;
}

static gboolean
start (VmContext *context, const UpOptions *o, VmRun *run, gboolean tty, VmRecord **ret_record,
       int *ret_lifeline, GError **error)
{
  VmStartOptions how = {.detached = o->detach, .tty = tty, .began = context->began};
  g_autoptr (VmPlan) plan = NULL;
  g_autofree char *name = NULL;
  char id[9];

  if (!vm_store_new_id (&context->dirs, id, error) ||
      (name = vm_store_new_name (&context->dirs, run->spec.name, run->host.project.path, error)) == NULL)
    return FALSE;
  plan = vm_run_make_plan (run, id, name, error);
  if (plan == NULL || !vm_run_probe (run, plan, error))
    return FALSE;
  vm_run_print_choice (run, plan, o->quiet);
  if (!take_root_keeper (context, plan, &how, error))
    return FALSE;
  if (!o->quiet)
    vm_run_print_notes (plan);
  vm_run_print_unkept (run, plan, o->quiet);
  if (plan->isolation == VM_ISOLATION_VM && !vm_run_build_images (context, run, o->quiet, error))
    return FALSE;
  vm_tty_size (STDIN_FILENO, &how.rows, &how.columns);
  how.planned = g_get_real_time ();
  if (!vm_supervisor_start (&context->dirs, plan, &how, ret_lifeline, error))
    return FALSE;
  vm_fd_clear (&context->root_keeper);
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

/* On stderr: stdout is the command's. */
static void
print_trace (VmContext *context, const char *id)
{
  g_autoptr (VmRecord) record = vm_store_find (&context->dirs, id, TRUE, NULL);
  g_autofree char *text =
      record != NULL ? vm_stages_to_text (record->stamps, record->template != NULL) : NULL;

  if (text != NULL)
    fputs (text, stderr);
}

static int
run_new (VmContext *context, const UpOptions *o, VmRun *run, GError **error)
{
  g_autoptr (VmRecord) record = NULL;
  vm_autofd lifeline = -1;
  gboolean tty;
  int status;

  if (o->detach)
    tty = tty_mode (o) == VM_TTY_YES || (tty_mode (o) == VM_TTY_AUTO && run->spec.command == NULL);
  else if (!vm_attached_wants_tty (tty_mode (o), &tty, error))
    return -1;
  if (!start (context, o, run, tty, &record, &lifeline, error))
    return -1;
  if (o->detach)
    return print_started (o, record);
  status = vm_attached_main (context, record,
                             &(VmAttachedHow){.tty = tty, .starting = !o->quiet, .quiet = o->quiet}, error);
  if (o->trace)
    print_trace (context, record->id);
  return status;
}

static int
up (VmContext *context, gpointer data, char **args, char **command, GError **error)
{
  const UpOptions *o = data;
  g_autoptr (VmRecord) running = NULL;
  g_autoptr (GError) why = NULL;
  VmRun run;
  int status = -1;

  if (o->json && !o->detach) {
    vm_error (error, VM_ERROR_USAGE,
              "--json: what is printed is the command's own output; it goes with --detach");
    return -1;
  }
  if (!vm_run_gather (context, &o->run, args[0], command, &run, error))
    return -1;
  run.spec.trace = o->trace;
  if (!o->quiet)
    vm_run_print_ignored (&run);
  if (!o->new &&run.spec.name == NULL)
    running = vm_store_find_project (&context->dirs, run.host.project.path);
  if (running != NULL)
    status = join (context, o, running, &run, &why);
  if (g_error_matches (why, VM_ERROR, VM_ERROR_NOT_FOUND)) {
    note (o, "starting a new sandbox, for the old one has just ended:", running->name, running->id);
    g_clear_pointer (&running, vm_record_free);
    g_clear_error (&why);
  }
  if (running == NULL)
    status = run_new (context, o, &run, error);
  else if (why != NULL)
    g_propagate_error (error, g_steal_pointer (&why));
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
    .flags = VM_VERB_TAKES_COMMAND | VM_VERB_RUNS | VM_VERB_STARTS,
    .complete = "dir",
    .run = up,
};
