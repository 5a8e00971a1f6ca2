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
  "--media-router=0 --enable-remote-extensions "

/* An emulated processor draws no faster with the help of a graphics card that is not there. And it starts
 * Chromium's network service, usually a process of its own, more slowly than Chromium waits for it: then that
 * is killed, and the page that was being loaded never comes. */
#define FLAGS_USUAL FLAGS "--enable-gpu-rasterization\"\n"
#define FLAGS_EMULATED FLAGS "--disable-gpu --enable-features=NetworkServiceInProcess2\"\n"

#define POLICY_DIR "/etc/chromium/policies/managed"

/* A browser puts a pretended encrypted server name (ECH) into every TLS hello. Nobody can tell it from a real
 * one, so a network policy by name cuts all; and real ones there are none, for the sandbox's name server
 * leaves out their keys. */
#define POLICY "{\"EncryptedClientHelloEnabled\": false}\n"

static void
add_policy (VmPlan *plan)
{
  vm_plan_add_dir (plan, POLICY_DIR, 0755, TRUE, "grant:chromium");
  vm_plan_add_file (plan, POLICY_DIR "/vmctl.json", POLICY, "grant:chromium");
}

static void
add_flags (VmPlan *plan)
{
  vm_plan_add_dir (plan, FLAGS_DIR, 0755, TRUE, "grant:chromium");
  vm_plan_add_file (plan, FLAGS_DIR "/vmctl",
                    g_strcmp0 (plan->accel, "tcg") == 0 ? FLAGS_EMULATED : FLAGS_USUAL, "grant:chromium");
}

static gboolean
add (VmPlan *plan, const VmHost *host, gboolean asked, GError **error)
{
  g_autofree char *target = vm_grant_in_home (host, ".config/chromium");

  add_flags (plan);
  add_policy (plan);
  vm_plan_add_state (plan, host, "chromium", target, "grant:chromium");
  return TRUE;
}

const VmGrant vm_grant_chromium = {
    "chromium",
    "a Chromium profile of this project's own at ~/.config/chromium; never yours, and no session bus", add};
