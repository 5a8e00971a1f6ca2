/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl template: the machines from which others start in a fraction of a second. vmctl makes and removes
 * them by itself; this is to look at them, and to do it at another time. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "images/template.h"
#include "vmctl/base/error.h"
#include "vmctl/base/file.h"
#include "vmctl/base/json.h"
#include "vmctl/checks.h"
#include "vmctl/progress.h"
#include "vmctl/runspec.h"
#include "vmctl/show.h"
#include "vmctl/table.h"
#include "vmctl/template.h"
#include "vmctl/verbs.h"

typedef struct {
  VmRunOptions run;
  gboolean json, all, quiet;
} TemplateOptions;

static const VmOption options[] = {
    {"accel", 0, VM_OPTION_STRING, offsetof (TemplateOptions, run.accel), "NAME",
     "build: for this accelerator (default auto)", "accel", "build"},
    {"all", 'a', VM_OPTION_FLAG, offsetof (TemplateOptions, all), NULL, "rm: all of them", NULL, "rm"},
    {"cpus", 'c', VM_OPTION_STRING, offsetof (TemplateOptions, run.cpus), "N", "build: with N processors",
     NULL, "build"},
    {"disk", 0, VM_OPTION_STRING, offsetof (TemplateOptions, run.disk), "SIZE",
     "build: with a scratch disk of this size", NULL, "build"},
    {"image", 0, VM_OPTION_STRING, offsetof (TemplateOptions, run.image), "NAME", "build: with this image",
     "image-name", "build"},
    {"json", 0, VM_OPTION_FLAG, offsetof (TemplateOptions, json), NULL, "print it as JSON", NULL},
    {"kernel", 0, VM_OPTION_STRING, offsetof (TemplateOptions, run.kernel), "FILE",
     "build: with this kernel of the host", "file", "build"},
    {"memory", 'm', VM_OPTION_STRING, offsetof (TemplateOptions, run.memory), "SIZE",
     "build: with this much memory", NULL, "build"},
    {"quiet", 'q', VM_OPTION_FLAG, offsetof (TemplateOptions, quiet), NULL, "no progress", NULL},
    {NULL},
};

/* What templates depend on, as it is now; of those of an image, by its id: NULL: it has gone. (transfer full)
 */
static char **
gather_inputs (const char *image, GError **error)
{
  VmSpec spec = {.image = (char *)image};
  VmHost host = {0};
  char **inputs = NULL;
  gboolean ok;

  if (!vm_host_gather (&host, error))
    return NULL;
  ok = vm_host_gather_images (&host, &spec, NULL);
  if (ok)
    vm_run_ask_version (&host);
  if (ok || image == NULL)
    inputs = vm_template_inputs (&host);
  vm_host_clear (&host);
  return inputs;
}

/* The inputs of the template that the host has changed, "qemu, cpu"; NULL: none. (transfer full) */
static char *
find_changes (const ImageTemplate *template, const char *const *now)
{
  g_auto (GStrv) then = vm_json_dup_strv (vm_json_array (template->info, "inputs"));
  g_autoptr (GString) out = g_string_new (NULL);

  for (char **one = then; *one != NULL; one++)
    if (!g_strv_contains (now, *one))
      g_string_append_printf (out, "%s%.*s", out->len > 0 ? ", " : "", (int)strcspn (*one, "="), *one);
  return out->len > 0 ? g_strdup (out->str) : NULL;
}

/* Why it is of no use any more; NULL: it is. (transfer full) */
static char *
find_problem (const ImageTemplate *template, const char *const *usual)
{
  const char *image = vm_json_str (template->info, "image-id", NULL);
  g_auto (GStrv) own = image != NULL ? gather_inputs (image, NULL) : NULL;
  g_autofree char *changes = NULL;

  if (template->problem != NULL)
    return g_strdup (template->problem);
  if (image != NULL && own == NULL)
    return g_strdup ("stale: its image has gone");
  changes = find_changes (template, own != NULL ? (const char *const *)own : usual);
  return changes != NULL ? g_strdup_printf ("stale: %s changed", changes) : NULL;
}

static char *
describe_machine (const ImageTemplate *template)
{
  g_autofree char *memory = vm_size_format ((guint64)vm_json_int (template->info, "memory", 0));
  g_autofree char *image = vm_show_safe (vm_json_str (template->info, "image", ""), 100);
  gint64 cpus = vm_json_int (template->info, "cpus", 0);

  if (template->info == NULL)
    return g_strdup ("");
  return g_strdup_printf ("%s, %d CPU%s, %s, kernel %s%s%s", memory, (int)cpus, cpus == 1 ? "" : "s",
                          vm_json_str (template->info, "accel", ""),
                          vm_json_str (template->info, "kernel", ""), *image != '\0' ? ", image " : "",
                          image);
}

static json_object *
to_json (const ImageTemplate *template, const char *state)
{
  json_object *object = json_object_new_object ();

  vm_json_add_str (object, "key", template->key);
  vm_json_add_str (object, "state", state);
  vm_json_add_int (object, "bytes", (gint64) template->bytes);
  vm_json_add_int (object, "created", template->created);
  vm_json_add_int (object, "used", template->used);
  vm_json_add_int (object, "uses", (gint64) template->uses);
  if (template->info != NULL)
    vm_json_add (object, "machine", json_object_get (template->info));
  return object;
}

static void
add_row (VmTable *table, const ImageTemplate *template, const char *state)
{
  g_autofree char *size = vm_size_format (template->bytes), *machine = describe_machine (template);
  g_autofree char *age = vm_show_duration (g_get_real_time () - template->created);
  g_autofree char *used =
      template->used != 0 ? vm_show_duration (g_get_real_time () - template->used) : g_strdup ("never");
  g_autofree char *uses = g_strdup_printf ("%" G_GUINT64_FORMAT, template->uses);

  vm_table_add (table, (const char *const[]){template->key, size, age, uses, used, machine, state, NULL});
}

static int
list (VmContext *context, const TemplateOptions *o, GError **error)
{
  static const char *const headers[] = {"KEY", "SIZE", "AGE", "USES", "USED", "MACHINE", "STATE", NULL};
  g_autoptr (GPtrArray) all = image_template_scan (context->dirs.cache, error);
  g_autoptr (VmTable) table = vm_table_new (headers);
  g_autoptr (json_object) array = json_object_new_array ();
  g_auto (GStrv) inputs = all != NULL ? gather_inputs (NULL, error) : NULL;

  if (all == NULL || inputs == NULL)
    return -1;
  for (guint i = all->len; i > 0; i--) { /* the one that was used last comes first */
    const ImageTemplate *template = g_ptr_array_index (all, i - 1);
    g_autofree char *problem = find_problem (template, (const char *const *)inputs);
    const char *state = problem != NULL ? problem : "current";

    add_row (table, template, state);
    json_object_array_add (array, to_json (template, state));
  }
  if (o->json)
    vm_show_json (g_steal_pointer (&array));
  else
    vm_table_print (table);
  return 0;
}

static gboolean
make (VmContext *context, const TemplateOptions *o, VmRun *run, GError **error)
{
  g_autoptr (VmPlan) plan = vm_run_make_plan (run, "template", "template", error);
  VmProgress progress;
  gboolean ok;

  if (plan == NULL || !vm_run_probe (run, plan, error))
    return FALSE;
  if (plan->template == NULL)
    return vm_error (error, VM_ERROR_UNSUPPORTED,
                     "no template can be made here: what it depends on is not known; see: vmctl doctor");
  if (!vm_run_build_images (context, run, o->quiet, error))
    return FALSE;
  vm_progress_begin (&progress, o->quiet);
  ok = vm_template_make (plan, TRUE, vm_progress_step, &progress, error);
  vm_progress_end (&progress);
  if (ok) {
    g_autofree char *key = g_path_get_basename (plan->template);

    printf ("%s\n", key);
  }
  return ok;
}

static int
build (VmContext *context, const TemplateOptions *o, const char *project, GError **error)
{
  VmRunOptions how = o->run;
  VmRun run;
  gboolean ok;

  how.driver = (char *)"qemu"; /* nothing frees it: it is this copy's */
  if (!vm_run_gather (context, &how, project, NULL, &run, error))
    return -1;
  run.spec.cold = run.spec.makes_no_templates = FALSE;
  ok = make (context, o, &run, error);
  vm_run_clear (&run);
  return ok ? 0 : -1;
}

static gboolean
remove_one (VmContext *context, const char *key, GError **error)
{
  g_autofree char *path = image_template_path (context->dirs.cache, key);

  if (!image_template_is_key (key) || !g_file_test (path, G_FILE_TEST_EXISTS))
    return vm_error (error, VM_ERROR_NOT_FOUND, "there is no template '%s'; see: vmctl template list", key);
  return image_template_remove (path, error);
}

static int
rm (VmContext *context, const TemplateOptions *o, char **keys, GError **error)
{
  g_auto (GStrv) all = o->all ? image_template_keys (context->dirs.cache) : g_strdupv (keys);

  if (!o->all && *all == NULL) {
    vm_error (error, VM_ERROR_USAGE, "template rm: name a key, or --all");
    return -1;
  }
  for (char **key = all; *key != NULL; key++)
    if (!remove_one (context, *key, error))
      return -1;
  return 0;
}

/* What no start will ever take, and what is more than the configuration allows. */
static int
prune (VmContext *context, const TemplateOptions *o, GError **error)
{
  g_autoptr (GPtrArray) all = image_template_scan (context->dirs.cache, error);
  g_autoptr (GPtrArray) removed = g_ptr_array_new_with_free_func (g_free);
  g_auto (GStrv) inputs = all != NULL ? gather_inputs (NULL, error) : NULL;
  VmProfile profile = {0};
  VmSpec spec = {0};
  gboolean ok;

  ok = all != NULL && inputs != NULL &&
       vm_config_apply (&context->dirs, VMCTL_SYSCONFDIR "/config", NULL, &spec, &profile, error);
  for (guint i = 0; ok && i < all->len; i++) {
    const ImageTemplate *template = g_ptr_array_index (all, i);
    g_autofree char *problem = find_problem (template, (const char *const *)inputs);

    if (problem == NULL)
      continue;
    ok = remove_one (context, template->key, error);
    g_ptr_array_add (removed, g_strdup (template->key));
  }
  ok = ok &&
       image_template_shrink (context->dirs.cache,
                              spec.templates_max != 0 ? spec.templates_max : VM_SPEC_TEMPLATES_MAX_DEFAULT,
                              NULL, removed, error);
  for (guint i = 0; ok && i < removed->len; i++)
    printf ("%s\n", (const char *)g_ptr_array_index (removed, i));
  vm_profile_clear (&profile);
  vm_spec_clear (&spec);
  return ok ? 0 : -1;
}

static int template(VmContext *context, gpointer data, char **args, char **command, GError **error)
{
  const TemplateOptions *o = data;
  const char *what = args[0] != NULL ? args[0] : "list";
  char **rest = args[0] != NULL ? args + 1 : args;

  if (g_str_equal (what, "list") && *rest == NULL)
    return list (context, o, error);
  if (g_str_equal (what, "build") && (rest[0] == NULL || rest[1] == NULL))
    return build (context, o, rest[0], error);
  if (g_str_equal (what, "rm"))
    return rm (context, o, rest, error);
  if (g_str_equal (what, "prune") && *rest == NULL)
    return prune (context, o, error);
  vm_error (error, VM_ERROR_USAGE,
            "template: '%s' is not what can be done, or has too many words; write list, build [PROJECT], rm "
            "KEY..., or "
            "prune",
            what);
  return -1;
}

const VmVerb vm_verb_template = {
    .name = "template",
    .usage = "[OPTIONS] [list|build [PROJECT]|rm KEY...|prune]",
    .summary = "the machines that others start from",
    .details =
        "A machine that was booted and saved before it was anybody's is where the next one goes on, in a "
        "fraction of the time. vmctl makes one after a machine had to boot, and takes it by itself.",
    .options = options,
    .options_size = sizeof (TemplateOptions),
    .action = "list",
    .max_args = 64,
    .complete = "template",
    .run = template,
};
