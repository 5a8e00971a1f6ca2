/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/usb.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"

enum { ID_MAX = 0xffff, PLACE_MAX = 999 /* three digits, as the node has them */ };

void
vm_usb_device_clear (VmUsbDevice *device)
{
  g_free (device->node);
  *device = (VmUsbDevice){0};
}

const char *
vm_usb_root (void)
{
  return g_getenv ("VMCTL_TEST_USB");
}

static gboolean
read_number (const char *dir, const char *name, guint base, guint max, guint *ret)
{
  g_autofree char *path = g_build_filename (dir, name, NULL), *text = NULL;
  guint64 value;

  if (!g_file_get_contents (path, &text, NULL, NULL) ||
      !g_ascii_string_to_unsigned (g_strchomp (text), base, 0, max, &value, NULL))
    return FALSE;
  *ret = (guint)value;
  return TRUE;
}

/* An interface has no numbers of its own. */
static gboolean
is_wanted (const char *dir, guint vendor, guint product, VmUsbDevice *at)
{
  guint wanted_bus = at->bus, wanted_device = at->device, its_vendor, its_product;

  if (!read_number (dir, "busnum", 10, PLACE_MAX, &at->bus) ||
      !read_number (dir, "devnum", 10, PLACE_MAX, &at->device) || at->bus == 0 || at->device == 0)
    return FALSE;
  if (vendor == 0 && product == 0)
    return at->bus == wanted_bus && at->device == wanted_device;
  return read_number (dir, "idVendor", 16, ID_MAX, &its_vendor) &&
         read_number (dir, "idProduct", 16, ID_MAX, &its_product) && its_vendor == vendor &&
         its_product == product;
}

static int
by_place (gconstpointer a, gconstpointer b)
{
  const VmUsbDevice *one = a, *other = b;

  return one->bus != other->bus ? (int)one->bus - (int)other->bus : (int)one->device - (int)other->device;
}

/* (transfer full) of VmUsbDevice, without nodes */
static GArray *
list_wanted (const char *root, guint vendor, guint product, guint bus, guint device)
{
  g_autofree char *path = g_build_filename (root != NULL ? root : "/sys/bus/usb", "devices", NULL);
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  GArray *found = g_array_new (FALSE, FALSE, sizeof (VmUsbDevice));
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL) {
    g_autofree char *one = g_build_filename (path, name, NULL);
    VmUsbDevice at = {.bus = bus, .device = device};

    if (is_wanted (one, vendor, product, &at))
      g_array_append_val (found, at);
  }
  g_array_sort (found, by_place);
  return found;
}

static gboolean
refuse_several (GArray *found, guint vendor, guint product, GError **error)
{
  g_autoptr (GString) places = g_string_new (NULL);

  for (guint i = 0; i < found->len; i++) {
    const VmUsbDevice *at = &g_array_index (found, VmUsbDevice, i);

    g_string_append_printf (places, "%s%u.%u", i > 0 ? ", " : "", at->bus, at->device);
  }
  return vm_error (error, VM_ERROR_USAGE,
                   "usb: this host has %u devices %04x:%04x; name one by its place, BUS.DEVICE: %s",
                   found->len, vendor, product, places->str);
}

/* Its path without links: nobody who could change one comes between this and the use of it. */
static gboolean
resolve_node (const char *root, VmUsbDevice *at, GError **error)
{
  g_autofree char *place = g_strdup_printf ("%03u/%03u", at->bus, at->device);
  g_autofree char *path = root != NULL ? g_build_filename (root, "nodes", place, NULL)
                                       : g_build_filename ("/dev/bus/usb", place, NULL);
  char *resolved = realpath (path, NULL);

  if (resolved == NULL)
    return vm_error_errno (error, errno, "usb: cannot use '%s'", path);
  at->node = g_strdup (resolved);
  free (resolved); /* libc's */
  return TRUE;
}

gboolean
vm_usb_find (const char *root, guint vendor, guint product, guint bus, guint device, VmUsbDevice *ret,
             GError **error)
{
  g_autoptr (GArray) found = list_wanted (root, vendor, product, bus, device);

  *ret = (VmUsbDevice){0};
  if (found->len == 0)
    return vm_error (error, VM_ERROR_NOT_FOUND, "usb: this host has no such device; look with: lsusb");
  if (found->len > 1)
    return refuse_several (found, vendor, product, error);
  *ret = g_array_index (found, VmUsbDevice, 0);
  return resolve_node (root, ret, error);
}

static gboolean
refuse_rights (const char *node, GError **error)
{
  struct stat st = {0};
  const struct group *group = stat (node, &st) == 0 && st.st_gid != 0 ? getgrgid (st.st_gid) : NULL;

  if (group != NULL)
    return vm_error (error, VM_ERROR_FAILED,
                     "usb: you have no right to open '%s'; join its group '%s', or let an udev rule give you "
                     "the right (TAG+=\"uaccess\")",
                     node, group->gr_name);
  return vm_error (error, VM_ERROR_FAILED,
                   "usb: you have no right to open '%s'; let an udev rule give you the right "
                   "(TAG+=\"uaccess\"), or the device to a group of yours",
                   node);
}

int
vm_usb_open (const char *node, GError **error)
{
  struct open_how how = {.flags = O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, .resolve = RESOLVE_NO_SYMLINKS};
  vm_autofd fd = (int)syscall (SYS_openat2, AT_FDCWD, node, &how, sizeof how);
  struct stat st;

  if (fd < 0 && (errno == EACCES || errno == EPERM))
    (void)refuse_rights (node, error);
  else if (fd < 0 || fstat (fd, &st) < 0)
    (void)vm_error_errno (error, errno, "usb: cannot open '%s'", node);
  else if (!S_ISCHR (st.st_mode))
    (void)vm_error (error, VM_ERROR_INVALID, "usb: '%s' is no device", node);
  else if (vm_fd_set_nonblocking (fd, FALSE, error))
    return vm_fd_steal (&fd);
  return -1;
}
