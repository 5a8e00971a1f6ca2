/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/grant.h"

#include "vmctl/base/error.h"
#include "vmctl/plan-parts.h"

#define GRANT(name) extern const VmGrant vm_grant_##name;
#include "vmctl/grants.def"
#undef GRANT

const VmGrant *const vm_grants[] = {
#define GRANT(name) &vm_grant_##name,
#include "vmctl/grants.def"
#undef GRANT
    NULL,
};

const VmGrant *
vm_grant_find (const char *name)
{
  for (const VmGrant *const *grant = vm_grants; *grant != NULL; grant++)
    if (g_str_equal ((*grant)->name, name))
      return *grant;
  return NULL;
}

gboolean
vm_grant_check_names (char **names, const char *what, GError **error)
{
  g_autoptr (GString) known = NULL;

  for (; names != NULL && *names != NULL; names++) {
    if (vm_grant_find (*names) != NULL)
      continue;
    known = g_string_new (NULL);
    for (const VmGrant *const *grant = vm_grants; *grant != NULL; grant++)
      g_string_append_printf (known, "%s%s", known->len > 0 ? ", " : "", (*grant)->name);
    return vm_error (error, VM_ERROR_USAGE, "%s: '%s' is not a grant; there are: %s", what, *names,
                     known->str);
  }
  return TRUE;
}

VmPlan *
vm_grant_try (const VmGrant *grant, const VmHost *host, VmIsolation isolation, GError **error)
{
  g_autoptr (VmPlan) plan = vm_plan_new ();

  plan->isolation = isolation;
  plan->id = g_strdup ("grants");
  plan->home = g_strdup (host->home);
  plan->project = g_strdup (host->project.path);
  plan->runtime_dir = g_build_filename (host->dirs.runtime, plan->id, NULL);
  plan->uid = host->uid;
  plan->gid = host->gid;
  plan->net = VM_NET_PUBLIC;
  if (!grant->add (plan, host, TRUE, error))
    return NULL;
  return g_steal_pointer (&plan);
}
