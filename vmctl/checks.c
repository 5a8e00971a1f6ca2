/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "vmctl/base/error.h"
#include "vmctl/base/json.h"
#include "vmctl/checks-parts.h"
#include "vmctl/qemu-version.h"

#define INSTALL_AGAIN "install vmctl again, or build it with ./bootstrap build"
enum { NSPAWN_MIN = 250 };

#define INSTALL_KERNEL "install one (Debian: apt install linux-image-amd64)"

void
vm_check_free (VmCheck *check)
{
  if (check == NULL)
    return;
  g_free (check->why);
  g_free (check->mend);
  g_free (check);
}

VmCheck *
vm_check_new (const char *name, const char *what, VmCheckLevel level, char *take_why, const char *mend)
{
  VmCheck *check = g_new0 (VmCheck, 1);

  check->name = name;
  check->what = what;
  check->level = level;
  check->why = take_why;
  check->mend = g_strdup (mend);
  return check;
}

VmCheck *
vm_check_new_error (const char *name, const char *what, VmCheckLevel level, GError *take_error)
{
  const char *mend = strstr (take_error->message, "; ");
  char *why = mend != NULL ? g_strndup (take_error->message, (gsize)(mend - take_error->message))
                           : g_strdup (take_error->message);
  VmCheck *check = vm_check_new (name, what, level, why, mend != NULL ? mend + strlen ("; ") : NULL);

  g_error_free (take_error);
  return check;
}

gboolean
vm_check_require (VmCheck *take_check, GError **error)
{
  g_autoptr (VmCheck) check = take_check;

  if (check->level != VM_CHECK_FAILED)
    return TRUE;
  return vm_error (error, VM_ERROR_HOST, "%s%s%s", check->why, check->mend != NULL ? "; " : "",
                   check->mend != NULL ? check->mend : "");
}

const char *
vm_check_level_name (VmCheckLevel level)
{
  static const char *const names[] = {"ok", "warning", "failed"};

  return names[level];
}

json_object *
vm_check_to_json (const VmCheck *check)
{
  json_object *object = json_object_new_object ();

  vm_json_add_str (object, "name", check->name);
  vm_json_add_str (object, "what", check->what);
  vm_json_add_str (object, "level", vm_check_level_name (check->level));
  vm_json_add (object, "why", vm_json_new_text (check->why));
  if (check->mend != NULL)
    vm_json_add (object, "mend", vm_json_new_text (check->mend));
  return object;
}

VmCheck *
vm_check_qemu (const VmHost *host)
{
  static const char name[] = "qemu", what[] = "QEMU";

  if (host->qemu == NULL)
    return vm_check_new (name, what, VM_CHECK_FAILED, g_strdup ("'qemu-system-x86_64' is missing"),
                         "install it (Debian: apt install qemu-system-x86)");
  if (host->qemu_problem != NULL)
    return vm_check_new_error (name, what, VM_CHECK_FAILED,
                               g_error_new_literal (VM_ERROR, VM_ERROR_HOST, host->qemu_problem));
  if (host->qemu_version == NULL)
    return vm_check_new (name, what, VM_CHECK_OK, g_strdup (host->qemu), NULL);
  if (!vm_qemu_version_is_enough (host->qemu_version))
    return vm_check_new (
        name, what, VM_CHECK_FAILED,
        g_strdup_printf ("'%s' is QEMU %s, which is too old", host->qemu, host->qemu_version),
        "install QEMU 7.2 or newer (Debian 12: apt install qemu-system-x86)");
  return vm_check_new (name, what, VM_CHECK_OK,
                       g_strdup_printf ("version %s (%s)", host->qemu_version, host->qemu), NULL);
}

VmCheck *
vm_check_nspawn (const VmHost *host)
{
  static const char name[] = "nspawn", what[] = "systemd-nspawn";
  guint64 version = host->nspawn_version != NULL ? g_ascii_strtoull (host->nspawn_version, NULL, 10) : 0;

  if (host->nspawn == NULL)
    return vm_check_new (name, what, VM_CHECK_FAILED, g_strdup ("'systemd-nspawn' is missing"),
                         "install it (Debian: apt install systemd-container)");
  if (version != 0 && version < NSPAWN_MIN)
    return vm_check_new (
        name, what, VM_CHECK_FAILED,
        g_strdup_printf ("'%s' is version %s, which is too old", host->nspawn, host->nspawn_version),
        "install version 250 or newer (Debian 12: apt install systemd-container)");
  if (host->uid != 0 && !host->is_sudo)
    return vm_check_new (name, what, VM_CHECK_FAILED, g_strdup ("nspawn needs root"), "run: sudo vmctl ...");
  if (host->root_problem != NULL)
    return vm_check_new_error (name, what, VM_CHECK_FAILED,
                               g_error_new_literal (VM_ERROR, VM_ERROR_HOST, host->root_problem));
  if (host->is_confined)
    return vm_check_new (name, what, VM_CHECK_FAILED,
                         g_strdup ("root may not mount or make user namespaces here"),
                         "run vmctl on the host itself, or: sudo sysctl user.max_user_namespaces=10000");
  return vm_check_new (name, what, VM_CHECK_OK,
                       g_strdup_printf ("version %s (%s)",
                                        host->nspawn_version != NULL ? host->nspawn_version : "not known",
                                        host->nspawn),
                       NULL);
}

VmCheck *
vm_check_bwrap (const VmHost *host)
{
  static const char name[] = "bwrap", what[] = "bubblewrap";

  if (host->bwrap == NULL)
    return vm_check_new (name, what, VM_CHECK_FAILED, g_strdup ("'bwrap' is missing"),
                         "install it (Debian: apt install bubblewrap)");
  return vm_check_new (name, what, VM_CHECK_OK, g_strdup (host->bwrap), NULL);
}

VmCheck *
vm_check_userns (const VmHost *host)
{
  static const char name[] = "userns", what[] = "user namespaces";

  if (host->userns_mend != NULL)
    return vm_check_new (name, what, VM_CHECK_FAILED,
                         g_strdup ("the kernel's settings forbid user namespaces"), host->userns_mend);
  return vm_check_new (name, what, VM_CHECK_OK, g_strdup ("nothing forbids them"), NULL);
}

VmCheck *
vm_check_limits (const VmHost *host)
{
  static const char name[] = "limits", what[] = "limits";
  static const char *const kinds[] = {[VM_GROUP_UNIFIED] = "delegated cgroup v2",
                                      [VM_GROUP_V1] = "cgroup v1",
                                      [VM_GROUP_SYSTEMD] = "a systemd scope"};
  static const char *const parts[] = {"memory", "CPU", "processes", "pausing"};
  g_autoptr (GString) have = g_string_new (NULL);
  g_autoptr (GString) lack = g_string_new (NULL);

  for (guint i = 0; i < VM_GROUP_PARTS; i++) {
    GString *out = host->groups.dirs[i] != NULL ? have : lack;

    g_string_append_printf (out, "%s%s", out->len > 0 ? ", " : "", parts[i]);
  }
  if (lack->len == 0)
    return vm_check_new (name, what, VM_CHECK_OK,
                         g_strdup_printf ("%s: %s", kinds[host->groups.kind], have->str), NULL);
  return vm_check_new (
      name, what, VM_CHECK_WARNING,
      g_strdup_printf ("no control group may be made for: %s; only a virtual machine does without",
                       lack->str),
      "run vmctl in a session of a systemd user manager (loginctl enable-linger), or in a "
      "delegated control group");
}

/* Only those who ask for a screen need it. */
VmCheck *
vm_check_display (const VmHost *host)
{
  static const char name[] = "display", what[] = "screens";
  g_autoptr (GPtrArray) lack = g_ptr_array_new_null_terminated (8, NULL, TRUE);
  g_autofree char *packages = NULL, *mend = NULL;

  if (host->xorg == NULL)
    g_ptr_array_add (lack, (gpointer) "xserver-xorg-core");
  if (host->xorg == NULL || host->xorg_problem != NULL)
    g_ptr_array_add (lack, (gpointer) "xserver-xorg-input-evdev");
  if (host->window_manager == NULL)
    g_ptr_array_add (lack, (gpointer) "openbox");
  if (host->xvfb == NULL)
    g_ptr_array_add (lack, (gpointer) "xvfb");
  if (host->xvnc == NULL)
    g_ptr_array_add (lack, (gpointer) "tigervnc-standalone-server");
  if (host->viewer == NULL)
    g_ptr_array_add (lack, (gpointer) "tigervnc-viewer");
  if (host->gtk_problem != NULL)
    g_ptr_array_add (lack, (gpointer) "qemu-system-gui");
  if (lack->len == 0)
    return vm_check_new (name, what, VM_CHECK_OK, g_strdup ("all that --display needs is there"), NULL);
  packages = g_strjoinv (" ", (char **)lack->pdata);
  mend = g_strdup_printf ("Debian: apt install %s", packages);
  return vm_check_new (name, what, VM_CHECK_WARNING,
                       g_strdup_printf ("for --display, or a part of it, is missing: %s", packages), mend);
}

VmCheck *
vm_check_tun (const VmHost *host)
{
  static const char name[] = "tun", what[] = "/dev/net/tun";

  if (!host->tun)
    return vm_check_new (name, what, VM_CHECK_FAILED,
                         g_strdup ("/dev/net/tun cannot be used: only a virtual machine has a network"),
                         "load its module: sudo modprobe tun; or use vmctl up --net none");
  return vm_check_new (name, what, VM_CHECK_OK, g_strdup ("it is there"), NULL);
}

VmCheck *
vm_check_helpers (const VmHost *host)
{
  static const char name[] = "helpers", what[] = "own programs";

  if (host->agent == NULL)
    return vm_check_new (name, what, VM_CHECK_FAILED, g_strdup ("'vmctl-agent' is missing"), INSTALL_AGAIN);
  if (host->keeper == NULL)
    return vm_check_new (name, what, VM_CHECK_FAILED, g_strdup ("'vmctl-keeper' is missing"), INSTALL_AGAIN);
  return vm_check_new (name, what, VM_CHECK_OK, g_strdup_printf ("in %s", host->dirs.libexec), NULL);
}

VmCheck *
vm_check_kernel (const VmHost *host)
{
  static const char name[] = "kernel", what[] = "guest kernel";

  if (host->kernel != NULL)
    return vm_check_new (name, what, VM_CHECK_OK,
                         g_strdup_printf ("%s (%s)", host->kernel_version, host->kernel), NULL);
  if (host->kernel_problem != NULL)
    return vm_check_new_error (name, what, VM_CHECK_FAILED,
                               g_error_new_literal (VM_ERROR, VM_ERROR_HOST, host->kernel_problem));
  return vm_check_new (name, what, VM_CHECK_FAILED, g_strdup ("no usable kernel was found"), INSTALL_KERNEL);
}
