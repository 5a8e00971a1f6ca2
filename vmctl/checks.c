/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "vmctl/base/error.h"
#include "vmctl/base/json.h"
#include "vmctl/checks-parts.h"
#include "vmctl/qemu-version.h"

#define INSTALL_AGAIN "install vmctl again, or build it with ./bootstrap build"
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
vm_check_bwrap (const VmHost *host)
{
  static const char name[] = "bwrap", what[] = "bubblewrap";

  if (host->bwrap == NULL)
    return vm_check_new (name, what, VM_CHECK_FAILED, g_strdup ("'bwrap' is missing"),
                         "install it (Debian: apt install bubblewrap)");
  return vm_check_new (name, what, VM_CHECK_OK, g_strdup (host->bwrap), NULL);
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
