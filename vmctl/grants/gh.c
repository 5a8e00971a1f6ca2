/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gh, gh-token: the GitHub command line. */
#include "vmctl/grant-parts.h"

static gboolean
add_settings (VmPlan *plan, const VmHost *host, gboolean asked, GError **error)
{
  const VmHostEntry *entry = vm_grant_dotfile (host, ".config/gh");
  const char *source = entry != NULL ? vm_grant_source (host, entry) : NULL;

  if (source == NULL)
    return vm_grant_absent (asked, "gh", "there is no ~/.config/gh that can be let in; run: gh auth login",
                            error);
  vm_plan_add_ro (plan, source, entry->path, entry->is_dir, "grant:gh");
  return TRUE;
}

static gboolean
add_token (VmPlan *plan, const VmHost *host, gboolean asked, GError **error)
{
  gboolean gh = vm_plan_pass_secret (plan, host, "GH_TOKEN");
  gboolean github = vm_plan_pass_secret (plan, host, "GITHUB_TOKEN");

  return gh || github ||
         vm_grant_absent (asked, "gh-token", "neither $GH_TOKEN nor $GITHUB_TOKEN is set", error);
}

const VmGrant vm_grant_gh = {
    "gh", "the settings of gh, read-only: ~/.config/gh (it may hold a token for GitHub)", add_settings};
const VmGrant vm_grant_gh_token = {"gh-token", "the tokens for GitHub in GH_TOKEN and GITHUB_TOKEN",
                                   add_token};
