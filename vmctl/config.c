/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How it works
 *
 * Each file is parsed into a VmLayer: a spec that holds only what the file says, checked as the command line
 * is. Layers are then laid under the spec from the strongest to the weakest; a layer fills only what is still
 * open. The project's own file is different: whoever writes in the project writes that file, a sandbox
 * included, so it is laid last and may only take away. */
#include "vmctl/config.h"

#include <fcntl.h>
#include <string.h>

#include "vmctl/base/error.h"
#include "vmctl/config-parts.h"
#include "vmctl/net-tighten.h"

void
vm_profile_clear (VmProfile *profile)
{
  g_free (profile->name);
  g_free (profile->summary);
  g_strfreev (profile->entrypoint);
  g_strfreev (profile->grants);
  g_strfreev (profile->path);
  g_free (profile->prompt);
  g_free (profile->get);
  *profile = (VmProfile){0};
}

/* Laying a layer under the spec. */

static gboolean
holds (char **list, const char *word)
{
  return list != NULL && g_strv_contains ((const char *const *)list, word);
}

/* TRUE if the list has a value for the variable of `env` ("NAME" or "NAME=value"). */
static gboolean
holds_variable (char **list, const char *env)
{
  gsize length = strcspn (env, "=");

  for (; list != NULL && *list != NULL; list++)
    if (strncmp (*list, env, length) == 0 && ((*list)[length] == '=' || (*list)[length] == '\0'))
      return TRUE;
  return FALSE;
}

static void
append (char ***list, const char *word)
{
  guint n = *list != NULL ? g_strv_length (*list) : 0;

  *list = g_renew (char *, *list, n + 2);
  (*list)[n] = g_strdup (word);
  (*list)[n + 1] = NULL;
}

static void
fill_string (char **slot, const char *value)
{
  if (*slot == NULL)
    *slot = g_strdup (value);
}

/* A stronger "take it away" beats a weaker "let it in", and the other way round. */
static void
fill_grants (VmSpec *spec, const VmSpec *layer)
{
  g_auto (GStrv) named = g_strdupv (spec->grants);

  for (char **one = layer->grants; one != NULL && *one != NULL; one++)
    if (!holds (spec->no_grants, *one) && !holds (spec->grants, *one))
      append (&spec->grants, *one);
  for (char **one = layer->no_grants; one != NULL && *one != NULL; one++)
    if (!holds (named, *one) && !holds (spec->no_grants, *one))
      append (&spec->no_grants, *one);
}

/* What is allowed and denied belongs together: all of it comes from one layer. Groups may come from any. */
static void
fill_net (VmSpec *spec, const VmSpec *layer)
{
  if (spec->net == VM_NET_DEFAULT) {
    spec->net = layer->net;
    spec->net_says_public = layer->net_says_public;
    spec->net_items = g_strdupv (layer->net_items);
  }
  for (char **one = layer->net_groups; one != NULL && *one != NULL; one++)
    append (&spec->net_groups, *one); /* the first one of a name counts */
  for (char **one = layer->net_host_ports; one != NULL && *one != NULL; one++)
    if (!holds (spec->net_host_ports, *one))
      append (&spec->net_host_ports, *one);
}

/* `by` names the layer where a person looks for what asks for an isolation. */
static void
fill (VmSpec *spec, const VmLayer *layer, const char *by, gboolean *no_root_is_set)
{
  vm_spec_raise_isolation (spec, layer->spec.min_isolation, by);
  fill_string (&spec->accel, layer->spec.accel);
  fill_string (&spec->driver, layer->spec.driver);
  fill_string (&spec->profile, layer->spec.profile);
  fill_string (&spec->kernel, layer->spec.kernel);
  if (spec->memory == 0)
    spec->memory = layer->spec.memory;
  if (spec->cpus == 0)
    spec->cpus = layer->spec.cpus;
  if (spec->processes == 0)
    spec->processes = layer->spec.processes;
  if (spec->disk == 0 && !spec->disk_none) {
    spec->disk = layer->spec.disk;
    spec->disk_none = layer->spec.disk_none;
  }
  fill_net (spec, &layer->spec);
  if (spec->display == VM_DISPLAY_UNSET)
    spec->display = layer->spec.display;
  if (spec->width == 0) {
    spec->width = layer->spec.width;
    spec->height = layer->spec.height;
  }
  if (spec->boot_timeout == 0)
    spec->boot_timeout = layer->spec.boot_timeout;
  if (!spec->sets_restart && layer->spec.sets_restart) {
    spec->restart_max = layer->spec.restart_max;
    spec->sets_restart = TRUE;
  }
  if (spec->watchdog == 0)
    spec->watchdog = layer->spec.watchdog;
  spec->cold = spec->cold || layer->spec.cold;
  spec->makes_no_templates = spec->makes_no_templates || layer->spec.makes_no_templates;
  if (spec->templates_max == 0)
    spec->templates_max = layer->spec.templates_max;
  if (!*no_root_is_set && layer->sets_no_root) {
    spec->no_root = layer->spec.no_root;
    *no_root_is_set = TRUE;
  }
  for (char **one = layer->spec.env; one != NULL && *one != NULL; one++)
    if (!holds_variable (spec->env, *one))
      append (&spec->env, *one);
  fill_grants (spec, &layer->spec);
}

/* Profiles. */

static const char *const shell_grants[] = {"locale", "tz", "tls", "dns", "fonts", "git", NULL};
static const char *const claude_grants[] = {"locale", "tz",        "tls", "dns",        "fonts", "git",
                                            "claude", "ssh-agent", "gh",  "nix-daemon", NULL};

gboolean
vm_profile_builtin (const char *name, VmProfile *ret)
{
  static const char *const claude[] = {"claude", NULL};
  gboolean is_claude = g_str_equal (name, "claude"), is_shell = g_str_equal (name, "shell");

  if (!is_claude && !is_shell && !g_str_equal (name, "claude-shell"))
    return FALSE;
  ret->name = g_strdup (name);
  ret->summary = g_strdup (is_claude  ? "Claude Code, a coding agent"
                           : is_shell ? "your login shell"
                                      : "your login shell, with the grants of 'claude'");
  ret->entrypoint = is_claude ? g_strdupv ((char **)claude) : NULL;
  ret->grants = g_strdupv ((char **)(is_shell ? shell_grants : claude_grants));
  ret->appends = is_claude;
  ret->prompt = is_claude ? g_strdup ("--append-system-prompt") : NULL;
  ret->get = is_claude ? g_strdup ("npm install -g @anthropic-ai/claude-code") : NULL;
  ret->is_builtin = TRUE;
  return TRUE;
}

static void
take_profile (VmLayer *layer, const char *name, VmProfile *ret)
{
  *ret = layer->profile;
  layer->profile = (VmProfile){0};
  ret->name = g_strdup (name);
  if (ret->grants == NULL)
    ret->grants = g_new0 (char *, 1);
  if (ret->summary == NULL)
    ret->summary = g_strdup ("");
}

/* The user's file, the system's, the built-in one: the first that there is. */
static gboolean
find_profile (const VmDirs *dirs, const char *system_config, const char *name, const char *what,
              VmLayer *layer, VmProfile *ret, GError **error)
{
  g_autofree char *system = g_path_get_dirname (system_config);
  g_autofree char *file = NULL;
  const char *folders[] = {dirs->config, system};

  if (!vm_spec_is_name (name))
    return vm_error (error, VM_ERROR_USAGE, "%s: '%s' is not the name of a profile", what, name);
  file = g_strconcat (name, ".conf", NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (folders); i++) {
    g_autofree char *path = g_build_filename (folders[i], "profiles", file, NULL);
    gboolean found;

    if (!vm_layer_load (path, TRUE, 0, layer, &found, error))
      return FALSE;
    if (found) {
      take_profile (layer, name, ret);
      return TRUE;
    }
  }
  if (vm_profile_builtin (name, ret))
    return TRUE;
  return vm_error (error, VM_ERROR_USAGE,
                   "%s: there is no profile '%s'; make '%s/profiles/%s', or use 'shell' or 'claude'", what,
                   name, dirs->config, file);
}

/* The project's own file. */

static void
ignore (VmSpec *spec, const char *origin, const char *asked, const char *reason)
{
  g_autofree char *sentence =
      g_strdup_printf ("'%s' asked for %s, which was ignored: %s", origin, asked, reason);

  append (&spec->ignored, sentence);
}

/* What the file of a project may set, and whether this value of it takes away. NULL: applied; else the reason
 * why not. `set` is the spec with all stronger and weaker layers in it, `own` the command line alone. */
static const char *
tighten_sizes (const char *key, const VmSpec *own, const VmSpec *asked, VmSpec *set)
{
  static const char *const stronger = "the command line says otherwise", *const more =
                                                                             "it is more than without it";

  if (g_str_equal (key, "memory")) {
    if (own->memory != 0)
      return stronger;
    if (set->memory != 0 && asked->memory > set->memory)
      return more;
    if (set->memory != 0)
      set->memory = asked->memory;
    set->memory_limit = asked->memory;
    return set->memory == 0 && asked->memory > VM_SPEC_MEMORY_DEFAULT_MAX ? more : NULL;
  }
  if (g_str_equal (key, "cpus")) {
    if (own->cpus != 0)
      return stronger;
    if (set->cpus != 0 && asked->cpus > set->cpus)
      return more;
    if (set->cpus != 0)
      set->cpus = asked->cpus;
    set->cpus_limit = asked->cpus;
    return set->cpus == 0 && asked->cpus > VM_SPEC_CPUS_DEFAULT_MAX ? more : NULL;
  }
  if (own->disk != 0 || own->disk_none)
    return stronger;
  if (!asked->disk_none && (set->disk_none || asked->disk > vm_spec_disk_size (set)))
    return more;
  set->disk = asked->disk;
  set->disk_none = asked->disk_none;
  return NULL;
}

static const char *
tighten_processes (const VmSpec *own, const VmSpec *asked, VmSpec *set)
{
  if (own->processes != 0)
    return "the command line says otherwise";
  if (asked->processes > (set->processes != 0 ? set->processes : VM_SPEC_PROCESSES_DEFAULT))
    return "it is more than without it";
  set->processes = asked->processes;
  return NULL;
}

static const char *
tighten_root (const VmLayer *asked, VmSpec *set)
{
  if (!asked->spec.no_root)
    return set->no_root ? "nobody becomes root inside" : NULL;
  set->no_root = TRUE;
  return NULL;
}

/* Its groups are not asked for: they are the user's. */
static gboolean
tighten_net (const char *origin, const VmSpec *own, const VmSpec *asked, VmSpec *set, GError **error)
{
  const VmNetSaid wanted = {asked->net, asked->net_says_public, asked->net_items};
  VmNetSaid said = {set->net, set->net_says_public, set->net_items};
  g_auto (GStrv) dropped = NULL;
  gboolean ok;

  if (own->net != VM_NET_DEFAULT && own->net != VM_NET_NONE) {
    ignore (set, origin, "net", "the command line says otherwise");
    return TRUE;
  }
  ok = vm_net_tighten (&said, &wanted, set->net_groups, &dropped, error);
  set->net = said.mode;
  set->net_says_public = said.says_public;
  set->net_items = said.items;
  for (char **one = dropped; ok && *one != NULL; one++) {
    g_autofree char *text = g_strconcat ("net=", *one, NULL);

    ignore (set, origin, text,
            set->net == VM_NET_NONE ? "there is no network" : "it is more than without it");
  }
  if (!ok)
    g_prefix_error (error, "'%s': net: ", origin);
  return ok;
}

static const char *
tighten_isolation (const VmSpec *asked, VmSpec *set)
{
  if (asked->min_isolation < set->min_isolation)
    return "it is less than without it";
  vm_spec_raise_isolation (set, asked->min_isolation, "min-isolation in the project's .vmctl.conf");
  return NULL;
}

static void
tighten_grants (const char *origin, const VmSpec *own, const VmSpec *asked, VmSpec *set)
{
  for (char **one = asked->no_grants; *one != NULL; one++) {
    g_autofree char *text = g_strconcat ("no-grants=", *one, NULL);

    if (holds (own->grants, *one))
      ignore (set, origin, text, "the command line says otherwise");
    else if (!holds (set->no_grants, *one))
      append (&set->no_grants, *one);
  }
}

static gboolean
tighten (const char *origin, const VmSpec *own, const VmLayer *asked, VmSpec *set, GError **error)
{
  for (char **one = asked->asked; *one != NULL; one++) {
    g_autofree char *key = g_strndup (*one, strcspn (*one, "="));
    const char *reason = "a project may only tighten";

    if (g_str_equal (key, "memory") || g_str_equal (key, "cpus") || g_str_equal (key, "disk"))
      reason = tighten_sizes (key, own, &asked->spec, set);
    else if (g_str_equal (key, "no-root"))
      reason = tighten_root (asked, set);
    else if (g_str_equal (key, "net")) {
      if (!tighten_net (origin, own, &asked->spec, set, error))
        return FALSE;
      reason = NULL;
    } else if (g_str_equal (key, "processes"))
      reason = tighten_processes (own, &asked->spec, set);
    else if (g_str_equal (key, "min-isolation"))
      reason = tighten_isolation (&asked->spec, set);
    else if (g_str_equal (key, "no-grants")) {
      tighten_grants (origin, own, &asked->spec, set);
      reason = NULL;
    }
    if (reason != NULL)
      ignore (set, origin, *one, reason);
  }
  return TRUE;
}

/* The command line's part of the spec, before anything was filled in; only what `tighten` asks for. */
static void
remember (const VmSpec *spec, VmSpec *own)
{
  own->memory = spec->memory;
  own->cpus = spec->cpus;
  own->processes = spec->processes;
  own->disk = spec->disk;
  own->disk_none = spec->disk_none;
  own->net = spec->net;
  own->grants = g_strdupv (spec->grants);
}

static gboolean
apply_project (const char *project_dir, const VmSpec *own, VmSpec *spec, GError **error)
{
  g_autofree char *path = g_build_filename (project_dir, ".vmctl.conf", NULL);
  g_auto (VmLayer) layer = {0};
  gboolean found;

  if (!vm_layer_load (path, FALSE, O_NOFOLLOW, &layer, &found, error))
    return FALSE;
  return !found || tighten (path, own, &layer, spec, error);
}

static const char by_policy[] = "min-isolation in the system's configuration (" VM_CONFIG_POLICY ")";
static const char by_system[] = "min-isolation in the system's configuration (" VMCTL_SYSCONFDIR "/config)";

gboolean
vm_config_apply_policy (const char *system_config, VmSpec *spec, GError **error)
{
  g_auto (VmLayer) system = {0};
  gboolean found;

  if (!vm_layer_load (system_config, FALSE, 0, &system, &found, error))
    return FALSE;
  vm_spec_raise_isolation (spec, system.spec.min_isolation,
                           g_str_equal (system_config, VM_CONFIG_POLICY) ? by_policy : by_system);
  return TRUE;
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (VmSpec, vm_spec_clear)

gboolean
vm_config_net_groups (const VmDirs *dirs, const char *system_config, char ***ret, GError **error)
{
  g_autofree char *user_config = g_build_filename (dirs->config, "config", NULL);
  g_auto (VmLayer) user = {0}, system = {0};
  g_auto (VmSpec) spec = {0};
  gboolean found;

  if (!vm_layer_load (user_config, FALSE, 0, &user, &found, error) ||
      !vm_layer_load (system_config, FALSE, 0, &system, &found, error))
    return FALSE;
  fill_net (&spec, &user.spec);
  fill_net (&spec, &system.spec);
  *ret = g_steal_pointer (&spec.net_groups);
  return TRUE;
}

gboolean
vm_config_apply (const VmDirs *dirs, const char *system_config, const char *project_dir, VmSpec *spec,
                 VmProfile *ret_profile, GError **error)
{
  g_autofree char *user_config = g_build_filename (dirs->config, "config", NULL);
  g_auto (VmLayer) user = {0}, system = {0}, of_profile = {0};
  g_auto (VmSpec) own = {0};
  gboolean found, no_root_is_set = spec->no_root;
  const char *where;
  VmProfile profile = {0};

  remember (spec, &own);
  if (!vm_layer_load (user_config, FALSE, 0, &user, &found, error) ||
      !vm_layer_load (system_config, FALSE, 0, &system, &found, error))
    return FALSE;
  where = spec->profile != NULL         ? "--profile"
          : user.spec.profile != NULL   ? user.profile_origin
          : system.spec.profile != NULL ? system.profile_origin
                                        : "--profile";
  fill_string (&spec->profile, user.spec.profile);
  fill_string (&spec->profile, system.spec.profile);
  fill_string (&spec->profile, "shell");
  if (!find_profile (dirs, system_config, spec->profile, where, &of_profile, &profile, error))
    return FALSE;
  fill (spec, &of_profile, "the profile's min-isolation", &no_root_is_set);
  fill (spec, &user, "min-isolation in your configuration", &no_root_is_set);
  fill (spec, &system, by_system, &no_root_is_set);
  if (project_dir != NULL && !apply_project (project_dir, &own, spec, error)) {
    vm_profile_clear (&profile);
    return FALSE;
  }
  *ret_profile = profile;
  return TRUE;
}
