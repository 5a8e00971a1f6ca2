/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* chromium: a profile of this project's own. Two browsers that share a profile or a session bus find each
 * other, and one sandbox's pages open in the other. */
#include "vmctl/grant-parts.h"

static gboolean
add (VmPlan *plan, const VmHost *host, gboolean asked, GError **error)
{
  g_autofree char *target = vm_grant_in_home (host, ".config/chromium");

  (void)vm_grant_add_etc (plan, host, "chromium");
  vm_plan_add_state (plan, host, "chromium", target, "grant:chromium");
  return TRUE;
}

const VmGrant vm_grant_chromium = {
    "chromium",
    "a Chromium profile of this project's own at ~/.config/chromium; never yours, and no session bus", add};
