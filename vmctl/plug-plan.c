/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/plug-parts.h"

#include <string.h>

#include "vmctl/base/error.h"
#include "vmctl/base/json.h"
#include "vmctl/path.h"
#include "vmctl/usb.h"

enum {
  FDSET_FIRST = 16, /* those below are the machine's own, and the snapshots' */
  SERIAL_PORTS = 6, /* of the bus's eight: the first is for consoles, the second the agent's */
  DEVICES_MAX = 64,
};

/* What is there */

static json_object *
nth_device (const VmPlugFacts *facts, gsize i)
{
  return json_object_array_get_idx (facts->devices, i);
}

static gsize
n_devices (const VmPlugFacts *facts)
{
  return facts->devices != NULL ? json_object_array_length (facts->devices) : 0;
}

static gboolean
has_value (const VmPlugFacts *facts, const char *key, const char *value)
{
  for (gsize i = 0; i < n_devices (facts); i++)
    if (g_strcmp0 (vm_json_str (nth_device (facts, i), key, NULL), value) == 0)
      return TRUE;
  return FALSE;
}

/* Of these there is one, which changes. */
static gboolean
is_size (VmPlugKind kind)
{
  return kind == VM_PLUG_CPU || kind == VM_PLUG_MEM;
}

/* "dir0", "dir1", ... (transfer full) */
static char *
choose_id (const VmPlugSpec *spec, const VmPlugFacts *facts, GError **error)
{
  const char *kind = vm_plug_kind_name (spec->kind);

  if (is_size (spec->kind)) {
    if (spec->id == NULL || g_str_equal (spec->id, kind))
      return g_strdup (kind);
    vm_error (error, VM_ERROR_USAGE, "%s: there is one of it, and its id is '%s'", kind, kind);
    return NULL;
  }
  if (spec->id == NULL)
    for (guint i = 0;; i++) {
      g_autofree char *id = g_strdup_printf ("%s%u", kind, i);

      if (!has_value (facts, "id", id))
        return g_steal_pointer (&id);
    }
  if (!has_value (facts, "id", spec->id))
    return g_strdup (spec->id);
  vm_error (error, VM_ERROR_EXISTS,
            "there is a device '%s' already; take it away first (vmctl unplug), or choose "
            "another --id",
            spec->id);
  return NULL;
}

json_object *
vm_plug_find (json_object *devices, const char *id)
{
  for (gsize i = 0; devices != NULL && i < json_object_array_length (devices); i++)
    if (g_strcmp0 (vm_json_str (json_object_array_get_idx (devices, i), "id", NULL), id) == 0)
      return json_object_array_get_idx (devices, i);
  return NULL;
}

/* A number that no device has under this key. */
static gint64
free_number (const VmPlugFacts *facts, const char *key, gint64 first)
{
  gint64 number = first;

  for (gsize i = 0; i < n_devices (facts); i++)
    if (vm_json_int (nth_device (facts, i), key, -1) == number) {
      number++;
      i = (gsize)-1; /* from the beginning */
    }
  return number;
}

static gboolean
is_vm (const VmPlugFacts *facts)
{
  return facts->plan->isolation == VM_ISOLATION_VM;
}

static gboolean
needs_vm (const VmPlugFacts *facts, const char *what, const char *instead, GError **error)
{
  return is_vm (facts) || vm_error (error, VM_ERROR_UNSUPPORTED, "%s cannot be plugged into %s: %s", what,
                                    facts->plan->isolation == VM_ISOLATION_CONTAINER   ? "a container"
                                    : facts->plan->isolation == VM_ISOLATION_NAMESPACE ? "namespaces"
                                                                                       : "the null driver",
                                    instead);
}

/* A place for a PCI device. (transfer full) */
static char *
choose_port (const VmPlugFacts *facts, GError **error)
{
  guint n = facts->plan->root_ports;

  for (guint i = 0; i < n; i++) {
    g_autofree char *port = g_strdup_printf ("port%u", i);

    if (!has_value (facts, "port", port))
      return g_steal_pointer (&port);
  }
  vm_error (
      error, VM_ERROR_BUSY,
      "no place is left for another device: this machine has %u, and all are taken; take one away (vmctl "
      "unplug), or start it with more: vmctl up --root-ports N",
      n);
  return NULL;
}

static char *
qemu_id (const VmPlugPlan *plan)
{
  return g_strconcat (VM_PLUG_QEMU_PREFIX, plan->id, NULL);
}

/* Directories */

/* Does `target` come over something that the sandbox needs? */
static const char *
hides (const VmPlugFacts *facts, const char *target)
{
  const VmPlan *plan = facts->plan;

  if (vm_path_is_within (plan->project, target))
    return "the project";
  if (vm_path_is_within (plan->home, target))
    return "the home directory";
  if (vm_path_is_within ("/run/vmctl", target) || vm_path_is_within (target, "/run/vmctl"))
    return "vmctl's own directory";
  for (gsize i = 0; i < n_devices (facts); i++) {
    const char *other = vm_json_str (nth_device (facts, i), "target", NULL);

    if (other != NULL && vm_path_is_within (other, target))
      return "a directory that was plugged before";
  }
  return NULL;
}

static gboolean
check_target (const VmPlugFacts *facts, const char *target, GError **error)
{
  static const char *const kernels[] = {"/proc", "/sys", "/dev"};
  const char *what = hides (facts, target);

  if (what != NULL)
    return vm_error (error, VM_ERROR_USAGE, "dir: at '%s' it would hide %s; choose another place: HOST:GUEST",
                     target, what);
  for (guint i = 0; i < G_N_ELEMENTS (kernels); i++)
    if (vm_path_is_within (target, kernels[i]))
      return vm_error (error, VM_ERROR_USAGE, "dir: '%s' lies in '%s', which is the kernel's", target,
                       kernels[i]);
  return TRUE;
}

static gboolean
plan_dir (VmPlugPlan *plan, const VmPlugSpec *spec, const VmPlugFacts *facts, GError **error)
{
  const char *target = spec->target != NULL ? spec->target : spec->source;
  const char *mode = spec->read_only ? "ro" : "rw";
  g_autofree char *share = g_strconcat ("door/", plan->id, NULL);

  if (facts->plan->isolation == VM_ISOLATION_NONE)
    return needs_vm (facts, "a directory", "it has no inside, all of the host's directories are there",
                     error);
  if (!check_target (facts, target, error))
    return FALSE;
  json_object_object_del (plan->device, "target");
  vm_json_add_str (plan->device, "target", target);
  if (!is_vm (facts)) {
    vm_plug_add_step (plan, vm_plug_words ("keeper", "enter", spec->source, plan->id, target, mode, NULL),
                      vm_plug_words ("keeper", "leave", plan->id, NULL));
    return TRUE;
  }
  vm_plug_add_step (plan, vm_plug_words ("keeper", "bind", spec->source, plan->id, mode, NULL),
                    vm_plug_words ("keeper", "unbind", plan->id, NULL));
  vm_plug_add_step (plan, vm_plug_words ("agent", "bind", share, target, mode, NULL),
                    vm_plug_words ("agent", "unbind", target, NULL));
  return TRUE;
}

/* Disks */

static json_object *
block_node (const char *id, gint64 set, const char *format, gboolean read_only)
{
  json_object *node = json_object_new_object (), *file = json_object_new_object ();
  g_autofree char *name = g_strdup_printf ("/dev/fdset/%" G_GINT64_FORMAT, set);

  vm_json_add_str (file, "driver", "file");
  vm_json_add_str (file, "filename", name);
  vm_json_add_str (file, "locking", "on");
  vm_json_add_bool (file, "read-only", read_only);
  vm_json_add_bool (file, "auto-read-only", FALSE);
  vm_json_add_str (file, "discard", "unmap");
  vm_json_add_str (node, "driver", format);
  vm_json_add_str (node, "node-name", id);
  vm_json_add_bool (node, "read-only", read_only);
  vm_json_add_bool (node, "auto-read-only", FALSE);
  vm_json_add_str (node, "discard", "unmap");
  if (g_str_equal (format, "qcow2"))
    vm_json_add (node, "backing", NULL); /* whatever its head says */
  vm_json_add (node, "file", file);
  return vm_plug_act ("qmp", "blockdev-add", node);
}

static void
add_descriptor (VmPlugPlan *plan, const char *id, gint64 set)
{
  json_object *add = vm_plug_qmp ("add-fd", "opaque", id), *remove = vm_plug_qmp ("remove-fd", NULL, NULL);

  vm_json_add_int (vm_json_object (add, "arguments"), "fdset-id", set);
  vm_json_add_bool (add, "descriptor", TRUE);
  vm_json_add_int (vm_json_object (remove, "arguments"), "fdset-id", set);
  vm_json_add_int (plan->device, "fdset", set);
  vm_plug_add_step (plan, add, remove);
}

static void
add_open_disk (VmPlugPlan *plan, const VmPlugSpec *spec)
{
  json_object *arguments = json_object_new_object ();

  if (spec->snapshot != NULL) {
    json_object_put (arguments);
    vm_plug_add_step (plan, vm_plug_words ("here", "take-disk", plan->id, NULL), NULL);
    return;
  }
  if (spec->source == NULL) {
    vm_json_add_int (arguments, "size", (gint64)spec->size);
    vm_plug_add_step (plan, vm_plug_act ("here", "make-disk", arguments), NULL);
    return;
  }
  vm_json_add_str (arguments, "file", spec->source);
  vm_json_add_str (arguments, "format", spec->format);
  vm_json_add_bool (arguments, "read-only", spec->read_only);
  vm_plug_add_step (plan, vm_plug_act ("here", "open-disk", arguments), NULL);
}

/* The format of a file is what its head says by now: the caller has looked. */
static gboolean
plan_disk (VmPlugPlan *plan, const VmPlugSpec *spec, const VmPlugFacts *facts, GError **error)
{
  g_autofree char *id = qemu_id (plan), *port = NULL;
  const char *format = spec->source == NULL ? "qcow2" : spec->format;
  gint64 set = free_number (facts, "fdset", FDSET_FIRST);
  json_object *device, *arguments;

  if (!needs_vm (facts, "a disk", "it has no kernel of its own that could use one; plug its directory: dir",
                 error) ||
      (port = choose_port (facts, error)) == NULL)
    return FALSE;
  vm_json_add_str (plan->device, "port", port);
  add_open_disk (plan, spec);
  add_descriptor (plan, id, set);
  vm_plug_add_step (plan, block_node (id, set, format != NULL ? format : "raw", spec->read_only),
                    vm_plug_qmp ("blockdev-del", "node-name", id));
  device = vm_plug_device_add ("virtio-blk-pci", id, port);
  arguments = vm_json_object (device, "arguments");
  vm_json_add_str (arguments, "drive", id);
  vm_json_add_str (arguments, "serial", plan->id); /* by which it is found inside: 20 bytes of it */
  vm_plug_add_step (plan, device, vm_plug_device_del (id));
  vm_plug_add_step (plan, vm_plug_words ("agent", "disk", plan->id, NULL), NULL);
  return TRUE;
}

/* Serial lines */

static json_object *
socket_chardev (const char *id)
{
  json_object *act = vm_plug_qmp ("chardev-add", "id", id);
  json_object *backend = json_object_new_object (), *data = json_object_new_object ();
  json_object *address = json_object_new_object (), *name = json_object_new_object ();

  vm_json_add_str (name, "str", id);
  vm_json_add_str (address, "type", "fd");
  vm_json_add (address, "data", name);
  vm_json_add (data, "addr", address);
  vm_json_add_bool (data, "server", TRUE);
  vm_json_add_bool (data, "wait", FALSE);
  vm_json_add_str (backend, "type", "socket");
  vm_json_add (backend, "data", data);
  vm_json_add (vm_json_object (act, "arguments"), "backend", backend);
  return act;
}

static guint
count_kind (const VmPlugFacts *facts, VmPlugKind kind)
{
  guint n = 0;

  for (gsize i = 0; i < n_devices (facts); i++)
    n += g_strcmp0 (vm_json_str (nth_device (facts, i), "kind", NULL), vm_plug_kind_name (kind)) == 0;
  return n;
}

static void
add_serial (VmPlugPlan *plan, const char *name, const char *socket)
{
  g_autofree char *id = qemu_id (plan);
  json_object *getfd = vm_plug_qmp ("getfd", "fdname", id), *closefd = vm_plug_qmp ("closefd", "fdname", id);
  json_object *port = vm_plug_device_add ("virtserialport", id, "serial.0");

  vm_json_add_bool (getfd, "descriptor", TRUE);
  vm_json_add_bool (closefd, "may-fail", TRUE); /* who uses it has taken it */
  vm_json_add_str (vm_json_object (port, "arguments"), "chardev", id);
  vm_json_add_str (vm_json_object (port, "arguments"), "name", name);
  vm_plug_add_step (plan, vm_plug_words ("here", "listen", socket, NULL),
                    vm_plug_words ("here", "unlink", socket, NULL));
  vm_plug_add_step (plan, getfd, closefd);
  vm_plug_add_step (plan, socket_chardev (id), vm_plug_qmp ("chardev-remove", "id", id));
  vm_plug_add_step (plan, port, vm_plug_device_del (id));
  vm_plug_add_step (plan, vm_plug_words ("agent", "port", name, NULL),
                    vm_plug_words ("agent", "unport", name, NULL));
}

/* Without ports: the directory of a socket, at a place of vmctl's own. */
static void
add_line (VmPlugPlan *plan, const VmPlugFacts *facts, const char *name)
{
  g_autofree char *dir = g_strdup_printf ("%s/line-%s", facts->plan->runtime_dir, name);
  g_autofree char *target = g_strdup_printf ("/run/vmctl/serial/%s", name);
  g_autofree char *inside = g_strconcat (target, "/socket", NULL);

  vm_json_add_str (plan->device, "inside", inside);
  vm_plug_add_step (plan, vm_plug_words ("here", "line", name, NULL),
                    vm_plug_words ("here", "unline", name, NULL));
  vm_plug_add_step (plan, vm_plug_words ("keeper", "enter", dir, plan->id, target, "ro", NULL),
                    vm_plug_words ("keeper", "leave", plan->id, NULL));
}

static gboolean
plan_serial (VmPlugPlan *plan, const VmPlugSpec *spec, const VmPlugFacts *facts, GError **error)
{
  g_autofree char *socket = g_strdup_printf ("serial-%s.sock", spec->name), *path = NULL;

  if (facts->plan->isolation == VM_ISOLATION_NONE)
    return needs_vm (facts, "a serial line", "it has no inside; a socket does the same", error);
  if (has_value (facts, "name", spec->name))
    return vm_error (error, VM_ERROR_EXISTS, "there is a serial line '%s' already; choose another name",
                     spec->name);
  if (count_kind (facts, VM_PLUG_SERIAL) >= SERIAL_PORTS)
    return vm_error (error, VM_ERROR_BUSY, "no more than %d serial lines; take one away: vmctl unplug",
                     SERIAL_PORTS);
  path = g_build_filename (facts->plan->runtime_dir, socket, NULL);
  vm_json_add_str (plan->device, "socket", path);
  if (is_vm (facts))
    add_serial (plan, spec->name, socket);
  else
    add_line (plan, facts, spec->name);
  return TRUE;
}

/* Ports */

static gboolean
plan_port (VmPlugPlan *plan, const VmPlugSpec *spec, const VmPlugFacts *facts, GError **error)
{
  json_object *arguments = json_object_new_object ();
  const char *address = spec->address != NULL ? spec->address : "127.0.0.1";

  json_object_object_del (plan->device, "address");
  vm_json_add_str (plan->device, "address", address);
  vm_json_add_str (arguments, "id", plan->id);
  vm_json_add_str (arguments, "address", address);
  vm_json_add_int (arguments, "host-port", spec->host_port);
  vm_json_add_int (arguments, "guest-port", spec->guest_port);
  if (spec->udp)
    vm_json_add_bool (arguments, "udp", TRUE);
  vm_plug_add_step (plan, vm_plug_act ("here", "forward", arguments),
                    vm_plug_words ("here", "unforward", plan->id, NULL));
  return TRUE;
}

/* USB */

/* Its node, where every program looks for it. */
static gboolean
add_node (VmPlugPlan *plan, const VmPlugSpec *spec, const VmPlugFacts *facts, GError **error)
{
  g_autofree char *inside = g_strdup_printf (VM_USB_NODE, spec->bus, spec->device);
  json_object *act;

  if (has_value (facts, "inside", inside))
    return vm_error (error, VM_ERROR_EXISTS, "usb: the device %u.%u was plugged already", spec->bus,
                     spec->device);
  vm_json_add_str (plan->device, "inside", inside);
  act = vm_plug_words ("keeper", "device", spec->source, plan->id, inside, NULL);
  vm_json_add_bool (act, "descriptor", TRUE);
  vm_plug_add_step (plan, act, vm_plug_words ("keeper", "leave", plan->id, NULL));
  return TRUE;
}

/* A controller for each device, on a place of its own. QEMU sees no file of the host's, so it is given the
 * device opened. That the controller has gone QEMU 7.2 never says; asked again it knows of none. */
static gboolean
add_usb_host (VmPlugPlan *plan, const VmPlugFacts *facts, GError **error)
{
  gint64 set = free_number (facts, "fdset", FDSET_FIRST);
  g_autofree char *id = qemu_id (plan), *port = choose_port (facts, error);
  g_autofree char *controller = g_strconcat (id, "-hc", NULL), *bus = g_strconcat (id, "-hc.0", NULL);
  g_autofree char *file = g_strdup_printf ("/dev/fdset/%" G_GINT64_FORMAT, set);
  json_object *device, *gone;

  if (port == NULL)
    return FALSE;
  gone = vm_plug_device_del (controller);
  vm_json_add_bool (gone, "repeats", TRUE);
  vm_json_add_str (plan->device, "port", port);
  add_descriptor (plan, id, set);
  vm_plug_add_step (plan, vm_plug_device_add ("qemu-xhci", controller, port), gone);
  device = vm_plug_device_add ("usb-host", id, bus);
  vm_json_add_str (vm_json_object (device, "arguments"), "hostdevice", file);
  vm_plug_add_step (plan, device, vm_plug_device_del (id));
  return TRUE;
}

/* Where it is the caller has looked; to open it is to ask whether the user may. */
static gboolean
plan_usb (VmPlugPlan *plan, const VmPlugSpec *spec, const VmPlugFacts *facts, GError **error)
{
  if (facts->plan->isolation == VM_ISOLATION_NONE)
    return needs_vm (facts, "a USB device", "it has no inside, all of the host's devices are there", error);
  vm_plug_add_step (plan, vm_plug_words ("here", "open-usb", spec->source, NULL), NULL);
  return is_vm (facts) ? add_usb_host (plan, facts, error) : add_node (plan, spec, facts, error);
}

/* Network cards: plug-nic.c */

static gboolean
plan_nic (VmPlugPlan *plan, const VmPlugSpec *spec, const VmPlugFacts *facts, GError **error)
{
  g_autofree char *port = NULL;

  return needs_vm (facts, "a network card",
                   "its network is made before anything runs in it; start it with one: vmctl up --net",
                   error) &&
         (port = choose_port (facts, error)) != NULL && vm_plug_plan_nic (plan, spec, facts, port, error);
}

/* All of them */

static gboolean
add_steps (VmPlugPlan *plan, const VmPlugSpec *spec, const VmPlugFacts *facts, GError **error)
{
  switch (spec->kind) {
  case VM_PLUG_DIR:
    return plan_dir (plan, spec, facts, error);
  case VM_PLUG_DISK:
    return plan_disk (plan, spec, facts, error);
  case VM_PLUG_SERIAL:
    return plan_serial (plan, spec, facts, error);
  case VM_PLUG_PORT:
    return plan_port (plan, spec, facts, error);
  case VM_PLUG_USB:
    return plan_usb (plan, spec, facts, error);
  case VM_PLUG_NIC:
    return plan_nic (plan, spec, facts, error);
  case VM_PLUG_CPU:
  case VM_PLUG_MEM:
    return vm_plug_plan_size (plan, spec, facts, error);
  case VM_PLUG_KINDS:
    break;
  }
  return FALSE;
}

static json_object *
undo_of (const VmPlugPlan *plan)
{
  json_object *acts = json_object_new_array ();

  for (guint i = plan->steps->len; i > 0; i--) {
    const VmPlugStep *step = g_ptr_array_index (plan->steps, i - 1);

    if (step->undo != NULL && !vm_json_bool (step->undo, "may-fail", FALSE))
      json_object_array_add (acts, json_object_get (step->undo));
  }
  return acts;
}

VmPlugPlan *
vm_plug_plan_make (const VmPlugSpec *spec, const VmPlugFacts *facts, GError **error)
{
  g_autofree char *id = NULL;
  g_autoptr (VmPlugPlan) plan = NULL;

  if (n_devices (facts) >= DEVICES_MAX) {
    vm_error (error, VM_ERROR_BUSY, "%d devices were plugged already; take one away: vmctl unplug",
              DEVICES_MAX);
    return NULL;
  }
  id = choose_id (spec, facts, error);
  if (id == NULL)
    return NULL;
  plan = vm_plug_plan_new (id);
  plan->kind = spec->kind;
  plan->device = vm_plug_spec_to_json (spec);
  json_object_object_del (plan->device, "id");
  vm_json_add_str (plan->device, "id", plan->id);
  if (!add_steps (plan, spec, facts, error))
    return NULL;
  if (plan->unplug == NULL)
    plan->unplug = undo_of (plan);
  return g_steal_pointer (&plan);
}
