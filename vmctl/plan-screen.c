/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A screen inside: `--display`. The X server runs inside, with every driver: a client that breaks it is then
 * where it was before, and the host's own X server is let in only by the grant `display`. A window is
 * another matter: QEMU, or elsewhere a viewer of the server inside, is the client of the host's X server, in
 * a jail. */
#include "vmctl/base/error.h"
#include "vmctl/grant-parts.h"

#define INSTALL "install it (Debian: apt install "

char *
vm_screen_size (const VmScreen *screen)
{
  return screen->kind != VM_DISPLAY_UNSET ? g_strdup_printf ("%ux%u", screen->width, screen->height) : NULL;
}

gboolean
vm_plan_has_xvnc (const VmPlan *plan)
{
  return plan->isolation != VM_ISOLATION_VM &&
         (plan->screen.kind == VM_DISPLAY_GTK || plan->screen.kind == VM_DISPLAY_VNC);
}

static gboolean
is_missing (const char *program, const char *packages, GError **error)
{
  return vm_error (error, VM_ERROR_HOST, "--display: the X server '%s' is missing; " INSTALL "%s)", program,
                   packages);
}

static gboolean
find_server (VmPlan *plan, const VmHost *host, GError **error)
{
  const char *server = plan->isolation == VM_ISOLATION_VM     ? host->xorg
                       : plan->screen.kind == VM_DISPLAY_NONE ? host->xvfb
                                                              : host->xvnc;

  plan->screen.server = g_strdup (server);
  if (plan->isolation != VM_ISOLATION_VM)
    return server != NULL || (plan->screen.kind == VM_DISPLAY_NONE
                                  ? is_missing ("Xvfb", "xvfb openbox", error)
                                  : is_missing ("Xvnc", "tigervnc-standalone-server openbox", error));
  if (server == NULL)
    return is_missing ("Xorg", "xserver-xorg-core xserver-xorg-input-evdev openbox", error);
  return host->xorg_problem == NULL || vm_error (error, VM_ERROR_HOST, "--display: %s", host->xorg_problem);
}

static gboolean
add_server (VmPlan *plan, const VmHost *host, GError **error)
{
  if (!find_server (plan, host, error))
    return FALSE;
  if (host->window_manager == NULL)
    return vm_error (error, VM_ERROR_HOST,
                     "--display: the window manager 'openbox' is missing; " INSTALL "openbox)");
  plan->screen.manager = g_strdup (host->window_manager);
  return TRUE;
}

/* Whose window it is. */
static gboolean
add_viewer (VmPlan *plan, const VmHost *host, GError **error)
{
  if (plan->isolation == VM_ISOLATION_VM)
    return host->gtk_problem == NULL ||
           vm_error (error, VM_ERROR_HOST, "--display gtk: %s", host->gtk_problem);
  if (host->viewer == NULL)
    return vm_error (error, VM_ERROR_HOST,
                     "--display gtk: the viewer for its window is missing; " INSTALL "tigervnc-viewer)");
  if (host->bwrap == NULL)
    return vm_error (error, VM_ERROR_HOST,
                     "--display gtk: 'bwrap', in which its window is shut up, is missing; " INSTALL
                     "bubblewrap)");
  plan->screen.viewer = g_strdup (host->viewer);
  plan->screen.jail = g_strdup (host->bwrap);
  return TRUE;
}

/* The user's own display, for the window. Its cookies are picked at the start: the file may hold other
 * machines'.
 */
static gboolean
add_window (VmPlan *plan, const VmHost *host, GError **error)
{
  const VmHostSocket *socket = vm_host_socket (host, "x11");

  if (!add_viewer (plan, host, error))
    return FALSE;
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
  if (!add_server (plan, host, error) || (kind == VM_DISPLAY_GTK && !add_window (plan, host, error)))
    return FALSE;
  vm_plan_setenv (plan, "DISPLAY", ":0");
  vm_plan_setenv (plan, "XAUTHORITY", cookie);
  return TRUE;
}
