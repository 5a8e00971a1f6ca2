/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/grant-parts.h"

#include "vmctl/base/error.h"
#include "vmctl/etc.h"
#include "vmctl/path.h"

gboolean
vm_grant_absent (gboolean asked, const char *grant, const char *reason, GError **error)
{
  return !asked || vm_error (error, VM_ERROR_HOST, "grant '%s': %s", grant, reason);
}

guint
vm_grant_add_etc (VmPlan *plan, const VmHost *host, const char *grant)
{
  g_autofree char *why = g_strconcat ("grant:", grant, NULL);
  guint n = 0;

  for (const VmHostEntry *e = host->etc; e != NULL && e->path != NULL; e++) {
    const VmEtcRule *rule = vm_etc_rule_find (e->path);

    if (rule == NULL || g_strcmp0 (rule->grant, grant) != 0)
      continue;
    vm_plan_add_entry (plan, e, why);
    n++;
  }
  return n;
}

void
vm_grant_pass_file (VmPlan *plan, const VmHost *host, const char *name)
{
  const char *value = g_environ_getenv (host->environment, name);

  if (value != NULL && *value == '/' && vm_plan_shows (plan, value))
    vm_plan_passenv (plan, host, name);
}

char *
vm_grant_in_home (const VmHost *host, const char *name)
{
  return g_build_filename (vm_plan_home (host), name, NULL);
}

const VmHostEntry *
vm_grant_dotfile (const VmHost *host, const char *name)
{
  g_autofree char *path = vm_grant_in_home (host, name);

  return vm_host_entry (host->dotfiles, path);
}

/* Where a sandbox could have put something. */
static gboolean
is_in_project (const VmHost *host, const char *path)
{
  return vm_path_is_within (path, host->project.path) ||
         (host->project.git_dir != NULL && vm_path_is_within (path, host->project.git_dir));
}

const char *
vm_grant_source (const VmHost *host, const VmHostEntry *entry)
{
  const char *why;

  if (is_in_project (host, entry->path))
    return NULL;
  if (entry->real == NULL)
    return entry->link == NULL ? entry->path : NULL;
  if (is_in_project (host, entry->real) ||
      (vm_plan_is_forbidden (host, entry->real, &why) && !vm_path_is_within (entry->real, "/nix/store")))
    return NULL;
  return entry->real;
}

char *
vm_grant_in_runtime (const VmPlan *plan, const char *name)
{
  return g_strdup_printf ("/run/user/%u/%s", plan->uid, name);
}

gboolean
vm_grant_add_socket (VmPlan *plan, const VmHost *host, gboolean asked, const char *grant, const char *socket,
                     const char *target, VmSocketNeeds needs, const char *absent, gboolean *ret_added,
                     GError **error)
{
  const VmHostSocket *found = vm_host_socket (host, socket);
  g_autofree char *why = g_strconcat ("grant:", grant, NULL), *problem = NULL;

  *ret_added = FALSE;
  if (found == NULL)
    return vm_grant_absent (asked, grant, absent, error);
  if (found->problem != NULL)
    problem = g_strdup (found->problem);
  else if (is_in_project (host, found->path))
    problem = g_strdup_printf ("'%s' lies in the project, where a sandbox may put another", found->path);
  if (problem != NULL && asked)
    return vm_error (error, VM_ERROR_HOST, "grant '%s': %s", grant, problem);
  if (problem != NULL) {
    vm_plan_add_note (plan, "grant '%s' is left out: %s", grant, problem);
    return TRUE;
  }
  if (vm_plan_mount_at (plan, target) == NULL)
    vm_plan_add_socket (plan, found->path, target, needs, why);
  *ret_added = TRUE;
  return TRUE;
}
