/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How it works
 *
 * The bwrap driver: the plan's tree, built by the keeper and taken by bubblewrap as its root, and the agent
 * as the first process of a pid namespace. keeper -> bwrap -> agent, which serves the same listening socket
 * as in every other driver.
 *
 * One uid is mapped, so whatever is made inside belongs to the user outside, and nobody can become anybody
 * else. What the plan calls the user's own directories, and those that all may write to, are tmpfs of their
 * own; the rest of the tree is read-only, the made-up directories too, since they are memory of the host's.
 */
#include "vmctl/driver.h"

#include "meta/format.h"
#include "vmctl/base/fd.h"
#include "vmctl/bwrap.h"
#include "vmctl/checks.h"

static gboolean
probe (const VmHost *host, GError **error)
{
  return vm_check_require (vm_check_bwrap (host), error) &&
         vm_check_require (vm_check_userns (host), error) &&
         vm_check_require (vm_check_helpers (host), error);
}

static gboolean
fill (VmPlan *plan, const VmSpec *spec, const VmHost *host, GError **error)
{
  if (!probe (host, error))
    return FALSE;
  plan->root_allowed = FALSE;
  plan->bwrap = g_strdup (host->bwrap);
  return TRUE;
}

/* bubblewrap makes these itself. */
static gboolean
is_kernel_dir (const char *target)
{
  return g_str_equal (target, "/proc") || g_str_equal (target, "/dev");
}

static void
add_dir (VmBwrap *b, guint i, const VmMount *m)
{
  if (is_kernel_dir (m->target))
    return;
  if (vm_mount_is_writable_dir (m) && !vm_plan_lies_in_writable (b->plan, i, m->target))
    vm_bwrap_tmpfs (b, m->mode, b->plan->memory, g_strdup (m->target));
  else
    vm_bwrap_dir (b, m->mode, g_strdup (m->target));
}

static void
add_mount (VmBwrap *b, guint i, const VmMount *m)
{
  switch (m->kind) {
  case VM_MOUNT_RO:
    vm_bwrap_bind (b, VM_BWRAP_RO, m->source, g_strdup (m->target));
    break;
  case VM_MOUNT_PROTECT:
  case VM_MOUNT_ABSENT:
    vm_bwrap_bind (b, VM_BWRAP_PROTECT, m->source, g_strdup (m->target));
    break;
  case VM_MOUNT_RW:
    vm_bwrap_bind (b, VM_BWRAP_RW, m->source, g_strdup (m->target));
    break;
  case VM_MOUNT_PIN:
    vm_bwrap_bind (b, VM_BWRAP_PIN, m->source, g_strdup (m->target));
    break;
  case VM_MOUNT_DEV:
    vm_bwrap_add (b, "--dev-bind", m->source, m->target, NULL);
    break;
  case VM_MOUNT_LINK:
    vm_bwrap_link (b, m->source, g_strdup (m->target));
    break;
  case VM_MOUNT_DIR:
  case VM_MOUNT_TMPFS:
    add_dir (b, i, m);
    break;
  case VM_MOUNT_FILE:
    vm_bwrap_file (b, m, g_strdup (m->target));
    break;
  case VM_MOUNT_COPY: /* the agent's part */
  case VM_MOUNT_RELAY:
    break;
  }
}

/* The agent, under its own name and under that of the command that people will try. */
static void
add_agent (VmBwrap *b)
{
  g_autofree char *dir = g_path_get_dirname (b->plan->keeper);
  g_autofree char *agent = g_build_filename (dir, "vmctl-agent", NULL);

  vm_bwrap_bind (b, VM_BWRAP_RO, agent, g_strdup (META_AGENT));
  vm_bwrap_bind (b, VM_BWRAP_RO, agent, g_strdup (META_BIN_DIR "/sudo"));
}

static void
add_arguments (const VmPlan *plan, VmLaunch *launch)
{
  VmBwrap b = {.plan = plan,
               .argv = launch->argv,
               .out = g_ptr_array_new_null_terminated (64, g_free, TRUE),
               .tree = g_ptr_array_new_null_terminated (512, g_free, TRUE)};

  vm_bwrap_isolate (&b);
  vm_bwrap_take_tree (&b);
  vm_bwrap_add (&b, "--new-session", "--as-pid-1", "--hostname", plan->hostname, NULL);
  vm_bwrap_add_proc (&b);
  vm_bwrap_add (&b, "--dev", "/dev", NULL);
  vm_bwrap_tmpfs (&b, 01777, plan->memory, g_strdup ("/dev/shm"));
  vm_bwrap_add (&b, "--remount-ro", "/dev", NULL);
  for (guint i = 0; i < plan->mounts->len; i++)
    add_mount (&b, i, g_ptr_array_index (plan->mounts, i));
  add_agent (&b);
  vm_bwrap_add (&b, "--remount-ro", "/", "--chdir", "/", "--seccomp", NULL);
  vm_bwrap_addf (&b, "%d", vm_argv_slot (launch->argv, "seccomp"));
  launch->inner = b.out;
  launch->tree = b.tree;
}

static gboolean
render (const VmPlan *plan, VmLaunch *ret, GError **error)
{
  VmArgv *argv = vm_argv_new ();

  vm_driver_add_keeper (plan, argv, TRUE, FALSE, VM_KEEPER_NET_NAMESPACE);
  vm_bwrap_add_tree_options (plan, argv);
  vm_argv_add_many (argv, "--", plan->bwrap, "--args", NULL);
  vm_argv_addf (argv, "%d", vm_argv_slot (argv, "args"));
  vm_argv_add_many (argv, "--", META_AGENT, "--listen", NULL);
  vm_argv_addf (argv, "%d", vm_argv_slot (argv, "agent"));
  vm_argv_add_many (argv, "--meta", META_DIR, "--contained", NULL);
  ret->argv = argv;
  ret->filter = plan->userns ? VM_FILTER_INSIDE_USERNS : VM_FILTER_INSIDE;
  add_arguments (plan, ret);
  return TRUE;
}

static gboolean
prepare (const VmPlan *plan, VmLaunch *launch, GError **error)
{
  g_autoptr (GBytes) words = vm_bwrap_bytes (launch->inner), tree = vm_bwrap_bytes (launch->tree);

  vm_argv_bind_bytes (launch->argv, "args", words);
  vm_argv_bind_bytes (launch->argv, "tree", tree);
  return TRUE;
}

const VmDriver vm_driver_bwrap = {
    .name = "bwrap",
    .summary = "namespaces on this host's kernel",
    .isolation = VM_ISOLATION_NAMESPACE,
    .net = VM_KEEPER_NET_NAMESPACE,
    .probe = probe,
    .fill = fill,
    .render = render,
    .prepare = prepare,
};
