/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How it works
 *
 * The same plan is started again by the same supervisor: id, name, project, options, meta dir and control
 * socket stay, the machine (or the processes) and its scratch disk are new. Somebody asks for that, or the
 * sandbox ended by a failure and its plan says so. Until then nothing differs from an end: the stop's steps,
 * the reason. Only where a sandbox would be buried, what there was of its machine is forgotten, and a timer
 * starts the next one. While it runs there are no processes, and the state is `starting`.
 *
 * A supervisor that is killed while it waits is not replaced: the sandbox has ended then. */
#include "vmctl/supervisor-plug.h"
#include "vmctl/supervisor-snapshot.h"

#include <string.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/json.h"

enum {
  FIRST_DELAY_MS = 1000,
  DELAY_MAX_MS = 60000,
  SCOPE_DELAY_MS = 500, /* systemd takes a moment to forget a scope, whose name is used again */
  ROWS = 24,
  COLUMNS = 80,
};

guint
vm_supervisor_restart_delay (guint failures)
{
  return failures < 6 ? (guint)FIRST_DELAY_MS << failures : DELAY_MAX_MS;
}

static void
announce (VmSupervisor *sup, const char *text, guint delay_ms)
{
  json_object *data = json_object_new_object ();

  vm_log_line (sup->log, "it starts again in %u ms: %s", delay_ms, text);
  vm_json_add_str (data, "text", text);
  vm_json_add_int (data, "delay-ms", delay_ms);
  vm_json_add_int (data, "restarts", sup->record->restarts);
  vm_supervisor_emit (sup, "SANDBOX_RESTART", data);
}

static void
count (VmSupervisor *sup, const char *why)
{
  sup->record->restarts++;
  g_free (sup->record->restart_why);
  sup->record->restart_why = g_strdup (why);
}

static gboolean start_now (gpointer data);

static void
start_in (VmSupervisor *sup, guint delay_ms)
{
  if (sup->again_timer != 0)
    g_source_remove (sup->again_timer);
  sup->again_timer = g_timeout_add (delay_ms, start_now, sup);
}

/* Asked for */

/* What stayed root of a container that sudo started makes another keeper, for the supervisor that it was
 * given to. */
static gboolean
can_start_again (const VmSupervisor *sup, GError **error)
{
  return !vm_driver_needs_root_keeper (sup->driver, geteuid ()) || sup->start.root_keeper > 0 ||
         vm_error (
             error, VM_ERROR_UNSUPPORTED,
             "the supervisor of this container, to which sudo gave the right to start it, was killed, and "
             "the one that came after it has none; end it by vmctl stop, and start it anew");
}

gboolean
vm_supervisor_can_restart (VmSupervisor *sup, GError **error)
{
  if (sup->again_timer != 0)
    return TRUE;
  if (sup->finished || (sup->stop_step != VM_STOP_NOT && sup->again != VM_AGAIN_ASKED))
    return vm_error (error, VM_ERROR_BUSY, "the sandbox is being ended");
  if (!sup->record->detached)
    return vm_error (error, VM_ERROR_BUSY,
                     "the sandbox is in the foreground of a client, with whose command it ends; detach it "
                     "first (Ctrl-] then d)");
  return can_start_again (sup, error);
}

gboolean
vm_supervisor_restart (VmSupervisor *sup, const char *why, VmStopStep first, guint powerdown_ms,
                       GError **error)
{
  if (!vm_supervisor_can_restart (sup, error))
    return FALSE;
  if (sup->again_timer != 0) {
    vm_supervisor_set_state (sup, VM_STATE_STARTING); /* whoever asks waits for that */
    start_in (sup, 0);
    return TRUE;
  }
  if (sup->again != VM_AGAIN_ASKED) {
    count (sup, why);
    announce (sup, why, 0);
  }
  vm_sessions_detach_main (sup->sessions);
  vm_supervisor_stop (sup, VM_REASON_STOPPED, NULL, first, powerdown_ms);
  sup->again = VM_AGAIN_ASKED;
  return TRUE;
}

/* After a failure */

gboolean
vm_supervisor_is_failure (const VmRecord *record)
{
  switch (record->reason) {
  case VM_REASON_EXITED:
    return record->status != 0;
  case VM_REASON_GUEST_PANIC:
  case VM_REASON_AGENT_TIMEOUT:
  case VM_REASON_AGENT_FAILED:
  case VM_REASON_AGENT_BROKEN:
  case VM_REASON_VMM_SIGNAL:
  case VM_REASON_VMM_FAILED:
  case VM_REASON_OUT_OF_MEMORY:
  case VM_REASON_WATCHDOG:
    return TRUE;
  case VM_REASON_NONE:
  case VM_REASON_STOPPED:
  case VM_REASON_CLIENT_GONE:
  case VM_REASON_GUEST_SHUTDOWN:
  case VM_REASON_GUEST_RESET:
  case VM_REASON_SUPERVISOR_LOST:
  case VM_REASON_START_FAILED:
  default:
    return FALSE;
  }
}

/* In the foreground somebody sees the failure, and the terminal is his: it is not given to another command.
 */
static gboolean
policy_wants (const VmSupervisor *sup)
{
  return sup->again == VM_AGAIN_BY_POLICY && sup->record->detached &&
         sup->record->failures < sup->plan->restart_max && vm_supervisor_is_failure (sup->record) &&
         can_start_again (sup, NULL);
}

/* What was known of the life that has ended. */
static void
clear_life (VmSupervisor *sup)
{
  VmRecord *record = sup->record;
  guint *tags[] = {&sup->boot_timer, &sup->stop_timer, &sup->boot_instead_tag, &sup->watchdog_timer};

  for (guint i = 0; i < G_N_ELEMENTS (tags); i++)
    if (*tags[i] != 0) {
      g_source_remove (*tags[i]);
      *tags[i] = 0;
    }
  record->reason = VM_REASON_NONE;
  g_clear_pointer (&record->text, g_free);
  g_clear_pointer (&record->paused_why, g_free);
  record->status = -1;
  record->started = 0;
  memset (record->stamps, 0, sizeof record->stamps);
  sup->stop_step = VM_STOP_NOT;
  sup->powerdown_ms = vm_supervisor_powerdown_ms (sup->plan);
  sup->agent_up = sup->agent_hello = FALSE;
  sup->oom_kills = 0;
  sup->oom_seen = 0;
  sup->adopted = sup->finished = FALSE;
  sup->again = VM_AGAIN_BY_POLICY;
}

/* From now on the main command is the one that comes: a client may attach, and waits for it. */
static void
open_main (VmSupervisor *sup)
{
  VmOpen open = {.tty = sup->record->tty,
                 .rows = sup->start.rows != 0 ? sup->start.rows : ROWS,
                 .columns = sup->start.columns != 0 ? sup->start.columns : COLUMNS,
                 .console = sup->plan->serial};

  vm_sessions_restart_main (sup->sessions, &open);
}

gboolean
vm_supervisor_again (VmSupervisor *sup)
{
  guint delay = 0;

  if (sup->again != VM_AGAIN_ASKED && !policy_wants (sup))
    return FALSE;
  if (sup->again != VM_AGAIN_ASKED) {
    g_autofree char *why = vm_record_reason_text (sup->record);

    delay = vm_supervisor_restart_delay (sup->record->failures++);
    count (sup, why);
    announce (sup, why, delay);
  }
  vm_supervisor_forget_machine (sup);
  clear_life (sup);
  vm_plugs_begin_anew (sup->plugs);
  open_main (sup);
  vm_supervisor_step_on_record (sup, "restart");
  vm_supervisor_set_state (sup, VM_STATE_STARTING);
  if (sup->plan->groups.kind == VM_GROUP_SYSTEMD)
    delay = MAX (delay, SCOPE_DELAY_MS);
  start_in (sup, delay);
  return TRUE;
}

/* One may have been made since it booted. */
static void
look_for_template (VmSupervisor *sup)
{
  VmPlan *plan = sup->plan;

  if (plan->has_template || plan->template == NULL || plan->disk_base == NULL || plan->disk_file != NULL ||
      !g_file_test (plan->template, G_FILE_TEST_IS_DIR))
    return;
  plan->has_template = TRUE;
  g_free (sup->record->template);
  sup->record->template = g_path_get_basename (plan->template);
}

static gboolean
start_now (gpointer data)
{
  VmSupervisor *sup = data;
  g_autoptr (GError) error = NULL;

  sup->again_timer = 0;
  if (sup->finished)
    return G_SOURCE_REMOVE;
  vm_record_stamp (sup->record, VM_STAMP_SUPERVISED);
  vm_snapshots_choose_disk (sup);
  look_for_template (sup);
  if (vm_supervisor_make_door (sup, &error) && vm_supervisor_start_somehow (sup, &error)) {
    vm_supervisor_step_on_record (sup, "boot");
    vm_supervisor_await_boot (sup);
    return G_SOURCE_REMOVE;
  }
  sup->record->reason = VM_REASON_START_FAILED;
  sup->record->text = g_strdup (error->message);
  vm_supervisor_finish (sup, NULL);
  return G_SOURCE_REMOVE;
}
