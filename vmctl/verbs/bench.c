/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl bench: how long starts take on this host, and where the time goes. */
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"
#include "vmctl/base/json.h"
#include "vmctl/bench.h"
#include "vmctl/progress.h"
#include "vmctl/runspec.h"
#include "vmctl/show.h"
#include "vmctl/table.h"
#include "vmctl/template.h"
#include "vmctl/verbs.h"

enum { RUNS_DEFAULT = 10, RUNS_MAX = 1000, ROWS = 4 };

typedef struct {
  char *runs;
  gboolean json, quiet;
} BenchOptions;

static const VmOption options[] = {
    {"json", 0, VM_OPTION_FLAG, offsetof (BenchOptions, json), NULL, "print it as JSON", NULL},
    {"quiet", 'q', VM_OPTION_FLAG, offsetof (BenchOptions, quiet), NULL, "no progress", NULL},
    {"runs", 'n', VM_OPTION_STRING, offsetof (BenchOptions, runs), "N", "starts of each kind (default 10)",
     NULL},
    {NULL},
};

static const char *const cold[] = {"--driver", "qemu", "--trace", "--cold", NULL};
static const char *const warm[] = {"--driver", "qemu", "--trace", NULL};
static const char *const nspawn[] = {"--driver", "nspawn", NULL};
static const char *const bwrap[] = {"--driver", "bwrap", NULL};

/* What is needed before the clock runs; a row that cannot be is left out with its reason. */
static gboolean
prepare (VmContext *context, VmBenchRow *row, const char *project, VmProgress *progress, GError **error)
{
  char *none[] = {(char *)(gsize) "none", NULL};
  VmRunOptions how = {.driver = (char *)row->how[1], .nets = none, .cold = row->how == cold};
  VmRun run;
  gboolean ok;

  if (!vm_run_gather (context, &how, project, NULL, &run, error))
    return FALSE;
  run.spec.makes_no_templates = FALSE;
  row->plan = vm_run_make_plan (&run, "bench", "bench", error);
  ok = row->plan != NULL && vm_run_probe (&run, row->plan, error);
  if (ok && row->plan->isolation == VM_ISOLATION_VM)
    ok = vm_run_build_images (context, &run, progress->quiet, error);
  if (ok && row->plan->template != NULL && row->how == warm) {
    ok = vm_template_make (row->plan, TRUE, vm_progress_step, progress, error);
    row->plan->has_template = TRUE;
  }
  vm_run_clear (&run);
  return ok;
}

static gboolean
run_row (VmContext *context, VmBenchRow *row, const char *project, const char *dir, GError **error)
{
  if (row->problem != NULL)
    return TRUE;
  if (row->floor != NULL && !vm_bench_floor (dir, row, error))
    return FALSE;
  return vm_bench_start (&context->dirs, project, row, error);
}

/* In turns, so that whatever else the host does meanwhile does not favour one of them. */
static gboolean
run_all (VmContext *context, VmBenchRow *rows, guint runs, const char *project, const char *dir,
         VmProgress *progress, GError **error)
{
  for (guint i = 0; i < runs; i++)
    for (guint r = 0; r < ROWS; r++) {
      vm_progress_step (rows[r].name, (int)((i * ROWS + r) * 100 / (runs * ROWS)), progress);
      if (!run_row (context, &rows[r], project, dir, error)) {
        g_prefix_error (error, "%s: ", rows[r].name);
        return FALSE;
      }
    }
  return TRUE;
}

/* Output */

static const char *
stage_name (guint i, gboolean is_template)
{
  VmStage stages[VM_STAGES_MAX];
  VmStamps stamps = {0};

  stamps[VM_STAMP_BEGAN] = 1;
  stamps[i] = 2;
  return vm_stages (stamps, is_template, stages) == 1 ? stages[0].name : "";
}

static json_object *
row_to_json (const VmBenchRow *row)
{
  json_object *object = json_object_new_object (), *stages = json_object_new_object ();

  vm_json_add_str (object, "start", row->name);
  vm_json_add_str (object, "problem", row->problem);
  if (row->problem == NULL) {
    vm_json_add_int (object, "median-us", vm_bench_median (row->up));
    vm_json_add_int (object, "runs", row->up->len);
    vm_json_add_str (object, "floor", row->floor);
    if (row->floor_up != NULL)
      vm_json_add_int (object, "floor-median-us", vm_bench_median (row->floor_up));
    for (guint i = VM_STAMP_PLANNED; i < VM_STAMP_N; i++)
      if (row->stages[i] != NULL)
        vm_json_add_int (stages, stage_name (i, row->is_template), vm_bench_median (row->stages[i]));
  }
  vm_json_add (object, "stages-us", stages);
  return object;
}

static char *
milliseconds (const GArray *values)
{
  return values == NULL ? g_strdup ("-")
                        : g_strdup_printf ("%.1f ms", (double)vm_bench_median (values) / 1000);
}

static void
print_table (const VmBenchRow *rows)
{
  static const char *const headers[] = {"START", "MEDIAN", "FLOOR", "WHAT THE FLOOR IS", NULL};
  g_autoptr (VmTable) table = vm_table_new (headers);

  for (guint i = 0; i < ROWS; i++) {
    g_autofree char *up = milliseconds (rows[i].up), *floor_up = milliseconds (rows[i].floor_up);

    vm_table_add (table, (const char *const[]){rows[i].name, up, floor_up,
                                               rows[i].problem != NULL ? rows[i].problem
                                               : rows[i].floor != NULL ? rows[i].floor
                                                                       : "",
                                               NULL});
  }
  vm_table_print (table);
}

static void
print_stages (const VmBenchRow *rows)
{
  static const char *const headers[] = {"STAGE", "BOOTED", "FROM A TEMPLATE", "NSPAWN", "BWRAP", NULL};
  g_autoptr (VmTable) table = vm_table_new (headers);

  for (guint i = VM_STAMP_PLANNED; i < VM_STAMP_N; i++) {
    const char *cells[ROWS + 2] = {stage_name (i, FALSE)};
    char *texts[ROWS];
    gboolean is_any = FALSE;

    for (guint r = 0; r < ROWS; r++) {
      texts[r] = milliseconds (rows[r].stages[i]);
      cells[r + 1] = texts[r];
      is_any = is_any || rows[r].stages[i] != NULL;
    }
    if (is_any)
      vm_table_add (table, cells);
    for (guint r = 0; r < ROWS; r++)
      g_free (texts[r]);
  }
  printf ("\n");
  vm_table_print (table);
}

static void
print (const VmBenchRow *rows, gboolean json)
{
  json_object *array;

  if (!json) {
    print_table (rows);
    print_stages (rows);
    return;
  }
  array = json_object_new_array ();
  for (guint i = 0; i < ROWS; i++)
    json_object_array_add (array, row_to_json (&rows[i]));
  vm_show_json (array);
}

static gboolean
measure (VmContext *context, const BenchOptions *o, guint runs, const char *project, const char *dir,
         GError **error)
{
  VmBenchRow rows[ROWS] = {
      {.name = "virtual machine, booted", .how = cold, .floor = "QEMU in a jail, until the agent greets"},
      {.name = "virtual machine, from a template",
       .how = warm,
       .floor = "QEMU in a jail, until the agent greets"},
      {.name = "container (nspawn)", .how = nspawn},
      {.name = "namespaces (bwrap)", .how = bwrap, .floor = "bwrap alone"},
  };
  VmProgress progress;
  gboolean ok;

  vm_progress_begin (&progress, o->quiet);
  for (guint i = 0; i < ROWS; i++) {
    g_autoptr (GError) problem = NULL;

    if (!prepare (context, &rows[i], project, &progress, &problem))
      rows[i].problem = g_strdup (problem->message);
  }
  ok = run_all (context, rows, runs, project, dir, &progress, error);
  vm_progress_end (&progress);
  if (ok)
    print (rows, o->json);
  for (guint i = 0; i < ROWS; i++)
    vm_bench_row_clear (&rows[i]);
  return ok;
}

static int
bench (VmContext *context, gpointer data, char **args, char **command, GError **error)
{
  const BenchOptions *o = data;
  g_autofree char *top = g_dir_make_tmp ("vmctl-bench-XXXXXX", error), *project = NULL, *dir = NULL,
                  *name = NULL;
  guint64 runs = RUNS_DEFAULT;
  vm_autofd parent = -1;
  gboolean ok;

  if (o->runs != NULL && !g_ascii_string_to_unsigned (o->runs, 10, 1, RUNS_MAX, &runs, NULL)) {
    vm_error (error, VM_ERROR_USAGE, "--runs: '%s' is not a number from 1 to %d", o->runs, RUNS_MAX);
    return -1;
  }
  if (top == NULL)
    return -1;
  project = g_build_filename (top, "project", NULL);
  dir = g_build_filename (top, "floor", NULL);
  name = g_path_get_dirname (top);
  parent = open (name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  ok = vm_file_make_private_dir (project, error) && vm_file_make_private_dir (dir, error) &&
       measure (context, o, (guint)runs, project, dir, error);
  g_free (name);
  name = g_path_get_basename (top);
  if (parent >= 0)
    (void)vm_file_remove_tree (parent, name, NULL); /* it is empty, and in the directory for such things */
  return ok ? 0 : -1;
}

const VmVerb vm_verb_bench = {
    .name = "bench",
    .usage = "[OPTIONS]",
    .summary = "measure how long starts take on this host",
    .details =
        "Runs 'true' in an empty project in every way that works here, in turns, and shows the medians, "
        "what each cannot be quicker than, and where the time goes. Run it while nothing else runs.",
    .options = options,
    .options_size = sizeof (BenchOptions),
    .run = bench,
};
