/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How it works
 *
 * ~/.claude inside is an empty directory of the sandbox's own. Sessions and the login are bound into it
 * read-write, from what is made on the host if need be, so that they outlive the sandbox. Settings, hooks and
 * the like are bound read-only. What is not there on the host can be made inside but stays inside: a hook
 * that a sandbox writes never runs on the host. ~/.claude.json holds commands of MCP servers beside its data,
 * so it is copied in and nothing of it comes back. */
#include "vmctl/claude-paths.h"
#include "vmctl/grant-parts.h"

#define WHY "grant:claude"

/* The host's ~/.claude, links followed; NULL: it leads where nothing may be written. (transfer full) */
static char *
find_folder (const VmHost *host)
{
  const VmHostEntry *entry = vm_grant_dotfile (host, ".claude");

  if (entry == NULL)
    return vm_grant_in_home (host, ".claude");
  return entry->is_dir ? g_strdup (vm_grant_source (host, entry)) : NULL;
}

static void
add_data (VmPlan *plan, const VmHost *host, const VmClaudePath *path, const char *source, const char *target)
{
  const VmHostEntry *entry = vm_host_entry (host->dotfiles, target);
  gboolean is_dir = path->kind == VM_CLAUDE_DATA_DIR;
  const char *real = entry != NULL ? vm_grant_source (host, entry) : source;

  if (real == NULL || (entry != NULL && entry->is_dir != is_dir)) {
    vm_plan_add_note (plan, "'%s' is not what it should be, and is left out", target);
    return;
  }
  if (entry == NULL)
    vm_plan_add_make (plan, is_dir ? VM_MAKE_DIR : VM_MAKE_FILE, source, NULL, path->content);
  if (is_dir)
    vm_plan_add_rw (plan, real, target, WHY);
  else
    vm_plan_add_rw_file (plan, real, target, WHY);
}

static void
add_setting (VmPlan *plan, const VmHost *host, const char *target)
{
  const VmHostEntry *entry = vm_host_entry (host->dotfiles, target);
  const char *source = entry != NULL ? vm_grant_source (host, entry) : NULL;

  if (source != NULL)
    vm_plan_add_ro (plan, source, target, entry->is_dir, WHY);
}

static void
add_variables (VmPlan *plan, const VmHost *host)
{
  static const char *const secrets[] = {"ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN",
                                        "CLAUDE_CODE_OAUTH_TOKEN", NULL};
  static const char *const plain[] = {"ANTHROPIC_BASE_URL", "ANTHROPIC_MODEL", NULL};

  for (const char *const *name = secrets; *name != NULL; name++)
    vm_plan_pass_secret (plan, host, *name);
  for (const char *const *name = plain; *name != NULL; name++)
    vm_plan_passenv (plan, host, *name);
  /* The program is the host's and read-only; the user upgrades it there. */
  vm_plan_setenv (plan, "DISABLE_AUTOUPDATER", "1");
}

static gboolean
add (VmPlan *plan, const VmHost *host, gboolean asked, GError **error)
{
  g_autofree char *inside = vm_grant_in_home (host, ".claude"), *folder = find_folder (host);
  const VmHostEntry *seed = vm_grant_dotfile (host, ".claude.json");
  const char *seed_source = seed != NULL && !seed->is_dir ? vm_grant_source (host, seed) : NULL;

  if (folder == NULL)
    return vm_grant_absent (asked, "claude", "~/.claude is no directory that may be let in; remove it",
                            error);
  vm_plan_add_dir (plan, inside, 0700, FALSE, WHY);
  for (const VmClaudePath *path = vm_claude_paths; path->name != NULL; path++) {
    g_autofree char *source = g_build_filename (folder, path->name, NULL);
    g_autofree char *target = g_build_filename (inside, path->name, NULL);

    if (path->kind == VM_CLAUDE_SETTING)
      add_setting (plan, host, target);
    else
      add_data (plan, host, path, source, target);
  }
  if (seed_source != NULL)
    vm_plan_add_copy (plan, seed_source, seed->path, 0600, WHY);
  add_variables (plan, host);
  return TRUE;
}

const VmGrant vm_grant_claude = {"claude",
                                 "Claude's sessions and login in ~/.claude, read-write; its settings, hooks "
                                 "and plugins, read-only; a copy of "
                                 "~/.claude.json; ANTHROPIC_API_KEY",
                                 add};
