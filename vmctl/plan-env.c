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
set_in (char ***list, const char *name, const char *value)
{
  *list = g_environ_setenv (*list, name, value, TRUE);
  qsort (*list, g_strv_length (*list), sizeof (char *), compare);
}

static void
set (VmPlan *plan, const char *name, const char *value)
{
  plan->secrets = g_environ_unsetenv (plan->secrets, name);
  set_in (&plan->environment, name, value);
}

static void
set_secret (VmPlan *plan, const char *name, const char *value)
{
  plan->environment = g_environ_unsetenv (plan->environment, name);
  set_in (&plan->secrets, name, value);
}

gboolean
vm_plan_is_secret_name (const char *name)
{
  static const char *const ends[] = {"TOKEN",  "KEY",        "SECRET",     "PASSWORD",
                                     "PASSWD", "PASSPHRASE", "CREDENTIALS"};

  for (gsize i = 0; i < G_N_ELEMENTS (ends); i++)
    if (g_str_has_suffix (name, ends[i]))
      return TRUE;
  return FALSE;
}

char **
vm_plan_full_environment (const VmPlan *plan)
{
  char **all = g_strdupv (plan->environment);

  for (char **one = plan->secrets; *one != NULL; one++) {
    g_autofree char *name = g_strndup (*one, strcspn (*one, "="));

    set_in (&all, name, *one + strlen (name) + 1);
  }
  return all;
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

gboolean
vm_plan_pass_secret (VmPlan *plan, const VmHost *host, const char *name)
{
  const char *value = g_environ_getenv (host->environment, name);

  if (value == NULL || *value == '\0' || !g_utf8_validate (value, -1, NULL))
    return FALSE;
  set_secret (plan, name, value);
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
add_path (VmPlan *plan, const VmProfile *profile, const VmHost *host)
{
  static const char *const usual[] = {"/usr/local/bin", "/usr/bin", "/bin", NULL};
  const char *value = g_environ_getenv (host->environment, "PATH");
  g_auto (GStrv) dirs = g_strsplit (value != NULL ? value : "", ":", -1);
  g_autoptr (GPtrArray) path = g_ptr_array_new_null_terminated (16, g_free, TRUE);
  g_autofree char *text = NULL;

  for (char **dir = profile->path; dir != NULL && *dir != NULL; dir++)
    add_to_path (plan, path, *dir);
  g_ptr_array_add (path, g_build_filename (plan->home, ".local/bin", NULL));
  if (vm_plan_program_dir (plan) != NULL)
    g_ptr_array_add (path, g_strdup (vm_plan_program_dir (plan)));
  for (char **dir = dirs; *dir != NULL; dir++)
    add_to_path (plan, path, *dir);
  for (const char *const *dir = usual; *dir != NULL; dir++)
    add_to_path (plan, path, *dir);
  text = g_strjoinv (":", (char **)path->pdata);
  vm_plan_setenv (plan, "PATH", text);
}

void
vm_plan_add_environment (VmPlan *plan, const VmProfile *profile, const VmHost *host)
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
  vm_plan_setenv (plan, "VMCTL_SANDBOX", "1");
  vm_plan_setenv (plan, "VMCTL_ID", plan->id);
  vm_plan_setenv (plan, "VMCTL_DRIVER", plan->driver);
  add_path (plan, profile, host);
}

gboolean
vm_plan_add_spec_environment (VmPlan *plan, const VmSpec *spec, const VmHost *host, GError **error)
{
  g_auto (GStrv) env = vm_spec_resolve_env (spec->env, host->environment, "--env", error);

  for (char **one = env; one != NULL && *one != NULL; one++) {
    g_autofree char *name = g_strndup (*one, strcspn (*one, "="));
    const char *value = *one + strlen (name) + 1;

    if (vm_plan_is_secret_name (name))
      set_secret (plan, name, value);
    else
      set (plan, name, value);
  }
  return env != NULL;
}
