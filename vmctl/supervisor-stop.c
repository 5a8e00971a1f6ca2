/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/supervisor-private.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmctl/base/escape.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"
#include "vmctl/base/json.h"
#include "vmctl/checks.h"
#include "vmctl/store.h"
#include "vmctl/supervisor-snapshot.h"
#include "vmctl/watched.h"

enum { WORDS_SHOWN = 600 };

static void begin_step (VmSupervisor *sup, VmStopStep step);

static gboolean
step_timed_out (gpointer data)
{
  VmSupervisor *sup = data;

  sup->stop_timer = 0;
  begin_step (sup, sup->stop_step + 1);
  return G_SOURCE_REMOVE;
}

guint
vm_supervisor_powerdown_ms (const VmPlan *plan)
{
  return plan->image.init != NULL ? VM_STOP_INIT_MS : VM_STOP_POWERDOWN_MS;
}

static void
announce (VmSupervisor *sup, const char *step, guint deadline_ms)
{
  json_object *data = json_object_new_object ();

  vm_log_line (sup->log, "stop: %s, deadline %u ms", step, deadline_ms);
  vm_json_add_str (data, "step", step);
  vm_json_add_int (data, "deadline-ms", deadline_ms);
  vm_supervisor_emit (sup, "SANDBOX_STOPPING", data);
}

/* The agent ends the sessions and powers the guest off; a guest whose agent is not up yet has nothing to
 * lose. */
static void
power_down (VmSupervisor *sup)
{
  if (sup->agent != NULL)
    vm_link_send_u32 (sup->agent, FRAME_POWEROFF, FRAME_CHANNEL_CONTROL, FRAME_STDIN, sup->powerdown_ms / 2);
}

static void
kill_all (VmSupervisor *sup)
{
  g_autoptr (GError) error = NULL;

  if (sup->record->keeper.pid == 0)
    return;
  if (!vm_process_signal (&sup->record->keeper, SIGTERM, &error) &&
      vm_fd_send (sup->keeper_fd, "end", strlen ("end"), NULL, 0) < 0)
    vm_log_line (sup->log, "%s", error->message);
}

static void
begin_step (VmSupervisor *sup, VmStopStep step)
{
  guint deadline = 0;

  if (sup->stop_timer != 0)
    g_source_remove (sup->stop_timer);
  sup->stop_timer = 0;
  if (step == VM_STOP_POWERDOWN && (sup->agent == NULL || !sup->agent_up))
    step = VM_STOP_QUIT;
  if (step == VM_STOP_QUIT && (sup->qmp == NULL || qmp_client_is_closed (sup->qmp)))
    step = VM_STOP_KILL;
  sup->stop_step = step;
  switch (step) {
  case VM_STOP_POWERDOWN:
    deadline = sup->powerdown_ms;
    announce (sup, "powerdown", deadline);
    power_down (sup);
    break;
  case VM_STOP_QUIT:
    deadline = VM_STOP_QUIT_MS;
    announce (sup, "quit", deadline);
    qmp_client_send (sup->qmp, "quit", NULL, NULL, 0, 0, NULL, NULL);
    break;
  case VM_STOP_KILL:
  case VM_STOP_NOT:
  default:
    announce (sup, "kill", 0);
    if (sup->again_timer != 0)
      vm_supervisor_finish (sup, NULL); /* there is nothing to kill, and nothing will start */
    else
      kill_all (sup);
    return;
  }
  sup->stop_timer = g_timeout_add (deadline, step_timed_out, sup);
}

void
vm_supervisor_stop (VmSupervisor *sup, VmReason reason, const char *text, VmStopStep first,
                    guint powerdown_ms)
{
  if (sup->finished)
    return;
  if (reason == VM_REASON_STOPPED || reason == VM_REASON_CLIENT_GONE)
    sup->again = VM_AGAIN_NEVER;
  if (sup->record->reason == VM_REASON_NONE) {
    sup->record->reason = reason;
    sup->record->text = g_strdup (text);
  }
  if (sup->stop_step >= first)
    return;
  if (powerdown_ms > 0)
    sup->powerdown_ms = powerdown_ms;
  vm_supervisor_wake (sup);
  vm_supervisor_set_state (sup, VM_STATE_STOPPING);
  begin_step (sup, first);
}

/* A predecessor had begun to end the sandbox. The deadlines run anew, and the agent is asked again as soon as
 * it speaks to us: until then it would not understand. */
void
vm_supervisor_go_on_stopping (VmSupervisor *sup)
{
  sup->stop_step = VM_STOP_POWERDOWN;
  vm_supervisor_wake (sup);
  announce (sup, "powerdown", sup->powerdown_ms);
  sup->stop_timer = g_timeout_add (sup->powerdown_ms, step_timed_out, sup);
}

void
vm_supervisor_agent_can_stop (VmSupervisor *sup)
{
  if (sup->stop_step == VM_STOP_POWERDOWN)
    power_down (sup);
}

/* Reasons */

static char *
last_words (VmSupervisor *sup)
{
  const char *text = sup->last_words->str;
  g_autofree char *copy = NULL, *shown = NULL;

  if (sup->last_words->len > WORDS_SHOWN)
    text += sup->last_words->len - WORDS_SHOWN;
  copy = g_strstrip (g_strdup (text));
  shown = vm_escape_terminal (copy, -1, -1);
  return vm_check_explain_child (shown);
}

static void
hear_the_rest (VmSupervisor *sup)
{
  char block[4096];
  ssize_t n;

  while (sup->vmm_stderr >= 0 && (n = read (sup->vmm_stderr, block, sizeof block)) > 0)
    g_string_append_len (sup->last_words, block, n);
  if (sup->console != NULL)
    vm_console_drain (sup->console);
}

/* `how` is what became of bwrap, and so of QEMU. A reason that was known before stays, but for a guest that
 * reset: then the console says whether it panicked. */
static void
decide_reason (VmSupervisor *sup, const char *how)
{
  VmRecord *record = sup->record;
  const char *panic;
  gboolean known;

  hear_the_rest (sup);
  panic = sup->console != NULL ? vm_console_panic (sup->console) : NULL;
  if (panic != NULL &&
      (record->reason == VM_REASON_NONE || record->reason == VM_REASON_GUEST_RESET ||
       record->reason == VM_REASON_GUEST_PANIC || record->reason == VM_REASON_GUEST_SHUTDOWN)) {
    record->reason = VM_REASON_GUEST_PANIC;
    g_free (record->text);
    record->text = g_strdup (panic);
  }
  /* Without a word the keeper itself was killed: else it says how its child ended. */
  known = record->reason != VM_REASON_NONE;
  vm_record_take_end (record, how != NULL ? how : "signal 9");
  if (!known && record->reason == VM_REASON_VMM_SIGNAL && record->status == SIGKILL)
    vm_supervisor_blame_memory (sup);
  vm_supervisor_look_at_limits (sup);
  if (!known && record->reason == VM_REASON_VMM_FAILED)
    record->text = last_words (sup);
}

static void
emit_ended (VmSupervisor *sup)
{
  json_object *data = json_object_new_object ();
  g_autofree char *text = vm_record_reason_text (sup->record);

  vm_json_add_str (data, "reason", vm_reason_name (sup->record->reason));
  vm_json_add_str (data, "text", text);
  if (sup->record->status >= 0)
    vm_json_add_int (data, "status", sup->record->status);
  vm_json_add_strv (data, "warnings", (const char *const *)sup->record->warnings);
  vm_supervisor_emit (sup, "SANDBOX_ENDED", data);
}

/* Only the directory itself and its known contents: what is mounted below the door is in a namespace that has
 * ended. */
static void
remove_runtime (VmSupervisor *sup)
{
  g_autoptr (GError) error = NULL;

  if (!vm_store_remove_runtime (sup->dirs, sup->record->id, &error))
    vm_log_line (sup->log, "%s", error->message);
}

void
vm_supervisor_finish (VmSupervisor *sup, const char *how)
{
  g_autoptr (GError) error = NULL;

  if (sup->finished)
    return;
  sup->finished = TRUE;
  vm_log_line (sup->log, "the sandbox's processes have ended: %s", how != NULL ? how : "killed");
  if (sup->keeper_pidfd >= 0) {
    kill_all (sup); /* a start that failed half way; otherwise it is gone already */
    (void)vm_process_wait (sup->keeper_pidfd, VM_STOP_QUIT_MS);
  }
  /* Exits of commands that were quicker to arrive than to be read. */
  if (sup->agent != NULL)
    vm_link_drain (sup->agent);
  decide_reason (sup, how);
  if (vm_supervisor_again (sup))
    return;
  vm_supervisor_remove_groups (sup);
  vm_watched_warn (sup->plan, sup->record, NULL);
  vm_snapshots_end (sup);
  sup->record->state = VM_STATE_ENDED;
  sup->record->ended = g_get_real_time ();
  vm_record_stamp (sup->record, VM_STAMP_ENDED);
  vm_failpoint ("end");
  if (!vm_record_write (sup->record, sup->state_fd, FALSE, &error))
    vm_log_line (sup->log, "cannot write the last record: %s", error->message);
  vm_failpoint ("ended");
  if (sup->control != NULL) {
    g_autofree char *text = vm_record_reason_text (sup->record);

    vm_control_refuse_waiting (sup, text);
    emit_ended (sup);
  }
  if (sup->sessions != NULL)
    vm_sessions_close_all (sup->sessions);
  g_clear_pointer (&sup->console, vm_console_free);
  remove_runtime (sup);
  g_main_loop_quit (sup->loop);
}
