/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* QEMU's jobs: asked after when QEMU says that one has changed, and now and then, for how far it is. One that
 * is over stays until it is dismissed. `finish`: it ends by itself, and its error is the act's. `cancel`: it
 * is told to end, however it then does. */
#include "vmctl/acts-private.h"
#include "vmctl/base/json.h"

enum { JOB_LOOK_MS = 250 };

static void
look_at_job (VmActs *acts, QmpReplyFunc reply, const char *command)
{
  json_object *arguments = NULL;
  VmActAsked *asked = g_new (VmActAsked, 1);

  *asked = (VmActAsked){.acts = acts, .serial = acts->serial};
  if (!g_str_equal (command, "query-jobs")) {
    arguments = json_object_new_object ();
    vm_json_add_str (arguments, "id", acts->job);
  }
  qmp_client_send (acts->sup->qmp, command, arguments, NULL, 0, VM_ACT_WAIT_MS, reply, asked);
}

static void
jobs_listed (QmpClient *client, json_object *ret, json_object *reply, const GError *error, gpointer data);

static gboolean
look_again (gpointer data)
{
  VmActs *acts = data;

  acts->timer = 0;
  look_at_job (acts, jobs_listed, "query-jobs");
  return G_SOURCE_REMOVE;
}

static void
job_was_told (QmpClient *client, json_object *ret, json_object *reply, const GError *error, gpointer data)
{
  g_autofree VmActAsked *asked = data;

  if (asked->serial == asked->acts->serial)
    look_at_job (asked->acts, jobs_listed, "query-jobs");
}

static void
job_is_over (VmActs *acts, json_object *job)
{
  const char *why = vm_json_str (job, "error", NULL);
  GError *error = NULL;

  if (why != NULL && !acts->cancels_job)
    error = g_error_new (VM_ERROR, VM_ERROR_FAILED, "the copy failed: %s", why);
  look_at_job (acts, job_was_told, "job-dismiss"); /* whose answer comes when this act is over */
  vm_acts_finish (acts, error, NULL);
}

static void
tell_progress (VmActs *acts, json_object *job)
{
  json_object *data = json_object_new_object ();

  vm_json_add_str (data, "job", acts->job);
  vm_json_add_int (data, "current", vm_json_int (job, "current-progress", 0));
  vm_json_add_int (data, "total", vm_json_int (job, "total-progress", 0));
  vm_supervisor_emit (acts->sup, "SNAPSHOT_PROGRESS", data);
}

static json_object *
find_job (VmActs *acts, json_object *list)
{
  for (gsize i = 0; json_object_is_type (list, json_type_array) && i < json_object_array_length (list); i++)
    if (g_strcmp0 (vm_json_str (json_object_array_get_idx (list, i), "id", NULL), acts->job) == 0)
      return json_object_array_get_idx (list, i);
  return NULL;
}

static void
jobs_listed (QmpClient *client, json_object *ret, json_object *reply, const GError *error, gpointer data)
{
  g_autofree VmActAsked *asked = data;
  VmActs *acts = asked->acts;
  json_object *job;

  if (asked->serial != acts->serial)
    return;
  job = find_job (acts, ret);
  if (job != NULL && g_strcmp0 (vm_json_str (job, "status", NULL), "concluded") == 0)
    job_is_over (acts, job);
  else if (job != NULL) {
    if (!acts->cancels_job)
      tell_progress (acts, job);
    if (acts->timer == 0)
      acts->timer = g_timeout_add (JOB_LOOK_MS, look_again, acts);
  } else if (error != NULL)
    vm_acts_finish (acts, g_error_copy (error), NULL);
  else if (acts->cancels_job)
    vm_acts_finish (acts, NULL, NULL);
  else
    vm_acts_fail (acts, VM_ERROR_FAILED, "the copy has gone, and nobody knows how it ended");
}

void
vm_acts_follow_job (VmActs *acts, const char *command, json_object *arguments)
{
  if (acts->sup->qmp == NULL) {
    vm_acts_fail (acts, VM_ERROR_FAILED, "QEMU's monitor is lost");
    return;
  }
  acts->job = g_strdup (vm_json_str (arguments, "id", ""));
  acts->cancels_job = g_str_equal (command, "cancel");
  if (acts->cancels_job)
    look_at_job (acts, job_was_told, "job-cancel"); /* if it is over already, that is no harm */
  else
    look_at_job (acts, jobs_listed, "query-jobs");
}

void
vm_acts_interrupt (VmActs *acts, const char *why)
{
  if (acts->job != NULL && !acts->cancels_job)
    vm_acts_fail (acts, VM_ERROR_FAILED, "%s", why);
}

void
vm_acts_job_changed (VmActs *acts, json_object *event_data)
{
  if (acts->timer == 0 || g_strcmp0 (vm_json_str (event_data, "id", NULL), acts->job) != 0)
    return; /* without a timer it is being asked after */
  g_source_remove (acts->timer);
  (void)look_again (acts);
}
