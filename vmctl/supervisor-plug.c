/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How it works
 *
 * A job is a plug or an unplug. A plug makes its plan when its turn comes, writes the device to the record as
 * half done, does the steps, and either the device is whole, or what was done is undone, the last step first,
 * and the device leaves the record. An unplug does the acts that the record has; the first that fails ends
 * it, and the device stays, with those that are left. A supervisor that finds a half done device undoes it,
 * and does not mind that some of it was never done. */
#include "vmctl/supervisor-plug-private.h"

#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/json.h"
#include "vmctl/plug-parts.h"
#include "vmctl/snapshot.h"

#define UNWANTED "who asked for it has gone"

static void go_on (VmPlugJob *job);

VmPlugs *
vm_plugs_new (VmSupervisor *sup)
{
  VmPlugs *plugs = g_new0 (VmPlugs, 1);

  plugs->sup = sup;
  plugs->acts = vm_acts_new (sup);
  g_queue_init (&plugs->jobs);
  if (!sup->adopted)
    vm_plugs_add_ours (plugs);
  return plugs;
}

static void
free_job (VmPlugJob *job)
{
  vm_plug_spec_clear (&job->spec);
  vm_snapshot_wish_free (job->snapshot);
  vm_plug_plan_free (job->plan);
  json_object_put (job->unplug);
  g_clear_error (&job->why);
  g_free (job->result);
  g_free (job->id);
  g_free (job);
}

/* Devices in the record, or snapshots */

static json_object *
list_of (const VmPlugJob *job)
{
  VmRecord *record = job->plugs->sup->record;

  return job->snapshot != NULL ? record->snapshots : record->devices;
}

static json_object *
find_device (const VmPlugJob *job, const char *id, gsize *ret_index)
{
  json_object *devices = list_of (job);

  for (gsize i = 0; i < json_object_array_length (devices); i++) {
    json_object *device = json_object_array_get_idx (devices, i);

    if (g_strcmp0 (vm_json_str (device, "id", NULL), id) == 0) {
      *ret_index = i;
      return device;
    }
  }
  return NULL;
}

static void
save (VmPlugs *plugs)
{
  g_autoptr (GError) error = NULL;

  if (!vm_supervisor_save (plugs->sup, &error))
    vm_log_line (plugs->sup->log, "cannot write the record: %s", error->message);
}

static void
drop_device (const VmPlugJob *job, const char *id)
{
  gsize index;

  if (find_device (job, id, &index) != NULL)
    json_object_array_del_idx (list_of (job), index, 1);
}

/* In place of one with the same id. */
static void
put_device (const VmPlugJob *job, gboolean half_done)
{
  const VmPlugPlan *plan = job->plan;
  json_object *device = plan->device;

  drop_device (job, plan->id);
  vm_json_add (device, "unplug",
               json_object_get (half_done && plan->abandon != NULL ? plan->abandon : plan->unplug));
  json_object_object_del (device, VM_PLUG_HALF_DONE);
  if (half_done)
    vm_json_add_bool (device, VM_PLUG_HALF_DONE, TRUE);
  json_object_array_add (list_of (job), json_object_get (device));
}

/* What was pulled out: the kernel takes its node away. */
static gboolean
has_gone (json_object *device)
{
  const char *node = vm_json_str (device, "source", NULL);

  return g_strcmp0 (vm_json_str (device, "kind", NULL), vm_plug_kind_name (VM_PLUG_USB)) == 0 &&
         node != NULL && !g_file_test (node, G_FILE_TEST_EXISTS);
}

json_object *
vm_plugs_shown (json_object *device)
{
  static const char *const ours[] = {"unplug", "fdset", "base", VM_PLUG_NTH, NULL};
  json_object *shown = json_object_new_object ();

  json_object_object_foreach (device, key, value)
  {
    if (!g_strv_contains (ours, key))
      vm_json_add (shown, key, json_object_get (value));
  }
  if (has_gone (device))
    vm_json_add_bool (shown, "gone", TRUE);
  return shown;
}

json_object *
vm_plugs_to_json (VmPlugs *plugs)
{
  json_object *devices = plugs->sup->record->devices, *list = json_object_new_array ();

  for (gsize i = 0; i < json_object_array_length (devices); i++)
    json_object_array_add (list, vm_plugs_shown (json_object_array_get_idx (devices, i)));
  return list;
}

/* The end of a job */

static void
emit (VmPlugs *plugs, const char *name, json_object *device)
{
  json_object *data = json_object_new_object ();

  vm_json_add_str (data, "id", vm_json_str (device, "id", ""));
  vm_json_add_str (data, "kind", vm_json_str (device, "kind", ""));
  vm_supervisor_emit (plugs->sup, name, data);
}

/* A sandbox whose own devices cannot be had is not what was asked for. */
static void
settle_ours (VmPlugs *plugs, const GError *error)
{
  VmSupervisor *sup = plugs->sup;

  plugs->ours--;
  if (error != NULL && plugs->our_fate == NULL)
    plugs->our_fate = g_strdup (error->message);
  if (plugs->our_fate == NULL && plugs->ours == 0) {
    vm_supervisor_release_command (sup);
    vm_snapshot_disks_forget (sup->state_fd);
  } else if (plugs->our_fate != NULL && sup->lifeline < 0)
    vm_plugs_client_came (plugs);
}

/* Who has started it and is on the way is waited for, to hear it. */
void
vm_plugs_client_came (VmPlugs *plugs)
{
  if (plugs->our_fate != NULL)
    vm_supervisor_stop (plugs->sup, VM_REASON_START_FAILED, plugs->our_fate, VM_STOP_QUIT, 0);
}

/* Takes `ret`; the answer is that, or `error`. */
static void
end_job (VmPlugJob *job, json_object *ret, const GError *error)
{
  VmPlugs *plugs = job->plugs;

  g_queue_remove (&plugs->jobs, job);
  plugs->is_busy = FALSE;
  vm_acts_forget_descriptor (plugs->acts);
  if (error != NULL)
    vm_log_line (plugs->sup->log, "%s%s: %s", job->snapshot != NULL ? "snapshot " : "",
                 job->id != NULL ? "unplug" : "plug", error->message);
  if (job->request == NULL)
    json_object_put (ret);
  else if (error != NULL)
    qmp_request_error (job->request, "GenericError", "%s", error->message);
  else
    qmp_request_return (job->request, ret);
  if (job->is_ours)
    settle_ours (plugs, error);
  free_job (job);
  vm_plugs_next (plugs);
}

/* Plugging */

static void
end_plug (VmPlugJob *job)
{
  VmPlugs *plugs = job->plugs;

  if (job->why != NULL) {
    drop_device (job, job->plan->id);
    save (plugs);
    end_job (job, NULL, job->why);
    return;
  }
  if (job->snapshot != NULL)
    vm_snapshots_made (plugs->sup, job->plan, job);
  else
    vm_json_add_str (job->plan->device, "inside", job->result); /* NULL: what the plan says */
  put_device (job, FALSE);
  save (plugs);
  vm_log_line (plugs->sup->log, "%s %s", job->snapshot != NULL ? "snapshot" : "plugged", job->plan->id);
  emit (plugs, job->snapshot != NULL ? "SNAPSHOT_CREATED" : "DEVICE_PLUGGED", job->plan->device);
  end_job (job, vm_plugs_shown (job->plan->device), NULL);
}

static void G_GNUC_PRINTF (2, 3) add_to_error (GError *error, const char *format, ...)
{
  g_autofree char *before = error->message, *more = NULL;
  va_list ap;

  va_start (ap, format);
  more = g_strdup_vprintf (format, ap);
  va_end (ap);
  error->message = g_strconcat (before, more, NULL);
}

static void
undone (const GError *error, const char *result, gpointer data)
{
  VmPlugJob *job = data;
  VmPlugStep *step = g_ptr_array_index (job->plan->steps, job->at);

  if (error != NULL && !vm_json_bool (step->undo, "may-fail", FALSE)) {
    vm_log_line (job->plugs->sup->log, "cannot undo: %s", error->message);
    add_to_error (job->why, "; and step %u could not be undone: %s", job->at + 1, error->message);
  }
  go_on (job);
}

static void
undo (VmPlugJob *job)
{
  while (job->at > 0) {
    VmPlugStep *step = g_ptr_array_index (job->plan->steps, --job->at);

    if (step->undo != NULL) {
      vm_acts_run (job->plugs->acts, step->undo, undone, job);
      return;
    }
  }
  end_plug (job);
}

/* A copy may take long, and whoever interrupts it does not want it. */
static gboolean
is_unwanted (const VmPlugJob *job)
{
  return job->snapshot != NULL && job->request != NULL && qmp_request_peer (job->request) == NULL;
}

void
vm_plugs_peer_gone (VmPlugs *plugs)
{
  if (plugs->is_busy && is_unwanted (g_queue_peek_head (&plugs->jobs)))
    vm_acts_interrupt (plugs->acts, UNWANTED);
}

/* For tests: "snapshot1" and so on. */
static void
fail_behind (guint step)
{
  g_autofree char *point = g_strdup_printf ("snapshot%u", step);

  vm_failpoint (point);
}

static void
step_done (const GError *error, const char *result, gpointer data)
{
  VmPlugJob *job = data;
  VmPlugStep *step = g_ptr_array_index (job->plan->steps, job->at);

  if (error != NULL && !vm_json_bool (step->act, "may-fail", FALSE)) {
    job->why = g_error_copy (error);
    g_prefix_error (&job->why, "%s: ", job->plan->id);
  } else {
    if (job->at++ == 0)
      vm_failpoint ("plugging");
    if (job->snapshot != NULL)
      fail_behind (job->at);
    if (result != NULL) {
      g_free (job->result);
      job->result = g_strdup (result);
    }
    if (is_unwanted (job))
      job->why = g_error_new (VM_ERROR, VM_ERROR_FAILED, "%s: %s", job->plan->id, UNWANTED);
    else if (job->fail_after == job->at)
      job->why = g_error_new (VM_ERROR, VM_ERROR_FAILED, "%s: it was to fail behind step %u", job->plan->id,
                              job->at);
  }
  go_on (job);
}

static void
gather_facts (VmPlugs *plugs, VmPlugFacts *ret)
{
  *ret = (VmPlugFacts){.plan = plugs->sup->plan,
                       .devices = plugs->sup->record->devices,
                       .host_cpus = (guint)MAX (sysconf (_SC_NPROCESSORS_ONLN), 1),
                       .host_memory = (guint64)sysconf (_SC_PHYS_PAGES) * (guint64)sysconf (_SC_PAGESIZE)};
}

/* A replaced device keeps its place in the record until the new one is whole. */
static void
begin_plug (VmPlugJob *job)
{
  VmPlugs *plugs = job->plugs;
  g_autoptr (GError) error = NULL;
  VmPlugFacts facts;
  gsize index;

  gather_facts (plugs, &facts);
  if (job->snapshot != NULL)
    job->plan = vm_snapshots_plan (plugs->sup, job->snapshot, &error);
  else if (vm_acts_look (plugs->sup, &job->spec, &error))
    job->plan = vm_plug_plan_make (&job->spec, &facts, &error);
  if (job->plan == NULL) {
    end_job (job, NULL, error);
    return;
  }
  if (job->nth > 0)
    vm_json_add_int (job->plan->device, VM_PLUG_NTH, job->nth);
  if (find_device (job, job->plan->id, &index) == NULL) {
    put_device (job, TRUE);
    save (plugs);
  }
  go_on (job);
}

/* Unplugging */

static void
end_unplug (VmPlugJob *job, const GError *error)
{
  VmPlugs *plugs = job->plugs;
  gsize index;
  json_object *device = find_device (job, job->id, &index);

  if (error == NULL) {
    emit (plugs, job->snapshot != NULL ? "SNAPSHOT_REMOVED" : "DEVICE_UNPLUGGED", device);
    if (job->snapshot != NULL)
      vm_snapshots_removed (plugs->sup, job->id);
    json_object_array_del_idx (list_of (job), index, 1);
    vm_log_line (plugs->sup->log, "%s %s", job->snapshot != NULL ? "removed snapshot" : "unplugged", job->id);
  } else if (job->at > 0) {
    json_object_array_del_idx (job->unplug, 0, job->at); /* what is left, for another try */
  }
  save (plugs);
  end_job (job, NULL, error);
}

/* A device that goes away in pieces. */
static void
note_leavings (VmPlugJob *job, json_object *act)
{
  json_object *leaves = vm_json_object (act, "leaves");
  gsize index;
  json_object *device = find_device (job, job->id, &index);

  if (leaves == NULL || device == NULL)
    return;
  json_object_object_foreach (leaves, key, value)
  {
    vm_json_add (device, key, json_object_get (value));
  }
}

static void
act_done (const GError *error, const char *result, gpointer data)
{
  VmPlugJob *job = data;
  g_autoptr (GError) why = NULL;

  if (error != NULL && !job->is_lenient) {
    why = g_error_copy (error);
    g_prefix_error (&why, "%s: ", job->id);
    end_unplug (job, why);
    return;
  }
  note_leavings (job, json_object_array_get_idx (job->unplug, job->at));
  job->at++;
  go_on (job);
}

/* Devices that people know, but nobody has plugged. */
static gboolean
is_the_machines (const VmPlugs *plugs, const char *id)
{
  static const char *const own[] = {"nic", "scratch", "screen", NULL};

  return plugs->sup->plan->isolation == VM_ISOLATION_VM && g_strv_contains (own, id);
}

static void
begin_unplug (VmPlugJob *job)
{
  g_autoptr (GError) error = NULL;
  gsize index;
  json_object *device = find_device (job, job->id, &index);

  if (device == NULL) {
    if (job->snapshot != NULL)
      vm_error (&error, VM_ERROR_NOT_FOUND, "there is no snapshot '%s'; those there are: vmctl snapshot list",
                job->id);
    else
      vm_error (&error, VM_ERROR_NOT_FOUND, "nothing was plugged as '%s'%s; what was: vmctl devices", job->id,
                is_the_machines (job->plugs, job->id) ? ": that is the machine's own, and stays" : "");
    end_job (job, NULL, error);
    return;
  }
  job->unplug = json_object_get (vm_json_array (device, "unplug"));
  go_on (job);
}

/* Both */

static void
go_on (VmPlugJob *job)
{
  VmPlugs *plugs = job->plugs;

  if (job->id != NULL && job->at < json_object_array_length (job->unplug))
    vm_acts_run (plugs->acts, json_object_array_get_idx (job->unplug, job->at), act_done, job);
  else if (job->id != NULL)
    end_unplug (job, NULL);
  else if (job->why != NULL)
    undo (job);
  else if (job->at < job->plan->steps->len)
    vm_acts_run (plugs->acts, ((VmPlugStep *)g_ptr_array_index (job->plan->steps, job->at))->act, step_done,
                 job);
  else
    end_plug (job);
}

void
vm_plugs_next (VmPlugs *plugs)
{
  VmPlugJob *job = g_queue_peek_head (&plugs->jobs);
  VmState state = plugs->sup->record->state;
  g_autoptr (GError) error = NULL;

  if (job == NULL || plugs->is_busy || (!plugs->sup->agent_up && state < VM_STATE_STOPPING))
    return;
  plugs->is_busy = TRUE;
  if (state == VM_STATE_PAUSED)
    vm_error (&error, VM_ERROR_BUSY, "the sandbox is paused; let it go on first: vmctl resume %s",
              plugs->sup->record->id);
  else if (state >= VM_STATE_STOPPING)
    vm_error (&error, VM_ERROR_BUSY, "the sandbox is %s", vm_state_name (state));
  if (error != NULL)
    end_job (job, NULL, error);
  else if (job->id != NULL)
    begin_unplug (job);
  else
    begin_plug (job);
}

VmPlugJob *
vm_plugs_add (VmPlugs *plugs, QmpRequest *take_request)
{
  VmPlugJob *job = g_new0 (VmPlugJob, 1);

  job->plugs = plugs;
  job->request = take_request;
  g_queue_push_tail (&plugs->jobs, job);
  return job;
}

void
vm_plugs_plug (VmPlugs *plugs, VmPlugSpec *take_spec, guint fail_after, QmpRequest *take_request)
{
  VmPlugJob *job = vm_plugs_add (plugs, take_request);

  job->spec = *take_spec;
  *take_spec = (VmPlugSpec){0};
  job->fail_after = fail_after;
  vm_plugs_next (plugs);
}

void
vm_plugs_unplug (VmPlugs *plugs, const char *id, QmpRequest *take_request)
{
  VmPlugJob *job = vm_plugs_add (plugs, take_request);

  job->id = g_strdup (id);
  vm_plugs_next (plugs);
}

json_object *
vm_plugs_dry_run (VmPlugs *plugs, const VmPlugSpec *spec, GError **error)
{
  g_autoptr (json_object) copy = vm_plug_spec_to_json (spec);
  g_autoptr (VmPlugPlan) plan = NULL;
  VmPlugSpec own;
  VmPlugFacts facts;

  if (!vm_plug_spec_from_json (copy, &own, error))
    return NULL;
  gather_facts (plugs, &facts);
  if (vm_acts_look (plugs->sup, &own, error))
    plan = vm_plug_plan_make (&own, &facts, error);
  vm_plug_spec_clear (&own);
  return plan != NULL ? vm_plug_plan_to_json (plan) : NULL;
}

void
vm_plugs_give_up (VmPlugs *plugs, const char *why)
{
  vm_acts_give_up (plugs->acts, why);
}

void
vm_plugs_free (VmPlugs *plugs)
{
  VmPlugJob *job;

  if (plugs == NULL)
    return;
  vm_acts_free (plugs->acts);
  while ((job = g_queue_pop_head (&plugs->jobs)) != NULL) {
    if (job->request != NULL)
      qmp_request_error (job->request, "GenericError", "the sandbox ended");
    free_job (job);
  }
  g_free (plugs->our_fate);
  g_free (plugs);
}

void
vm_plugs_keeper_said (VmPlugs *plugs, const char *text)
{
  vm_acts_keeper_said (plugs->acts, text);
}

void
vm_plugs_agent_said (VmPlugs *plugs, const FrameHeader *header, const guint8 *payload)
{
  vm_acts_agent_said (plugs->acts, header, payload);
}

void
vm_plugs_event (VmPlugs *plugs, const char *name, json_object *event_data)
{
  vm_acts_event (plugs->acts, name, event_data);
}

void
vm_plugs_net_said (VmPlugs *plugs, const char *card, const char *problem)
{
  vm_acts_net_said (plugs->acts, card, problem);
}
