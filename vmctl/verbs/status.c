/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl status: everything about one sandbox. */
#include <stddef.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "meta/frame.h"
#include "vmctl/base/escape.h"
#include "vmctl/base/file.h"
#include "vmctl/base/json.h"
#include "vmctl/client.h"
#include "vmctl/net-words.h"
#include "vmctl/show.h"
#include "vmctl/store.h"
#include "vmctl/verbs.h"

enum { ASK_MS = 3000, NETWORK_MAX = 300 };

typedef struct {
  gboolean json;
} StatusOptions;

static const VmOption options[] = {
    {"json", 0, VM_OPTION_FLAG, offsetof (StatusOptions, json), NULL, "print it as JSON", NULL},
    {NULL},
};

static void row (const char *label, const char *format, ...) G_GNUC_PRINTF (2, 3);

static void
row (const char *label, const char *format, ...)
{
  g_autofree char *text = NULL, *shown = NULL;
  va_list ap;

  va_start (ap, format);
  text = g_strdup_vprintf (format, ap);
  va_end (ap);
  shown = vm_show_safe (text, 4000);
  printf ("  %-10s %s\n", label, shown);
}

/* The supervisor's own answer; NULL: it gives none. (transfer full) */
static json_object *
ask (VmContext *context, const VmRecord *record)
{
  g_autoptr (VmClient) client = NULL;

  if (record->state == VM_STATE_ENDED)
    return NULL;
  client = vm_client_connect (&context->dirs, record->id, NULL);
  return client != NULL ? qmp_client_call (client->qmp, "query-sandbox", NULL, NULL, 0, ASK_MS, NULL) : NULL;
}

static void
print_state (const VmRecord *record)
{
  g_autofree char *state = vm_show_state (record), *why = vm_record_reason_text (record);
  g_autofree char *age = vm_show_age (record);
  g_autofree char *lived = vm_show_duration (record->ended - record->created);

  if (record->state != VM_STATE_ENDED) {
    row ("state", "%s, for %s", state, age);
    if (record->paused_why != NULL)
      row ("", "%s; free some space there, then: vmctl resume %s", record->paused_why, record->id);
    return;
  }
  row ("state", "ended %s, after %s", age, lived);
  if (g_str_equal (vm_reason_name (record->reason), why))
    row ("reason", "%s", why);
  else
    row ("reason", "%s: %s", vm_reason_name (record->reason), why);
}

static void
print_facts (VmContext *context, const VmRecord *record)
{
  g_autofree char *vnc = g_strcmp0 (record->display, "vnc") == 0 && record->state != VM_STATE_ENDED
                             ? g_build_filename (context->dirs.runtime, record->id, "vnc.sock", NULL)
                             : NULL;
  g_autofree char *isolation = vm_show_isolation (record), *command = vm_show_command (record->command, 0);
  g_autofree char *memory = vm_size_format (record->memory);
  g_autofree char *disk = record->disk != 0 ? vm_size_format (record->disk) : g_strdup ("in memory");
  g_autofree char *processes =
      record->processes != 0 ? g_strdup_printf ("%u processes, ", record->processes) : g_strdup ("");
  g_autofree char *network = vm_net_name_to_words (record->net, record->net_rules);
  const char *note = vm_show_isolation_note (record);

  row ("project", "%s", record->project);
  row ("command", "%s", command);
  row ("isolation", "%s, driver %s", isolation, record->driver);
  if (note != NULL)
    row ("", "%s", note);
  for (char **p = record->passed_over; *p != NULL; p++)
    row ("", "not %s", *p);
  if (record->image != NULL)
    row ("image", "%s%s%s", record->image, record->keep != NULL ? ", kept disk " : "",
         record->keep != NULL ? record->keep : "");
  if (record->template != NULL)
    row ("template", "%s", record->template);
  row ("profile", "%s", record->profile != NULL ? record->profile : "shell");
  row ("limits", "%s memory, %u CPU%s, %sdisk %s", memory, record->cpus, record->cpus == 1 ? "" : "s",
       processes, disk);
  for (char **p = record->unkept; *p != NULL; p++)
    row ("", "%s", *p);
  if (record->restart_max != 0)
    row ("restart", "after a failure, at most %u time%s", record->restart_max,
         record->restart_max == 1 ? "" : "s");
  if (record->restarts != 0)
    row ("restarts", "%u, the last: %s", record->restarts, record->restart_why);
  if (strlen (network) <= NETWORK_MAX)
    row ("network", "%s", network);
  else
    row ("network", "%.*s... (see: vmctl net show %s)", NETWORK_MAX, network, record->id);
  if (record->display != NULL)
    row ("screen", "%s, %s", record->size, record->display);
  if (vnc != NULL)
    row ("", "VNC at %s", vnc);
}

static void
print_sessions (const VmRecord *record, json_object *live)
{
  json_object *sessions = vm_json_array (live, "sessions");

  row ("agent", "%s", vm_json_bool (live, "agent", FALSE) ? "up" : "not up");
  for (gsize i = 0; sessions != NULL && i < json_object_array_length (sessions); i++) {
    json_object *session = json_object_array_get_idx (sessions, i);
    g_auto (GStrv) argv = vm_json_dup_strv (vm_json_array (session, "argv"));
    gboolean is_main = vm_json_int (session, "session", 0) == FRAME_CHANNEL_MAIN;
    g_autofree char *command = vm_show_command (is_main ? record->command : argv, 200);

    row (i == 0 ? "sessions" : "", "%d: %s%s%s", (int)vm_json_int (session, "session", 0), command,
         vm_json_bool (session, "tty", FALSE) ? ", terminal" : "",
         vm_json_bool (session, "attached", FALSE) ? ", attached" : "");
  }
}

static void
print_text (VmContext *context, const VmRecord *record, json_object *live)
{
  g_autofree char *name = vm_escape_terminal (record->name, -1, 100);

  printf ("%s (%s)\n", name, record->id);
  print_state (record);
  print_facts (context, record);
  if (record->state != VM_STATE_ENDED) {
    row ("detached", "%s", record->detached ? "yes" : "no, it ends with its client");
    row ("supervisor", "pid %d%s", (int)record->supervisor.pid, live != NULL ? "" : ", does not answer");
  }
  if (live != NULL)
    print_sessions (record, live);
  row ("logs", "%s/sandboxes/%s", context->dirs.state, record->id);
  for (char **p = record->warnings; *p != NULL; p++)
    row ("warning", "%s", *p);
}

/* What the supervisor knows is newer than what it has written. */
static VmRecord *
fresher (json_object *live, const VmRecord *record)
{
  VmRecord *fresh = live != NULL ? vm_record_from_json (live, NULL) : NULL;

  return fresh != NULL && g_str_equal (fresh->id, record->id) ? fresh : (vm_record_free (fresh), NULL);
}

static int
status (VmContext *context, gpointer data, char **args, char **command, GError **error)
{
  const StatusOptions *o = data;
  g_autoptr (VmRecord) record = vm_store_find (&context->dirs, args[0] != NULL ? args[0] : ".", TRUE, error);
  g_autoptr (VmRecord) fresh = NULL;
  g_autoptr (json_object) live = NULL;

  if (record == NULL)
    return -1;
  live = ask (context, record);
  fresh = fresher (live, record);
  if (o->json)
    vm_show_json (live != NULL ? json_object_get (live) : vm_record_to_json (record));
  else
    print_text (context, fresh != NULL ? fresh : record, live);
  return 0;
}

const VmVerb vm_verb_status = {
    .name = "status",
    .usage = "[OPTIONS] [SANDBOX]",
    .summary = "show one sandbox: what it is, or why it ended",
    .details = "Without SANDBOX: the one of this directory, running or ended last.",
    .options = options,
    .options_size = sizeof (StatusOptions),
    .max_args = 1,
    .complete = "any-sandbox",
    .run = status,
};
