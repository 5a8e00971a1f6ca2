/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finding a USB device in what looks like /sys/bus/usb and /dev/bus/usb, and opening it. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/file.h"
#include "vmctl/usb.h"

typedef struct {
  char *root;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  g_autofree char *made = g_dir_make_tmp ("vmctl-usb-XXXXXX", NULL);

  f->root = g_canonicalize_filename (made, NULL);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  g_assert_true (vm_file_remove_tree (AT_FDCWD, f->root, NULL));
  g_free (f->root);
}

static void
put_fact (Fixture *f, const char *device, const char *name, const char *value)
{
  g_autofree char *dir = g_build_filename (f->root, "devices", device, NULL);
  g_autofree char *path = g_build_filename (dir, name, NULL);

  g_assert_cmpint (g_mkdir_with_parents (dir, 0700), ==, 0);
  g_assert_true (g_file_set_contents (path, value, -1, NULL));
}

/* `ids` and `place` as the kernel writes them; a node that is a link to /dev/zero. */
static void
add (Fixture *f, const char *name, const char *vendor, const char *product, const char *bus,
     const char *device)
{
  g_autofree char *dir = g_strdup_printf ("%s/nodes/%03d", f->root, atoi (bus));
  g_autofree char *node = g_strdup_printf ("%s/%03d", dir, atoi (device));

  put_fact (f, name, "idVendor", vendor);
  put_fact (f, name, "idProduct", product);
  put_fact (f, name, "busnum", bus);
  put_fact (f, name, "devnum", device);
  g_assert_cmpint (g_mkdir_with_parents (dir, 0700), ==, 0);
  g_assert_true (symlink ("/dev/zero", node) == 0 || errno == EEXIST);
}

static void
expect (Fixture *f, guint vendor, guint product, guint bus, guint device, guint at_bus, guint at_device)
{
  g_autoptr (GError) error = NULL;
  VmUsbDevice found;

  g_assert_true (vm_usb_find (f->root, vendor, product, bus, device, &found, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (found.bus, ==, at_bus);
  g_assert_cmpuint (found.device, ==, at_device);
  g_assert_cmpstr (found.node, ==, "/dev/zero"); /* without the link */
  vm_usb_device_clear (&found);
}

static void
refuse (Fixture *f, guint vendor, guint product, guint bus, guint device, int code, const char *text)
{
  g_autoptr (GError) error = NULL;
  VmUsbDevice found;

  g_assert_false (vm_usb_find (f->root, vendor, product, bus, device, &found, &error));
  g_assert_error (error, VM_ERROR, code);
  g_assert_nonnull (strstr (error->message, text));
  g_assert_null (found.node);
}

static void
test_find (Fixture *f, gconstpointer data)
{
  add (f, "usb1", "1d6b\n", "0002\n", "1\n", "1\n");
  add (f, "1-4", "046d\n", "c52b\n", "1\n", "12\n");
  add (f, "2-1.3", "0000\n", "00aa\n", "2\n", "127\n");
  expect (f, 0x046d, 0xc52b, 0, 0, 1, 12);
  expect (f, 0, 0xaa, 0, 0, 2, 127);
  expect (f, 0, 0, 1, 12, 1, 12);
  expect (f, 0, 0, 1, 1, 1, 1);
}

static void
test_none (Fixture *f, gconstpointer data)
{
  refuse (f, 0, 0, 1, 1, VM_ERROR_NOT_FOUND, "lsusb"); /* a host without USB */
  add (f, "1-4", "046d\n", "c52b\n", "1\n", "12\n");
  refuse (f, 0x046d, 0xc52c, 0, 0, VM_ERROR_NOT_FOUND, "lsusb");
  refuse (f, 0xc52b, 0x046d, 0, 0, VM_ERROR_NOT_FOUND, "lsusb");
  refuse (f, 0, 0, 12, 1, VM_ERROR_NOT_FOUND, "lsusb");
}

/* In their order, whatever that of the directory is. */
static void
test_twice (Fixture *f, gconstpointer data)
{
  add (f, "2-1", "046d\n", "c52b\n", "2\n", "3\n");
  add (f, "1-4", "046d\n", "c52b\n", "1\n", "12\n");
  add (f, "1-2", "046d\n", "c52b\n", "1\n", "7\n");
  refuse (f, 0x046d, 0xc52b, 0, 0, VM_ERROR_USAGE, "3 devices 046d:c52b");
  refuse (f, 0x046d, 0xc52b, 0, 0, VM_ERROR_USAGE, "1.7, 1.12, 2.3");
}

/* Passed over: what has no numbers, or none that can be. */
static void
test_malformed (Fixture *f, gconstpointer data)
{
  static const char *const bad[] = {"",      "\n",    "x\n",    "-1\n",
                                    "0x1\n", "1 2\n", "1000\n", "99999999999999999999\n"};

  put_fact (f, "1-4:1.0", "bInterfaceClass", "03\n");
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++) {
    add (f, "1-1", "046d\n", "c52b\n", bad[i], "5\n");
    refuse (f, 0x046d, 0xc52b, 0, 0, VM_ERROR_NOT_FOUND, "lsusb");
    add (f, "1-1", "046d\n", "c52b\n", "1\n", bad[i]);
    refuse (f, 0x046d, 0xc52b, 0, 0, VM_ERROR_NOT_FOUND, "lsusb");
  }
  add (f, "1-1", "046dx\n", "c52b\n", "1\n", "5\n");
  refuse (f, 0x046d, 0xc52b, 0, 0, VM_ERROR_NOT_FOUND, "lsusb");
  expect (f, 0, 0, 1, 5, 1, 5); /* by its place it is there */
  add (f, "1-1", "046d\n", "c52b\n", "0\n", "0\n");
  refuse (f, 0, 0, 0, 0, VM_ERROR_NOT_FOUND, "lsusb");
}

static void
test_no_node (Fixture *f, gconstpointer data)
{
  g_autofree char *node = g_build_filename (f->root, "nodes/001/012", NULL);

  add (f, "1-4", "046d\n", "c52b\n", "1\n", "12\n");
  g_assert_cmpint (unlink (node), ==, 0);
  refuse (f, 0, 0, 1, 12, VM_ERROR_NOT_FOUND, "nodes/001/012");
}

static void
refuse_open (const char *node, const char *text)
{
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (vm_usb_open (node, &error), ==, -1);
  g_assert_nonnull (error);
  g_assert_nonnull (strstr (error->message, text));
}

static void
test_open (Fixture *f, gconstpointer data)
{
  g_autofree char *link = g_build_filename (f->root, "link", NULL);
  g_autofree char *file = g_build_filename (f->root, "file", NULL);
  int fd = vm_usb_open ("/dev/zero", NULL), flags;

  g_assert_cmpint (fd, >=, 0);
  flags = fcntl (fd, F_GETFL);
  g_assert_cmpint (flags & O_ACCMODE, ==, O_RDWR);
  g_assert_cmpint (flags & O_NONBLOCK, ==, 0);
  close (fd);
  g_assert_cmpint (symlink ("/dev/zero", link), ==, 0);
  refuse_open (link, "link");
  g_assert_true (g_file_set_contents (file, "x", -1, NULL));
  refuse_open (file, "is no device");
  refuse_open (f->root, "cannot open");
  if (geteuid () == 0)
    return; /* who may open all */
  g_assert_cmpint (chmod (file, 0), ==, 0);
  refuse_open (file, "udev");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, function) g_test_add ("/vmctl/usb/" name, Fixture, NULL, set_up, function, tear_down)
  ADD ("find", test_find);
  ADD ("none", test_none);
  ADD ("twice", test_twice);
  ADD ("malformed", test_malformed);
  ADD ("no-node", test_no_node);
  ADD ("open", test_open);
#undef ADD
  return g_test_run ();
}
