/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/record.h"

#include <signal.h>
#include <string.h>

#include "vmctl/base/error.h"
#include "vmctl/base/file.h"
#include "vmctl/base/json.h"

enum { RECORD_FORMAT = 1, RECORD_MAX = 1 << 20 };

static const char *const state_names[] = {
    [VM_STATE_STARTING] = "starting", [VM_STATE_RUNNING] = "running", [VM_STATE_PAUSED] = "paused",
    [VM_STATE_STOPPING] = "stopping", [VM_STATE_ENDED] = "ended",
};

static const struct {
  const char *name;
  const char *words; /* for people */
} reasons[] = {
    [VM_REASON_NONE] = {"none", "not ended"},
    [VM_REASON_EXITED] = {"exited", "the command exited"},
    [VM_REASON_STOPPED] = {"stopped", "stopped"},
    [VM_REASON_CLIENT_GONE] = {"client-gone", "its terminal or client went away"},
    [VM_REASON_GUEST_SHUTDOWN] = {"guest-shutdown", "the guest powered off by itself"},
    [VM_REASON_GUEST_PANIC] = {"guest-panic", "guest kernel panic"},
    [VM_REASON_GUEST_RESET] = {"guest-reset", "the guest was reset"},
    [VM_REASON_AGENT_TIMEOUT] = {"agent-timeout", "the agent inside never answered"},
    [VM_REASON_AGENT_FAILED] = {"agent-failed", "the agent inside could not set the sandbox up"},
    [VM_REASON_AGENT_BROKEN] = {"agent-broken", "the agent inside broke the protocol"},
    [VM_REASON_VMM_SIGNAL] = {"vmm-signal", "QEMU was killed"},
    [VM_REASON_VMM_FAILED] = {"vmm-failed", "QEMU ended with an error"},
    [VM_REASON_SUPERVISOR_LOST] = {"supervisor-lost", "supervisor and sandbox were both killed"},
    [VM_REASON_WATCHDOG] = {"watchdog", "nothing inside answered any more"},
    [VM_REASON_OUT_OF_MEMORY] = {"out-of-memory", "killed for want of memory"},
    [VM_REASON_START_FAILED] = {"start-failed", "it could not be started"},
};

const char *
vm_state_name (VmState state)
{
  return state_names[state];
}

const char *
vm_reason_name (VmReason reason)
{
  return reasons[reason].name;
}

VmRecord *
vm_record_new (void)
{
  VmRecord *record = g_new0 (VmRecord, 1);

  record->status = -1;
  record->warnings = g_new0 (char *, 1);
  record->passed_over = g_new0 (char *, 1);
  record->groups = g_new0 (char *, 1);
  record->unkept = g_new0 (char *, 1);
  record->net_rules = g_new0 (char *, 1);
  record->devices = json_object_new_array ();
  record->snapshots = json_object_new_array ();
  return record;
}

void
vm_record_free (VmRecord *record)
{
  if (record == NULL)
    return;
  g_free (record->id);
  g_free (record->name);
  g_free (record->project);
  g_free (record->driver);
  g_free (record->isolation);
  g_free (record->accel);
  g_free (record->image);
  g_free (record->keep);
  g_free (record->template);
  g_strfreev (record->passed_over);
  g_strfreev (record->groups);
  g_strfreev (record->unkept);
  g_free (record->profile);
  g_strfreev (record->command);
  g_free (record->step);
  g_free (record->text);
  g_free (record->restart_why);
  g_free (record->paused_why);
  g_free (record->net);
  g_strfreev (record->net_rules);
  g_free (record->display);
  g_free (record->size);
  json_object_put (record->devices);
  json_object_put (record->snapshots);
  g_free (record->snapshot);
  g_strfreev (record->warnings);
  g_free (record);
}

void
vm_record_stamp (VmRecord *record, VmStampName name)
{
  if (record->stamps[name] == 0)
    record->stamps[name] = g_get_real_time ();
}

static void
add_reason (const VmRecord *record, json_object *object)
{
  json_object *reason = json_object_new_object ();

  vm_json_add_str (reason, "kind", vm_reason_name (record->reason));
  vm_json_add_str (reason, "text", record->text);
  if (record->status >= 0)
    vm_json_add_int (reason, record->reason == VM_REASON_VMM_SIGNAL ? "signal" : "status", record->status);
  vm_json_add (object, "reason", reason);
}

json_object *
vm_record_to_json (const VmRecord *record)
{
  json_object *object = json_object_new_object ();

  vm_json_add_int (object, "format", RECORD_FORMAT);
  vm_json_add_str (object, "id", record->id);
  vm_json_add_str (object, "name", record->name);
  vm_json_add_str (object, "project", record->project);
  vm_json_add_str (object, "driver", record->driver);
  vm_json_add_str (object, "isolation", record->isolation);
  vm_json_add_str (object, "accel", record->accel);
  vm_json_add_str (object, "image", record->image);
  vm_json_add_str (object, "keep", record->keep);
  vm_json_add_str (object, "template", record->template);
  vm_json_add_strv (object, "passed-over", (const char *const *)record->passed_over);
  vm_json_add_str (object, "profile", record->profile);
  if (record->command != NULL)
    vm_json_add_strv (object, "command", (const char *const *)record->command);
  vm_json_add_str (object, "state", vm_state_name (record->state));
  vm_json_add_str (object, "step", record->step);
  add_reason (record, object);
  vm_json_add_int (object, "created", record->created);
  vm_json_add_int (object, "started", record->started);
  vm_json_add_int (object, "ended", record->ended);
  vm_json_add (object, "stamps", vm_stamps_to_json (record->stamps));
  if (record->supervisor.pid > 0)
    vm_json_add (object, "supervisor", vm_process_to_json (&record->supervisor));
  if (record->keeper.pid > 0)
    vm_json_add (object, "keeper", vm_process_to_json (&record->keeper));
  vm_json_add_bool (object, "detached", record->detached);
  vm_json_add_bool (object, "tty", record->tty);
  vm_json_add_bool (object, "serial", record->serial);
  if (record->restart_max != 0)
    vm_json_add_int (object, "restart-max", record->restart_max);
  vm_json_add_int (object, "restarts", record->restarts);
  vm_json_add_int (object, "failures", record->failures);
  vm_json_add_str (object, "restart-why", record->restart_why);
  vm_json_add_str (object, "paused-why", record->paused_why);
  vm_json_add_int (object, "memory", (gint64)record->memory);
  vm_json_add_int (object, "cpus", record->cpus);
  vm_json_add_int (object, "processes", record->processes);
  vm_json_add_strv (object, "groups", (const char *const *)record->groups);
  vm_json_add_strv (object, "unkept", (const char *const *)record->unkept);
  vm_json_add_int (object, "disk", (gint64)record->disk);
  vm_json_add_str (object, "net", record->net);
  if (*record->net_rules != NULL)
    vm_json_add_strv (object, "net-rules", (const char *const *)record->net_rules);
  vm_json_add_str (object, "display", record->display);
  vm_json_add_str (object, "size", record->size);
  if (json_object_array_length (record->devices) > 0)
    vm_json_add (object, "devices", json_object_get (record->devices));
  if (json_object_array_length (record->snapshots) > 0)
    vm_json_add (object, "snapshots", json_object_get (record->snapshots));
  if (record->snapshot != NULL)
    vm_json_add_str (object, "snapshot", record->snapshot);
  vm_json_add_strv (object, "warnings", (const char *const *)record->warnings);
  return object;
}

static gboolean
read_state (json_object *object, VmRecord *record, GError **error)
{
  const char *state = vm_json_str (object, "state", "");

  for (guint i = 0; i < G_N_ELEMENTS (state_names); i++)
    if (g_str_equal (state, state_names[i])) {
      record->state = (VmState)i;
      return TRUE;
    }
  return vm_error (error, VM_ERROR_INVALID, "'state' is '%s', which this vmctl does not know", state);
}

static void
read_reason (json_object *object, VmRecord *record)
{
  json_object *reason = vm_json_object (object, "reason");
  const char *kind = vm_json_str (reason, "kind", "none");

  for (guint i = 0; i < G_N_ELEMENTS (reasons); i++)
    if (g_str_equal (kind, reasons[i].name))
      record->reason = (VmReason)i;
  record->text = g_strdup (vm_json_str (reason, "text", NULL));
  record->status = vm_json_int (reason, record->reason == VM_REASON_VMM_SIGNAL ? "signal" : "status", -1);
}

static gboolean
id_is_sound (const char *id)
{
  return strlen (id) == 8 && strspn (id, "abcdefghijklmnopqrstuvwxyz0123456789") == 8;
}

VmRecord *
vm_record_from_json (json_object *object, GError **error)
{
  g_autoptr (VmRecord) record = vm_record_new ();
  const char *id, *name, *project;

  if (vm_json_int (object, "format", 0) != RECORD_FORMAT) {
    vm_error (error, VM_ERROR_INVALID, "not a record of this vmctl (format %" G_GINT64_FORMAT ")",
              vm_json_int (object, "format", 0));
    return NULL;
  }
  if (!vm_json_need_str (object, "id", &id, error) || !vm_json_need_str (object, "name", &name, error) ||
      !vm_json_need_str (object, "project", &project, error) || !read_state (object, record, error))
    return NULL;
  if (!id_is_sound (id)) {
    vm_error (error, VM_ERROR_INVALID, "'id' is not an id");
    return NULL;
  }
  record->id = g_strdup (id);
  record->name = g_strdup (name);
  record->project = g_strdup (project);
  record->driver = g_strdup (vm_json_str (object, "driver", ""));
  record->isolation = g_strdup (vm_json_str (object, "isolation", "none"));
  record->accel = g_strdup (vm_json_str (object, "accel", NULL));
  record->image = g_strdup (vm_json_str (object, "image", NULL));
  record->keep = g_strdup (vm_json_str (object, "keep", NULL));
  record->template = g_strdup (vm_json_str (object, "template", NULL));
  vm_stamps_from_json (vm_json_object (object, "stamps"), record->stamps);
  g_strfreev (record->passed_over);
  record->passed_over = vm_json_dup_strv (vm_json_array (object, "passed-over"));
  record->profile = g_strdup (vm_json_str (object, "profile", NULL));
  if (vm_json_array (object, "command") != NULL)
    record->command = vm_json_dup_strv (vm_json_array (object, "command"));
  record->step = g_strdup (vm_json_str (object, "step", NULL));
  read_reason (object, record);
  record->created = vm_json_int (object, "created", 0);
  record->started = vm_json_int (object, "started", 0);
  record->ended = vm_json_int (object, "ended", 0);
  (void)vm_process_from_json (vm_json_object (object, "supervisor"), &record->supervisor);
  (void)vm_process_from_json (vm_json_object (object, "keeper"), &record->keeper);
  record->detached = vm_json_bool (object, "detached", FALSE);
  record->tty = vm_json_bool (object, "tty", FALSE);
  record->serial = vm_json_bool (object, "serial", FALSE);
  record->restart_max = (guint)CLAMP (vm_json_int (object, "restart-max", 0), 0, G_MAXINT32);
  record->restarts = (guint)CLAMP (vm_json_int (object, "restarts", 0), 0, G_MAXINT32);
  record->failures = (guint)CLAMP (vm_json_int (object, "failures", 0), 0, G_MAXINT32);
  record->restart_why = g_strdup (vm_json_str (object, "restart-why", NULL));
  record->paused_why = g_strdup (vm_json_str (object, "paused-why", NULL));
  record->memory = (guint64)vm_json_int (object, "memory", 0);
  record->cpus = (guint)vm_json_int (object, "cpus", 0);
  record->processes = (guint)vm_json_int (object, "processes", 0);
  g_strfreev (record->groups);
  record->groups = vm_json_dup_strv (vm_json_array (object, "groups"));
  g_strfreev (record->unkept);
  record->unkept = vm_json_dup_strv (vm_json_array (object, "unkept"));
  record->disk = (guint64)vm_json_int (object, "disk", 0);
  record->net = g_strdup (vm_json_str (object, "net", NULL));
  g_strfreev (record->net_rules);
  record->net_rules = vm_json_dup_strv (vm_json_array (object, "net-rules"));
  record->display = g_strdup (vm_json_str (object, "display", NULL));
  record->size = g_strdup (vm_json_str (object, "size", NULL));
  if (vm_json_array (object, "devices") != NULL) {
    json_object_put (record->devices);
    record->devices = json_object_get (vm_json_array (object, "devices"));
  }
  if (vm_json_array (object, "snapshots") != NULL) {
    json_object_put (record->snapshots);
    record->snapshots = json_object_get (vm_json_array (object, "snapshots"));
  }
  record->snapshot = g_strdup (vm_json_str (object, "snapshot", NULL));
  g_strfreev (record->warnings);
  record->warnings = vm_json_dup_strv (vm_json_array (object, "warnings"));
  return g_steal_pointer (&record);
}

gboolean
vm_record_write (const VmRecord *record, int dir_fd, gboolean durable, GError **error)
{
  g_autoptr (json_object) object = vm_record_to_json (record);
  g_autofree char *text = vm_json_pretty (object);

  return vm_file_replace (dir_fd, "record.json", text, strlen (text), 0600, durable, error);
}

VmRecord *
vm_record_read (int dir_fd, GError **error)
{
  gsize length;
  g_autofree char *text = vm_file_read (dir_fd, "record.json", RECORD_MAX, &length, error);
  g_autoptr (json_object) object = text != NULL ? vm_json_parse_object (text, length, error) : NULL;
  VmRecord *record;

  if (object == NULL)
    return NULL;
  record = vm_record_from_json (object, error);
  if (record == NULL)
    g_prefix_error (error, "record.json: ");
  return record;
}

gboolean
vm_record_warn (VmRecord *record, const char *text)
{
  guint n = g_strv_length (record->warnings);

  if (g_strv_contains ((const char *const *)record->warnings, text))
    return FALSE;
  record->warnings = g_renew (char *, record->warnings, n + 2);
  record->warnings[n] = g_strdup (text);
  record->warnings[n + 1] = NULL;
  return TRUE;
}

void
vm_record_take_end (VmRecord *record, const char *how)
{
  if (record->reason != VM_REASON_NONE)
    return;
  if (g_str_has_prefix (how, "signal ")) {
    record->reason = VM_REASON_VMM_SIGNAL;
    record->status = g_ascii_strtoll (how + strlen ("signal "), NULL, 10);
  } else {
    record->reason = g_str_equal (how, "status 0") ? VM_REASON_GUEST_SHUTDOWN : VM_REASON_VMM_FAILED;
  }
}

char *
vm_record_reason_text (const VmRecord *record)
{
  gboolean is_vm = record->isolation == NULL || g_str_equal (record->isolation, "vm");
  const char *words = record->reason == VM_REASON_VMM_SIGNAL && !is_vm ? "its first process was killed"
                      : record->reason == VM_REASON_VMM_FAILED && !is_vm
                          ? "its first process ended with an error"
                          : reasons[record->reason].words;

  if (record->reason == VM_REASON_EXITED)
    return g_strdup_printf ("exited with %d", (int)record->status);
  if (record->reason == VM_REASON_VMM_SIGNAL)
    return g_strdup_printf (
        "%s by signal %d (%s)%s", words, (int)record->status, g_strsignal ((int)record->status),
        record->status == SIGSYS ? ": a system call that the seccomp filter forbids" : "");
  if (record->text != NULL && *record->text != '\0')
    return g_strdup_printf ("%s: %s", words, record->text);
  return g_strdup (words);
}
