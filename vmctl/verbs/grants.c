/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl grants: what each grant would let in on this host, and what is missing. The answer comes from the
 * very functions that make a plan, so the two cannot differ. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "vmctl/base/json.h"
#include "vmctl/grant.h"
#include "vmctl/plan-parts.h"
#include "vmctl/show.h"
#include "vmctl/verbs.h"

typedef struct {
  gboolean json;
} GrantsOptions;

static const VmOption options[] = {
    {"json", 0, VM_OPTION_FLAG, offsetof (GrantsOptions, json), NULL, "print them as JSON", NULL},
    {NULL},
};

static const char *const builtin[] = {"shell", "claude"};

/* The built-in profiles that have the grant on this host. */
static json_object *
profiles_with (const VmHost *host, const char *grant)
{
  json_object *array = json_object_new_array ();

  for (gsize i = 0; i < G_N_ELEMENTS (builtin); i++) {
    VmProfile profile = {0};

    if (vm_profile_builtin (builtin[i], &profile) && vm_plan_profile_has (&profile, host, grant))
      json_object_array_add (array, json_object_new_string (builtin[i]));
    vm_profile_clear (&profile);
  }
  return array;
}

static void
take (json_object *out, json_object *all, const char *key)
{
  if (vm_json_array (all, key) != NULL)
    vm_json_add (out, key, json_object_get (vm_json_array (all, key)));
}

/* What the grant would do in a sandbox of this isolation, or why it cannot. */
static json_object *
try (const VmGrant *grant, const VmHost *host, VmIsolation isolation)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (VmPlan) plan = vm_grant_try (grant, host, isolation, &error);
  json_object *out = json_object_new_object ();
  g_autoptr (json_object) all = plan != NULL ? vm_plan_to_shown_json (plan) : NULL;
  static const char *const keys[] = {"mounts", "environment", "secret-names", "makes", "notes"};

  if (plan == NULL) {
    g_autofree char *prefix = g_strdup_printf ("grant '%s': ", grant->name);
    gboolean has = g_str_has_prefix (error->message, prefix);

    vm_json_add_str (out, "problem", error->message + (has ? strlen (prefix) : 0));
    return out;
  }
  for (gsize i = 0; i < G_N_ELEMENTS (keys); i++)
    take (out, all, keys[i]);
  return out;
}

static json_object *
describe (const VmGrant *grant, const VmHost *host)
{
  json_object *out = json_object_new_object ();

  vm_json_add_str (out, "name", grant->name);
  vm_json_add_str (out, "summary", grant->summary);
  vm_json_add (out, "profiles", profiles_with (host, grant->name));
  vm_json_add (out, "here", try (grant, host, VM_ISOLATION_NAMESPACE));
  vm_json_add (out, "in-vm", try (grant, host, VM_ISOLATION_VM));
  return out;
}

static void print_line (const char *format, ...) G_GNUC_PRINTF (1, 2);

static void
print_line (const char *format, ...)
{
  g_autofree char *text = NULL, *shown = NULL;
  va_list ap;

  va_start (ap, format);
  text = g_strdup_vprintf (format, ap);
  va_end (ap);
  shown = vm_show_safe (text, -1);
  printf ("  %s\n", shown);
}

static const char *
access_of (const char *kind)
{
  static const char *const names[][2] = {{"ro", "read-only"}, {"rw", "read-write"},   {"copy", "copied"},
                                         {"dev", "device"},   {"relay", "its bytes"}, {"link", "link"}};

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    if (g_str_equal (kind, names[i][0]))
      return names[i][1];
  return NULL; /* made up: nothing of the host's */
}

static void
print_mounts (json_object *mounts)
{
  for (gsize i = 0; i < json_object_array_length (mounts); i++) {
    json_object *one = json_object_array_get_idx (mounts, i);
    const char *kind = vm_json_str (one, "kind", ""), *access = access_of (kind);
    const char *path = vm_json_str (one, g_str_equal (kind, "link") ? "target" : "source", "");

    if (access != NULL)
      print_line ("  %s (%s)", path, access);
  }
}

static void
print_names (json_object *variables, const char *note)
{
  for (gsize i = 0; variables != NULL && i < json_object_array_length (variables); i++) {
    const char *text = json_object_get_string (json_object_array_get_idx (variables, i));

    print_line ("  $%.*s%s", (int)strcspn (text, "="), text, note);
  }
}

static void
print_one (json_object *grant)
{
  json_object *here = vm_json_object (grant, "here"), *vm = vm_json_object (grant, "in-vm");
  const char *problem = vm_json_str (here, "problem", NULL), *in_vm = vm_json_str (vm, "problem", NULL);
  json_object *profiles = vm_json_array (grant, "profiles");
  g_auto (GStrv) names = vm_json_dup_strv (profiles);
  g_autofree char *list = g_strjoinv (", ", names);

  printf ("%s (%s)\n", vm_json_str (grant, "name", ""), *list != '\0' ? list : "opt-in");
  print_line ("%s", vm_json_str (grant, "summary", ""));
  if (problem != NULL) {
    print_line ("missing: %s", problem);
    return;
  }
  print_mounts (vm_json_array (here, "mounts"));
  print_names (vm_json_array (here, "environment"), "");
  print_names (vm_json_array (here, "secret-names"), " (secret)");
  if (in_vm != NULL)
    print_line ("not in a virtual machine: %s", in_vm);
}

/* Without a project that may be one, such as in the home, some directory that is in nobody's way stands in.
 */
static gboolean
gather (VmHost *host, const char *project, GError **error)
{
  if (!vm_host_gather (host, error))
    return FALSE;
  if (!vm_host_gather_project (host, project, error))
    return FALSE;
  if (project != NULL)
    return vm_plan_check_project (host, error);
  if (!vm_plan_check_project (host, NULL)) {
    vm_host_project_clear (&host->project);
    host->project.path = g_build_filename (host->home, "project", NULL);
  }
  return TRUE;
}

static int
grants (VmContext *context, gpointer data, char **args, char **command, GError **error)
{
  const GrantsOptions *o = data;
  json_object *array = json_object_new_array ();
  VmHost host = {0};

  if (!gather (&host, args[0], error)) {
    vm_host_clear (&host);
    json_object_put (array);
    return -1;
  }
  for (const VmGrant *const *grant = vm_grants; *grant != NULL; grant++)
    json_object_array_add (array, describe (*grant, &host));
  for (gsize i = 0; !o->json && i < json_object_array_length (array); i++)
    print_one (json_object_array_get_idx (array, i));
  if (o->json)
    vm_show_json (array);
  else
    json_object_put (array);
  vm_host_clear (&host);
  return 0;
}

const VmVerb vm_verb_grants = {
    .name = "grants",
    .usage = "[OPTIONS] [PROJECT]",
    .summary = "what each grant would let in on this host",
    .details =
        "Lists all grants with the built-in profiles that have them, what they would let in, and what is "
        "missing. Nothing is started or made.",
    .options = options,
    .options_size = sizeof (GrantsOptions),
    .max_args = 1,
    .complete = "dir",
    .run = grants,
};
