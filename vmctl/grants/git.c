/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* git: the user's settings. */
#include "vmctl/grant-parts.h"
#include "vmctl/path.h"

static gboolean
add (VmPlan *plan, const VmHost *host, gboolean asked, GError **error)
{
  g_autofree char *file = vm_grant_in_home (host, ".gitconfig");
  g_autofree char *folder = vm_grant_in_home (host, ".config/git");
  guint n = 0;

  for (const VmHostEntry *e = host->dotfiles; e != NULL && e->path != NULL; e++) {
    const char *source;

    if (!g_str_equal (e->path, file) && !vm_path_is_within (e->path, folder))
      continue;
    source = vm_grant_source (host, e);
    if (source == NULL)
      continue;
    vm_plan_add_ro (plan, source, e->path, e->is_dir, "grant:git");
    n++;
  }
  return n > 0 || vm_grant_absent (asked, "git",
                                   "there is neither ~/.gitconfig nor a setting in ~/.config/git; run: git "
                                   "config --global user.name NAME",
                                   error);
}

const VmGrant vm_grant_git = {
    "git", "your git settings, read-only: ~/.gitconfig, ~/.config/git (never stored passwords)", add};
