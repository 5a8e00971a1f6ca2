/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The control socket: QMP with vmctl's own commands in front, QEMU's behind. docs/control.md describes them.
 *
 * `stop` and `cont` keep QMP's meaning (pause the machine, go on), so that any QMP tool can be used; the
 * sandbox is ended by `sandbox-stop`. */
#include "vmctl/control-life.h"

#include <string.h>
#include <sys/socket.h>

#include "vmctl/base/error.h"
#include "vmctl/base/escape.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/json.h"
#include "vmctl/supervisor-plug.h"
#include "vmctl/supervisor-snapshot.h"

enum {
  LOG_DEFAULT = 65536,
  LOG_MAX = 4 << 20,
  PASS_TIMEOUT_MS = 60000,
  PASS_FDS_MAX = 16,
  CONSOLE_REPLAY = 65536
};

typedef void (*Command) (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request);

static void
refuse (QmpRequest *take_request, GError *take_error)
{
  qmp_request_error (take_request, "GenericError", "%s", take_error->message);
  g_error_free (take_error);
}

static gboolean
read_size (json_object *arguments, guint16 *ret_rows, guint16 *ret_columns)
{
  gint64 rows = vm_json_int (arguments, "rows", 0), columns = vm_json_int (arguments, "columns", 0);

  if (rows < 1 || rows > G_MAXUINT16 || columns < 1 || columns > G_MAXUINT16)
    return FALSE;
  *ret_rows = (guint16)rows;
  *ret_columns = (guint16)columns;
  return TRUE;
}

static void
query_sandbox (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request)
{
  json_object *object;

  vm_supervisor_look_at_limits (sup);
  object = vm_record_to_json (sup->record);
  vm_json_add (object, "sessions", vm_sessions_to_json (sup->sessions));
  vm_json_add_bool (object, "agent", sup->agent_up && sup->agent != NULL);
  vm_json_add_int (object, "clients", qmp_server_n_peers (sup->control));
  qmp_request_return (take_request, object);
}

/* `vmctl up -d` returns before the guest has booted: a command that comes early waits. */
typedef struct {
  json_object *arguments; /* owned, may be NULL */
  QmpRequest *request;    /* owned */
} Waiting;

static void exec_now (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request);

void
vm_control_agent_up (VmSupervisor *sup)
{
  g_autoptr (GArray) waiting = g_steal_pointer (&sup->waiting);

  for (guint i = 0; waiting != NULL && i < waiting->len; i++) {
    Waiting *w = &g_array_index (waiting, Waiting, i);

    exec_now (sup, w->arguments, w->request);
    json_object_put (w->arguments);
  }
}

void
vm_control_refuse_waiting (VmSupervisor *sup, const char *why)
{
  g_autoptr (GArray) waiting = g_steal_pointer (&sup->waiting);

  for (guint i = 0; waiting != NULL && i < waiting->len; i++) {
    Waiting *w = &g_array_index (waiting, Waiting, i);

    qmp_request_error (w->request, "GenericError", "the sandbox ended while it was starting: %s", why);
    json_object_put (w->arguments);
  }
}

static void
exec_command (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request)
{
  Waiting w = {.request = take_request};

  if (sup->again != VM_AGAIN_ASKED && (sup->agent_up || sup->record->state >= VM_STATE_STOPPING)) {
    exec_now (sup, arguments, take_request);
    return;
  }
  if (sup->waiting == NULL)
    sup->waiting = g_array_new (FALSE, FALSE, sizeof (Waiting));
  if (sup->waiting->len >= FRAME_CHANNELS_MAX) {
    qmp_request_error (take_request, "GenericError", "%u commands wait for the sandbox to start",
                       sup->waiting->len);
    return;
  }
  w.arguments = arguments != NULL ? json_object_get (arguments) : NULL;
  g_array_append_val (sup->waiting, w);
}

static void
exec_now (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request)
{
  g_auto (GStrv) argv = vm_json_dup_strv (vm_json_array (arguments, "argv"));
  g_auto (GStrv) env = vm_json_dup_strv (vm_json_array (arguments, "env"));
  VmOpen open = {.argv = (const char *const *)argv,
                 .env = (const char *const *)env,
                 .cwd = vm_json_str (arguments, "cwd", NULL),
                 .shell = vm_json_bool (arguments, "shell", FALSE),
                 .root = vm_json_bool (arguments, "root", FALSE)};
  int stream = qmp_request_take_fd (take_request);
  json_object *ret;
  GError *error = NULL;
  guint32 session;

  open.tty = read_size (arguments, &open.rows, &open.columns);
  if (argv[0] == NULL && !open.shell) {
    vm_fd_clear (&stream);
    qmp_request_error (take_request, "GenericError", "'argv' is missing or empty, and 'shell' is not true");
    return;
  }
  session = vm_sessions_open (sup->sessions, &open, stream, &error);
  if (session == 0) {
    refuse (take_request, error);
    return;
  }
  vm_log_line (sup->log, "session %u: %s", session, argv[0] != NULL ? "command" : "shell");
  ret = json_object_new_object ();
  vm_json_add_int (ret, "session", session);
  qmp_request_return (take_request, ret);
}

static void
cut_lifeline (VmSupervisor *sup)
{
  if (sup->lifeline_tag != 0)
    g_source_remove (sup->lifeline_tag);
  sup->lifeline_tag = 0;
  vm_fd_clear (&sup->lifeline);
}

static void
attach (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request)
{
  int stream = qmp_request_take_fd (take_request);
  gboolean has_ended = vm_sessions_main_waits (sup->sessions);
  guint16 rows, columns;
  json_object *ret;
  GError *error = NULL;

  if (stream < 0) {
    qmp_request_error (take_request, "GenericError",
                       "attach needs one end of a stream socket pair, sent with the command (SCM_RIGHTS)");
    return;
  }
  if (!vm_sessions_attach_main (sup->sessions, stream, vm_json_bool (arguments, "steal", FALSE), &error)) {
    refuse (take_request, error);
    return;
  }
  cut_lifeline (sup);
  if (read_size (arguments, &rows, &columns))
    (void)vm_sessions_resize (sup->sessions, FRAME_CHANNEL_MAIN, rows, columns);
  ret = json_object_new_object ();
  vm_json_add_int (ret, "session", FRAME_CHANNEL_MAIN);
  vm_json_add_bool (ret, "tty", vm_sessions_main_is_tty (sup->sessions));
  qmp_request_return (take_request, ret);
  if (has_ended) /* it only waited for this client */
    vm_supervisor_stop (sup, VM_REASON_EXITED, NULL, VM_STOP_POWERDOWN, sup->powerdown_ms);
  vm_plugs_client_came (sup->plugs);
}

static void
attach_console (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request)
{
  int stream = qmp_request_take_fd (take_request);
  gint64 replay = vm_json_int (arguments, "replay", CONSOLE_REPLAY);

  if (sup->console == NULL || stream < 0) {
    vm_fd_clear (&stream);
    qmp_request_error (take_request, "GenericError",
                       sup->console == NULL ? "this sandbox has no serial console"
                                            : "attach-console needs one end of a stream socket pair");
    return;
  }
  if (!vm_console_attach (sup->console, stream, (gsize)CLAMP (replay, 0, VM_CONSOLE_RING))) {
    qmp_request_error (take_request, "GenericError", "%d viewers are at the console already",
                       VM_CONSOLE_VIEWERS_MAX);
    return;
  }
  qmp_request_return (take_request, NULL);
}

/* A session's number, or 0, which none has. */
static guint32
session_of (json_object *arguments)
{
  gint64 session = vm_json_int (arguments, "session", FRAME_CHANNEL_MAIN);

  return session > 0 && session <= G_MAXUINT32 ? (guint32)session : 0;
}

static void
no_such_session (json_object *arguments, QmpRequest *take_request)
{
  qmp_request_error (take_request, "GenericError", "there is no session %" G_GINT64_FORMAT,
                     vm_json_int (arguments, "session", FRAME_CHANNEL_MAIN));
}

static void
resize (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request)
{
  guint16 rows, columns;

  if (!read_size (arguments, &rows, &columns))
    qmp_request_error (take_request, "GenericError", "'rows' and 'columns' must be 1 to 65535");
  else if (!vm_sessions_resize (sup->sessions, session_of (arguments), rows, columns))
    no_such_session (arguments, take_request);
  else
    qmp_request_return (take_request, NULL);
}

static void
signal_session (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request)
{
  gint64 number = vm_json_int (arguments, "signal", 0);

  if (number < 1 || number > 64)
    qmp_request_error (take_request, "GenericError", "'signal' must be 1 to 64");
  else if (!vm_sessions_signal (sup->sessions, session_of (arguments), (guint32)number))
    no_such_session (arguments, take_request);
  else
    qmp_request_return (take_request, NULL);
}

static void
sandbox_stop (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request)
{
  gint64 timeout = vm_json_int (arguments, "timeout-ms", sup->powerdown_ms);
  gboolean force = vm_json_bool (arguments, "force", FALSE);

  qmp_request_return (take_request, NULL);
  vm_supervisor_stop (sup, VM_REASON_STOPPED, NULL, force ? VM_STOP_QUIT : VM_STOP_POWERDOWN,
                      (guint)CLAMP (timeout, 100, 3600 * 1000));
}

static void
sandbox_detach (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request)
{
  sup->record->detached = TRUE;
  vm_sessions_set_detached (sup->sessions, TRUE);
  (void)vm_supervisor_save (sup, NULL); /* the next state change writes it again */
  cut_lifeline (sup);
  qmp_request_return (take_request, NULL);
}

static void
query_log (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request)
{
  static const char *const kinds[] = {"supervisor", "console", "output"};
  const char *kind = vm_json_str (arguments, "log", "supervisor");
  gint64 max = CLAMP (vm_json_int (arguments, "max", LOG_DEFAULT), 1, LOG_MAX);
  g_autofree char *name = g_strconcat (kind, ".log", NULL), *text = NULL;
  g_autoptr (GBytes) bytes = NULL;
  GError *error = NULL;
  gsize length;
  gconstpointer data;
  json_object *ret;

  if (!g_strv_contains ((const char *const[]){kinds[0], kinds[1], kinds[2], NULL}, kind)) {
    qmp_request_error (take_request, "GenericError", "'log' must be supervisor, console or output");
    return;
  }
  bytes = vm_log_tail (sup->state_fd, name, (gsize)max, &error);
  if (bytes == NULL) {
    refuse (take_request, error);
    return;
  }
  data = g_bytes_get_data (bytes, &length);
  text = g_base64_encode (data, length);
  ret = json_object_new_object ();
  vm_json_add_str (ret, "base64", text);
  qmp_request_return (take_request, ret);
}

static void query_commands (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request);
static void query_version (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request);

static void
quit (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request)
{
  qmp_request_return (take_request, NULL);
  vm_supervisor_stop (sup, VM_REASON_STOPPED, "by the QMP command quit", VM_STOP_QUIT, 0);
}

static void
pass_through (VmSupervisor *sup, const char *name, json_object *arguments, QmpRequest *take_request);

/* QMP's stop and cont, for every driver. */
static void
pause_or_resume (VmSupervisor *sup, gboolean paused, QmpRequest *take_request)
{
  GError *error = NULL;

  if (vm_driver_pauses_itself (sup->driver))
    pass_through (sup, paused ? "stop" : "cont", NULL, take_request);
  else if (vm_supervisor_pause (sup, paused, &error))
    qmp_request_return (take_request, NULL);
  else
    refuse (take_request, error);
}

static void
stop (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request)
{
  pause_or_resume (sup, TRUE, take_request);
}

static void
cont (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request)
{
  pause_or_resume (sup, FALSE, take_request);
}

/* QEMU's own commands, which vmctl answers where it can do so for every driver. */

static void
screendump (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request)
{
  if (!vm_screen_dump (sup, arguments, take_request))
    pass_through (sup, "screendump", arguments, take_request);
}

static void
input_send_event (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request)
{
  if (!vm_screen_input (sup, arguments, take_request))
    pass_through (sup, "input-send-event", arguments, take_request);
}

static const struct {
  const char *name;
  Command run;
} commands[] = {
    {"attach", attach},
    {"attach-console", attach_console},
    {"cont", cont},
    {"exec", exec_command},
    {"input-send-event", input_send_event},
    {"net-change", vm_control_net_change},
    {"plug", vm_control_plug},
    {"query-commands", query_commands},
    {"query-devices", vm_control_query_devices},
    {"query-log", query_log},
    {"query-net", vm_control_query_net},
    {"query-sandbox", query_sandbox},
    {"query-screen", vm_screen_query},
    {"query-snapshots", vm_control_query_snapshots},
    {"query-stats", vm_control_stats},
    {"query-version", query_version},
    {"quit", quit},
    {"resize", resize},
    {"sandbox-detach", sandbox_detach},
    {"sandbox-reset", vm_control_reset},
    {"sandbox-restart", vm_control_restart},
    {"sandbox-stop", sandbox_stop},
    {"screendump", screendump},
    {"signal", signal_session},
    {"snapshot-create", vm_control_snapshot_create},
    {"snapshot-remove", vm_control_snapshot_remove},
    {"snapshot-restore", vm_control_snapshot_restore},
    {"stop", stop},
    {"unplug", vm_control_unplug},
};

static void
add_name (json_object *list, const char *name)
{
  json_object *object = json_object_new_object ();

  vm_json_add_str (object, "name", name);
  json_object_array_add (list, object);
}

static gboolean
is_own (const char *name)
{
  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    if (g_str_equal (commands[i].name, name))
      return TRUE;
  return g_str_equal (name, "qmp_capabilities");
}

static json_object *
own_commands (void)
{
  json_object *list = json_object_new_array ();

  add_name (list, "qmp_capabilities");
  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    add_name (list, commands[i].name);
  return list;
}

static void
got_commands (QmpClient *client, json_object *ret, json_object *reply, const GError *error, gpointer data)
{
  QmpRequest *request = data;
  json_object *list = own_commands ();

  for (gsize i = 0;
       ret != NULL && json_object_is_type (ret, json_type_array) && i < json_object_array_length (ret); i++) {
    const char *name = vm_json_str (json_object_array_get_idx (ret, i), "name", NULL);

    if (name != NULL && !is_own (name))
      add_name (list, name);
  }
  qmp_request_return (request, list);
}

static void
query_commands (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request)
{
  if (sup->qmp == NULL)
    qmp_request_return (take_request, own_commands ());
  else
    qmp_client_send (sup->qmp, "query-commands", NULL, NULL, 0, PASS_TIMEOUT_MS, got_commands, take_request);
}

static void
got_reply (QmpClient *client, json_object *ret, json_object *reply, const GError *error, gpointer data)
{
  if (reply != NULL)
    qmp_request_forward (data, reply);
  else
    qmp_request_error_from (data, error);
}

static json_object *
own_version (void)
{
  json_object *version = json_object_new_object (), *qemu = json_object_new_object ();

  vm_json_add_int (qemu, "major", 0);
  vm_json_add_int (qemu, "minor", 0);
  vm_json_add_int (qemu, "micro", 0);
  vm_json_add (version, "qemu", qemu);
  vm_json_add_str (version, "package", "vmctl " VMCTL_VERSION);
  return version;
}

static void
query_version (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request)
{
  if (sup->qmp != NULL)
    qmp_client_send (sup->qmp, "query-version", NULL, NULL, 0, PASS_TIMEOUT_MS, got_reply, take_request);
  else
    qmp_request_return (take_request, own_version ());
}

/* Everything else is QEMU's. It is logged: somebody changes a machine by hand. */
static void
pass_through (VmSupervisor *sup, const char *name, json_object *arguments, QmpRequest *take_request)
{
  g_autofree char *shown =
      vm_escape_terminal (arguments != NULL ? json_object_to_json_string (arguments) : "", -1, 2000);
  g_autofree char *shown_name = vm_escape_terminal (name, -1, 200);
  int fds[PASS_FDS_MAX];
  guint n_fds = 0;

  if (sup->qmp == NULL) {
    qmp_request_error (take_request, "CommandNotFound", "The command %s has not been found", shown_name);
    return;
  }
  vm_log_line (sup->log, "passed to QEMU: %s %s", shown_name, shown);
  while (n_fds < PASS_FDS_MAX && (fds[n_fds] = qmp_request_take_fd (take_request)) >= 0)
    n_fds++;
  qmp_client_send (sup->qmp, name, arguments != NULL ? json_object_get (arguments) : NULL, fds, n_fds,
                   PASS_TIMEOUT_MS, got_reply, take_request);
  for (guint i = 0; i < n_fds; i++)
    vm_fd_clear (&fds[i]);
}

static void
command (QmpServer *server, QmpPeer *peer, const char *name, json_object *arguments, QmpRequest *request,
         gpointer data)
{
  VmSupervisor *sup = data;

  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    if (g_str_equal (commands[i].name, name)) {
      commands[i].run (sup, arguments, request);
      return;
    }
  pass_through (sup, name, arguments, request);
}

static void
peer_closed (QmpServer *server, QmpPeer *peer, gpointer data)
{
  VmSupervisor *sup = data;

  if (sup->plugs != NULL)
    vm_plugs_peer_gone (sup->plugs);
}

static const QmpServerHandlers handlers = {.command = command, .peer_closed = peer_closed};

gboolean
vm_control_listen (VmSupervisor *sup, GError **error)
{
  sup->control_fd = vm_fd_listen_unix (sup->runtime_fd, "control.sock", SOCK_STREAM, error);
  return sup->control_fd >= 0;
}

void
vm_control_start (VmSupervisor *sup)
{
  sup->control = qmp_server_new (vm_fd_steal (&sup->control_fd), own_version (), &handlers, sup);
  if (sup->adopted)
    vm_failpoint ("control"); /* how far its predecessor had come stays on record */
  else
    vm_supervisor_step (sup, "control");
}
