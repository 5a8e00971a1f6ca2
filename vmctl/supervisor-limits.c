/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The sandbox's control group: its limits, pausing, and what happens when a limit is hit. */
#include "vmctl/supervisor-private.h"

#include <glib-unix.h>

#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"
#include "vmctl/base/json.h"

enum { BLAME_US = 1000000 };

/* A limit that the plan promises is kept, or nothing starts. */
gboolean
vm_supervisor_make_groups (VmSupervisor *sup, VmArgv *argv, GError **error)
{
  g_auto (GStrv) dirs = vm_groups_list (&sup->plan->groups);
  VmGroupLimits limits;

  if (!vm_plan_makes_groups (sup->plan))
    return TRUE;
  vm_plan_group_limits (sup->plan, &limits);
  if (!vm_group_make (&sup->plan->groups, &limits, error))
    return FALSE;
  vm_failpoint ("group");
  for (guint i = 0; dirs[i] != NULL; i++) {
    g_autofree char *slot = vm_driver_group_slot (i);
    int fd = vm_group_open_entrance (dirs[i], error);

    if (fd < 0)
      return FALSE;
    vm_argv_bind (argv, slot, fd);
  }
  return TRUE;
}

void
vm_supervisor_remove_groups (VmSupervisor *sup)
{
  g_autoptr (GError) error = NULL;

  if (!vm_group_remove ((const char *const *)sup->record->groups, &error))
    vm_log_line (sup->log, "%s", error->message);
}

static void
warn (VmSupervisor *sup, const char *text)
{
  json_object *data;

  if (!vm_record_warn (sup->record, text))
    return;
  vm_log_line (sup->log, "warning: %s", text);
  (void)vm_supervisor_save (sup, NULL); /* the next state change writes it again */
  data = json_object_new_object ();
  vm_json_add_str (data, "text", text);
  vm_supervisor_emit (sup, "SANDBOX_WARNING", data);
}

/* Processes */

/* TRUE: it is told, once is enough. */
static gboolean
look_for_refused (VmSupervisor *sup, guint64 count)
{
  g_autofree char *text = NULL;

  if (count == 0)
    return FALSE;
  text = sup->plan->processes != 0
             ? g_strdup_printf (
                   "the limit of %u processes was reached: no more can be started inside (--processes)",
                   sup->plan->processes)
             : g_strdup ("QEMU may not start any more threads: its process limit was reached");
  warn (sup, text);
  return TRUE;
}

static gboolean
count_changed (int fd, GIOCondition condition, gpointer data)
{
  VmSupervisor *sup = data;

  if (!look_for_refused (sup, vm_group_read_refused (fd)))
    return G_SOURCE_CONTINUE;
  sup->refused_tag = 0;
  return G_SOURCE_REMOVE;
}

/* The kernel says by poll that the count has changed; for v1 not every kernel does (6.11 and later do not).
 * So it is also asked for when a command ends or cannot be started, when somebody asks how the sandbox is,
 * and at the end: a timer would wake every sandbox for ever. */
void
vm_supervisor_watch_groups (VmSupervisor *sup)
{
  if (sup->refused_fd >= 0)
    return;
  sup->refused_fd = vm_group_open_refused (&sup->plan->groups);
  if (sup->refused_fd < 0 || look_for_refused (sup, vm_group_read_refused (sup->refused_fd)))
    return;
  sup->refused_tag = g_unix_fd_add (sup->refused_fd, G_IO_PRI, count_changed, sup);
}

void
vm_supervisor_look_at_limits (VmSupervisor *sup)
{
  (void)look_for_refused (sup, vm_group_refused (&sup->plan->groups));
  vm_supervisor_warn_memory (sup);
}

/* Memory */

static char *
memory_text (const VmSupervisor *sup)
{
  g_autofree char *size = vm_size_format (sup->plan->memory);

  return g_strdup_printf ("the limit is %s%s (--memory)", size,
                          sup->plan->isolation == VM_ISOLATION_VM ? " and what QEMU needs" : "");
}

/* Whatever died of SIGKILL since the count was last looked at died of that. */
static gboolean
was_killed_for_memory (VmSupervisor *sup)
{
  guint64 kills = vm_group_oom_kills (&sup->plan->groups), before = sup->oom_kills;

  sup->oom_kills = MAX (kills, before);
  if (kills > before)
    sup->oom_seen = g_get_monotonic_time ();
  return kills > before;
}

/* When several die at once, the first whose end is heard takes the count for all of them. */
static gboolean
was_just_seen (const VmSupervisor *sup)
{
  return sup->oom_seen != 0 && g_get_monotonic_time () - sup->oom_seen < BLAME_US;
}

void
vm_supervisor_take_over_limits (VmSupervisor *sup)
{
  sup->oom_kills = vm_group_oom_kills (&sup->plan->groups);
}

void
vm_supervisor_blame_memory (VmSupervisor *sup)
{
  if (!was_killed_for_memory (sup) && !was_just_seen (sup))
    return;
  sup->record->reason = VM_REASON_OUT_OF_MEMORY;
  g_free (sup->record->text);
  sup->record->text = memory_text (sup);
}

void
vm_supervisor_warn_memory (VmSupervisor *sup)
{
  g_autofree char *limit = NULL, *text = NULL;

  if (!was_killed_for_memory (sup) || sup->record->reason == VM_REASON_OUT_OF_MEMORY)
    return;
  limit = memory_text (sup);
  text = g_strdup_printf ("a process inside was killed for want of memory: %s", limit);
  warn (sup, text);
}

/* Pausing */

static void
emit_plain (VmSupervisor *sup, const char *name)
{
  vm_supervisor_emit (sup, name, json_object_new_object ());
}

gboolean
vm_supervisor_pause (VmSupervisor *sup, gboolean paused, GError **error)
{
  VmState state = sup->record->state, wanted = paused ? VM_STATE_PAUSED : VM_STATE_RUNNING;

  if (state == wanted)
    return TRUE;
  if (state != VM_STATE_RUNNING && state != VM_STATE_PAUSED)
    return vm_error (error, VM_ERROR_BUSY, "the sandbox is %s", vm_state_name (state));
  if (!vm_group_freeze (&sup->plan->groups, paused, error)) {
    g_prefix_error (error, "cannot %s: ", paused ? "pause" : "resume");
    return FALSE;
  }
  emit_plain (sup, paused ? "STOP" : "RESUME");
  vm_supervisor_set_state (sup, wanted);
  if (!paused)
    vm_supervisor_agent_woke (sup);
  return TRUE;
}

/* A sandbox that is to end has to run for it: nothing that is frozen powers off, or even dies. */
void
vm_supervisor_wake (VmSupervisor *sup)
{
  g_autoptr (GError) error = NULL;

  if (vm_driver_pauses_itself (sup->driver)) {
    if (sup->record->state == VM_STATE_PAUSED && sup->qmp != NULL && !qmp_client_is_closed (sup->qmp))
      qmp_client_send (sup->qmp, "cont", NULL, NULL, 0, 0, NULL, NULL);
    return;
  }
  if (vm_group_is_frozen (&sup->plan->groups) && !vm_group_freeze (&sup->plan->groups, FALSE, &error))
    vm_log_line (sup->log, "%s", error->message);
}

/* A supervisor may be killed between freezing and writing it down: the group itself knows. */
void
vm_supervisor_ask_whether_paused (VmSupervisor *sup)
{
  VmState state = sup->record->state;

  if (!vm_driver_pauses_itself (sup->driver) && (state == VM_STATE_RUNNING || state == VM_STATE_PAUSED))
    sup->record->state = vm_group_is_frozen (&sup->plan->groups) ? VM_STATE_PAUSED : VM_STATE_RUNNING;
}
