/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/snapshot.h"

#include <string.h>

#include "vmctl/base/error.h"
#include "vmctl/base/json.h"
#include "vmctl/plug-parts.h"

enum { NAME_MAX_BYTES = 40, FDSET = 15 /* of the machine's own, below those of plugs */ };

/* One is made at a time. */
#define NODE "snapshot"
#define JOB "snapshot"
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

/* Its host file goes on as it is, so after a restore the two would not fit. */
static gboolean
check_plugged (const VmSnapshotFacts *facts, GError **error)
{
  for (gsize i = 0; !facts->skip_plugged && i < json_object_array_length (facts->devices); i++) {
    json_object *device = json_object_array_get_idx (facts->devices, i);

    if (g_strcmp0 (vm_json_str (device, "kind", NULL), vm_plug_kind_name (VM_PLUG_DISK)) == 0 &&
        !vm_json_bool (device, "read-only", FALSE))
      return vm_error (error, VM_ERROR_BUSY,
                       "the plugged disk '%s' can be written to, and is not part of snapshots; take it away "
                       "first (vmctl unplug), or leave it out: --skip-plugged",
                       vm_json_str (device, "id", ""));
  }
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

/* The steps */

static json_object *
lenient (json_object *act)
{
  vm_json_add_bool (act, "may-fail", TRUE);
  return act;
}

static json_object *
target_node (void)
{
  json_object *node = json_object_new_object (), *file = json_object_new_object (),
              *cache = json_object_new_object ();
  g_autofree char *name = g_strdup_printf ("/dev/fdset/%d", FDSET);

  vm_json_add_str (file, "driver", "file");
  vm_json_add_str (file, "filename", name);
  vm_json_add_str (node, "driver", "qcow2");
  vm_json_add_str (node, "node-name", NODE);
  vm_json_add_bool (cache, "direct", FALSE);
  vm_json_add_bool (cache, "no-flush", TRUE); /* it lives no longer than its sandbox */
  vm_json_add (node, "cache", cache);
  vm_json_add (node, "backing", NULL);
  vm_json_add (node, "file", file);
  return vm_plug_act ("qmp", "blockdev-add", node);
}

static void
add_target (VmPlugPlan *plan, const char *name)
{
  json_object *add = vm_plug_qmp ("add-fd", "opaque", NODE), *remove = vm_plug_qmp ("remove-fd", NULL, NULL);

  vm_json_add_int (vm_json_object (add, "arguments"), "fdset-id", FDSET);
  vm_json_add_bool (add, "descriptor", TRUE);
  vm_json_add_int (vm_json_object (remove, "arguments"), "fdset-id", FDSET);
  vm_plug_add_step (plan, vm_plug_words ("here", "make-snapshot", name, NULL),
                    vm_plug_words ("here", "remove-snapshot", name, NULL));
  vm_plug_add_step (plan, add, lenient (remove));
  vm_plug_add_step (plan, target_node (), lenient (vm_plug_qmp ("blockdev-del", "node-name", NODE)));
}

/* The overlay's own clusters ("top"): the file is such an overlay again. The job stays until it is dismissed,
 * so that nobody can come too late to hear how it ended. */
static json_object *
transaction (void)
{
  json_object *arguments = json_object_new_object (), *actions = json_object_new_array (),
              *action = json_object_new_object (), *backup = json_object_new_object ();

  vm_json_add_str (backup, "job-id", JOB);
  vm_json_add_str (backup, "device", DISK);
  vm_json_add_str (backup, "target", NODE);
  vm_json_add_str (backup, "sync", "top");
  vm_json_add_bool (backup, "auto-dismiss", FALSE);
  vm_json_add_str (action, "type", "blockdev-backup");
  vm_json_add (action, "data", backup);
  json_object_array_add (actions, action);
  vm_json_add (arguments, "actions", actions);
  return vm_plug_act ("qmp", "transaction", arguments);
}

static json_object *
job (const char *command)
{
  json_object *arguments = json_object_new_object ();

  vm_json_add_str (arguments, "id", JOB);
  return vm_plug_act ("job", command, arguments);
}

/* A freeze that fails, or whose answer is late, is thawed like one that was done: the undo belongs to a step
 * before it. */
static void
add_moment (VmPlugPlan *plan, guint freeze_ms)
{
  g_autofree char *ms = g_strdup_printf ("%u", freeze_ms);

  vm_plug_add_step (plan, lenient (vm_plug_words ("agent", "thaw", NULL)),
                    lenient (vm_plug_words ("agent", "thaw", NULL)));
  vm_plug_add_step (plan, vm_plug_words ("agent", "freeze", ms, NULL), NULL);
  vm_plug_add_step (plan, transaction (), lenient (job ("cancel")));
  vm_plug_add_step (plan, vm_plug_words ("agent", "thaw", NULL), NULL);
}

static void
add_end (VmPlugPlan *plan)
{
  json_object *remove = vm_plug_qmp ("remove-fd", NULL, NULL);

  vm_json_add_int (vm_json_object (remove, "arguments"), "fdset-id", FDSET);
  vm_plug_add_step (plan, job ("finish"), NULL);
  vm_plug_add_step (plan, vm_plug_qmp ("blockdev-del", "node-name", NODE), NULL);
  vm_plug_add_step (plan, remove, NULL);
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

static json_object *
describe (const char *name, const VmSnapshotFacts *facts)
{
  json_object *snapshot = json_object_new_object ();

  vm_json_add_str (snapshot, "id", name);
  vm_json_add_str (snapshot, "name", name);
  vm_json_add_str (snapshot, "kind", "snapshot");
  vm_json_add_int (snapshot, "created", facts->now);
  if (facts->parent != NULL)
    vm_json_add_str (snapshot, "parent", facts->parent);
  return snapshot;
}

VmPlugPlan *
vm_snapshot_plan_make (const char *name, const VmSnapshotFacts *facts, GError **error)
{
  g_autofree char *chosen = NULL;
  VmPlugPlan *plan;

  if (!check_driver (facts->plan, error) || !check_plugged (facts, error) ||
      (chosen = choose_name (name, facts->snapshots, error)) == NULL)
    return NULL;
  plan = vm_plug_plan_new (chosen);
  plan->kind = VM_PLUG_KINDS; /* none of them */
  plan->device = describe (chosen, facts);
  add_target (plan, chosen);
  add_moment (plan, facts->freeze_ms);
  add_end (plan);
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
