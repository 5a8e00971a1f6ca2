/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which directories may be a project, and what of one is kept read-only. */
#include <string.h>

#include "meta/format.h"
#include "vmctl/base/error.h"
#include "vmctl/path.h"
#include "vmctl/plan-parts.h"

/* Refused: the directory itself and what lies above it. What lies in it is fine: /etc/nixos, /usr/src/x. */
static const char *const system_places[] = {"/usr",  "/usr/local", "/etc", "/var",   "/opt",
                                            "/home", "/root",      "/nix", "/tmp",   "/var/tmp",
                                            "/run",  "/srv",       "/mnt", "/media", NULL};

/* Refused: also all that lies in them. */
static const char *const no_places[] = {"/proc", "/sys", "/dev", "/run/vmctl", META_DIR_ALIAS, NULL};
static const char *const program_places[] = {"/bin",
                                             "/sbin",
                                             "/lib",
                                             "/lib32",
                                             "/lib64",
                                             "/boot",
                                             "/nix/store",
                                             "/usr/bin",
                                             "/usr/sbin",
                                             "/usr/lib",
                                             "/usr/lib32",
                                             "/usr/lib64",
                                             "/usr/libexec",
                                             "/usr/share",
                                             "/usr/include",
                                             "/usr/games",
                                             "/usr/local/bin",
                                             "/usr/local/sbin",
                                             "/usr/local/lib",
                                             "/run/current-system",
                                             NULL};

static gboolean
is_one_of (const char *path, const char *const *places, gboolean inside_too)
{
  for (; *places != NULL; places++)
    if (vm_path_is_within (*places, path) || (inside_too && vm_path_is_within (path, *places)))
      return TRUE;
  return FALSE;
}

/* Of the two ways to meddle with a private place, being above it matters as much as being in it. */
static gboolean
touches (const char *path, const char *place)
{
  return place != NULL && (vm_path_is_within (place, path) || vm_path_is_within (path, place));
}

static gboolean
touches_home (const VmHost *host, const char *path, const char **ret_why)
{
  static const char *const secrets[] = {".ssh", ".gnupg", NULL};
  const char *homes[] = {host->home, host->home_real};

  for (gsize i = 0; i < G_N_ELEMENTS (homes) && homes[i] != NULL; i++) {
    *ret_why = g_str_equal (path, homes[i]) ? "is your home directory" : "holds your home directory";
    if (vm_path_is_within (homes[i], path))
      return TRUE;
    *ret_why = "holds your keys, or lies among them";
    for (const char *const *name = secrets; *name != NULL; name++) {
      g_autofree char *place = g_build_filename (homes[i], *name, NULL);

      if (touches (path, place))
        return TRUE;
    }
  }
  return FALSE;
}

gboolean
vm_plan_is_forbidden (const VmHost *host, const char *path, const char **ret_why)
{
  const char *own[] = {host->dirs.runtime, host->dirs.state, host->dirs.cache, host->dirs.data,
                       host->dirs.config};

  *ret_why = "is the whole file system";
  if (g_str_equal (path, "/"))
    return TRUE;
  *ret_why = "is no place for files of yours";
  if (is_one_of (path, no_places, TRUE))
    return TRUE;
  *ret_why = "holds programs of the system, or lies among them";
  if (is_one_of (path, program_places, TRUE) && !is_one_of (path, system_places, FALSE))
    return TRUE;
  if (touches_home (host, path, ret_why))
    return TRUE;
  *ret_why = "holds vmctl's own files, or lies among them";
  for (gsize i = 0; i < G_N_ELEMENTS (own); i++)
    if (touches (path, own[i]))
      return TRUE;
  *ret_why = "holds your home, your keys or vmctl's own files, or lies among them";
  for (char **place = host->secret; place != NULL && *place != NULL; place++)
    if (!g_str_equal (*place, vm_plan_home (host)) && touches (path, *place))
      return TRUE;
  *ret_why = "is a directory of the system";
  return is_one_of (path, system_places, FALSE);
}

gboolean
vm_plan_check_project (const VmHost *host, GError **error)
{
  const VmHostProject *project = &host->project;
  const char *why;

  if (project->path == NULL || *project->path != '/')
    return vm_error (error, VM_ERROR_USAGE, "there is no project; name a directory");
  if (!g_utf8_validate (project->path, -1, NULL))
    return vm_error (error, VM_ERROR_USAGE, "the path of the project is not UTF-8; rename that directory");
  if (vm_plan_is_forbidden (host, project->path, &why))
    return vm_error (error, VM_ERROR_USAGE,
                     "project '%s' %s; a sandbox may not write there: name a directory of its own",
                     project->path, why);
  if (host->uid == 0 && project->uid != 0)
    return vm_error (
        error, VM_ERROR_USAGE,
        "project '%s' belongs to uid %u, and root would leave files of root's in it; run vmctl as that "
        "user, or through sudo from that user",
        project->path, project->uid);
  return TRUE;
}

/* The main git dir comes along if it is a place that may be written, and none that widens the project. */
static gboolean
takes_git_dir (const VmHost *host)
{
  const VmHostProject *project = &host->project;
  const char *why;

  return project->git_dir != NULL && !vm_plan_is_forbidden (host, project->git_dir, &why) &&
         !vm_path_is_within (project->git_dir, project->path) &&
         !vm_path_is_within (project->path, project->git_dir);
}

static const VmHostEntry *
find_present (const VmHostProject *project, const char *path)
{
  for (const VmHostEntry *e = project->present; e != NULL && e->path != NULL; e++)
    if (g_str_equal (e->path, path))
      return e;
  return NULL;
}

/* Pins each directory strictly between `base` and `path`, once: a read-only file in a directory that can be
 * renamed away protects nothing. */
static void
pin_parents (VmPlan *plan, const char *base, const char *path)
{
  const char *slash = path + strlen (base) + 1;

  while ((slash = strchr (slash, '/')) != NULL) {
    g_autofree char *dir = g_strndup (path, (gsize)(slash - path));

    if (vm_plan_mount_at (plan, dir) == NULL)
      vm_plan_add_inside (plan, VM_MOUNT_PIN, dir, TRUE, "project");
    slash++;
  }
}

/* Of a git directory only `hooks` can be kept away: git takes the others, once they exist, for what they say.
 * And one that does not exist yet may be made inside. */
static gboolean
can_be_kept_away (const VmPlan *plan, const VmHostProject *project, const char *path)
{
  g_autofree char *dir = g_path_get_dirname (path), *name = g_path_get_basename (path);
  g_autofree char *config = g_build_filename (dir, "config", NULL);

  if (plan->isolation == VM_ISOLATION_NONE || !project->writable)
    return FALSE;
  if (g_str_has_suffix (dir, "/.git") || g_strcmp0 (dir, project->git_dir) == 0 ||
      (project->modules != NULL && g_strv_contains ((const char *const *)project->modules, dir)))
    return g_str_equal (name, "hooks") && find_present (project, config) != NULL;
  /* vmctl reads its own at every start; it can only tighten. */
  return !g_str_equal (name, "commondir") && !g_str_equal (name, "config.worktree") &&
         !g_str_equal (name, ".vmctl.conf");
}

static void
add_protected (VmPlan *plan, const VmHostProject *project, gboolean with_git_dir)
{
  g_auto (GStrv) paths = vm_host_protected_paths (project);
  GPtrArray *watched = g_ptr_array_new_null_terminated (16, g_free, TRUE);
  GPtrArray *linked = g_ptr_array_new_null_terminated (4, g_free, TRUE);

  for (char **path = paths; *path != NULL; path++) {
    const char *base = vm_path_is_within (*path, project->path) ? project->path : project->git_dir;
    const VmHostEntry *entry = find_present (project, *path);

    if (base == project->git_dir && !with_git_dir)
      continue;
    if (entry == NULL && can_be_kept_away (plan, project, *path)) {
      pin_parents (plan, base, *path);
      vm_plan_add_inside (plan, VM_MOUNT_ABSENT, *path, TRUE, "project");
      continue;
    }
    if (entry == NULL || entry->link != NULL) {
      g_ptr_array_add (entry != NULL ? linked : watched, g_strdup (*path));
      if (entry != NULL)
        g_ptr_array_add (linked, g_strdup (entry->link));
      continue;
    }
    pin_parents (plan, base, *path);
    vm_plan_add_inside (plan, VM_MOUNT_PROTECT, *path, entry->is_dir, "project");
  }
  g_strfreev (plan->linked);
  g_strfreev (plan->watched);
  plan->linked = (char **)g_ptr_array_free (linked, FALSE);
  plan->watched = (char **)g_ptr_array_free (watched, FALSE);
}

void
vm_plan_add_project (VmPlan *plan, const VmHost *host)
{
  const VmHostProject *project = &host->project;
  gboolean with_git_dir = takes_git_dir (host);

  vm_plan_add_rw (plan, project->path, project->path, "project");
  if (with_git_dir)
    vm_plan_add_rw (plan, project->git_dir, project->git_dir, "project");
  add_protected (plan, project, with_git_dir);
}
