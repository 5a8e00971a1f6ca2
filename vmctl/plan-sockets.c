/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sockets of the host that the user named: `--socket SRC[:DST]`. */
#include <string.h>
#include <sys/stat.h>

#include "vmctl/base/error.h"
#include "vmctl/path.h"
#include "vmctl/plan-parts.h"

/* Where `target` is with the plan's own links followed, such as /var/run. (transfer full) */
static char *
follow_links (const VmPlan *plan, const char *target)
{
  for (guint i = 0; i < plan->mounts->len; i++) {
    const VmMount *m = g_ptr_array_index (plan->mounts, i);
    g_autofree char *dir = NULL, *path = NULL;

    if (m->kind != VM_MOUNT_LINK || !vm_path_is_within (target, m->target) || g_str_equal (target, m->target))
      continue;
    dir = g_path_get_dirname (m->target);
    path = g_strconcat (m->source, target + strlen (m->target), NULL);
    return g_canonicalize_filename (path, dir);
  }
  return g_strdup (target);
}

/* Why `target` cannot be where `m` is; NULL: it can. */
static const char *
clash (const VmMount *m, const char *target)
{
  gboolean inside = vm_path_is_within (target, m->target);

  if (inside && m->kind == VM_MOUNT_RW)
    return "is shared with the host, where a socket would be left behind";
  if (inside && (m->kind == VM_MOUNT_RO || m->kind == VM_MOUNT_PROTECT || m->kind == VM_MOUNT_PIN))
    return "is read-only inside";
  if (vm_path_is_within (m->target, target))
    return "is there already";
  return NULL;
}

static gboolean
is_written_inside (const VmMount *m)
{
  return m->kind == VM_MOUNT_TMPFS ||
         (m->kind == VM_MOUNT_DIR &&
          (!m->owner_root || (m->mode & S_IWOTH) != 0 || g_str_equal (m->target, "/run")));
}

/* In a container a socket that is relayed needs a directory that is written, or one of its own: what else
 * would be in that; NULL: it has one. */
static const char *
neighbour (const VmPlan *plan, const char *target)
{
  g_autofree char *parent = g_path_get_dirname (target);
  const char *found = NULL;

  for (guint i = 0; plan->isolation == VM_ISOLATION_CONTAINER && i < plan->mounts->len; i++) {
    const VmMount *m = g_ptr_array_index (plan->mounts, i);

    if (is_written_inside (m) && vm_path_is_within (target, m->target))
      return NULL;
    if (m->kind != VM_MOUNT_RELAY && vm_path_is_within (m->target, parent) &&
        !g_str_equal (m->target, parent))
      found = m->target;
  }
  return found;
}

static gboolean
check_target (const VmPlan *plan, const char *target, GError **error)
{
  static const char *const no_places[] = {"/proc", "/sys", "/dev", "/run/vmctl"};

  for (guint i = 0; i < G_N_ELEMENTS (no_places); i++)
    if (vm_path_is_within (target, no_places[i]))
      return vm_error (error, VM_ERROR_USAGE,
                       "--socket: '%s' is no place for a socket; name another: --socket SRC:DST", target);
  for (guint i = 0; i < plan->mounts->len; i++) {
    const VmMount *m = g_ptr_array_index (plan->mounts, i);
    const char *why = clash (m, target);

    if (why != NULL)
      return vm_error (error, VM_ERROR_USAGE,
                       "--socket: '%s' cannot be made inside: '%s' %s; name another place, such as: --socket "
                       "SRC:/tmp/NAME",
                       target, m->target, why);
  }
  if (neighbour (plan, target) != NULL)
    return vm_error (error, VM_ERROR_USAGE,
                     "--socket: '%s' cannot be made inside: its directory is read-only in a container; name "
                     "another place, such as: --socket SRC:/tmp/NAME",
                     target);
  return TRUE;
}

/* The null driver has no inside to bind it to; there, too, the agent serves it. */
gboolean
vm_plan_add_sockets (VmPlan *plan, const VmSpec *spec, const VmHost *host, GError **error)
{
  for (char **pair = spec->sockets; pair != NULL && *pair != NULL; pair += 2) {
    const VmHostSocket *found = vm_host_socket (host, pair[0]);
    g_autofree char *target = follow_links (plan, pair[1]);

    if (found == NULL || found->path == NULL)
      return vm_error (error, VM_ERROR_USAGE, "--socket: %s", found != NULL ? found->problem : "not there");
    if (vm_path_is_within (found->path, host->dirs.runtime))
      return vm_error (error, VM_ERROR_USAGE,
                       "--socket: '%s' is vmctl's own, and would let the sandbox out; name another",
                       found->path);
    if (!check_target (plan, target, error))
      return FALSE;
    vm_plan_add_socket (plan, found->path, target,
                        plan->isolation == VM_ISOLATION_NONE ? VM_SOCKET_RELAYED : VM_SOCKET_PLAIN, "option");
  }
  return TRUE;
}
