/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* nix-daemon: builds into the host's store. */
#include "vmctl/grant-parts.h"

#define SOCKET "/nix/var/nix/daemon-socket/socket"

static gboolean
add (VmPlan *plan, const VmHost *host, gboolean asked, GError **error)
{
  static const char *const shown[] = {"/nix/var/nix/db", "/nix/var/nix/profiles", NULL};
  gboolean added;

  if (!vm_grant_add_socket (plan, host, asked, "nix-daemon", "nix-daemon", SOCKET, VM_SOCKET_PLAIN,
                            "there is no '" SOCKET "'; start nix-daemon", &added, error))
    return FALSE;
  if (!added)
    return TRUE;
  /* The database is no use to a client of the daemon, but old versions of nix look for it; the profiles are
   * links into the store, through which nix itself is on PATH. */
  for (const char *const *path = shown; *path != NULL; path++) {
    const VmHostEntry *entry = vm_host_entry (host->extra, *path);

    if (entry != NULL)
      vm_plan_add_entry (plan, entry, "grant:nix-daemon");
  }
  vm_plan_setenv (plan, "NIX_REMOTE", "daemon");
  return TRUE;
}

const VmGrant vm_grant_nix_daemon = {
    "nix-daemon", "the host's nix daemon: builds, with its network, into the host's store", add};
