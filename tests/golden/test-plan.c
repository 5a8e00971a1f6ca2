/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Golden plans. tests/golden/plan/NAME.json is a case:
 *
 *   "base"     tests/golden/host/BASE.json, made-up host facts as vm_host_to_json writes them
 *   "host"     laid over the base; objects are merged, null removes
 *   "spec"     the keys of the command line: command, env, grants, ... ; sizes as the user writes them
 *   "profile"  name, entrypoint, grants, or name and "builtin": true; without it the built-in profile "shell"
 *
 *   "let-in"   true: of the plan only what grants, the profile and --socket let in
 *
 * The views of the plan (`views` below) are compared with NAME.SUFFIX; where no plan can be made, the error
 * is with NAME.error. `test-plan --update` writes what comes out instead: review the diff.
 * `test-plan --cost NAME` prints how many seconds of CPU one plan takes.
 *
 * To add a view, such as the command lines of the children: one function and one line in `views`. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "vmctl/base/error.h"
#include "vmctl/base/escape.h"
#include "vmctl/base/json.h"
#include "vmctl/driver.h"
#include "vmctl/plan.h"

typedef struct {
  const char *suffix;
  char *(*render) (const VmPlan *plan); /* (transfer full); NULL: this plan has no such view */
} View;

static gboolean update;

static char *
render_plan (const VmPlan *plan)
{
  g_autoptr (json_object) object = vm_plan_to_shown_json (plan);

  return vm_json_pretty (object);
}

/* With the secrets. */
static char *
render_whole (const VmPlan *plan)
{
  g_autoptr (json_object) object = vm_plan_to_json (plan);

  return vm_json_pretty (object);
}

static void
append_words (GString *out, const char *title, const char *const *words)
{
  g_string_append_printf (out, "# %s\n", title);
  for (; *words != NULL; words++) {
    g_autofree char *shown = vm_escape_terminal (*words, -1, -1);

    g_string_append_printf (out, "%s\n", shown);
  }
}

/* What a person chose never stands in a comma list, whatever it is made of: such a list has nothing but our
 * own words, numbers, and paths inside the jail. JSON has its own rules, and bwrap's words travel one by one.
 */
static void
check_words (const VmPlan *plan, const char *const *words)
{
  const char *const chosen[] = {plan->project, plan->cwd, plan->home, plan->name, plan->user, plan->hostname};

  for (; *words != NULL; words++) {
    if (strchr (*words, ',') == NULL || **words == '/' || **words == '{')
      continue;
    if (strspn (*words, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=,:./") !=
        strlen (*words))
      g_error ("an odd comma list: %s", *words);
    for (gsize i = 0; i < G_N_ELEMENTS (chosen); i++)
      if (chosen[i] != NULL && strchr (chosen[i], '/') != NULL && strstr (*words, chosen[i]) != NULL)
        g_error ("'%s' in a comma list: %s", chosen[i], *words);
  }
}

/* An entry a line, its five words between tabs. */
static void
append_tree (GString *out, GPtrArray *words)
{
  enum { WORDS = 5 };

  g_string_append (out, "# tree\n");
  for (guint i = 0; g_ptr_array_index (words, i) != NULL; i++) {
    g_autofree char *shown = vm_escape_terminal (g_ptr_array_index (words, i), -1, -1);

    g_string_append_printf (out, "%s%c", shown, i % WORDS == WORDS - 1 ? '\n' : '\t');
  }
}

/* One word a line: the child's command line, what bwrap is told by descriptor, and the numbers of the
 * descriptors. */
static char *
render_argv (const VmPlan *plan)
{
  g_autoptr (GString) out = g_string_new (NULL);
  g_autoptr (json_object) object = NULL;
  g_autoptr (GError) error = NULL;
  VmLaunch launch = {0};

  if (!vm_driver_find (plan->driver)->render (plan, &launch, &error))
    return g_strdup_printf ("error: %s\n", error->message);
  append_words (out, "argv", vm_argv_words (launch.argv));
  check_words (plan, vm_argv_words (launch.argv));
  if (launch.inner != NULL)
    append_words (out, "inner", (const char *const *)launch.inner->pdata);
  if (launch.tree != NULL)
    append_tree (out, launch.tree);
  object = vm_launch_to_json (&launch);
  g_string_append (out, "# descriptors\n");
  json_object_object_foreach (vm_json_object (object, "descriptors"), slot, number)
  {
    g_autofree char *shown = vm_escape_terminal (slot, -1, -1);

    g_string_append_printf (out, "%d %s\n", json_object_get_int (number), shown);
  }
  vm_launch_clear (&launch);
  return g_strdup (out->str);
}

/* What grants add, and nothing else. */
static char *
render_let_in (const VmPlan *plan)
{
  g_autoptr (json_object) all = vm_plan_to_shown_json (plan), out = json_object_new_object ();
  static const char *const keys[] = {"grants", "notes", "command", "environment", "secret-names", "makes"};
  json_object *mounts = json_object_new_array (), *from = vm_json_array (all, "mounts");

  for (gsize i = 0; i < G_N_ELEMENTS (keys); i++)
    if (vm_json_array (all, keys[i]) != NULL)
      vm_json_add (out, keys[i], json_object_get (vm_json_array (all, keys[i])));
  for (gsize i = 0; i < json_object_array_length (from); i++) {
    json_object *one = json_object_array_get_idx (from, i);

    if (g_str_has_prefix (vm_json_str (one, "why", ""), "grant:") ||
        g_str_equal (vm_json_str (one, "why", ""), "profile") ||
        g_str_equal (vm_json_str (one, "why", ""), "option"))
      json_object_array_add (mounts, json_object_get (one));
  }
  vm_json_add (out, "mounts", mounts);
  return vm_json_pretty (out);
}

static const View views[] = {
    {"plan", render_plan},
    {"argv", render_argv},
    {"let-in", render_let_in},
};

/* A case has the first two views, or with "let-in": true the last one alone. */
static gboolean
has_view (json_object *test, const View *view)
{
  return vm_json_bool (test, "let-in", FALSE) == (view->render == render_let_in);
}

static char *
golden_path (const char *folder, const char *name, const char *suffix)
{
  g_autofree char *file = g_strconcat (name, ".", suffix, NULL);

  return g_build_filename (GOLDEN_DIR, folder, file, NULL);
}

static json_object *
load_json (const char *folder, const char *name)
{
  g_autofree char *path = golden_path (folder, name, "json");
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;
  json_object *object;
  gsize length;

  g_file_get_contents (path, &text, &length, &error);
  g_assert_no_error (error);
  object = vm_json_parse (text, length, &error);
  if (error != NULL)
    g_error ("%s: %s", path, error->message);
  return object;
}

static void
merge (json_object *base, json_object *over)
{
  json_object_object_foreach (over, key, value)
  {
    json_object *old = vm_json_object (base, key);

    if (value == NULL)
      json_object_object_del (base, key);
    else if (old != NULL && json_object_is_type (value, json_type_object))
      merge (old, value);
    else
      json_object_object_add (base, key, json_object_get (value));
  }
}

static void
load_host (json_object *test, VmHost *ret)
{
  g_autoptr (json_object) object = load_json ("host", vm_json_str (test, "base", "debian"));
  g_autoptr (GError) error = NULL;

  if (vm_json_object (test, "host") != NULL)
    merge (object, vm_json_object (test, "host"));
  vm_host_from_json (object, ret, &error);
  g_assert_no_error (error);
}

static char **
strings (json_object *object, const char *key)
{
  json_object *array = vm_json_array (object, key);

  return array != NULL ? vm_json_dup_strv (array) : NULL;
}

static void
load_spec (json_object *test, VmSpec *spec)
{
  static const struct {
    const char *key;
    gboolean (*set) (VmSpec *, const char *, const char *, GError **);
  } setters[] = {{"memory", vm_spec_set_memory},
                 {"cpus", vm_spec_set_cpus},
                 {"disk", vm_spec_set_disk},
                 {"net", vm_spec_set_net},
                 {"display", vm_spec_set_display},
                 {"size", vm_spec_set_size},
                 {"accel", vm_spec_set_accel},
                 {"driver", vm_spec_set_driver},
                 {"min-isolation", vm_spec_set_min_isolation},
                 {"root-ports", vm_spec_set_root_ports},
                 {"boot-timeout", vm_spec_set_timeout}};
  json_object *object = vm_json_object (test, "spec");
  g_auto (GStrv) plugs = strings (object, "plugs");
  g_autoptr (GError) error = NULL;

  for (gsize i = 0; i < G_N_ELEMENTS (setters); i++) {
    const char *text = vm_json_str (object, setters[i].key, NULL);

    if (text != NULL)
      setters[i].set (spec, text, setters[i].key, &error);
    g_assert_no_error (error);
  }
  spec->command = strings (object, "command");
  spec->env = strings (object, "env");
  spec->grants = strings (object, "grants");
  spec->no_grants = strings (object, "no-grants");
  spec->sockets = strings (object, "sockets");
  for (char **plug = plugs; plug != NULL && *plug != NULL; plug++) {
    (void)vm_spec_add_plug (spec, *plug, "plugs", &error);
    g_assert_no_error (error);
  }
  spec->image = g_strdup (vm_json_str (object, "image", NULL));
  spec->no_root = vm_json_bool (object, "no-root", FALSE);
  spec->cold = vm_json_bool (object, "cold", FALSE);
  spec->serial = vm_json_bool (object, "serial", FALSE);
  spec->memory_limit = (guint64)vm_json_int (object, "memory-limit", 0);
  spec->cpus_limit = (guint)vm_json_int (object, "cpus-limit", 0);
}

static void
load_profile (json_object *test, VmProfile *profile)
{
  json_object *object = vm_json_object (test, "profile");
  const char *name = vm_json_str (object, "name", "shell");

  if (vm_json_bool (object, "builtin", object == NULL)) {
    g_assert_true (vm_profile_builtin (name, profile));
    return;
  }
  profile->name = g_strdup (name);
  profile->entrypoint = strings (object, "entrypoint");
  profile->grants = strings (object, "grants");
  profile->path = strings (object, "path");
  profile->appends = vm_json_bool (object, "arguments", FALSE);
  profile->prompt = g_strdup (vm_json_str (object, "prompt-option", NULL));
}

static void
compare (const char *name, const char *suffix, const char *text)
{
  g_autofree char *path = golden_path ("plan", name, suffix);
  g_autofree char *expected = NULL;
  g_autoptr (GError) error = NULL;

  if (update) {
    if (text != NULL)
      g_file_set_contents (path, text, -1, &error);
    else
      (void)remove (path); /* may not be there */
    g_assert_no_error (error);
    return;
  }
  if (!g_file_get_contents (path, &expected, NULL, NULL))
    expected = NULL;
  g_assert_cmpstr (text, ==, expected);
}

/* What the supervisor reads is what was written. */
static void
check_round_trip (const VmPlan *plan)
{
  g_autofree char *before = render_whole (plan), *after = NULL;
  g_autoptr (json_object) object = vm_json_parse (before, strlen (before), NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (VmPlan) read = vm_plan_from_json (object, &error);

  g_assert_no_error (error);
  after = render_whole (read);
  g_assert_cmpstr (before, ==, after);
}

/* What holds for every plan, whatever the case. */
static void
check_invariants (const VmPlan *plan)
{
  static const char *const never[] = {"/etc/shadow", "/etc/gshadow", "/etc/ssl/private",
                                      "/etc/ssh",    "/var",         "/root"};

  for (guint i = 0; i < plan->mounts->len; i++) {
    const VmMount *mount = g_ptr_array_index (plan->mounts, i);

    for (guint j = 0; j < i; j++)
      if (((const VmMount *)g_ptr_array_index (plan->mounts, j))->kind == mount->kind)
        g_assert_cmpstr (((const VmMount *)g_ptr_array_index (plan->mounts, j))->target, !=, mount->target);
    for (gsize j = 0; j < G_N_ELEMENTS (never); j++)
      if (mount->source != NULL && mount->kind != VM_MOUNT_LINK)
        g_assert_cmpstr (mount->source, !=, never[j]);
    if (mount->kind == VM_MOUNT_RW && g_str_equal (mount->why, "project") &&
        g_str_equal (mount->source, plan->project))
      g_assert_cmpstr (mount->share, ==, "0");
  }
}

static char *
describe (const GError *error)
{
  const char *class = error->code == VM_ERROR_USAGE        ? "USAGE"
                      : error->code == VM_ERROR_HOST       ? "HOST"
                      : error->code == VM_ERROR_NO_PROGRAM ? "NO_PROGRAM"
                                                           : "OTHER";

  g_assert_true (error->domain == VM_ERROR);
  return g_strdup_printf ("%s: %s\n", class, error->message);
}

static void
test_case (gconstpointer data)
{
  const char *name = data;
  g_autoptr (json_object) test = load_json ("plan", name);
  g_autoptr (GError) error = NULL;
  g_autoptr (VmPlan) plan = NULL;
  g_autofree char *message = NULL;
  VmHost host = {0};
  VmSpec spec = {0};
  VmProfile profile = {0};

  load_host (test, &host);
  load_spec (test, &spec);
  load_profile (test, &profile);
  plan = vm_plan_make (&spec, &profile, &host, "ab12cd34", "hello", &error);
  g_assert_true ((plan == NULL) == (error != NULL));
  message = error != NULL ? describe (error) : NULL;
  compare (name, "error", message);
  for (gsize i = 0; i < G_N_ELEMENTS (views); i++) {
    g_autofree char *text = plan != NULL && has_view (test, &views[i]) ? views[i].render (plan) : NULL;

    compare (name, views[i].suffix, text);
  }
  if (plan != NULL) {
    check_round_trip (plan);
    check_invariants (plan);
    /* A key that is not the plan's any more would make another case of it, and --update would not mind. */
    if (vm_json_bool (test, "from-template", FALSE))
      g_assert_true (plan->has_template);
  }
  vm_host_clear (&host);
  vm_spec_clear (&spec);
  vm_profile_clear (&profile);
}

enum { COST_RUNS = 1000 };

/* For tests/bench: CPU time of the pure function alone, a plan at a time. */
static int
print_cost (const char *name)
{
  g_autoptr (json_object) test = load_json ("plan", name);
  VmHost host = {0};
  VmSpec spec = {0};
  VmProfile profile = {0};
  clock_t began;

  load_host (test, &host);
  load_spec (test, &spec);
  load_profile (test, &profile);
  began = clock ();
  for (int i = 0; i < COST_RUNS; i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (VmPlan) plan = vm_plan_make (&spec, &profile, &host, "ab12cd34", "hello", &error);

    g_assert_no_error (error);
  }
  g_print ("%.6f\n", (double)(clock () - began) / CLOCKS_PER_SEC / COST_RUNS);
  vm_host_clear (&host);
  vm_spec_clear (&spec);
  vm_profile_clear (&profile);
  return 0;
}

static void
add_cases (void)
{
  g_autofree char *folder = g_build_filename (GOLDEN_DIR, "plan", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (GDir) dir = g_dir_open (folder, 0, &error);
  const char *file;

  g_assert_no_error (error);
  while ((file = g_dir_read_name (dir)) != NULL)
    if (g_str_has_suffix (file, ".json")) {
      char *name = g_strndup (file, strlen (file) - strlen (".json"));
      g_autofree char *path = g_strconcat ("/golden/plan/", name, NULL);

      g_test_add_data_func_full (path, name, test_case, g_free);
    }
}

int
main (int argc, char **argv)
{
  if (argc > 1 && g_str_equal (argv[1], "--update")) {
    update = TRUE;
    argv[1] = argv[0];
    argv++;
    argc--;
  }
  if (argc == 3 && g_str_equal (argv[1], "--cost"))
    return print_cost (argv[2]);
  g_test_init (&argc, &argv, NULL);
  add_cases ();
  return g_test_run ();
}
