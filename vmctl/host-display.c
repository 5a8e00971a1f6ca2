/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* X servers, a window manager, and whether QEMU has a window: for `--display`. */
#include <unistd.h>

#include "vmctl/host-parts.h"

/* Not what $PATH has: that is a wrapper which asks for a console, or has the set-user-ID bit. */
static char *
find_xorg (void)
{
  static const char *const places[] = {"/usr/lib/xorg/Xorg", "/usr/libexec/Xorg", "/usr/lib/Xorg",
                                       "/run/current-system/sw/bin/Xorg"};

  for (gsize i = 0; i < G_N_ELEMENTS (places); i++)
    if (access (places[i], X_OK) == 0)
      return g_strdup (places[i]);
  return NULL;
}

/* Without udev libinput takes no device, so evdev it is. */
static char *
find_xorg_problem (const char *xorg)
{
  static const char *const places[] = {"/usr/lib/xorg/modules/input/evdev_drv.so",
                                       "/usr/lib64/xorg/modules/input/evdev_drv.so",
                                       "/run/current-system/sw/lib/xorg/modules/input/evdev_drv.so"};

  for (gsize i = 0; xorg != NULL && i < G_N_ELEMENTS (places); i++)
    if (access (places[i], R_OK) == 0)
      return NULL;
  return xorg == NULL ? NULL
                      : g_strdup ("Xorg's driver 'evdev' is missing; install it (Debian: apt install "
                                  "xserver-xorg-input-evdev)");
}

/* Only where QEMU's modules are packages of their own is it known. */
static char *
find_gtk_problem (void)
{
  static const char dir[] = "/usr/lib/x86_64-linux-gnu/qemu",
                    module[] = "/usr/lib/x86_64-linux-gnu/qemu/ui-gtk.so";

  if (access (dir, F_OK) < 0 || access (module, R_OK) == 0)
    return NULL;
  return g_strdup ("QEMU's window is missing; install it (Debian: apt install qemu-system-gui)");
}

/* Debian has several behind the usual names. */
static char *
find_tiger (const char *own, const char *usual, const char *const *more)
{
  char *path = vm_host_find_program (own, more);

  return path != NULL ? path : vm_host_find_program (usual, more);
}

void
vm_host_gather_display (VmHost *host)
{
  static const char *const more[] = {"/usr/bin", "/run/current-system/sw/bin", NULL};

  host->xorg = find_xorg ();
  host->xorg_problem = find_xorg_problem (host->xorg);
  host->xvfb = vm_host_find_program ("Xvfb", more);
  host->xvnc = find_tiger ("Xtigervnc", "Xvnc", more);
  host->viewer = find_tiger ("xtigervncviewer", "vncviewer", more);
  host->window_manager = vm_host_find_program ("openbox", more);
  host->gtk_problem = find_gtk_problem ();
}

const char *const *
vm_host_more_modules (const VmSpec *spec)
{
  static const char *const modules[] = {"virtio_gpu", "evdev", "virtio_input", NULL};

  return spec->display != VM_DISPLAY_UNSET ? modules : NULL;
}
