/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/drivers/qemu-argv.h"

#include "meta/format.h"
#include "virtfs/share.h"
#include "vmctl/base/json.h"
#include "vmctl/jail.h"

enum { MIB = 1 << 20, RW_SET = 1, BASE_SET = 2 };

static gboolean
is_kvm (const VmPlan *plan)
{
  return g_strcmp0 (plan->accel, "kvm") == 0;
}

char *
vm_qemu_kernel_command_line (const VmPlan *plan)
{
  /* cryptomgr.notests: 0.2 s of self-tests under emulation. no_timer_check: the emulated timer's calibration
   * needs no doubt. panic=-1 with -no-reboot: a panic ends QEMU at once. ttyS0 is the last and only console.
   */
  return g_strdup ("console=ttyS0 panic=-1 quiet cryptomgr.notests no_timer_check");
}

static void
add_machine (const VmPlan *plan, VmArgv *argv)
{
  vm_argv_add_many (argv, plan->qemu, "-nodefaults", "-no-user-config", NULL);
  vm_argv_addf (argv, "-name");
  vm_argv_addf (argv, "vmctl-%s", plan->id);
  vm_argv_add_many (argv, "-machine", "q35", "-accel", is_kvm (plan) ? "kvm" : "tcg", NULL);
  /* la57 off: five-level paging costs a quarter of a second of emulated boot and gives nothing below 128 TiB.
   */
  vm_argv_add_many (argv, "-cpu", is_kvm (plan) ? "host" : "max,la57=off", "-m", NULL);
  vm_argv_addf (argv, "%" G_GUINT64_FORMAT, plan->memory / MIB);
  vm_argv_add (argv, "-smp");
  vm_argv_addf (argv, "%u", plan->cpus);
  if (plan->firmware != NULL)
    vm_argv_add_many (argv, "-bios", plan->firmware, NULL);
  vm_argv_add_many (argv, "-kernel", VM_JAIL_VMLINUX, "-initrd", VM_JAIL_INITRAMFS, "-append", NULL);
  g_autofree char *append = vm_qemu_kernel_command_line (plan);
  vm_argv_add (argv, append);
  vm_argv_add_many (argv, "-display", "none", "-no-reboot", "-sandbox",
                    "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny", NULL);
}

static json_object *
device (const char *driver, const char *id)
{
  json_object *object = json_object_new_object ();

  vm_json_add_str (object, "driver", driver);
  vm_json_add_str (object, "id", id);
  return object;
}

static void
add_device (VmArgv *argv, json_object *take_device)
{
  vm_argv_add (argv, "-device");
  vm_argv_add_json (argv, take_device);
}

/* -chardev takes no JSON in QEMU 7.2; only descriptor numbers go into it, never a string of anybody's. */
static void
add_channels (VmArgv *argv)
{
  json_object *port = device ("virtserialport", "agent");
  json_object *bus = device ("virtio-serial-pci", "serial");

  vm_argv_add_many (argv, "-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console", "-chardev",
                    NULL);
  vm_argv_addf (argv, "socket,id=qmp,fd=%d,server=on,wait=off", vm_argv_slot (argv, "qmp"));
  vm_argv_add_many (argv, "-mon", "chardev=qmp,mode=control", "-chardev", NULL);
  vm_argv_addf (argv, "socket,id=agent,fd=%d,server=on,wait=off", vm_argv_slot (argv, "agent"));
  vm_json_add_int (bus, "max_ports", 8);
  add_device (argv, bus);
  vm_json_add_str (port, "bus", "serial.0");
  vm_json_add_int (port, "nr", 1);
  vm_json_add_str (port, "chardev", "agent");
  vm_json_add_str (port, "name", META_PORT_AGENT);
  add_device (argv, port);
}

static json_object *
file_node (int set, gboolean read_only)
{
  json_object *node = json_object_new_object ();
  g_autofree char *name = g_strdup_printf ("/dev/fdset/%d", set);

  vm_json_add_str (node, "driver", "file");
  vm_json_add_str (node, "filename", name);
  vm_json_add_bool (node, "read-only", read_only);
  vm_json_add_str (node, "discard", "unmap");
  return node;
}

static json_object *
qcow2_node (int set, gboolean read_only)
{
  json_object *node = json_object_new_object (), *cache = json_object_new_object ();

  vm_json_add_str (node, "driver", "qcow2");
  vm_json_add_bool (node, "read-only", read_only);
  vm_json_add_str (node, "discard", "unmap");
  vm_json_add_bool (cache, "direct", FALSE);
  vm_json_add_bool (cache, "no-flush", TRUE); /* scratch: it need not survive the host */
  vm_json_add (node, "cache", cache);
  vm_json_add (node, "file", file_node (set, read_only));
  return node;
}

static void
add_disk (VmArgv *argv)
{
  json_object *overlay = qcow2_node (RW_SET, FALSE), *disk = device ("virtio-blk-pci", "scratch");

  vm_argv_add (argv, "-add-fd");
  vm_argv_addf (argv, "fd=%d,set=%d", vm_argv_slot (argv, "overlay"), RW_SET);
  vm_argv_add (argv, "-add-fd");
  vm_argv_addf (argv, "fd=%d,set=%d", vm_argv_slot (argv, "base"), BASE_SET);
  vm_json_add_str (overlay, "node-name", "scratch");
  vm_json_add_str (overlay, "detect-zeroes", "unmap");
  vm_json_add (overlay, "backing", qcow2_node (BASE_SET, TRUE));
  vm_argv_add (argv, "-blockdev");
  vm_argv_add_json (argv, overlay);
  vm_json_add_str (disk, "drive", "scratch");
  vm_json_add_str (disk, "serial", META_DISK_SERIAL);
  add_device (argv, disk);
}

static void
add_network (VmArgv *argv)
{
  json_object *netdev = json_object_new_object (), *nic = device ("virtio-net-pci", "nic");

  vm_json_add_str (netdev, "type", "user");
  vm_json_add_str (netdev, "id", "net");
  vm_argv_add (argv, "-netdev");
  vm_argv_add_json (argv, netdev);
  vm_json_add_str (nic, "netdev", "net");
  vm_json_add_str (nic, "romfile", "");
  add_device (argv, nic);
}

void
vm_qemu_argv (const VmPlan *plan, VmArgv *argv)
{
  const VirtfsShare ro = {.id = "ro", .path = VM_JAIL_EXPORT_RO, .tag = META_TAG_RO, .read_only = TRUE};
  const VirtfsShare rw = {.id = "rw", .path = VM_JAIL_EXPORT_RW, .tag = META_TAG_RW};

  add_machine (plan, argv);
  add_channels (argv);
  virtfs_share_argv (&ro, argv);
  virtfs_share_argv (&rw, argv);
  if (plan->disk_base != NULL)
    add_disk (argv);
  if (plan->net == VM_NET_PUBLIC)
    add_network (argv);
}
