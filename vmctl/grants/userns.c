/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* userns: nothing of the host's files, but more of its kernel. A virtual machine has a kernel of its own, and
 * so needs no grant.
 *
 * Root would have to keep CAP_SETFCAP: without it the kernel lets nobody map uid 0, and with it the sandbox
 * could give files of the project capabilities that hold on the host. systemd-nspawn forbids what is done in
 * a user namespace, mounts above all, to everything in its container. */
#include "vmctl/grant-parts.h"

static gboolean
add (VmPlan *plan, const VmHost *host, gboolean asked, GError **error)
{
  switch (plan->isolation) {
  case VM_ISOLATION_CONTAINER:
    return vm_grant_absent (asked, "userns",
                            "a container has no user namespaces of its own; use --driver qemu, or --driver "
                            "bwrap as an ordinary user",
                            error);
  case VM_ISOLATION_NAMESPACE:
    if (plan->uid == 0)
      return vm_grant_absent (asked, "userns",
                              "root cannot have them without rights that reach the host; run vmctl as an "
                              "ordinary user, or use --driver qemu",
                              error);
    plan->userns = TRUE;
    return TRUE;
  case VM_ISOLATION_VM: /* always there */
  case VM_ISOLATION_NONE:
    break;
  }
  return TRUE;
}

const VmGrant vm_grant_userns = {"userns",
                                 "user namespaces, with mounts and chroot in them, for a browser's own "
                                 "sandbox (no containers inside: those want a /proc of their own); more of "
                                 "the host's kernel can be reached then (a virtual machine has its own)",
                                 add};
