/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The USB devices of this host, as its kernel lists them. */
#pragma once

#include <glib.h>

/* Below /dev/bus/usb, on every host and inside: bus, device. */
#define VM_USB_NODE "/dev/bus/usb/%03u/%03u"

typedef struct {
  guint bus, device;
  char *node; /* owned; where this host has it, without symbolic links */
} VmUsbDevice;

void vm_usb_device_clear (VmUsbDevice *device);

/* The device with these ids, or, if both are 0, at this address. `root` NULL: this host's; else a directory
 * with "devices" in place of /sys/bus/usb/devices and "nodes" in place of /dev/bus/usb. What the kernel does
 * not list soundly is passed over. NOT_FOUND; USAGE: the ids are those of several, which are named. */
gboolean vm_usb_find (const char *root, guint vendor, guint product, guint bus, guint device,
                      VmUsbDevice *ret, GError **error);
/* NULL, but for tests (docs/testing.md): the environment variable VMCTL_TEST_USB. Borrowed. */
const char *vm_usb_root (void);
/* For reading and writing, which is the right that counts; -1 and an error that says how to get it. `node`
 * as found. */
int vm_usb_open (const char *node, GError **error);
