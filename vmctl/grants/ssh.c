/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ssh-keys, ssh-agent. With the agent a sandbox can use the keys while it runs; with the keys it has them. */
#include "vmctl/grant-parts.h"
#include "vmctl/path.h"

static gboolean
add_keys (VmPlan *plan, const VmHost *host, gboolean asked, GError **error)
{
  const VmHostEntry *entry = vm_grant_dotfile (host, ".ssh");
  const char *real = entry == NULL ? NULL : entry->real != NULL ? entry->real : entry->path;

  if (entry == NULL || !entry->is_dir)
    return vm_grant_absent (asked, "ssh-keys", "there is no directory ~/.ssh; run: ssh-keygen", error);
  /* vm_grant_source would refuse: this is the very place that no project may be. */
  if (vm_path_is_within (real, host->project.path))
    return vm_grant_absent (asked, "ssh-keys", "~/.ssh leads into the project; move it out of there", error);
  vm_plan_add_ro (plan, real, entry->path, TRUE, "grant:ssh-keys");
  return TRUE;
}

static gboolean
add_agent (VmPlan *plan, const VmHost *host, gboolean asked, GError **error)
{
  g_autofree char *target = vm_grant_in_runtime (plan, "ssh-agent.sock");
  gboolean added;

  /* Relayed also where it could be bound: a path inside that stays when the host's socket moves, and one
   * place that sees every request. */
  if (!vm_grant_add_socket (plan, host, asked, "ssh-agent", "ssh-agent", target, VM_SOCKET_RELAYED,
                            "$SSH_AUTH_SOCK is not set; run: eval \"$(ssh-agent)\"", &added, error))
    return FALSE;
  if (added)
    vm_plan_setenv (plan, "SSH_AUTH_SOCK", target);
  return TRUE;
}

const VmGrant vm_grant_ssh_keys = {
    "ssh-keys", "all of ~/.ssh, private keys included, read-only: what runs inside can take them away",
    add_keys};
const VmGrant vm_grant_ssh_agent = {
    "ssh-agent", "your SSH agent ($SSH_AUTH_SOCK): its keys can be used while the sandbox runs", add_agent};
