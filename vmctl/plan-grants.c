/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which grants a plan has, and that each says whether it lets anything in. */
#include "vmctl/base/error.h"
#include "vmctl/grant.h"
#include "vmctl/plan-parts.h"

static gboolean
has (char **list, const char *name)
{
  return list != NULL && g_strv_contains ((const char *const *)list, name);
}

gboolean
vm_plan_profile_has (const VmProfile *profile, const VmHost *host, const char *grant)
{
  return has (profile->grants, grant) ||
         (profile->is_builtin && g_str_equal (grant, "nix-daemon") && vm_host_is_nixos (host));
}

/* A built-in profile whose user asked for a display gets a browser profile with it. */
static gboolean
is_wanted (const VmPlan *plan, const VmSpec *spec, const VmProfile *profile, const VmHost *host,
           const char *grant)
{
  if (has (spec->no_grants, grant))
    return FALSE;
  return has (spec->grants, grant) || vm_plan_profile_has (profile, host, grant) ||
         (profile->is_builtin && g_str_equal (grant, "chromium") &&
          (has (plan->grants, "display") || plan->screen.kind != VM_DISPLAY_UNSET));
}

/* How much of the host is in so far: a grant that changes nothing is not in force. */
static guint
weigh (const VmPlan *plan)
{
  return plan->mounts->len + g_strv_length (plan->environment) + g_strv_length (plan->secrets) +
         (guint)plan->userns;
}

static void
put_in_force (VmPlan *plan, const char *name)
{
  guint n = g_strv_length (plan->grants);

  plan->grants = g_renew (char *, plan->grants, n + 2);
  plan->grants[n] = g_strdup (name);
  plan->grants[n + 1] = NULL;
}

static gboolean
check_browser (const VmPlan *plan, GError **error)
{
  if (!has (plan->grants, "chromium") ||
      (!has (plan->grants, "dbus-session") && !has (plan->grants, "keyring")))
    return TRUE;
  return vm_error (
      error, VM_ERROR_USAGE,
      "grant 'chromium': with the session bus the browsers of two sandboxes find each other; add "
      "--no-grant chromium, or leave out 'dbus-session' and 'keyring'");
}

gboolean
vm_plan_add_grants (VmPlan *plan, const VmSpec *spec, const VmProfile *profile, const VmHost *host,
                    GError **error)
{
  g_autofree char *in_profile = g_strdup_printf ("profile '%s'", profile->name);

  if (!vm_grant_check_names (spec->grants, "--grant", error) ||
      !vm_grant_check_names (spec->no_grants, "--no-grant", error) ||
      !vm_grant_check_names (profile->grants, in_profile, error))
    return FALSE;
  for (const VmGrant *const *grant = vm_grants; *grant != NULL; grant++) {
    const char *name = (*grant)->name;
    guint before = weigh (plan);

    if (!is_wanted (plan, spec, profile, host, name))
      continue;
    if (!(*grant)->add (plan, host, has (spec->grants, name), error))
      return FALSE;
    if (weigh (plan) > before)
      put_in_force (plan, name);
  }
  return check_browser (plan, error);
}
