/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/stopping.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/escape.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/json.h"
#include "vmctl/client.h"
#include "vmctl/store.h"
#include "vmctl/supervisor-private.h"

enum {
  ASK_MS = 5000,   /* a supervisor that does not answer in this time hangs */
  SLACK_MS = 5000, /* for the last record, after the kill */
  KILL_MS = 5000,
  PATIENCE_MS = 1000,
  LOOK_MS = 250,
};

typedef struct {
  GPtrArray *stops; /* of Stop */
  gboolean tell, late;
  gint64 until; /* monotonic us; then it is late */
} Wait;

typedef struct {
  const VmRecord *record; /* borrowed */
  VmClient *client;       /* owned; NULL: it does not answer */
  char *step;             /* owned; the last one announced */
  gboolean told;          /* that step is on stderr */
  Wait *wait;             /* borrowed; `tell`: steps are told as they come */
} Stop;

static void
free_stop (gpointer data)
{
  Stop *stop = data;

  vm_client_free (stop->client);
  g_free (stop->step);
  g_free (stop);
}

static void
tell (Stop *stop)
{
  g_autofree char *name = NULL;

  if (!stop->wait->tell || stop->told || stop->step == NULL)
    return;
  name = vm_escape_terminal (stop->record->name, -1, 100);
  fprintf (stderr, "vmctl: stopping '%s' (%s): %s\n", name, stop->record->id, stop->step);
  stop->told = TRUE;
}

/* Of a step, and what may come after it. */
static void
give_time (Wait *wait, gint64 step_ms)
{
  wait->until = MAX (wait->until, g_get_monotonic_time () + (step_ms + VM_STOP_QUIT_MS + SLACK_MS) * 1000);
}

static void
got_event (const char *name, json_object *event_data, json_object *message, gpointer data)
{
  Stop *stop = data;
  gint64 deadline = vm_json_int (event_data, "deadline-ms", 0);
  const char *step = vm_json_str (event_data, "step", "?");

  if (!g_str_equal (name, "SANDBOX_STOPPING"))
    return;
  give_time (stop->wait, deadline);
  g_free (stop->step);
  stop->step = deadline > 0 ? g_strdup_printf ("%s (at most %d s)", step, (int)((deadline + 999) / 1000))
                            : g_strdup (step);
  stop->told = FALSE;
  tell (stop);
}

/* FALSE: nobody answers there. */
static gboolean
ask (const VmDirs *dirs, Stop *stop, const VmStopping *how)
{
  json_object *arguments = json_object_new_object (), *reply;

  vm_json_add_bool (arguments, "force", how->force);
  if (how->powerdown_ms > 0)
    vm_json_add_int (arguments, "timeout-ms", how->powerdown_ms);
  stop->client = vm_client_connect (dirs, stop->record->id, NULL);
  if (stop->client == NULL) {
    json_object_put (arguments);
    return FALSE;
  }
  stop->client->event = got_event;
  stop->client->data = stop;
  reply = qmp_client_call (stop->client->qmp, "sandbox-stop", arguments, NULL, 0, ASK_MS, NULL);
  if (reply != NULL || stop->client->closed) {
    json_object_put (reply);
    return TRUE;
  }
  g_clear_pointer (&stop->client, vm_client_free);
  return FALSE;
}

static gboolean
lost_patience (gpointer data)
{
  Wait *wait = data;

  wait->tell = TRUE;
  for (guint i = 0; i < wait->stops->len; i++)
    tell (g_ptr_array_index (wait->stops, i));
  return G_SOURCE_REMOVE;
}

/* The sandbox may have said since that it takes longer. */
static gboolean
out_of_time (gpointer data)
{
  Wait *wait = data;

  wait->late = g_get_monotonic_time () >= wait->until;
  return wait->late ? G_SOURCE_REMOVE : G_SOURCE_CONTINUE;
}

static gboolean
any_open (const Wait *wait)
{
  for (guint i = 0; i < wait->stops->len; i++) {
    const Stop *stop = g_ptr_array_index (wait->stops, i);

    if (stop->client != NULL && !stop->client->closed)
      return TRUE;
  }
  return FALSE;
}

static void
remove_source (guint id)
{
  GSource *source = g_main_context_find_source_by_id (NULL, id);

  if (source != NULL)
    g_source_destroy (source);
}

static void
ask_and_wait (const VmDirs *dirs, Wait *wait, const VmStopping *how)
{
  guint powerdown = how->force ? 0 : how->powerdown_ms > 0 ? how->powerdown_ms : VM_STOP_POWERDOWN_MS;
  guint patience = 0, timer;

  wait->tell = !how->say_nothing && isatty (STDERR_FILENO);
  if (!how->say_nothing)
    patience = g_timeout_add (PATIENCE_MS, lost_patience, wait);
  for (guint i = 0; i < wait->stops->len; i++)
    (void)ask (dirs, g_ptr_array_index (wait->stops, i), how);
  give_time (wait, powerdown);
  timer = g_timeout_add (LOOK_MS, out_of_time, wait);
  while (any_open (wait) && !wait->late)
    g_main_context_iteration (NULL, TRUE);
  remove_source (timer);
  if (patience != 0)
    remove_source (patience);
}

/* The keeper first: without it nothing of the sandbox lives, so nobody takes it over when the supervisor is
 * gone as well. */
static void
kill_by_identity (const VmRecord *record)
{
  const VmProcess *processes[] = {&record->keeper, &record->supervisor};

  for (guint i = 0; i < G_N_ELEMENTS (processes); i++) {
    vm_autofd pidfd = vm_process_open (processes[i]);

    if (pidfd < 0)
      continue;
    (void)vm_process_signal (processes[i], SIGKILL, NULL);
    (void)vm_process_wait (pidfd, KILL_MS);
  }
}

/* Looking sweeps: what is dead is buried on the way. */
static gboolean
has_ended (const VmDirs *dirs, const char *id)
{
  g_autoptr (VmRecord) now = vm_store_find (dirs, id, TRUE, NULL);

  return now == NULL || now->state == VM_STATE_ENDED;
}

static gboolean
finish (const VmDirs *dirs, const Stop *stop, const VmStopping *how, GError **error)
{
  g_autofree char *name = vm_escape_terminal (stop->record->name, -1, 100);
  const char *id = stop->record->id;
  g_autoptr (VmRecord) now = NULL;

  if (has_ended (dirs, id))
    return TRUE;
  if (!how->force)
    return vm_error (error, VM_ERROR_TIMEOUT, "sandbox '%s' (%s) %s; run: vmctl stop --force %s", name, id,
                     stop->client != NULL ? "has not ended in time" : "does not answer", id);
  now = vm_store_find (dirs, id, FALSE, NULL); /* its processes may be others by now */
  if (!how->say_nothing)
    fprintf (stderr, "vmctl: stopping '%s' (%s): killing its processes\n", name, id);
  kill_by_identity (now != NULL ? now : stop->record);
  return has_ended (dirs, id) ||
         vm_error (error, VM_ERROR_FAILED,
                   "sandbox '%s' (%s) cannot be killed; see: vmctl logs --supervisor %s", name, id, id);
}

gboolean
vm_stopping_run (const VmDirs *dirs, GPtrArray *records, const VmStopping *how, GError **error)
{
  g_autoptr (GPtrArray) stops = g_ptr_array_new_with_free_func (free_stop);
  Wait wait = {.stops = stops};
  gboolean ok = TRUE;

  for (guint i = 0; i < records->len; i++) {
    const VmRecord *record = g_ptr_array_index (records, i);
    Stop *stop = g_new0 (Stop, 1);

    if (record->state == VM_STATE_ENDED) {
      g_free (stop);
      continue;
    }
    stop->record = record;
    stop->wait = &wait;
    g_ptr_array_add (stops, stop);
  }
  ask_and_wait (dirs, &wait, how);
  for (guint i = 0; i < stops->len; i++)
    ok = finish (dirs, g_ptr_array_index (stops, i), how, ok ? error : NULL) && ok;
  return ok;
}
