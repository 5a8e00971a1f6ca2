/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is plugged from the start, by a predecessor, and in a sandbox that starts again. */
#include "vmctl/supervisor-plug-private.h"

#include <string.h>

#include "vmctl/base/json.h"
#include "vmctl/plug-parts.h"
#include "vmctl/snapshot.h"
#include "vmctl/supervisor-net.h"

/* What the plan has was checked when it was made. */
void
vm_plugs_add_ours (VmPlugs *plugs)
{
  char **all = plugs->sup->plan->plugs, **words = all;

  for (; words != NULL && *words != NULL; words++) {
    g_autoptr (json_object) object = vm_json_parse_object (*words, strlen (*words), NULL);
    VmPlugSpec spec = {0};
    VmPlugJob *job;

    if (object == NULL || !vm_plug_spec_from_json (object, &spec, NULL))
      continue;
    job = vm_plugs_add (plugs, NULL);
    job->spec = spec;
    job->is_ours = TRUE;
    job->nth = (guint)(words - all) + 1;
    plugs->ours++;
  }
}

/* The place of what the plan plugs in the queue; -1: it is not there. */
static int
place_of (const VmPlugs *plugs, guint nth)
{
  int place = 0;

  for (GList *l = plugs->jobs.head; nth > 0 && l != NULL; l = l->next, place++)
    if (((VmPlugJob *)l->data)->nth == nth)
      return place;
  return -1;
}

static VmPlugJob *
take_job (VmPlugs *plugs, guint nth)
{
  int place = place_of (plugs, nth);
  VmPlugJob *job;

  if (place >= 0)
    return g_queue_pop_nth (&plugs->jobs, (guint)place);
  job = g_new0 (VmPlugJob, 1);
  job->plugs = plugs;
  job->is_ours = TRUE;
  plugs->ours++;
  return job;
}

/* They come first: another one without an id then chooses one that is free. */
void
vm_plugs_restore (VmPlugs *plugs, const char *snapshot, json_object *disks)
{
  for (gsize i = json_object_array_length (disks); i > 0; i--) {
    json_object *disk = json_object_array_get_idx (disks, i - 1);
    VmPlugJob *job = take_job (plugs, (guint)vm_json_int (disk, VM_PLUG_NTH, 0));

    vm_plug_spec_clear (&job->spec);
    job->spec = (VmPlugSpec){
        .kind = VM_PLUG_DISK, .id = g_strdup (vm_json_str (disk, "id", "")), .snapshot = g_strdup (snapshot)};
    g_queue_push_nth (&plugs->jobs, job, plugs->is_busy ? 1 : 0);
  }
}

gboolean
vm_plugs_hold_command (VmPlugs *plugs)
{
  return plugs->ours > 0 || plugs->our_fate != NULL;
}

void
vm_plugs_agent_up (VmPlugs *plugs)
{
  vm_plugs_next (plugs);
}

/* What was the predecessor's process's is done again. */
static gboolean
do_again (VmPlugs *plugs, json_object *device, GError **error)
{
  const char *kind = vm_json_str (device, "kind", "");
  int none = -1; /* nothing is opened */

  if (g_str_equal (kind, vm_plug_kind_name (VM_PLUG_PORT)))
    return vm_acts_do_here (plugs->sup, "forward", device, &none, error);
  if (g_str_equal (kind, vm_plug_kind_name (VM_PLUG_SERIAL)) && !vm_driver_has_monitor (plugs->sup->driver))
    return vm_lines_add (plugs->sup->lines, vm_json_str (device, "name", ""), error);
  if (g_str_equal (kind, vm_plug_kind_name (VM_PLUG_NIC)))
    vm_supervisor_take_over_nic (plugs->sup, vm_json_str (device, "id", ""));
  return TRUE;
}

static void
take_over_device (VmPlugs *plugs, json_object *device)
{
  g_autoptr (GError) error = NULL;

  if (vm_json_bool (device, VM_PLUG_HALF_DONE, FALSE)) {
    VmPlugJob *job = vm_plugs_add (plugs, NULL);

    job->id = g_strdup (vm_json_str (device, "id", ""));
    job->is_lenient = TRUE;
  } else if (!do_again (plugs, device, &error)) {
    g_autofree char *text = g_strdup_printf ("%s: %s", vm_json_str (device, "id", ""), error->message);

    vm_supervisor_warn (plugs->sup, text);
  }
}

static void
take_over_snapshot (VmPlugs *plugs, json_object *snapshot)
{
  VmPlugJob *job;

  if (!vm_json_bool (snapshot, VM_PLUG_HALF_DONE, FALSE))
    return;
  job = vm_plugs_add (plugs, NULL);
  job->id = g_strdup (vm_json_str (snapshot, "id", ""));
  job->snapshot = g_new0 (VmSnapshotWish, 1);
  job->is_lenient = TRUE;
}

void
vm_plugs_take_over (VmPlugs *plugs)
{
  json_object *snapshots = plugs->sup->record->snapshots;

  json_object *devices = plugs->sup->record->devices;

  if ((plugs->sup->plan->plugs != NULL || vm_snapshot_disks_are_chosen (plugs->sup->state_fd)) &&
      g_strcmp0 (plugs->sup->record->step, "up") == 0) {
    vm_supervisor_stop (plugs->sup, VM_REASON_START_FAILED,
                        "its supervisor was killed before its command could start", VM_STOP_QUIT, 0);
    return;
  }
  for (gsize i = 0; i < json_object_array_length (devices); i++)
    take_over_device (plugs, json_object_array_get_idx (devices, i));
  for (gsize i = 0; i < json_object_array_length (snapshots); i++)
    take_over_snapshot (plugs, json_object_array_get_idx (snapshots, i));
}

/* Of what an unplug would do only what is this process's: the rest has gone. Limits are the plan's again. */
static void
forget_device (VmPlugs *plugs, json_object *device)
{
  json_object *acts = vm_json_array (device, "unplug");
  int none = -1; /* nothing is opened */

  for (gsize i = 0; acts != NULL && i < json_object_array_length (acts); i++) {
    json_object *act = json_object_array_get_idx (acts, i);
    const char *command = vm_json_str (act, "command", "");

    if (g_str_equal (vm_json_str (act, "at", ""), "here") && !g_str_equal (command, "limit"))
      (void)vm_acts_do_here (plugs->sup, command, json_object_object_get (act, "arguments"), &none, NULL);
  }
}

void
vm_plugs_begin_anew (VmPlugs *plugs)
{
  json_object *devices = plugs->sup->record->devices;

  vm_acts_give_up (plugs->acts, "the sandbox starts again");
  for (gsize i = 0; i < json_object_array_length (devices); i++)
    forget_device (plugs, json_object_array_get_idx (devices, i));
  json_object_array_del_idx (devices, 0, json_object_array_length (devices));
  g_clear_pointer (&plugs->our_fate, g_free);
  plugs->ours = 0;
  vm_plugs_add_ours (plugs);
}
