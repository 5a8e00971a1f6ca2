/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* chromium: a profile of this project's own. Two browsers that share a profile or a session bus find each
 * other, and one sandbox's pages open in the other. */
#include "vmctl/grant-parts.h"

#define FLAGS_DIR "/etc/chromium.d"

/* Debian's chromium reads its flags from files in a directory, which must be there. The host's own are not
 * let in: they may take away the browser's sandbox. These are Debian's, and no questions at the first start.
 */
#define FLAGS                                                                                                \
  "export CHROMIUM_FLAGS=\"$CHROMIUM_FLAGS --no-first-run --no-default-browser-check --disable-pings "       \
  "--media-router=0 --enable-remote-extensions --enable-gpu-rasterization\"\n"

static void
add_flags (VmPlan *plan)
{
  vm_plan_add_dir (plan, FLAGS_DIR, 0755, TRUE, "grant:chromium");
  vm_plan_add_file (plan, FLAGS_DIR "/vmctl", FLAGS, "grant:chromium");
}

static gboolean
add (VmPlan *plan, const VmHost *host, gboolean asked, GError **error)
{
  g_autofree char *target = vm_grant_in_home (host, ".config/chromium");

  add_flags (plan);
  vm_plan_add_state (plan, host, "chromium", target, "grant:chromium");
  return TRUE;
}

const VmGrant vm_grant_chromium = {
    "chromium",
    "a Chromium profile of this project's own at ~/.config/chromium; never yours, and no session bus", add};
