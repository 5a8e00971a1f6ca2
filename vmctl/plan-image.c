/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `--image`: the guest is not this host. What a plan has of the host's own tree is then QEMU's alone, in its
 * jail; the image gets the project, the home, the meta dir, what grants let in outside of the system's
 * directories, and of /etc what is the sandbox's: its name, its identity, its name server. One kind of image
 * has the host's tree, and systemd in it. */
#include <string.h>

#include "vmctl/base/error.h"
#include "vmctl/path.h"
#include "vmctl/plan-parts.h"

/* The host's programs, for QEMU. */
static gboolean
is_for_vmm (const VmMount *mount)
{
  return g_str_equal (mount->why, "root") && (mount->kind == VM_MOUNT_RO || mount->kind == VM_MOUNT_LINK) &&
         !vm_path_is_within (mount->target, "/etc");
}

/* What a distribution has of its own, and may be of another version, or not go with the host's. */
static gboolean
is_of_the_system (const VmMount *mount)
{
  static const char *const dirs[] = {"/bin", "/boot", "/etc",  "/lib", "/lib32", "/lib64", "/libx32",
                                     "/nix", "/opt",  "/sbin", "/usr", "/var",   NULL};

  for (const char *const *dir = dirs; *dir != NULL; dir++)
    if (vm_path_is_within (mount->target, *dir))
      return TRUE;
  return FALSE;
}

static gboolean
is_wanted (const VmMount *mount)
{
  static const char *const files[] = {"/etc/hostname", "/etc/hosts", "/etc/machine-id", "/etc/resolv.conf",
                                      NULL};

  if (mount->kind == VM_MOUNT_FILE && g_strv_contains (files, mount->target))
    return TRUE;
  if (g_str_equal (mount->why, "root") || (mount->kind == VM_MOUNT_DIR && mount->owner_root))
    return FALSE; /* the directories above are made where they are missing */
  return !g_str_has_prefix (mount->why, "grant:") || !is_of_the_system (mount);
}

static void
set_why (VmMount *mount, const char *why)
{
  g_free (mount->why);
  mount->why = g_strdup (why);
}

static void
choose_mounts (VmPlan *plan)
{
  for (guint i = 0; i < plan->mounts->len;) {
    VmMount *mount = g_ptr_array_index (plan->mounts, i);

    if (is_for_vmm (mount))
      set_why (mount, VM_WHY_VMM);
    else if (!is_wanted (mount)) {
      g_ptr_array_remove_index (plan->mounts, i);
      continue;
    } else if (g_str_equal (mount->why, "root"))
      set_why (mount, "image");
    i++;
  }
}

/* The host's kernel finds its modules; the image has those of its own at most. */
static void
add_modules (VmPlan *plan, const VmHost *host)
{
  g_autofree char *target = NULL;

  if (host->modules_dir == NULL)
    return;
  target = g_build_filename ("/lib/modules", host->kernel_version, NULL);
  vm_plan_add_ro (plan, host->modules_dir, target, TRUE, "image");
}

/* NixOS has next to nothing in /usr/bin; and it has no other program at the place of the host's shell. */
static gboolean
is_nixos (const VmPlan *plan)
{
  return plan->image.init != NULL && vm_path_is_within (plan->image.init, "/nix");
}

static char *
search_path (const VmPlan *plan)
{
  if (!is_nixos (plan))
    return g_strconcat (plan->home, "/.local/bin:/usr/local/bin:/usr/bin:/bin", NULL);
  return g_strconcat (plan->home, "/.local/bin:/run/wrappers/bin:", plan->home,
                      "/.nix-profile/bin:/nix/var/nix/profiles/default/bin:/run/current-system/sw/bin:"
                      "/usr/bin:/bin",
                      NULL);
}

/* The host's order of directories means nothing there, nor do the places of files that are not let in. */
static void
set_environment (VmPlan *plan)
{
  static const char *const files[] = {"LOCALE_ARCHIVE", "NIX_SSL_CERT_FILE", "SSL_CERT_FILE", "TZDIR"};
  g_autofree char *path = search_path (plan);

  if (is_nixos (plan) && g_environ_getenv (plan->environment, "SHELL") != NULL)
    vm_plan_setenv (plan, "SHELL", "/bin/sh");
  for (gsize i = 0; i < G_N_ELEMENTS (files); i++)
    plan->environment = g_environ_unsetenv (plan->environment, files[i]);
  vm_plan_setenv (plan, "PATH", path);
}

/* These are the distribution's own, and nothing else was in them. */
static void
drop_grants (VmPlan *plan)
{
  static const char *const names[] = {"fonts", "tls", NULL};
  guint n = 0;

  for (guint i = 0; plan->grants[i] != NULL; i++)
    if (g_strv_contains (names, plan->grants[i]))
      g_free (plan->grants[i]);
    else
      plan->grants[n++] = plan->grants[i];
  plan->grants[n] = NULL;
}

gboolean
vm_plan_check_image (const VmPlan *plan, const VmSpec *spec, GError **error)
{
  if (plan->image.name == NULL)
    return TRUE;
  if (spec->serial && plan->image.init != NULL)
    return vm_error (error, VM_ERROR_USAGE,
                     "--serial: on the serial console of '%s' its systemd has a login; leave the option out, "
                     "and see it with: vmctl console",
                     plan->image.name);
  if (spec->display != VM_DISPLAY_UNSET && plan->image.filesystem == NULL)
    return vm_error (
        error, VM_ERROR_USAGE,
        "--display: under the systemd of '%s' vmctl starts no X server; leave out one of the two",
        plan->image.name);
  if (spec->display != VM_DISPLAY_UNSET)
    return vm_error (error, VM_ERROR_USAGE,
                     "--display: the X server is the host's, which '%s' has not; leave out one of the two",
                     plan->image.name);
  return TRUE;
}

void
vm_plan_fit_image (VmPlan *plan, const VmHost *host)
{
  if (plan->image.name == NULL)
    return;
  if (plan->image.filesystem == NULL) {
    vm_plan_fit_host_systemd (plan);
    return;
  }
  choose_mounts (plan);
  add_modules (plan, host);
  set_environment (plan);
  drop_grants (plan);
}
