/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The environment inside: a list of what is passed on, never the host's own. */
#include <string.h>

#include "vmctl/base/error.h"
#include "vmctl/plan-parts.h"

static int
compare (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *)a, *(const char *const *)b);
}

static void
set (VmPlan *plan, const char *name, const char *value)
{
  plan->environment = g_environ_setenv (plan->environment, name, value, TRUE);
  qsort (plan->environment, g_strv_length (plan->environment), sizeof (char *), compare);
}

void
vm_plan_setenv (VmPlan *plan, const char *name, const char *value)
{
  if (value != NULL && *value != '\0')
    set (plan, name, value);
}

gboolean
vm_plan_passenv (VmPlan *plan, const VmHost *host, const char *name)
{
  const char *value = g_environ_getenv (host->environment, name);

  if (value == NULL || *value == '\0' || !g_utf8_validate (value, -1, NULL))
    return FALSE;
  set (plan, name, value);
  return TRUE;
}

static void
add_to_path (VmPlan *plan, GPtrArray *path, const char *dir)
{
  if (*dir != '/' || !vm_plan_shows (plan, dir) || !g_utf8_validate (dir, -1, NULL) ||
      g_ptr_array_find_with_equal_func (path, dir, g_str_equal, NULL))
    return;
  g_ptr_array_add (path, g_strdup (dir));
}

/* The host's order, without what is not there inside. Where root is allowed, the agent puts its own sudo
 * before all. */
static void
add_path (VmPlan *plan, const VmHost *host)
{
  static const char *const usual[] = {"/usr/local/bin", "/usr/bin", "/bin", NULL};
  const char *value = g_environ_getenv (host->environment, "PATH");
  g_auto (GStrv) dirs = g_strsplit (value != NULL ? value : "", ":", -1);
  g_autoptr (GPtrArray) path = g_ptr_array_new_null_terminated (16, g_free, TRUE);
  g_autofree char *text = NULL;

  g_ptr_array_add (path, g_build_filename (plan->home, ".local/bin", NULL));
  for (char **dir = dirs; *dir != NULL; dir++)
    add_to_path (plan, path, *dir);
  for (const char *const *dir = usual; *dir != NULL; dir++)
    add_to_path (plan, path, *dir);
  text = g_strjoinv (":", (char **)path->pdata);
  vm_plan_setenv (plan, "PATH", text);
}

void
vm_plan_add_environment (VmPlan *plan, const VmHost *host)
{
  static const char *const passed[] = {"TERM", "COLORTERM", "NO_COLOR", "EDITOR", "VISUAL", "PAGER", NULL};
  g_autofree char *run = g_strdup_printf ("/run/user/%u", plan->uid);

  for (const char *const *name = passed; *name != NULL; name++)
    vm_plan_passenv (plan, host, *name);
  vm_plan_setenv (plan, "HOME", plan->home);
  vm_plan_setenv (plan, "USER", plan->user);
  vm_plan_setenv (plan, "LOGNAME", plan->user);
  vm_plan_setenv (plan, "SHELL", plan->shell);
  vm_plan_setenv (plan, "XDG_RUNTIME_DIR", run);
  vm_plan_setenv (plan, "VMCTL_SANDBOX", plan->id);
  add_path (plan, host);
}

gboolean
vm_plan_add_spec_environment (VmPlan *plan, const VmSpec *spec, const VmHost *host, GError **error)
{
  for (char **one = spec->env; one != NULL && *one != NULL; one++) {
    const char *value = strchr (*one, '=');
    g_autofree char *name = g_strndup (*one, strcspn (*one, "="));
    const char *theirs = g_environ_getenv (host->environment, name);

    if (!vm_spec_check_env (*one, "--env", error))
      return FALSE;
    if (value == NULL && theirs != NULL && !g_utf8_validate (theirs, -1, NULL))
      return vm_error (error, VM_ERROR_USAGE, "--env: the value of '%s' is not UTF-8", name);
    if (value != NULL)
      set (plan, name, value + 1);
    else
      vm_plan_setenv (plan, name, theirs);
  }
  return TRUE;
}
