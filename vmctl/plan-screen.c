/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A screen inside: `--display`. The X server runs inside, with every driver: a client that breaks it is then
 * where it was before, and the host's own X server is let in only by the grant `display`. QEMU's window is
 * another matter: there QEMU is the client of the host's X server, in its jail, and the guest has a graphics
 * card. */
#include "vmctl/base/error.h"
#include "vmctl/grant-parts.h"

#define INSTALL "install it (Debian: apt install "

char *
vm_screen_size (const VmScreen *screen)
{
  return screen->kind != VM_DISPLAY_UNSET ? g_strdup_printf ("%ux%u", screen->width, screen->height) : NULL;
}

static gboolean
add_server (VmPlan *plan, const VmHost *host, GError **error)
{
  gboolean is_vm = plan->isolation == VM_ISOLATION_VM;
  const char *server = is_vm ? host->xorg : host->xvfb;

  if (server == NULL)
    return vm_error (error, VM_ERROR_HOST, "--display: the X server '%s' is missing; " INSTALL "%s)",
                     is_vm ? "Xorg" : "Xvfb",
                     is_vm ? "xserver-xorg-core xserver-xorg-input-evdev openbox" : "xvfb openbox");
  if (is_vm && host->xorg_problem != NULL)
    return vm_error (error, VM_ERROR_HOST, "--display: %s", host->xorg_problem);
  if (host->window_manager == NULL)
    return vm_error (error, VM_ERROR_HOST,
                     "--display: the window manager 'openbox' is missing; " INSTALL "openbox)");
  plan->screen.server = g_strdup (server);
  plan->screen.manager = g_strdup (host->window_manager);
  return TRUE;
}

/* The user's own display, for QEMU. Its cookies are picked at the start: the file may hold other machines'.
 */
static gboolean
add_window (VmPlan *plan, const VmHost *host, GError **error)
{
  const VmHostSocket *socket = vm_host_socket (host, "x11");

  if (host->gtk_problem != NULL)
    return vm_error (error, VM_ERROR_HOST, "--display gtk: %s", host->gtk_problem);
  if (socket == NULL)
    return vm_error (error, VM_ERROR_HOST,
                     "--display gtk: $DISPLAY is not set; start vmctl from a desktop, or use --display none "
                     "or vnc");
  if (socket->problem != NULL)
    return vm_error (error, VM_ERROR_HOST, "--display gtk: %s", socket->problem);
  plan->screen.socket = g_strdup (socket->path);
  plan->screen.number = g_strdup (socket->detail);
  if (host->xauthority == NULL)
    return TRUE;
  plan->screen.cookies = g_build_filename (plan->runtime_dir, "window-cookies", NULL);
  vm_plan_add_make (plan, VM_MAKE_XAUTH, plan->screen.cookies, host->xauthority, socket->detail);
  return TRUE;
}

gboolean
vm_plan_add_screen (VmPlan *plan, const VmHost *host, GError **error)
{
  g_autofree char *cookie = vm_grant_in_runtime (plan, "vmctl-xauthority");
  VmDisplay kind = plan->screen.kind;

  if (kind == VM_DISPLAY_UNSET)
    return TRUE;
  if (plan->isolation == VM_ISOLATION_NONE)
    return vm_error (error, VM_ERROR_USAGE, "--display: the null driver has no screen; use another driver");
  if (plan->isolation != VM_ISOLATION_VM && kind != VM_DISPLAY_NONE)
    return vm_error (error, VM_ERROR_USAGE,
                     "--display %s: only a virtual machine has that; with %s use --display none, whose "
                     "screen 'vmctl screenshot' shows, or let programs onto your own: --grant display",
                     vm_display_name (kind), plan->driver);
  if (!add_server (plan, host, error) || (kind == VM_DISPLAY_GTK && !add_window (plan, host, error)))
    return FALSE;
  vm_plan_setenv (plan, "DISPLAY", ":0");
  vm_plan_setenv (plan, "XAUTHORITY", cookie);
  return TRUE;
}
