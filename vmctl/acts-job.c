/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* QEMU's jobs: asked after when QEMU says that one has changed, and now and then, for how far they are. One
 * that is over stays until it is dismissed. The arguments are {id, [others]}: the jobs that one act follows.
 * `finish`: they end by themselves; the first that fails ends the act, with its error. `cancel`: they are
 * told to end, however they then do. */
#include "vmctl/acts-private.h"

#include <string.h>

#include "vmctl/base/json.h"
#include "vmctl/snapshot.h"

enum { JOB_LOOK_MS = 250 };

static void
jobs_listed (QmpClient *client, json_object *ret, json_object *reply, const GError *error, gpointer data);

static void
list_jobs (VmActs *acts)
{
  VmActAsked *asked = g_new (VmActAsked, 1);

  *asked = (VmActAsked){.acts = acts, .serial = acts->serial};
  qmp_client_send (acts->sup->qmp, "query-jobs", NULL, NULL, 0, VM_ACT_WAIT_MS, jobs_listed, asked);
}

static gboolean
look_again (gpointer data)
{
  VmActs *acts = data;

  acts->timer = 0;
  list_jobs (acts);
  return G_SOURCE_REMOVE;
}

/* What has become of it the list of jobs tells. */
static void
tell (VmActs *acts, const char *command, const char *id)
{
  json_object *arguments = json_object_new_object ();

  vm_json_add_str (arguments, "id", id);
  qmp_client_send (acts->sup->qmp, command, arguments, NULL, 0, VM_ACT_WAIT_MS, NULL, NULL);
}

static json_object *
find_job (json_object *list, const char *id)
{
  for (gsize i = 0; json_object_is_type (list, json_type_array) && i < json_object_array_length (list); i++)
    if (g_strcmp0 (vm_json_str (json_object_array_get_idx (list, i), "id", NULL), id) == 0)
      return json_object_array_get_idx (list, i);
  return NULL;
}

/* Its error, once it is over; NULL: it has none, and *ret_over says whether it is. (transfer full) */
static GError *
look_at_job (const VmActs *acts, json_object *job, const char *id, gboolean *ret_over)
{
  const char *why = vm_json_str (job, "error", NULL);

  *ret_over = job == NULL || g_strcmp0 (vm_json_str (job, "status", NULL), "concluded") == 0;
  if (acts->cancels_jobs || !*ret_over)
    return NULL;
  if (job == NULL)
    return g_error_new (VM_ERROR, VM_ERROR_FAILED, "the copy has gone, and nobody knows how it ended");
  if (why != NULL && g_str_has_prefix (id, VM_SNAPSHOT_COPY))
    return g_error_new (VM_ERROR, VM_ERROR_FAILED, "the copy of '%s' failed: %s",
                        id + strlen (VM_SNAPSHOT_COPY), why);
  return why != NULL ? g_error_new (VM_ERROR, VM_ERROR_FAILED, "the copy failed: %s", why) : NULL;
}

/* The answers come when this act is over. */
static void
dismiss (VmActs *acts, json_object *list)
{
  for (char **id = acts->jobs; *id != NULL; id++)
    if (g_strcmp0 (vm_json_str (find_job (list, *id), "status", NULL), "concluded") == 0)
      tell (acts, "job-dismiss", *id);
}

static void
tell_progress (VmActs *acts, json_object *list)
{
  json_object *data = json_object_new_object ();
  gint64 current = 0, total = 0;

  for (char **id = acts->jobs; *id != NULL; id++) {
    json_object *job = find_job (list, *id);

    current += vm_json_int (job, "current-progress", 0);
    total += vm_json_int (job, "total-progress", 0);
  }
  vm_json_add_str (data, "job", acts->jobs[0]);
  vm_json_add_int (data, "current", current);
  vm_json_add_int (data, "total", total);
  vm_supervisor_emit (acts->sup, "SNAPSHOT_PROGRESS", data);
}

static void
jobs_listed (QmpClient *client, json_object *ret, json_object *reply, const GError *error, gpointer data)
{
  g_autofree VmActAsked *asked = data;
  VmActs *acts = asked->acts;
  GError *why = NULL;
  gboolean are_over = TRUE, is_over;

  if (asked->serial != acts->serial)
    return;
  if (error != NULL) {
    vm_acts_finish (acts, g_error_copy (error), NULL);
    return;
  }
  for (char **id = acts->jobs; why == NULL && *id != NULL; id++) {
    why = look_at_job (acts, find_job (ret, *id), *id, &is_over);
    are_over &= is_over;
  }
  if (are_over || why != NULL) {
    dismiss (acts, ret);
    vm_acts_finish (acts, why, NULL);
    return;
  }
  if (!acts->cancels_jobs)
    tell_progress (acts, ret);
  if (acts->timer == 0)
    acts->timer = g_timeout_add (JOB_LOOK_MS, look_again, acts);
}

/* (transfer full) */
static char **
ids_of (json_object *arguments)
{
  g_autoptr (GStrvBuilder) ids = g_strv_builder_new ();
  g_auto (GStrv) others = vm_json_dup_strv (vm_json_array (arguments, "others"));

  g_strv_builder_add (ids, vm_json_str (arguments, "id", ""));
  if (others != NULL)
    g_strv_builder_addv (ids, (const char **)others);
  return g_strv_builder_end (ids);
}

void
vm_acts_follow_jobs (VmActs *acts, const char *command, json_object *arguments)
{
  if (acts->sup->qmp == NULL) {
    vm_acts_fail (acts, VM_ERROR_FAILED, "QEMU's monitor is lost");
    return;
  }
  acts->jobs = ids_of (arguments);
  acts->cancels_jobs = g_str_equal (command, "cancel");
  for (char **id = acts->jobs; acts->cancels_jobs && *id != NULL; id++)
    tell (acts, "job-cancel", *id); /* if it is over already, that is no harm */
  list_jobs (acts);
}

void
vm_acts_interrupt (VmActs *acts, const char *why)
{
  if (acts->jobs != NULL && !acts->cancels_jobs)
    vm_acts_fail (acts, VM_ERROR_FAILED, "%s", why);
}

void
vm_acts_job_changed (VmActs *acts, json_object *event_data)
{
  const char *id = vm_json_str (event_data, "id", "");

  if (acts->timer == 0 || !g_strv_contains ((const char *const *)acts->jobs, id))
    return; /* without a timer it is being asked after */
  g_source_remove (acts->timer);
  (void)look_again (acts);
}
