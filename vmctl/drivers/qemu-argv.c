/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/drivers/qemu-argv.h"

#include <string.h>

#include "meta/format.h"
#include "virtfs/share.h"
#include "vmctl/base/json.h"
#include "vmctl/driver.h"
#include "vmctl/jail.h"

enum { MIB = 1 << 20, RW_SET = 1, BASE_SET = 2 };

/* Places on the PCI bus. A template's devices must be where they were; it is simpler if they always are. */
enum {
  SLOT_SERIAL = 2,
  SLOT_SHARE_RO,
  SLOT_SHARE_RW,
  SLOT_DISK,
  SLOT_NIC,
  SLOT_BALLOON,
  SLOT_SCREEN,
  SLOT_KEYBOARD,
  SLOT_TABLET,
  SLOT_PORTS = 0x10, /* the plan's number of them */
};

/* Raise it when a template that exists would not fit any more though its words are the same. */
#define TEMPLATE_FORMAT "vmctl-template 1"

static gboolean
is_kvm (const VmPlan *plan)
{
  return g_strcmp0 (plan->accel, "kvm") == 0;
}

static gboolean
is_plain (const char *word)
{
  return strspn (word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-") == strlen (word);
}

gboolean
vm_qemu_image_has_template (const VmImage *image)
{
  return image->name == NULL ||
         (image->keep == NULL &&
          (image->filesystem != NULL ? is_plain (image->filesystem) : image->init != NULL) &&
          (image->init == NULL || is_plain (image->init)));
}

/* For the agent. A template's has no meta dir that would tell it which root to mount. (transfer full) */
static char *
words_for_agent (const VmPlan *plan, VmQemuMode mode)
{
  const VmImage *image = &plan->image;

  if (mode != VM_QEMU_BUILD)
    return g_strdup (image->init != NULL ? " " META_WORD_IMAGE : "");
  if (image->name == NULL)
    return g_strdup (" " META_WORD_TEMPLATE);
  if (image->filesystem == NULL)
    return g_strdup_printf (" " META_WORD_TEMPLATE " " META_WORD_ROOT "=" META_ROOT_HOST ",%s", image->init);
  return g_strdup_printf (" " META_WORD_TEMPLATE " " META_WORD_ROOT "=%u,%s%s%s", image->partition,
                          image->filesystem, image->init != NULL ? "," : "",
                          image->init != NULL ? image->init : "");
}

char *
vm_qemu_kernel_command_line (const VmPlan *plan, VmQemuMode mode)
{
  g_autofree char *size = vm_screen_size (&plan->screen), *words = words_for_agent (plan, mode);

  /* cryptomgr.notests: 0.2 s of self-tests under emulation. no_timer_check: the emulated timer's calibration
   * needs no doubt. swiotlb=512: room for more memory makes the kernel set 64 MiB aside for devices that
   * cannot reach it, of which there is none; 1 MiB is the least. panic=-1 with -no-reboot: a panic ends QEMU
   * at once. ttyS0 is the last and only console.
   */
  /* A window tells the graphics card its own size; video= makes the guest keep to the one that was asked for.
   * tsc=reliable: an emulated machine with more than one processor would not trust that clock, though it is
   * one for all of them, and read a device instead, which a browser does some thousand times a second. */
  return g_strconcat ("console=ttyS0 panic=-1 quiet cryptomgr.notests no_timer_check swiotlb=512",
                      size != NULL ? " video=Virtual-1:" : "", size != NULL ? size : "",
                      size != NULL && !is_kvm (plan) ? " tsc=reliable" : "", words, NULL);
}

/* The file is mapped, and so shared by all who start from it. */
static void
add_memory (const VmPlan *plan, VmQemuMode mode, VmArgv *argv)
{
  json_object *memory = json_object_new_object ();

  vm_json_add_str (memory, "qom-type", "memory-backend-file");
  vm_json_add_str (memory, "id", "ram");
  vm_json_add_int (memory, "size", (gint64)plan->memory);
  vm_json_add_str (memory, "mem-path", VM_QEMU_RAM);
  vm_json_add_bool (memory, "share", mode == VM_QEMU_BUILD);
  vm_argv_add (argv, "-object");
  vm_argv_add_json (argv, memory);
}

static void
add_kernel (const VmPlan *plan, VmQemuMode mode, VmArgv *argv)
{
  g_autofree char *append = vm_qemu_kernel_command_line (plan, mode);

  if (mode == VM_QEMU_CLONE) {
    (void)vm_argv_slot (argv, "state"); /* the monitor is told its number */
    vm_argv_add_many (argv, "-incoming", "defer", NULL);
    return;
  }
  /* Generation numbers need a firmware that can hand them on; and under qboot a machine with a window does
   * not find its kernel. */
  if (mode == VM_QEMU_COLD && plan->firmware != NULL && plan->screen.kind != VM_DISPLAY_GTK)
    vm_argv_add_many (argv, "-bios", plan->firmware, NULL);
  vm_argv_add_many (argv, "-kernel", VM_JAIL_VMLINUX, "-initrd", VM_JAIL_INITRAMFS, "-append", append, NULL);
}

/* A template is the same whoever will look at it. VNC's clients come one by one from the supervisor, so that
 * QEMU listens nowhere. */
static void
add_display (const VmPlan *plan, VmQemuMode mode, VmArgv *argv)
{
  VmDisplay kind = mode != VM_QEMU_BUILD ? plan->screen.kind : VM_DISPLAY_NONE;

  vm_argv_add_many (argv, "-display", NULL);
  if (kind == VM_DISPLAY_GTK)
    vm_argv_add (argv, "gtk,gl=off,zoom-to-fit=off");
  else
    vm_argv_add (argv, kind == VM_DISPLAY_VNC ? "vnc=none" : "none");
}

/* With room for more, which costs a machine nothing that could be measured: a MiB of a template. */
static void
add_sizes (const VmPlan *plan, VmArgv *argv)
{
  g_autofree char *more_memory =
      g_strdup_printf (",slots=%d,maxmem=%" G_GUINT64_FORMAT "M", VM_QEMU_DIMMS, plan->memory_max / MIB);
  g_autofree char *more_cpus = g_strdup_printf (",maxcpus=%u", plan->cpus_max);

  vm_argv_add (argv, "-m");
  vm_argv_addf (argv, "%" G_GUINT64_FORMAT "%s", plan->memory / MIB,
                plan->memory_max > plan->memory ? more_memory : "");
  vm_argv_add (argv, "-smp");
  vm_argv_addf (argv, "%u%s", plan->cpus, plan->cpus_max > plan->cpus ? more_cpus : "");
}

static void
add_machine (const VmPlan *plan, VmQemuMode mode, VmArgv *argv)
{
  vm_argv_add_many (argv, plan->qemu, "-nodefaults", "-no-user-config", NULL);
  vm_argv_addf (argv, "-name");
  vm_argv_addf (argv, "vmctl-%s", mode == VM_QEMU_BUILD ? "template" : plan->id);
  vm_argv_add_many (argv, "-machine", mode == VM_QEMU_COLD ? "q35" : "q35,memory-backend=ram", "-accel",
                    is_kvm (plan) ? "kvm" : "tcg", NULL);
  /* la57 off: five-level paging costs a quarter of a second of emulated boot and gives nothing below 128 TiB.
   */
  vm_argv_add_many (argv, "-cpu", is_kvm (plan) ? "host" : "max,la57=off", NULL);
  add_sizes (plan, argv);
  if (mode != VM_QEMU_COLD)
    add_memory (plan, mode, argv);
  add_kernel (plan, mode, argv);
  add_display (plan, mode, argv);
  vm_argv_add_many (argv, "-no-reboot", "-sandbox",
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

static json_object *
pci_device (const char *driver, const char *id, guint slot)
{
  json_object *object = device (driver, id);
  g_autofree char *addr = g_strdup_printf ("0x%x", slot);

  vm_json_add_str (object, "addr", addr);
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
  json_object *bus = pci_device ("virtio-serial-pci", "serial", SLOT_SERIAL);

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
qcow2_node (int set, gboolean read_only, gboolean is_kept)
{
  json_object *node = json_object_new_object (), *cache = json_object_new_object ();

  vm_json_add_str (node, "driver", "qcow2");
  vm_json_add_bool (node, "read-only", read_only);
  vm_json_add_str (node, "discard", "unmap");
  vm_json_add_bool (cache, "direct", FALSE);
  vm_json_add_bool (cache, "no-flush", !is_kept); /* scratch need not survive the host */
  vm_json_add (node, "cache", cache);
  vm_json_add (node, "file", file_node (set, read_only));
  return node;
}

/* The scratch disk, or an image's root: an overlay and what is below. An image has nothing below it, whatever
 * it says. */
static void
add_disk (const VmPlan *plan, VmArgv *argv)
{
  json_object *base = qcow2_node (BASE_SET, TRUE, FALSE);
  gboolean is_image = plan->image.filesystem != NULL;
  json_object *overlay = qcow2_node (RW_SET, FALSE, plan->image.keep != NULL),
              *disk = pci_device ("virtio-blk-pci", "scratch", SLOT_DISK);

  vm_argv_add (argv, "-add-fd");
  vm_argv_addf (argv, "fd=%d,set=%d", vm_argv_slot (argv, "overlay"), RW_SET);
  vm_argv_add (argv, "-add-fd");
  vm_argv_addf (argv, "fd=%d,set=%d", vm_argv_slot (argv, "base"), BASE_SET);
  vm_json_add_str (overlay, "node-name", "scratch");
  vm_json_add_str (overlay, "detect-zeroes", "unmap");
  if (is_image)
    json_object_object_add (base, "backing", NULL);
  vm_json_add (overlay, "backing", base);
  vm_argv_add (argv, "-blockdev");
  vm_argv_add_json (argv, overlay);
  vm_json_add_str (disk, "drive", "scratch");
  vm_json_add_str (disk, "serial", is_image ? META_ROOT_SERIAL : META_DISK_SERIAL);
  add_device (argv, disk);
}

/* The backend of the network card: frames, one a datagram, to vmctl-net. QEMU itself has no network. */
static void
add_netdev (VmArgv *argv)
{
  json_object *netdev = json_object_new_object (), *local = json_object_new_object ();
  g_autofree char *fd = g_strdup_printf ("%d", vm_argv_slot (argv, "nic"));

  vm_json_add_str (netdev, "type", "dgram");
  vm_json_add_str (netdev, "id", "net");
  vm_json_add_str (local, "type", "fd");
  vm_json_add_str (local, "str", fd);
  vm_json_add (netdev, "local", local);
  vm_argv_add (argv, "-netdev");
  vm_argv_add_json (argv, netdev);
}

/* Every machine has a card; whether anything is behind it is the plan's. The large MTU is what makes frames
 * to vmctl-net fast. */
static void
add_nic (const VmPlan *plan, VmQemuMode mode, VmArgv *argv)
{
  json_object *nic = pci_device ("virtio-net-pci", "nic", SLOT_NIC);

  if (vm_plan_has_card (plan) && mode != VM_QEMU_BUILD) {
    add_netdev (argv);
    vm_json_add_str (nic, "netdev", "net");
  }
  vm_json_add_str (nic, "romfile", "");
  vm_json_add_int (nic, "host_mtu", VM_DRIVER_MTU);
  /* QEMU takes a machine that goes on from a template for one that has moved, and would have its kernel
   * announce it to the network, five times in its first half second. (announce-rounds 0 instead: QEMU 7.2
   * crashes when such a card is reset.) */
  vm_json_add_bool (nic, "guest_announce", FALSE);
  if (plan->mac != NULL && mode != VM_QEMU_BUILD)
    vm_json_add_str (nic, "mac", plan->mac);
  add_device (argv, nic);
}

/* No VGA: nothing looks at the screen before the guest's own driver is there. */
static void
add_screen (const VmPlan *plan, VmArgv *argv)
{
  json_object *screen;

  if (plan->screen.kind == VM_DISPLAY_UNSET)
    return;
  screen = pci_device ("virtio-gpu-pci", "screen", SLOT_SCREEN);
  vm_json_add_int (screen, "xres", plan->screen.width);
  vm_json_add_int (screen, "yres", plan->screen.height);
  add_device (argv, screen);
  add_device (argv, pci_device ("virtio-keyboard-pci", "keyboard", SLOT_KEYBOARD));
  add_device (argv, pci_device ("virtio-tablet-pci", "tablet", SLOT_TABLET));
}

/* Where devices can be added to a running machine. */
static void
add_root_ports (const VmPlan *plan, VmArgv *argv)
{
  for (guint i = 0; i < plan->root_ports; i++) {
    g_autofree char *id = g_strdup_printf ("port%u", i);
    json_object *port = pci_device ("pcie-root-port", id, SLOT_PORTS + i);

    vm_json_add_int (port, "chassis", i + 1);
    add_device (argv, port);
  }
}

/* Memory that is free in the guest goes back to the host: the guest reports it (2 MiB at a time, some seconds
 * later), and QEMU drops it. What the guest finds there afterwards is zero, or, in a machine that went on
 * from a template, what was there before. A guest that relies on free memory being zero (init_on_free) asks
 * for page-poison, is not given it, and then reports nothing. */
static void
add_balloon (VmArgv *argv)
{
  json_object *balloon = pci_device ("virtio-balloon-pci", "balloon", SLOT_BALLOON);

  vm_json_add_bool (balloon, "free-page-reporting", TRUE);
  vm_json_add_bool (balloon, "page-poison", FALSE);
  vm_json_add_bool (balloon, "deflate-on-oom", TRUE); /* vmctl plug mem may ask for more than it can give */
  add_device (argv, balloon);
}

/* A new generation makes the guest's kernel reseed by itself, should the agent ever not. */
static void
add_generation (VmArgv *argv)
{
  json_object *generation = device ("vmgenid", "generation");

  vm_json_add_str (generation, "guid", "auto");
  add_device (argv, generation);
}

void
vm_qemu_argv (const VmPlan *plan, VmQemuMode mode, VmArgv *argv)
{
  const VirtfsShare ro = {
      .id = "ro", .path = VM_JAIL_EXPORT_RO, .tag = META_TAG_RO, .read_only = TRUE, .slot = SLOT_SHARE_RO};
  const VirtfsShare rw = {.id = "rw", .path = VM_JAIL_EXPORT_RW, .tag = META_TAG_RW, .slot = SLOT_SHARE_RW};

  add_machine (plan, mode, argv);
  add_channels (argv);
  virtfs_share_argv (&ro, argv);
  virtfs_share_argv (&rw, argv);
  if (plan->disk_base != NULL)
    add_disk (plan, argv);
  add_nic (plan, mode, argv);
  add_balloon (argv);
  add_root_ports (plan, argv);
  add_screen (plan, argv);
  if (mode != VM_QEMU_COLD)
    add_generation (argv);
}

static void
add_input (GPtrArray *out, const char *name, const char *value)
{
  g_ptr_array_add (out, g_strdup_printf ("%s=%s", name, value != NULL ? value : ""));
}

static void
add_file (GPtrArray *out, const char *name, const char *path)
{
  g_autofree char *base = path != NULL ? g_path_get_basename (path) : NULL;

  add_input (out, name, base);
}

char **
vm_qemu_template_inputs (const VmHost *host)
{
  GPtrArray *out = g_ptr_array_new ();

  add_input (out, "format", TEMPLATE_FORMAT);
  add_input (out, "qemu", host->qemu_id);
  add_input (out, "version", host->qemu_version);
  add_input (out, "firmware", host->firmware_id);
  add_file (out, "vmlinux", host->vmlinux); /* their names are made of what is in them */
  add_file (out, "initramfs", host->initramfs);
  add_input (out, "cpu", host->cpu_id);
  if (host->image.name != NULL)
    add_file (out, "image", host->image.dir); /* its id */
  if (host->image.host_state != NULL)
    add_input (out, "systemd", host->image.host_state);
  g_ptr_array_add (out, NULL);
  return (char **)g_ptr_array_free (out, FALSE);
}

/* The words hold machine, processor, memory, devices with their places, and the kernel's command line. */
char *
vm_qemu_template_key (const VmPlan *plan, const char *const *inputs)
{
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);
  g_autoptr (VmArgv) argv = vm_argv_new ();
  g_autofree char *disk = g_path_get_basename (plan->disk_base); /* it says the size */

  vm_qemu_argv (plan, VM_QEMU_BUILD, argv);
  for (const char *const *word = vm_argv_words (argv); *word != NULL; word++)
    g_checksum_update (sum, (const guchar *)*word, (gssize)strlen (*word) + 1);
  for (; *inputs != NULL; inputs++)
    g_checksum_update (sum, (const guchar *)*inputs, (gssize)strlen (*inputs) + 1);
  g_checksum_update (sum, (const guchar *)disk, -1);
  return g_strndup (g_checksum_get_string (sum), 32);
}
