/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/snapshot.h"

#include <string.h>

#include "vmctl/base/error.h"
#include "vmctl/base/json.h"
#include "vmctl/plug-parts.h"

enum {
  NAME_MAX_BYTES = 40,
  FDSET = 15,       /* of the machine's own, below those of plugs */
  FDSET_MORE = 100, /* above those: of the copies of plugged disks */
};

/* One is made at a time. What is called so is the copy's node, and its job. */
#define OWN "snapshot"
#define DISK "scratch" /* vmctl/drivers/qemu-argv.c */

gboolean
vm_snapshot_is_name (const char *text)
{
  gsize n = strlen (text);

  return n > 0 && n <= NAME_MAX_BYTES && g_ascii_isalnum (*text) &&
         strspn (text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == n;
}

/* Whether there can be one */

static gboolean
check_driver (const VmPlan *plan, GError **error)
{
  if (plan->isolation != VM_ISOLATION_VM)
    return vm_error (error, VM_ERROR_UNSUPPORTED,
                     "a snapshot is of a virtual machine's disk, and this sandbox has none (%s): what is "
                     "written outside of the project is in memory",
                     plan->isolation == VM_ISOLATION_CONTAINER   ? "it is a container"
                     : plan->isolation == VM_ISOLATION_NAMESPACE ? "it has namespaces only"
                                                                 : "the null driver");
  if (plan->disk == 0)
    return vm_error (error, VM_ERROR_UNSUPPORTED,
                     "this machine has no disk, of which a snapshot could be made; start it without --disk "
                     "none");
  return TRUE;
}

/* (transfer full) */
static char *
choose_name (const char *name, json_object *snapshots, GError **error)
{
  if (json_object_array_length (snapshots) >= VM_SNAPSHOTS_MAX) {
    vm_error (error, VM_ERROR_BUSY, "there are %d snapshots already; remove one: vmctl snapshot rm",
              VM_SNAPSHOTS_MAX);
    return NULL;
  }
  for (guint i = 1; name == NULL; i++) {
    g_autofree char *next = g_strdup_printf ("s%u", i);

    if (vm_plug_find (snapshots, next) == NULL)
      return g_steal_pointer (&next);
  }
  if (!vm_snapshot_is_name (name)) {
    vm_error (error, VM_ERROR_USAGE,
              "'%s' is no name of a snapshot; one has up to %d letters, digits, '.', '_' and '-', and "
              "begins with a letter or digit",
              name, NAME_MAX_BYTES);
    return NULL;
  }
  if (vm_plug_find (snapshots, name) == NULL)
    return g_strdup (name);
  vm_error (error, VM_ERROR_EXISTS, "there is a snapshot '%s' already; remove it first: vmctl snapshot rm",
            name);
  return NULL;
}

/* The disks of it: the machine's own, and those that were plugged */

typedef struct {
  char *copy, *disk; /* owned; in QEMU: the copy's node, which its job is called as well, and the disk's */
  char *id;          /* owned; of a plugged one; NULL: it is the machine's */
  int fdset;
} Disk;

static void
disk_free (gpointer data)
{
  Disk *disk = data;

  g_free (disk->copy);
  g_free (disk->disk);
  g_free (disk->id);
  g_free (disk);
}

static gboolean
is_included (const VmSnapshotFacts *facts, json_object *device)
{
  return !facts->skip_plugged &&
         g_strcmp0 (vm_json_str (device, "kind", NULL), vm_plug_kind_name (VM_PLUG_DISK)) == 0 &&
         !vm_json_bool (device, "read-only", FALSE);
}

/* (transfer full) of Disk; the machine's is the first */
static GPtrArray *
find_disks (const VmSnapshotFacts *facts)
{
  GPtrArray *disks = g_ptr_array_new_with_free_func (disk_free);
  Disk *own = g_new0 (Disk, 1);

  *own = (Disk){.copy = g_strdup (OWN), .disk = g_strdup (DISK), .fdset = FDSET};
  g_ptr_array_add (disks, own);
  for (gsize i = 0; i < json_object_array_length (facts->devices); i++) {
    json_object *device = json_object_array_get_idx (facts->devices, i);
    const char *id = vm_json_str (device, "id", "");
    Disk *disk;

    if (!is_included (facts, device))
      continue;
    disk = g_new0 (Disk, 1);
    *disk = (Disk){.copy = g_strconcat (VM_SNAPSHOT_COPY, id, NULL),
                   .disk = g_strconcat (VM_PLUG_QEMU_PREFIX, id, NULL),
                   .id = g_strdup (id),
                   .fdset = FDSET_MORE + (int)disks->len};
    g_ptr_array_add (disks, disk);
  }
  return disks;
}

/* The steps */

static json_object *
lenient (json_object *act)
{
  vm_json_add_bool (act, "may-fail", TRUE);
  return act;
}

static json_object *
with_fdset (json_object *act, const Disk *disk)
{
  vm_json_add_int (vm_json_object (act, "arguments"), "fdset-id", disk->fdset);
  return act;
}

/* What is plugged is copied as a whole, and its zeroes take no room. */
static json_object *
target_node (const Disk *disk)
{
  json_object *node = json_object_new_object (), *file = json_object_new_object (),
              *cache = json_object_new_object ();
  g_autofree char *name = g_strdup_printf ("/dev/fdset/%d", disk->fdset);

  vm_json_add_str (file, "driver", "file");
  vm_json_add_str (file, "filename", name);
  vm_json_add_str (node, "driver", "qcow2");
  vm_json_add_str (node, "node-name", disk->copy);
  if (disk->id != NULL)
    vm_json_add_str (node, "detect-zeroes", "on");
  vm_json_add_bool (cache, "direct", FALSE);
  vm_json_add_bool (cache, "no-flush", TRUE); /* it lives no longer than its sandbox */
  vm_json_add (node, "cache", cache);
  vm_json_add (node, "backing", NULL);
  vm_json_add (node, "file", file);
  return vm_plug_act ("qmp", "blockdev-add", node);
}

/* The file, which the snapshot's name removes: how large a plugged disk is QEMU knows best. */
static void
add_file (VmPlugPlan *plan, const char *name, const Disk *disk)
{
  json_object *arguments;

  if (disk->id == NULL) {
    vm_plug_add_step (plan, vm_plug_words ("here", "make-snapshot", name, NULL),
                      vm_plug_words ("here", "remove-snapshot", name, NULL));
    return;
  }
  arguments = json_object_new_object ();
  vm_json_add_str (arguments, "snapshot", name);
  vm_json_add_str (arguments, "id", disk->id);
  vm_json_add_str (arguments, "node", disk->disk);
  vm_plug_add_step (plan, vm_plug_act ("copy", "make", arguments), NULL);
}

static void
add_target (VmPlugPlan *plan, const char *name, const Disk *disk)
{
  json_object *add = with_fdset (vm_plug_qmp ("add-fd", "opaque", disk->copy), disk);

  vm_json_add_bool (add, "descriptor", TRUE);
  add_file (plan, name, disk);
  vm_plug_add_step (plan, add, lenient (with_fdset (vm_plug_qmp ("remove-fd", NULL, NULL), disk)));
  vm_plug_add_step (plan, target_node (disk),
                    lenient (vm_plug_qmp ("blockdev-del", "node-name", disk->copy)));
}

/* A copy for which there is no room makes the guest's own writes fail. */
static void
add_room (VmPlugPlan *plan, const GPtrArray *disks)
{
  json_object *arguments = json_object_new_object (), *nodes = json_object_new_array ();

  for (guint i = 0; i < disks->len; i++)
    json_object_array_add (nodes, json_object_new_string (((Disk *)g_ptr_array_index (disks, i))->disk));
  vm_json_add (arguments, "nodes", nodes);
  vm_plug_add_step (plan, vm_plug_act ("copy", "room", arguments), NULL);
}

/* Of the overlay its own clusters ("top"): the file is such an overlay again. A job stays until it is
 * dismissed, so that nobody can come too late to hear how it ended. */
static json_object *
backup (const Disk *disk)
{
  json_object *action = json_object_new_object (), *data = json_object_new_object ();

  vm_json_add_str (data, "job-id", disk->copy);
  vm_json_add_str (data, "device", disk->disk);
  vm_json_add_str (data, "target", disk->copy);
  vm_json_add_str (data, "sync", disk->id != NULL ? "full" : "top");
  vm_json_add_bool (data, "auto-dismiss", FALSE);
  vm_json_add_str (action, "type", "blockdev-backup");
  vm_json_add (action, "data", data);
  return action;
}

/* All or none of them begin, and at one moment. */
static json_object *
transaction (const GPtrArray *disks)
{
  json_object *arguments = json_object_new_object (), *actions = json_object_new_array ();

  for (guint i = 0; i < disks->len; i++)
    json_object_array_add (actions, backup (g_ptr_array_index (disks, i)));
  vm_json_add (arguments, "actions", actions);
  return vm_plug_act ("qmp", "transaction", arguments);
}

static json_object *
jobs (const char *command, const GPtrArray *disks)
{
  json_object *arguments = json_object_new_object (), *others = json_object_new_array ();

  for (guint i = 1; i < disks->len; i++)
    json_object_array_add (others, json_object_new_string (((Disk *)g_ptr_array_index (disks, i))->copy));
  vm_json_add_str (arguments, "id", OWN);
  vm_json_add (arguments, "others", others);
  return vm_plug_act ("job", command, arguments);
}

/* A freeze that fails, or whose answer is late, is thawed like one that was done: the undo belongs to a step
 * before it. */
static void
add_moment (VmPlugPlan *plan, guint freeze_ms, const GPtrArray *disks)
{
  g_autofree char *ms = g_strdup_printf ("%u", freeze_ms);

  vm_plug_add_step (plan, lenient (vm_plug_words ("agent", "thaw", NULL)),
                    lenient (vm_plug_words ("agent", "thaw", NULL)));
  vm_plug_add_step (plan, vm_plug_words ("agent", "freeze", ms, disks->len > 1 ? "all" : NULL, NULL), NULL);
  vm_plug_add_step (plan, transaction (disks), lenient (jobs ("cancel", disks)));
  vm_plug_add_step (plan, vm_plug_words ("agent", "thaw", NULL), NULL);
}

static void
add_end (VmPlugPlan *plan, const GPtrArray *disks)
{
  vm_plug_add_step (plan, jobs ("finish", disks), NULL);
  for (guint i = 0; i < disks->len; i++) {
    const Disk *disk = g_ptr_array_index (disks, i);

    vm_plug_add_step (plan, vm_plug_qmp ("blockdev-del", "node-name", disk->copy), NULL);
    vm_plug_add_step (plan, with_fdset (vm_plug_qmp ("remove-fd", NULL, NULL), disk), NULL);
  }
}

static void
add_steps (VmPlugPlan *plan, const VmSnapshotFacts *facts)
{
  g_autoptr (GPtrArray) disks = find_disks (facts);

  add_target (plan, plan->id, g_ptr_array_index (disks, 0));
  if (disks->len > 1)
    add_room (plan, disks);
  for (guint i = 1; i < disks->len; i++)
    add_target (plan, plan->id, g_ptr_array_index (disks, i));
  add_moment (plan, facts->freeze_ms, disks);
  add_end (plan, disks);
}

static json_object *
all_undone (const VmPlugPlan *plan)
{
  json_object *acts = json_object_new_array ();

  for (guint i = plan->steps->len; i > 0; i--) {
    const VmPlugStep *step = g_ptr_array_index (plan->steps, i - 1);

    if (step->undo != NULL)
      json_object_array_add (acts, json_object_get (step->undo));
  }
  return acts;
}

/* A new disk has no file that the user knows; it is vmctl's qcow2. */
static json_object *
describe_disk (const char *name, const VmPlan *plan, json_object *device)
{
  json_object *disk = json_object_new_object ();
  const char *id = vm_json_str (device, "id", "");
  g_autofree char *copy = vm_snapshot_disk_path (plan->state_dir, name, id);

  vm_json_add_str (disk, "id", id);
  vm_json_add_str (disk, "source", vm_json_str (device, "source", NULL));
  vm_json_add_str (disk, "format", vm_json_str (device, "format", "qcow2"));
  vm_json_add_str (disk, "copy", copy);
  if (vm_json_int (device, VM_PLUG_NTH, 0) > 0)
    vm_json_add_int (disk, VM_PLUG_NTH, vm_json_int (device, VM_PLUG_NTH, 0));
  return disk;
}

/* NULL: there are none. (transfer full) */
static json_object *
describe_disks (const char *name, const VmSnapshotFacts *facts)
{
  json_object *disks = NULL;

  for (gsize i = 0; i < json_object_array_length (facts->devices); i++) {
    json_object *device = json_object_array_get_idx (facts->devices, i);

    if (!is_included (facts, device))
      continue;
    if (disks == NULL)
      disks = json_object_new_array ();
    json_object_array_add (disks, describe_disk (name, facts->plan, device));
  }
  return disks;
}

static json_object *
describe (const char *name, const VmSnapshotFacts *facts)
{
  json_object *disks = describe_disks (name, facts);
  json_object *snapshot = json_object_new_object ();

  vm_json_add_str (snapshot, "id", name);
  vm_json_add_str (snapshot, "name", name);
  vm_json_add_str (snapshot, "kind", "snapshot");
  vm_json_add_int (snapshot, "created", facts->now);
  if (facts->parent != NULL)
    vm_json_add_str (snapshot, "parent", facts->parent);
  if (disks != NULL)
    vm_json_add (snapshot, "disks", disks);
  return snapshot;
}

VmPlugPlan *
vm_snapshot_plan_make (const char *name, const VmSnapshotFacts *facts, GError **error)
{
  g_autofree char *chosen = NULL;
  VmPlugPlan *plan;

  if (!check_driver (facts->plan, error) || (chosen = choose_name (name, facts->snapshots, error)) == NULL)
    return NULL;
  plan = vm_plug_plan_new (chosen);
  plan->kind = VM_PLUG_KINDS; /* none of them */
  plan->device = describe (chosen, facts);
  add_steps (plan, facts);
  plan->abandon = all_undone (plan);
  plan->unplug = json_object_new_array ();
  json_object_array_add (plan->unplug, vm_plug_words ("here", "remove-snapshot", chosen, NULL));
  return plan;
}

/* What becomes of it */

void
vm_snapshot_take_result (VmPlugPlan *plan, const char *result, guint freeze_ms)
{
  guint64 us = 0;

  if (result != NULL &&
      g_ascii_string_to_unsigned (result, 10, 0, freeze_ms * G_GUINT64_CONSTANT (1000), &us, NULL))
    vm_json_add_int (plan->device, "frozen-us", (gint64)us);
}

void
vm_snapshot_leave (json_object *snapshots, char **parent, const char *name)
{
  json_object *gone = vm_plug_find (snapshots, name);
  g_autofree char *above = g_strdup (vm_json_str (gone, "parent", NULL));

  for (gsize i = 0; i < json_object_array_length (snapshots); i++) {
    json_object *one = json_object_array_get_idx (snapshots, i);

    if (g_strcmp0 (vm_json_str (one, "parent", NULL), name) != 0)
      continue;
    json_object_object_del (one, "parent");
    if (above != NULL)
      vm_json_add_str (one, "parent", above);
  }
  if (g_strcmp0 (*parent, name) == 0) {
    g_free (*parent);
    *parent = g_steal_pointer (&above);
  }
}
