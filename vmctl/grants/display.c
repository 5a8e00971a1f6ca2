/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* display, gpu: windows on the host's screen. */
#include "vmctl/base/error.h"
#include "vmctl/grant-parts.h"

/* The cookie of that display alone, copied at the start: the file may hold those of other machines. */
static void
add_cookie (VmPlan *plan, const VmHost *host, const char *number)
{
  g_autofree char *picked = g_build_filename (plan->runtime_dir, "xauthority", NULL);
  g_autofree char *target = vm_grant_in_runtime (plan, "xauthority");

  if (host->xauthority == NULL)
    return;
  vm_plan_add_make (plan, VM_MAKE_XAUTH, picked, host->xauthority, number);
  vm_plan_add_copy (plan, picked, target, 0600, "grant:display");
  vm_plan_setenv (plan, "XAUTHORITY", target);
}

static gboolean
add_x11 (VmPlan *plan, const VmHost *host, gboolean asked, gboolean *ret_added, GError **error)
{
  const VmHostSocket *socket = vm_host_socket (host, "x11");
  const char *number = socket != NULL && socket->problem == NULL ? socket->detail : "0";
  g_autofree char *target = g_strconcat ("/tmp/.X11-unix/X", number, NULL);
  g_autofree char *display = g_strconcat (":", number, NULL);

  if (!vm_grant_add_socket (plan, host, asked, "display", "x11", target, VM_SOCKET_PLAIN, "", ret_added,
                            error))
    return FALSE;
  if (!*ret_added)
    return TRUE;
  vm_plan_setenv (plan, "DISPLAY", display);
  add_cookie (plan, host, number);
  return TRUE;
}

/* Its clients pass descriptors, which a relay does not carry. */
static gboolean
add_wayland (VmPlan *plan, const VmHost *host, gboolean asked, gboolean *ret_added, GError **error)
{
  const VmHostSocket *socket = vm_host_socket (host, "wayland");
  const char *name = socket != NULL && socket->problem == NULL ? socket->detail : "wayland-0";
  g_autofree char *target = vm_grant_in_runtime (plan, name);

  if (plan->isolation == VM_ISOLATION_VM) {
    vm_plan_add_note (plan, "grant 'display' lets no Wayland into a virtual machine, only X11");
    return TRUE;
  }
  if (!vm_grant_add_socket (plan, host, asked, "display", "wayland", target, VM_SOCKET_DESCRIPTORS, "",
                            ret_added, error))
    return FALSE;
  if (*ret_added)
    vm_plan_setenv (plan, "WAYLAND_DISPLAY", name);
  return TRUE;
}

static gboolean
add_display (VmPlan *plan, const VmHost *host, gboolean asked, GError **error)
{
  gboolean has_x11 = vm_host_socket (host, "x11") != NULL;
  gboolean has_wayland = vm_host_socket (host, "wayland") != NULL;
  gboolean added = FALSE;

  if (plan->screen.kind != VM_DISPLAY_UNSET)
    return vm_grant_absent (
        asked, "display", "--display gives the sandbox a screen of its own; leave one of the two out", error);
  if (!has_x11 && !has_wayland)
    return vm_grant_absent (
        asked, "display", "neither $DISPLAY nor $WAYLAND_DISPLAY is set; start vmctl from a desktop", error);
  if (!has_x11 && plan->isolation == VM_ISOLATION_VM)
    return vm_grant_absent (
        asked, "display",
        "this desktop has no X11, and a virtual machine cannot use Wayland; use --driver bwrap", error);
  return (!has_x11 || add_x11 (plan, host, asked, &added, error)) &&
         (!has_wayland || add_wayland (plan, host, asked, &added, error));
}

static gboolean
add_gpu (VmPlan *plan, const VmHost *host, gboolean asked, GError **error)
{
  const VmHostEntry *dri = vm_host_entry (host->extra, "/dev/dri");
  const VmHostEntry *driver = vm_host_entry (host->extra, "/run/opengl-driver");

  if (plan->isolation == VM_ISOLATION_VM)
    return vm_grant_absent (
        asked, "gpu", "a virtual machine cannot have the host's graphics card; use --driver bwrap", error);
  if (dri == NULL)
    return vm_grant_absent (asked, "gpu", "this host has no /dev/dri", error);
  vm_plan_add_device (plan, "/dev/dri", dri->is_dir, "grant:gpu");
  if (driver != NULL)
    vm_plan_add_entry (plan, driver, "grant:gpu");
  return TRUE;
}

const VmGrant vm_grant_display = {
    "display", "your screen: what runs inside can see every X11 window and all that is typed in them",
    add_display};
const VmGrant vm_grant_gpu = {
    "gpu", "the graphics card (/dev/dri), not in virtual machines: a large part of the kernel to attack",
    add_gpu};
