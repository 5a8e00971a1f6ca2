/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How it works
 *
 * The nspawn driver: keeper -> systemd-nspawn -> agent. The keeper, as root, builds the plan's tree in memory
 * (vmctl/stage.h) and has nspawn run the agent in it; the agent, root of the container only, gives each
 * command the user's identity.
 *
 * The sources of the plan are opened here, by a process that has no more rights than the user. */
#include "vmctl/driver.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/bwrap.h"
#include "vmctl/checks.h"
#include "vmctl/drivers/nspawn-argv.h"
#include "vmctl/path.h"
#include "vmctl/plan-parts.h"

static gboolean
probe (const VmHost *host, GError **error)
{
  return vm_check_require (vm_check_nspawn (host), error) &&
         vm_check_require (vm_check_helpers (host), error);
}

static gboolean
fill (VmPlan *plan, const VmSpec *spec, const VmHost *host, GError **error)
{
  if (!probe (host, error))
    return FALSE;
  plan->root_allowed = FALSE;
  if (!vm_nspawn_has_own_ids (plan))
    vm_plan_add_note (plan,
                      "uid %u or gid %u does not fit into a container's own range of ids: root of the "
                      "container, which no command is, has the number of the host's root",
                      plan->uid, plan->gid);
  plan->nspawn = g_strdup (host->nspawn);
  return TRUE;
}

static gboolean
render (const VmPlan *plan, VmLaunch *ret, GError **error)
{
  ret->argv = vm_argv_new ();
  ret->filter = VM_FILTER_INSIDE;
  vm_nspawn_argv (plan, ret->argv);
  ret->inner = vm_nspawn_stage (plan, ret->argv);
  return TRUE;
}

static int
open_at (int dir, const char *path, guint64 resolve)
{
  struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = resolve};

  return (int)syscall (SYS_openat2, dir, path, &how, sizeof how);
}

/* The read-write mount that holds `path`: a sandbox may have changed what is there. */
static const char *
writable_above (const VmPlan *plan, const char *path)
{
  for (guint i = 0; i < plan->mounts->len; i++) {
    const VmMount *m = g_ptr_array_index (plan->mounts, i);

    if (m->kind == VM_MOUNT_RW && vm_path_is_within (path, m->source) && !g_str_equal (path, m->source))
      return m->source;
  }
  return NULL;
}

/* Where others can write, no symbolic link is followed: it might lead to what is the user's only. */
static int
open_source (const VmPlan *plan, const VmMount *m)
{
  const char *above = writable_above (plan, m->source);
  vm_autofd base = -1;

  if (above == NULL)
    return open_at (AT_FDCWD, m->source, g_str_equal (m->why, "project") ? RESOLVE_NO_SYMLINKS : 0);
  base = open_at (AT_FDCWD, above, 0);
  return base < 0 ? -1
                  : open_at (base, m->source + strlen (above) + 1, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

static gboolean
bind_sources (const VmPlan *plan, VmArgv *argv, GError **error)
{
  for (guint i = 0; i < plan->mounts->len; i++) {
    const VmMount *m = g_ptr_array_index (plan->mounts, i);
    g_autofree char *slot = g_strconcat ("mount:", m->target, NULL);
    int fd;

    if (m->kind != VM_MOUNT_RO && m->kind != VM_MOUNT_RW && m->kind != VM_MOUNT_DEV)
      continue;
    fd = open_source (plan, m);
    if (fd < 0)
      return vm_error_errno (error, errno, "cannot open '%s'", m->source);
    vm_argv_bind (argv, slot, fd);
  }
  return TRUE;
}

static gboolean
prepare (const VmPlan *plan, VmLaunch *launch, GError **error)
{
  g_autoptr (GBytes) words = vm_bwrap_bytes (launch->inner);

  vm_argv_bind_bytes (launch->argv, "stage", words);
  return bind_sources (plan, launch->argv, error);
}

const VmDriver vm_driver_nspawn = {
    .name = "nspawn",
    .summary = "a container on this host's kernel",
    .isolation = VM_ISOLATION_CONTAINER,
    .net = VM_KEEPER_NET_NAMESPACE,
    .needs_root = TRUE,
    .probe = probe,
    .fill = fill,
    .render = render,
    .prepare = prepare,
};
