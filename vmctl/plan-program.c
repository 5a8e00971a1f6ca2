/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How it works
 *
 * A profile starts a program that the host's $PATH has. Mostly that is inside anyway, in /usr or the store.
 * If it is not, such as one that npm put below the home, then as little as will do is let in, read-only: the
 * package of the real file, and the interpreter that its first line names. Both get a link in one directory,
 * which is put on PATH. So a program that the user upgrades outside is the upgraded one inside. */
#include <string.h>

#include "vmctl/base/error.h"
#include "vmctl/path.h"
#include "vmctl/plan-parts.h"

#define PLACE "/run/host-programs" /* inside; for what cannot be where it is outside */
#define LINKS PLACE "/bin"
#define WHY "profile"

/* What of the host is to be seen at `path` inside: the entry with the longest target above it; NULL: none. */
static const VmMount *
cover_of (const VmPlan *plan, const char *path)
{
  const VmMount *best = NULL;

  for (guint i = 0; i < plan->mounts->len; i++) {
    const VmMount *m = g_ptr_array_index (plan->mounts, i);

    if (vm_path_is_within (path, m->target) && (best == NULL || strlen (m->target) >= strlen (best->target)))
      best = m;
  }
  return best;
}

/* TRUE if the host's `path` is to be seen inside under the same name. */
static gboolean
is_shown (const VmPlan *plan, const char *path)
{
  const VmMount *m = cover_of (plan, path);

  if (m == NULL)
    return FALSE;
  if (m->kind == VM_MOUNT_LINK)
    return g_str_equal (m->why, "root");
  return (m->kind == VM_MOUNT_RO || m->kind == VM_MOUNT_RW || m->kind == VM_MOUNT_PIN ||
          m->kind == VM_MOUNT_PROTECT) &&
         g_str_equal (m->source, m->target);
}

/* The directory that npm made for the package of this file, or the file. (transfer full) */
static char *
package_of (const VmHost *host, const char *real)
{
  static const char modules[] = "/node_modules/";
  const char *at = strstr (real, modules), *end, *why;
  g_autofree char *package = NULL, *parent = NULL, *base = NULL;

  if (at == NULL)
    return g_strdup (real);
  end = at + strlen (modules);
  end += strcspn (end, "/");
  if (at[strlen (modules)] == '@' && *end == '/')
    end += 1 + strcspn (end + 1, "/");
  parent = g_strndup (real, (gsize)(at - real));
  base = g_path_get_basename (parent);
  /* Globally installed packages hold what they need; others find it beside themselves. */
  package = g_str_equal (base, "lib") ? g_strndup (real, (gsize)(end - real))
                                      : g_strndup (real, (gsize)(at - real) + strlen (modules) - 1);
  return vm_plan_is_forbidden (host, package, &why) ? g_strdup (real) : g_steal_pointer (&package);
}

static void
make_place (VmPlan *plan)
{
  if (vm_plan_mount_at (plan, PLACE) != NULL)
    return;
  vm_plan_add_dir (plan, PLACE, 0755, TRUE, WHY);
  vm_plan_add_dir (plan, LINKS, 0755, TRUE, WHY);
}

/* Lets the file `real` in, with its package. Returns where it is inside. (transfer full) */
static char *
let_in (VmPlan *plan, const VmHost *host, const char *real)
{
  g_autofree char *package = NULL, *base = NULL, *target = NULL;
  const VmMount *cover;

  if (is_shown (plan, real))
    return g_strdup (real);
  package = package_of (host, real);
  cover = cover_of (plan, package);
  base = g_path_get_basename (package);
  /* Nothing can be made in a directory that is bound. */
  target = cover != NULL && (cover->kind == VM_MOUNT_RO || cover->kind == VM_MOUNT_RW)
               ? g_build_filename (PLACE, base, NULL)
               : g_strdup (package);
  make_place (plan);
  if (vm_plan_mount_at (plan, target) == NULL)
    vm_plan_add_ro (plan, package, target, !g_str_equal (package, real), WHY);
  return g_strconcat (target, real + strlen (package), NULL);
}

static void
add_link (VmPlan *plan, const char *name, const char *to)
{
  g_autofree char *base = g_path_get_basename (name);
  g_autofree char *link = g_build_filename (LINKS, base, NULL);

  make_place (plan);
  if (vm_plan_mount_at (plan, link) == NULL)
    vm_plan_add_link (plan, link, to, WHY);
}

/* What the file's first line names has to be there under that name: by PATH, or at that very place. */
static void
add_interpreter (VmPlan *plan, const VmHost *host)
{
  const VmHostProgram *program = &host->program;
  g_autofree char *inside = NULL;

  if (program->interpreter_real == NULL || is_shown (plan, program->interpreter))
    return;
  inside = let_in (plan, host, program->interpreter_real);
  add_link (plan, program->interpreter, inside);
  if (!g_str_equal (inside, program->interpreter) && cover_of (plan, program->interpreter) == NULL)
    vm_plan_add_link (plan, program->interpreter, inside, WHY);
}

static gboolean
absent (const VmProfile *profile, const VmHost *host, GError **error)
{
  if (host->is_sudo)
    return vm_error (
        error, VM_ERROR_NO_PROGRAM,
        "profile '%s': '%s' is not on the $PATH that sudo has set; run: sudo env \"PATH=$PATH\" vmctl "
        "..., or, if it is not there at all: %s",
        profile->name, host->program.name, profile->get);
  return vm_error (error, VM_ERROR_NO_PROGRAM, "profile '%s': '%s' is not on this host's $PATH; run: %s",
                   profile->name, host->program.name, profile->get);
}

static gboolean
add_program (VmPlan *plan, const VmProfile *profile, const VmHost *host, GError **error)
{
  const VmHostProgram *program = &host->program;
  g_autofree char *inside = NULL;

  if (program->path == NULL)
    return profile->get == NULL || absent (profile, host, error);
  add_interpreter (plan, host);
  if (is_shown (plan, program->path) && is_shown (plan, program->real))
    return TRUE;
  inside = let_in (plan, host, program->real);
  add_link (plan, program->path, inside);
  if (strchr (program->name, '/') != NULL) {
    g_free (plan->command[0]);
    plan->command[0] = g_steal_pointer (&inside);
  }
  return TRUE;
}

/* The directories of the profile's `path`. */
static gboolean
add_path_dirs (VmPlan *plan, const VmProfile *profile, const VmHost *host, GError **error)
{
  const char *why;

  for (const VmHostEntry *e = host->path_dirs; e != NULL && e->path != NULL; e++) {
    const char *source = e->real != NULL ? e->real : e->path;

    if (!e->is_dir || is_shown (plan, e->path) || vm_plan_shows (plan, e->path))
      continue;
    if (!vm_path_is_within (source, "/nix/store") && vm_plan_is_forbidden (host, source, &why))
      return vm_error (error, VM_ERROR_USAGE, "profile '%s': path: '%s' %s; name a directory of its own",
                       profile->name, e->path, why);
    vm_plan_add_ro (plan, source, e->path, TRUE, WHY);
  }
  return TRUE;
}

char **
vm_profile_command (const VmProfile *profile, char **command)
{
  g_autoptr (GPtrArray) words = g_ptr_array_new_null_terminated (8, g_free, TRUE);

  if (command != NULL && (!profile->appends || profile->entrypoint == NULL))
    return g_strdupv (command);
  if (profile->entrypoint == NULL)
    return NULL;
  for (char **word = profile->entrypoint; *word != NULL; word++)
    g_ptr_array_add (words, g_strdup (*word));
  for (char **word = command; word != NULL && *word != NULL; word++)
    g_ptr_array_add (words, g_strdup (*word));
  return g_strdupv ((char **)words->pdata);
}

gboolean
vm_plan_add_program (VmPlan *plan, const VmSpec *spec, const VmProfile *profile, const VmHost *host,
                     GError **error)
{
  gboolean starts = profile->entrypoint != NULL && (spec->command == NULL || profile->appends);

  if (!add_path_dirs (plan, profile, host, error))
    return FALSE;
  return !starts || g_strcmp0 (host->program.name, profile->entrypoint[0]) != 0 ||
         add_program (plan, profile, host, error);
}

const char *
vm_plan_program_dir (const VmPlan *plan)
{
  return vm_plan_mount_at (plan, LINKS) != NULL ? LINKS : NULL;
}
