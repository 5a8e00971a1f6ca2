/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/attached.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/escape.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/json.h"
#include "vmctl/base/tty.h"
#include "vmctl/config.h"
#include "vmctl/refusals.h"
#include "vmctl/show.h"
#include "vmctl/store.h"

enum { END_WAIT_MS = 30000, LOST_WAIT_MS = 3000, STATUS_SIGNALLED = 128 };

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

static gboolean
is_told (const VmClient *client, const char *text)
{
  return client->told != NULL && g_ptr_array_find_with_equal_func (client->told, text, g_str_equal, NULL);
}

/* The sandbox has ended: what was not told while it ran. */
static void
print_warnings (const VmClient *client)
{
  for (char **p = client->warnings; p != NULL && *p != NULL; p++) {
    g_autofree char *shown = vm_show_safe (*p, -1);

    if (!is_told (client, *p))
      fprintf (stderr, "vmctl: warning: %s\n", shown);
  }
}

static void
say_detached (const VmRecord *record)
{
  g_autofree char *name = vm_escape_terminal (record->name, -1, 100);

  fprintf (stderr, "vmctl: detached from '%s'; it goes on. Come back with: vmctl attach %s\n", name,
           record->id);
}

static void
say_paused (const VmRecord *record)
{
  g_autofree char *name = vm_escape_terminal (record->name, -1, 100);

  fprintf (stderr, "vmctl: sandbox '%s' is paused; the command starts once it goes on: vmctl resume %s\n",
           name, record->id);
}

/* What is told while a session runs. */
typedef struct {
  VmClient *client;     /* borrowed; NULL: it has not begun */
  VmRefusals *refusals; /* owned; NULL: they are not told */
  VmFullScreen screen;
} Telling;

/* The terminal may be raw, and the cursor anywhere in its line. */
static void
show_refusals (Telling *telling)
{
  char *line;

  while (telling->refusals != NULL && (line = vm_refusals_next (telling->refusals)) != NULL) {
    fprintf (stderr, "\r\033[K%s\r\n", line);
    g_free (line);
  }
}

/* Those that a program with the whole screen was not to be disturbed by. */
static void
end_telling (Telling *telling)
{
  show_refusals (telling);
  g_clear_pointer (&telling->refusals, vm_refusals_free);
  if (telling->client != NULL)
    telling->client->event = NULL;
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Telling, end_telling)

static void
follow_screen (const guint8 *bytes, gsize length, gpointer data)
{
  Telling *telling = data;

  vm_full_screen_feed (&telling->screen, bytes, length);
  if (!telling->screen.full)
    show_refusals (telling);
}

/* Something that the user should know while it runs. The terminal may be raw. */
static void
show_warning (VmClient *client, json_object *event_data)
{
  const char *text = vm_json_str (event_data, "text", "");
  const char *cr = isatty (STDERR_FILENO) ? "\r" : "";
  g_autofree char *shown = vm_show_safe (text, -1);

  if (client->told == NULL)
    client->told = g_ptr_array_new_with_free_func (g_free);
  g_ptr_array_add (client->told, g_strdup (text));
  fprintf (stderr, "%svmctl: warning: %s%s\n", cr, shown, cr);
}

static void
got_event (const char *name, json_object *event_data, json_object *message, gpointer data)
{
  Telling *telling = data;

  if (g_str_equal (name, "SANDBOX_WARNING"))
    show_warning (telling->client, event_data);
  if (!g_str_equal (name, "SANDBOX_NET_REFUSED") || telling->refusals == NULL)
    return;
  vm_refusals_add (telling->refusals, event_data);
  if (!telling->screen.full)
    show_refusals (telling);
}

/* Beginning with this; until the telling ends. */
static void
begin_telling (Telling *telling, VmClient *client, const VmRecord *record, gboolean quiet)
{
  telling->client = client;
  if (!quiet && isatty (STDERR_FILENO))
    telling->refusals = vm_refusals_new (record->id);
  client->event = got_event;
  client->data = telling;
}

/* The stream ended without a status: the sandbox did, or only its supervisor. */
static int
explain_loss (VmContext *context, VmClient *client, const VmRecord *record, GError **error)
{
  g_autoptr (VmRecord) now = NULL;
  g_autofree char *text = NULL;

  (void)vm_client_wait_end (client, LOST_WAIT_MS);
  if (client->again) {
    vm_error (error, VM_ERROR_CHILD, "sandbox '%s' (%s) starts again, which ended the command", record->name,
              record->id);
    return -1;
  }
  if (client->ended) {
    print_warnings (client);
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

static void
explain_errno (const VmTerminalResult *result, char **argv, const char *cwd)
{
  const char *what = result->bad_cwd ? cwd : argv != NULL ? argv[0] : "the login shell";
  g_autofree char *shown = vm_escape_terminal (what, -1, 200);

  if (result->exec_errno != 0)
    fprintf (stderr, "vmctl: cannot %s '%s' inside: %s\n", result->bad_cwd ? "start in" : "run", shown,
             g_strerror (result->exec_errno));
}

static char *
directory_inside (const VmRecord *record, const char *cwd, GError **error)
{
  if (*cwd == '\0')
    vm_error (error, VM_ERROR_USAGE, "--cwd: the directory's name is empty");
  else if (!g_utf8_validate (cwd, -1, NULL))
    vm_error (error, VM_ERROR_USAGE,
              "the path of the directory to start in is not UTF-8; start from another");
  else
    return g_canonicalize_filename (cwd, record->project);
  return NULL;
}

/* Of the control socket's `exec`. */
static json_object *
exec_arguments (const VmRecord *record, const VmAttachedCommand *command, const char *cwd, GError **error)
{
  g_auto (GStrv) host = g_get_environ ();
  g_auto (GStrv) env = vm_spec_resolve_env (command->env, host, "--env", error);
  json_object *arguments;

  if (env == NULL || !vm_spec_check_words (command->argv, error))
    return NULL;
  arguments = json_object_new_object ();
  if (command->argv != NULL)
    vm_json_add_strv (arguments, "argv", (const char *const *)command->argv);
  vm_json_add_bool (arguments, "shell", command->argv == NULL);
  vm_json_add_strv (arguments, "env", (const char *const *)env);
  vm_json_add_str (arguments, "cwd", cwd);
  vm_json_add_bool (arguments, "root", command->root);
  if (command->tty)
    add_size (arguments);
  return arguments;
}

/* TRUE: the sandbox is ending or has ended, and that is the error now. To be asked when nothing of the
 * command has happened. */
static gboolean
came_too_late (VmContext *context, const VmRecord *record, GError **error)
{
  g_autoptr (VmRecord) now = vm_store_find (&context->dirs, record->id, TRUE, NULL);
  g_autofree char *text = NULL;

  if (now != NULL && now->state < VM_STATE_STOPPING)
    return FALSE;
  text = now != NULL ? vm_record_reason_text (now) : g_strdup ("it is gone");
  g_clear_error (error);
  vm_error (error, VM_ERROR_NOT_FOUND, "sandbox '%s' (%s) ended before it took the command: %s", record->name,
            record->id, text);
  return TRUE;
}

/* The record tells only once the supervisor has gone. */
static gboolean
was_not_taken (VmContext *context, VmClient *client, const VmRecord *record, const VmTerminalResult *result,
               GError **error)
{
  if (result->taken || (result->end != VM_TERMINAL_LOST && result->exec_errno != ESHUTDOWN))
    return FALSE;
  if (came_too_late (context, record, error))
    return TRUE;
  (void)vm_client_wait_end (client, LOST_WAIT_MS);
  return came_too_late (context, record, error);
}

/* A command that ends with its sandbox looks as if somebody had killed it. */
static void
tell_of_end (VmClient *client, const VmRecord *record, const VmTerminalResult *result)
{
  g_autofree char *name = NULL, *text = NULL;

  while (g_main_context_pending (NULL)) /* the event came before the exit, on another socket */
    g_main_context_iteration (NULL, FALSE);
  if (result->status <= STATUS_SIGNALLED || (!client->stopping && !client->again))
    return;
  (void)vm_client_wait_end (client, LOST_WAIT_MS);
  name = vm_escape_terminal (record->name, -1, 100);
  text = vm_show_safe (client->ended   ? client->text
                       : client->again ? "it starts again"
                                       : "it is still being stopped",
                       -1);
  fprintf (stderr, "vmctl: the command was ended with its sandbox '%s' (%s): %s\n", name, record->id, text);
}

int
vm_attached_exec (VmContext *context, const VmRecord *record, const VmAttachedCommand *command,
                  GError **error)
{
  g_autofree char *cwd = NULL;
  g_autoptr (json_object) arguments = NULL;
  g_autoptr (VmClient) client = NULL;
  g_auto (Telling) telling = {0};
  VmTerminalOptions options = {.tty = command->tty, .wrote = follow_screen, .data = &telling};
  VmTerminalResult result;
  int stream;

  if (command->cwd != NULL && (cwd = directory_inside (record, command->cwd, error)) == NULL)
    return -1;
  if ((arguments = exec_arguments (record, command, cwd, error)) == NULL)
    return -1;
  client = vm_client_connect (&context->dirs, record->id, error);
  if (client == NULL) {
    (void)came_too_late (context, record, error);
    return -1;
  }
  begin_telling (&telling, client, record, command->quiet);
  if (record->state == VM_STATE_PAUSED)
    say_paused (record);
  stream = vm_client_call_stream (client, "exec", json_object_get (arguments), NULL, error);
  if (stream < 0)
    (void)came_too_late (context, record, error);
  if (stream < 0 || !vm_terminal_run (stream, &options, &result, error) ||
      was_not_taken (context, client, record, &result, error))
    return -1;
  if (result.end == VM_TERMINAL_LOST)
    return explain_loss (context, client, record, error);
  explain_errno (&result, command->argv, cwd != NULL ? cwd : record->project);
  tell_of_end (client, record, &result);
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
  if (!vm_client_wait_end (client, END_WAIT_MS) && !client->again)
    fprintf (stderr, "vmctl: warning: the sandbox is still shutting down; see: vmctl status %s\n",
             record->id);
  if (client->again)
    fprintf (stderr, "vmctl: the sandbox starts again; come back with: vmctl attach %s\n", record->id);
  print_warnings (client);
  if (g_strcmp0 (client->reason, vm_reason_name (VM_REASON_OUT_OF_MEMORY)) == 0) {
    g_autofree char *shown = vm_show_safe (client->text, -1);

    fprintf (stderr, "vmctl: the command was %s\n", shown);
  }
  explain_errno (result, record->command, record->project);
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
  print_warnings (client);
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
vm_attached_main (VmContext *context, const VmRecord *record, const VmAttachedHow *how, GError **error)
{
  g_autoptr (VmClient) client = vm_client_connect (&context->dirs, record->id, error);
  g_autofree char *status = how->starting ? starting_line (record) : NULL;
  g_auto (Telling) telling = {0};
  VmTerminalOptions options = {
      .may_detach = TRUE, .status = status, .wrote = follow_screen, .data = &telling};
  VmTerminalResult result;
  json_object *arguments, *reply = NULL;
  int stream;

  if (client == NULL || !vm_config_detach_key (&context->dirs, &options.detach_key, error))
    return -1;
  begin_telling (&telling, client, record, how->quiet);
  if (record->serial)
    return hold_console (context, client, record, options.detach_key, how->starting, error);
  arguments = json_object_new_object ();
  vm_json_add_bool (arguments, "steal", how->steal);
  if (how->tty)
    add_size (arguments);
  stream = vm_client_call_stream (client, "attach", arguments, &reply, error);
  if (stream < 0)
    return -1;
  options.tty = vm_json_bool (reply, "tty", FALSE) && isatty (STDIN_FILENO);
  json_object_put (reply);
  if (!vm_terminal_run (stream, &options, &result, error))
    return -1;
  show_refusals (&telling);
  return end_of_main (context, client, record, &result, error);
}
