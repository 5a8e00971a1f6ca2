/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/attached.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/escape.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/json.h"
#include "vmctl/base/tty.h"
#include "vmctl/config.h"
#include "vmctl/store.h"

enum { END_WAIT_MS = 30000, LOST_WAIT_MS = 3000, STATUS_OWN_FAILURE = 125 };

gboolean
vm_attached_wants_tty (VmTtyMode mode, gboolean *ret_tty, GError **error)
{
  gboolean have = isatty (STDIN_FILENO) && isatty (STDOUT_FILENO);

  if (mode == VM_TTY_YES && !isatty (STDIN_FILENO))
    return vm_error (error, VM_ERROR_USAGE, "--tty: standard input is not a terminal");
  *ret_tty = mode == VM_TTY_YES || (mode == VM_TTY_AUTO && have);
  return TRUE;
}

static void
add_size (json_object *arguments)
{
  guint16 rows, columns;

  vm_tty_size (STDIN_FILENO, &rows, &columns);
  vm_json_add_int (arguments, "rows", rows);
  vm_json_add_int (arguments, "columns", columns);
}

void
vm_attached_print_warnings (char **warnings)
{
  for (char **p = warnings; p != NULL && *p != NULL; p++)
    fprintf (stderr, "vmctl: warning: %s\n", *p);
}

static void
say_detached (const VmRecord *record)
{
  g_autofree char *name = vm_escape_terminal (record->name, -1, 100);

  fprintf (stderr, "vmctl: detached from '%s'; it goes on. Come back with: vmctl attach %s\n", name,
           record->id);
}

/* Something that the user should know while it runs. The terminal may be raw. */
static void
show_warning (const char *name, json_object *event_data, json_object *message, gpointer data)
{
  const char *text = vm_json_str (event_data, "text", "");
  const char *cr = isatty (STDERR_FILENO) ? "\r" : "";

  if (g_str_equal (name, "SANDBOX_WARNING"))
    fprintf (stderr, "%svmctl: warning: %s%s\n", cr, text, cr);
}

/* The stream ended without a status: the sandbox did, or only its supervisor. */
static int
explain_loss (VmContext *context, VmClient *client, const VmRecord *record, GError **error)
{
  g_autoptr (VmRecord) now = NULL;
  g_autofree char *text = NULL;

  (void)vm_client_wait_end (client, LOST_WAIT_MS);
  if (client->ended) {
    vm_attached_print_warnings (client->warnings);
    vm_error (error, VM_ERROR_CHILD, "sandbox '%s' (%s) ended: %s", record->name, record->id, client->text);
    return -1;
  }
  now = vm_store_find (&context->dirs, record->id, TRUE,
                       NULL); /* sweeps: a new supervisor takes over if it can */
  if (now != NULL && now->state != VM_STATE_ENDED) {
    vm_error (error, VM_ERROR_CHILD,
              "the supervisor of sandbox '%s' was killed; the sandbox goes on, but output may be missing; "
              "attach again "
              "with: vmctl attach %s",
              record->name, record->id);
    return -1;
  }
  text = now != NULL ? vm_record_reason_text (now) : g_strdup ("it is gone");
  vm_error (error, VM_ERROR_CHILD, "sandbox '%s' (%s) ended: %s", record->name, record->id, text);
  return -1;
}

static gboolean
explain_errno (const VmTerminalResult *result, const char *what)
{
  g_autofree char *shown = NULL;

  if (result->exec_errno == 0)
    return FALSE;
  shown = vm_escape_terminal (what, -1, 200);
  fprintf (stderr, "vmctl: cannot run '%s' inside: %s\n", shown, g_strerror (result->exec_errno));
  return TRUE;
}

int
vm_attached_exec (VmContext *context, const VmRecord *record, json_object *take_arguments, gboolean tty,
                  GError **error)
{
  g_autoptr (json_object) arguments = take_arguments;
  g_autoptr (VmClient) client = vm_client_connect (&context->dirs, record->id, error);
  json_object *argv = vm_json_array (arguments, "argv");
  VmTerminalOptions options = {.tty = tty};
  VmTerminalResult result;
  int stream;

  if (client == NULL)
    return -1;
  client->event = show_warning;
  if (tty)
    add_size (arguments);
  stream = vm_client_call_stream (client, "exec", json_object_get (arguments), NULL, error);
  if (stream < 0 || !vm_terminal_run (stream, &options, &result, error))
    return -1;
  if (result.end == VM_TERMINAL_LOST)
    return explain_loss (context, client, record, error);
  (void)explain_errno (&result, argv != NULL && json_object_array_length (argv) > 0
                                    ? json_object_get_string (json_object_array_get_idx (argv, 0))
                                    : "the login shell");
  return result.status;
}

static int
end_of_main (VmContext *context, VmClient *client, const VmRecord *record, const VmTerminalResult *result,
             GError **error)
{
  if (result->end == VM_TERMINAL_DETACHED) {
    say_detached (record);
    return 0;
  }
  if (result->end == VM_TERMINAL_LOST)
    return explain_loss (context, client, record, error);
  /* What the command wrote is on the host's disk, and nothing is left behind, once the supervisor has gone.
   */
  if (!vm_client_wait_end (client, END_WAIT_MS))
    fprintf (stderr, "vmctl: warning: the sandbox is still shutting down; see: vmctl status %s\n",
             record->id);
  vm_attached_print_warnings (client->warnings);
  (void)explain_errno (result, record->command != NULL ? record->command[0] : "the login shell");
  return result->status;
}

/* A session on the serial console has no streams of its own; its exit status comes with the sandbox's end. */
static int
hold_console (VmContext *context, VmClient *client, const VmRecord *record, char detach_key,
              gboolean starting, GError **error)
{
  json_object *arguments = json_object_new_object ();
  VmTerminalEnd end;
  int stream;

  vm_json_add_int (arguments, "replay", starting ? 0 : 4096);
  stream = vm_client_call_stream (client, "attach-console", arguments, NULL, error);
  if (stream < 0 || !vm_terminal_run_raw (stream, detach_key, &end, error))
    return -1;
  if (end == VM_TERMINAL_DETACHED) {
    VmTerminalResult detached = {.end = VM_TERMINAL_DETACHED};
    g_autoptr (json_object) ret = vm_client_call (client, "sandbox-detach", NULL, error);

    return ret != NULL ? end_of_main (context, client, record, &detached, error) : -1;
  }
  (void)vm_client_wait_end (client, END_WAIT_MS);
  vm_attached_print_warnings (client->warnings);
  if (client->ended && g_strcmp0 (client->reason, "exited") == 0)
    return (int)client->status;
  return explain_loss (context, client, record, error);
}

gboolean
vm_attached_main_is_free (VmContext *context, const VmRecord *record)
{
  g_autoptr (VmClient) client = vm_client_connect (&context->dirs, record->id, NULL);
  g_autoptr (json_object) sandbox =
      client != NULL ? vm_client_call (client, "query-sandbox", NULL, NULL) : NULL;
  json_object *sessions = vm_json_array (sandbox, "sessions");

  for (gsize i = 0; sessions != NULL && i < json_object_array_length (sessions); i++) {
    json_object *session = json_object_array_get_idx (sessions, i);

    if (vm_json_int (session, "session", 0) == 1)
      return !vm_json_bool (session, "attached", TRUE);
  }
  return FALSE;
}

static char *
starting_line (const VmRecord *record)
{
  g_autofree char *name = vm_escape_terminal (record->name, -1, 60);

  return g_strdup_printf ("starting sandbox '%s' (%s, %s%s%s) ...", name, record->id, record->driver,
                          record->accel != NULL ? ", " : "", record->accel != NULL ? record->accel : "");
}

int
vm_attached_main (VmContext *context, const VmRecord *record, gboolean tty, gboolean steal, gboolean starting,
                  GError **error)
{
  g_autoptr (VmClient) client = vm_client_connect (&context->dirs, record->id, error);
  g_autofree char *status = starting ? starting_line (record) : NULL;
  VmTerminalOptions options = {.may_detach = TRUE, .status = status};
  VmTerminalResult result;
  json_object *arguments, *reply = NULL;
  int stream;

  if (client == NULL || !vm_config_detach_key (&context->dirs, &options.detach_key, error))
    return -1;
  client->event = show_warning;
  if (record->serial)
    return hold_console (context, client, record, options.detach_key, starting, error);
  arguments = json_object_new_object ();
  vm_json_add_bool (arguments, "steal", steal);
  if (tty)
    add_size (arguments);
  stream = vm_client_call_stream (client, "attach", arguments, &reply, error);
  if (stream < 0)
    return -1;
  options.tty = vm_json_bool (reply, "tty", FALSE) && isatty (STDIN_FILENO);
  json_object_put (reply);
  if (!vm_terminal_run (stream, &options, &result, error))
    return -1;
  return end_of_main (context, client, record, &result, error);
}
