/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/supervisor-private.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmctl/absent.h"
#include "vmctl/base/error.h"
#include "vmctl/base/escape.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"
#include "vmctl/base/json.h"
#include "vmctl/container.h"
#include "vmctl/make.h"
#include "vmctl/root-keeper.h"
#include "vmctl/supervisor-net.h"
#include "vmctl/supervisor-plug.h"

enum { WORDS_MAX = 4096, KEEPER_MESSAGE_MAX = 512, STATUS_WAIT_MS = 10000 };

/* What the keeper and its children say */

/* The one note that the keeper makes. What else comes here may be the sandbox's own words. */
static void
take_note (VmSupervisor *sup, const char *bytes, gsize length)
{
  g_auto (GStrv) lines = NULL;
  g_autofree char *text = g_strndup (bytes, length);

  lines = g_strsplit (text, "\n", -1);
  if (g_strv_contains ((const char *const *)lines, CONTAINER_NOTE CONTAINER_NOTE_IDS))
    vm_supervisor_warn (sup, CONTAINER_NOTE_IDS);
}

static void
heard (VmSupervisor *sup, const char *bytes, gsize length)
{
  g_autofree char *shown = vm_escape_terminal (bytes, (gssize)length, -1);

  vm_log_line (sup->log, "stderr: %s", shown);
  take_note (sup, bytes, length);
  g_string_append_len (sup->last_words, bytes, (gssize)length);
  if (sup->last_words->len > WORDS_MAX)
    g_string_erase (sup->last_words, 0, (gssize)(sup->last_words->len - WORDS_MAX));
}

static gboolean
vmm_said (int fd, GIOCondition condition, gpointer data)
{
  VmSupervisor *sup = data;
  char block[4096];
  ssize_t n = read (fd, block, sizeof block);

  if (n > 0) {
    heard (sup, block, (gsize)n);
    return G_SOURCE_CONTINUE;
  }
  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return G_SOURCE_CONTINUE;
  sup->stderr_tag = 0;
  return G_SOURCE_REMOVE;
}

/* What became of the network, the keeper's last message, or its death without one. */
static gboolean
keeper_said (int fd, GIOCondition condition, gpointer data)
{
  VmSupervisor *sup = data;
  char text[KEEPER_MESSAGE_MAX];
  ssize_t n = recv (fd, text, sizeof text - 1, MSG_DONTWAIT);

  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return G_SOURCE_CONTINUE;
  if (n <= 0) {
    sup->keeper_tag = 0; /* the pidfd tells the rest */
    return G_SOURCE_REMOVE;
  }
  text[n] = '\0';
  if (g_str_has_prefix (text, "net ") || g_str_has_prefix (text, "nic "))
    vm_supervisor_net_said (sup, text);
  if (g_str_equal (text, "ok") || g_str_has_prefix (text, "error "))
    vm_plugs_keeper_said (sup->plugs, text);
  if (!g_str_has_prefix (text, "exit "))
    return G_SOURCE_CONTINUE;
  sup->keeper_tag = 0;
  if (!vm_supervisor_template_failed (sup, text + strlen ("exit ")))
    vm_supervisor_finish (sup, text + strlen ("exit "));
  return G_SOURCE_REMOVE;
}

static gboolean
keeper_ended (int fd, GIOCondition condition, gpointer data)
{
  VmSupervisor *sup = data;
  g_autofree char *how = NULL;

  sup->pidfd_tag = 0;
  if (sup->finished)
    return G_SOURCE_REMOVE;
  how = vm_file_read (sup->runtime_fd, "exit", KEEPER_MESSAGE_MAX, NULL, NULL);
  if (!vm_supervisor_template_failed (sup, how != NULL ? g_strchomp (how) : NULL))
    vm_supervisor_finish (sup, how);
  return G_SOURCE_REMOVE;
}

static gboolean
watch_keeper (VmSupervisor *sup, GError **error)
{
  sup->keeper_fd = vm_fd_connect_unix (sup->runtime_fd, "keeper.sock", SOCK_SEQPACKET, error);
  if (sup->keeper_fd < 0)
    return FALSE;
  sup->keeper_tag = g_unix_fd_add (sup->keeper_fd, G_IO_IN | G_IO_HUP, keeper_said, sup);
  sup->keeper_pidfd = vm_process_open (&sup->record->keeper);
  if (sup->keeper_pidfd < 0)
    return vm_error (error, VM_ERROR_CHILD, "vmctl-keeper ended at once");
  sup->pidfd_tag = g_unix_fd_add (sup->keeper_pidfd, G_IO_IN, keeper_ended, sup);
  return TRUE;
}

/* QMP */

/* QEMU pauses the machine rather than to lose a write. Nobody should have to guess why nothing goes on. */
static void
warn_of_room (VmSupervisor *sup)
{
  const char *keep = sup->plan->image.keep;
  g_autofree char *dir = vm_escape_terminal (keep != NULL ? keep : sup->plan->state_dir, -1, -1);
  g_autofree char *text = NULL;

  if (sup->record->paused_why != NULL)
    return; /* another request of the same disk */
  sup->record->paused_why = g_strdup_printf ("the file system of '%s' is full", dir);
  text = g_strdup_printf ("%s, and the sandbox is paused; free some space there, then: vmctl resume %s",
                          sup->record->paused_why, sup->plan->id);
  vm_supervisor_warn_again (sup, text);
}

static void
block_error (VmSupervisor *sup, json_object *event_data)
{
  if (vm_json_bool (event_data, "nospace", FALSE) &&
      g_strcmp0 (vm_json_str (event_data, "action", NULL), "stop") == 0)
    warn_of_room (sup);
}

/* Taking over: QEMU may have paused the machine, or gone on, while nobody was there to hear of it. */
static void
got_status (QmpClient *client, json_object *ret, json_object *reply, const GError *error, gpointer data)
{
  VmSupervisor *sup = data;
  const char *status = vm_json_str (ret, "status", "");
  VmState state = sup->record->state;

  if (ret == NULL) {
    vm_log_line (sup->log, "QEMU does not say whether it is paused: %s", error->message);
    return;
  }
  if (g_str_equal (status, "io-error"))
    warn_of_room (sup);
  if (state == VM_STATE_RUNNING && (g_str_equal (status, "paused") || g_str_equal (status, "io-error")))
    vm_supervisor_set_state (sup, VM_STATE_PAUSED);
  else if (state == VM_STATE_PAUSED && vm_json_bool (ret, "running", FALSE))
    vm_supervisor_set_state (sup, VM_STATE_RUNNING);
}

/* What is done at the window reaches us as events: closing it is QEMU's own quit, and in its menu is a power
 * button, which no guest of ours listens to. */
static void
window_event (VmSupervisor *sup, const char *name)
{
  if (sup->plan->screen.kind != VM_DISPLAY_GTK || sup->stop_step != VM_STOP_NOT)
    return;
  if (g_str_equal (name, "POWERDOWN"))
    vm_supervisor_stop (sup, VM_REASON_STOPPED, "from the menu of its window", VM_STOP_POWERDOWN,
                        sup->powerdown_ms);
  else if (g_str_equal (name, "SHUTDOWN") && sup->record->reason == VM_REASON_STOPPED &&
           sup->record->text == NULL)
    sup->record->text = g_strdup ("its window was closed");
}

static void
qmp_event (QmpClient *client, const char *name, json_object *event_data, json_object *message, gpointer data)
{
  VmSupervisor *sup = data;
  const char *reason = vm_json_str (event_data, "reason", "");

  vm_log_line (sup->log, "event %s %s", name,
               event_data != NULL ? json_object_to_json_string (event_data) : "");
  qmp_server_forward_event (sup->control, message);
  vm_plugs_event (sup->plugs, name, event_data);
  if (g_str_equal (name, "STOP") && sup->record->state == VM_STATE_RUNNING)
    vm_supervisor_set_state (sup, VM_STATE_PAUSED);
  else if (g_str_equal (name, "RESUME") && sup->record->state == VM_STATE_PAUSED)
    vm_supervisor_set_state (sup, VM_STATE_RUNNING);
  else if (g_str_equal (name, "BLOCK_IO_ERROR"))
    block_error (sup, event_data);
  else if (g_str_equal (name, "GUEST_PANICKED") && sup->record->reason == VM_REASON_NONE)
    sup->record->reason = VM_REASON_GUEST_PANIC;
  else if (g_str_equal (name, "SHUTDOWN") && sup->record->reason == VM_REASON_NONE)
    sup->record->reason = g_str_equal (reason, "guest-reset")         ? VM_REASON_GUEST_RESET
                          : g_str_equal (reason, "guest-panic")       ? VM_REASON_GUEST_PANIC
                          : vm_json_bool (event_data, "guest", FALSE) ? VM_REASON_GUEST_SHUTDOWN
                                                                      : VM_REASON_STOPPED;
  window_event (sup, name);
}

static void
qmp_ready (QmpClient *client, gpointer data)
{
  VmSupervisor *sup = data;
  json_object *qemu = vm_json_object (vm_json_object (qmp_client_greeting (client), "version"), "qemu");
  json_object *version = json_object_new_object ();

  vm_record_stamp (sup->record, VM_STAMP_MONITORED);
  if (qemu == NULL) {
    json_object_put (version);
    return;
  }
  vm_json_add (version, "qemu", json_object_get (qemu));
  vm_json_add_str (version, "package", "vmctl " VMCTL_VERSION);
  qmp_server_set_version (sup->control, version);
  if (sup->adopted)
    qmp_client_send (client, "query-status", NULL, NULL, 0, STATUS_WAIT_MS, got_status, sup);
}

static void
qmp_closed (QmpClient *client, const GError *error, gpointer data)
{
  VmSupervisor *sup = data;

  vm_log_line (sup->log, "QEMU's monitor closed: %s", error->message);
}

static const QmpClientHandlers qmp_handlers = {.event = qmp_event, .ready = qmp_ready, .closed = qmp_closed};

/* A sandbox may be ending while it is taken over: nobody listens any more, and its keeper has not said so
 * yet. That is no failure of the take-over, after which nobody would be there to bury it: it gets what one
 * gets that ends a moment later, a connection that is closed. */
static int
connect_to (VmSupervisor *sup, const char *name, GError **error)
{
  g_autoptr (GError) problem = NULL;
  int ends[2], fd = vm_fd_connect_unix (sup->runtime_fd, name, SOCK_STREAM, &problem);

  if (fd >= 0)
    return fd;
  if (!sup->adopted || !g_error_matches (problem, VM_ERROR, VM_ERROR_NO_PEER)) {
    g_propagate_error (error, g_steal_pointer (&problem));
    return -1;
  }
  vm_log_line (sup->log, "%s: it is ending", problem->message);
  if (!vm_fd_socketpair (SOCK_STREAM, ends, error))
    return -1;
  vm_fd_clear (&ends[1]);
  return ends[0];
}

static gboolean
connect_vmm (VmSupervisor *sup, GError **error)
{
  int fd;

  if (vm_driver_has_monitor (sup->driver)) {
    fd = connect_to (sup, "qmp.sock", error);
    if (fd < 0)
      return FALSE;
    sup->qmp = qmp_client_new (fd, &qmp_handlers, sup);
  }
  fd = connect_to (sup, "agent.sock", error);
  if (fd < 0)
    return FALSE;
  vm_supervisor_connect_agent (sup, fd);
  return TRUE;
}

/* The keeper */

static gboolean
bind_socket (VmSupervisor *sup, VmArgv *argv, const char *slot, const char *name, int type, GError **error)
{
  int fd = vm_fd_listen_unix (sup->runtime_fd, name, type, error);

  if (fd < 0)
    return FALSE;
  vm_argv_bind (argv, slot, fd);
  return TRUE;
}

/* QEMU's stdio is one end of a pair; the keeper keeps the other end too, for a supervisor that comes after
 * us. */
static gboolean
bind_console (VmSupervisor *sup, VmArgv *argv, GError **error)
{
  int ends[2], copy;

  if (!vm_fd_socketpair (SOCK_STREAM, ends, error))
    return FALSE;
  copy = fcntl (ends[0], F_DUPFD_CLOEXEC, 3);
  vm_argv_bind (argv, "console", ends[0]);
  vm_argv_bind_stdio (argv, 0, fcntl (ends[1], F_DUPFD_CLOEXEC, 3));
  vm_argv_bind_stdio (argv, 1, ends[1]);
  if (copy < 0)
    return vm_error_errno (error, errno, "cannot make the console");
  sup->console = vm_console_new (copy, sup->console_log);
  return TRUE;
}

static gboolean
bind_stderr (VmSupervisor *sup, VmArgv *argv, GError **error)
{
  int ends[2];

  if (pipe2 (ends, O_CLOEXEC) < 0)
    return vm_error_errno (error, errno, "cannot make a pipe");
  sup->vmm_stderr = ends[0];
  vm_argv_bind_stdio (argv, 2, ends[1]);
  (void)vm_fd_set_nonblocking (ends[0], TRUE, NULL);
  sup->stderr_tag = g_unix_fd_add (sup->vmm_stderr, G_IO_IN | G_IO_HUP, vmm_said, sup);
  return TRUE;
}

static gboolean
stamped (int fd, GIOCondition condition, gpointer data)
{
  VmSupervisor *sup = data;
  gint64 stamp = 0;

  if (read (fd, &stamp, sizeof stamp) == sizeof stamp)
    sup->record->stamps[VM_STAMP_JAILED] = stamp;
  sup->stamp_tag = 0;
  vm_fd_clear (&sup->stamp_fd);
  return G_SOURCE_REMOVE;
}

static gboolean
bind_stamp (VmSupervisor *sup, VmArgv *argv, GError **error)
{
  int ends[2];

  if (!sup->plan->trace || !vm_driver_has_monitor (sup->driver))
    return TRUE;
  if (pipe2 (ends, O_CLOEXEC) < 0)
    return vm_error_errno (error, errno, "cannot make a pipe");
  vm_argv_bind (argv, "stamp", ends[1]);
  sup->stamp_fd = ends[0];
  sup->stamp_tag = g_unix_fd_add (sup->stamp_fd, G_IO_IN | G_IO_HUP, stamped, sup);
  return TRUE;
}

static gboolean
bind_filter (VmLaunch *launch, GError **error)
{
  int filter;

  if (launch->filter == VM_FILTER_NONE)
    return TRUE;
  filter = vm_filter_new (error);
  vm_argv_bind (launch->argv, "seccomp", filter);
  return filter >= 0;
}

static gboolean
write_filter (const VmPlan *plan, VmLaunch *launch, GError **error)
{
  return launch->filter == VM_FILTER_NONE || vm_filter_write (vm_argv_bound (launch->argv, "seccomp"),
                                                              launch->filter, plan->uid, plan->gid, error);
}

static gboolean
bind_all (VmSupervisor *sup, VmLaunch *launch, int take_go, GError **error)
{
  VmArgv *argv = launch->argv;
  int dir = fcntl (sup->runtime_fd, F_DUPFD_CLOEXEC, 3);

  vm_argv_bind (argv, "go", take_go);
  vm_argv_bind (argv, "dir", dir);
  if (dir < 0)
    return vm_error_errno (error, errno, "cannot duplicate a descriptor");
  if (!bind_socket (sup, argv, "keeper", "keeper.sock", SOCK_SEQPACKET, error) ||
      !bind_socket (sup, argv, "agent", "agent.sock", SOCK_STREAM, error) ||
      !bind_stderr (sup, argv, error) || !vm_supervisor_bind_net (sup, argv, error))
    return FALSE;
  if (vm_driver_has_monitor (sup->driver) && !bind_socket (sup, argv, "qmp", "qmp.sock", SOCK_STREAM, error))
    return FALSE;
  if (vm_driver_has_console (sup->driver) && !bind_console (sup, argv, error))
    return FALSE;
  if (!bind_stamp (sup, argv, error) || !vm_supervisor_make_groups (sup, argv, error))
    return FALSE;
  return bind_filter (launch, error) &&
         (sup->driver->prepare == NULL || sup->driver->prepare (sup->plan, launch, error));
}

static gboolean
start_keeper (VmSupervisor *sup, VmArgv *argv, pid_t *ret_pid, GError **error)
{
  if (sup->start.root_keeper > 0)
    return vm_root_keeper_run (sup->start.root_keeper, argv, ret_pid, error);
  return vm_argv_spawn (argv, VM_SPAWN_NEW_SESSION, ret_pid, NULL, error);
}

/* The keeper exists, waits, and is on record before it may do anything. */
static gboolean
spawn_keeper (VmSupervisor *sup, VmLaunch *launch, int go, GError **error)
{
  g_autofree char *line = vm_argv_to_string (launch->argv, FALSE);
  pid_t pid;

  vm_log_line (sup->log, "launch %s", line);
  if (!start_keeper (sup, launch->argv, &pid, error) ||
      !vm_process_identify (pid, &sup->record->keeper, error))
    return FALSE;
  if (!write_filter (sup->plan, launch, error))
    return FALSE;
  vm_launch_clear (launch); /* our copies of its descriptors */
  vm_supervisor_step_on_record (sup, "launch");
  if (!watch_keeper (sup, error))
    return FALSE;
  vm_record_stamp (sup->record, VM_STAMP_LAUNCHED);
  if (write (go, "g", 1) != 1)
    return vm_error_errno (error, errno, "vmctl-keeper died");
  vm_failpoint ("go");
  return TRUE;
}

static gboolean
boot_timed_out (gpointer data)
{
  VmSupervisor *sup = data;
  g_autofree char *text = g_strdup_printf ("no answer in %u s; see: vmctl logs --console %s",
                                           sup->plan->boot_timeout, sup->plan->id);

  sup->boot_timer = 0;
  vm_supervisor_stop (sup, VM_REASON_AGENT_TIMEOUT, text, VM_STOP_QUIT, 0);
  return G_SOURCE_REMOVE;
}

/* From now on. */
void
vm_supervisor_await_boot (VmSupervisor *sup)
{
  if (sup->boot_timer != 0)
    g_source_remove (sup->boot_timer);
  sup->boot_timer = g_timeout_add_seconds (sup->plan->boot_timeout, boot_timed_out, sup);
}

/* Where a machine was before, the mount points of what was plugged into it are left. */
gboolean
vm_supervisor_make_door (VmSupervisor *sup, GError **error)
{
  if (!vm_file_remove_tree (sup->runtime_fd, "door", error))
    return FALSE;
  if (mkdirat (sup->runtime_fd, "door", 0700) < 0)
    return vm_error_errno (error, errno, "cannot make the door");
  return TRUE;
}

gboolean
vm_supervisor_start_machine (VmSupervisor *sup, GError **error)
{
  VmLaunch launch = {0};
  vm_autofd go = -1;
  int ends[2];
  gboolean ok;

  if (!sup->driver->render (sup->plan, &launch, error))
    return FALSE;
  if (pipe2 (ends, O_CLOEXEC) < 0) {
    vm_launch_clear (&launch);
    return vm_error_errno (error, errno, "cannot make a pipe");
  }
  go = ends[1];
  if (sup->plan->has_template)
    sup->state_slot = vm_argv_slot (launch.argv, "state");
  ok = bind_all (sup, &launch, ends[0], error) && spawn_keeper (sup, &launch, go, error);
  vm_launch_clear (&launch);
  if (!ok || !connect_vmm (sup, error))
    return FALSE;
  if (sup->plan->has_template)
    vm_supervisor_resume (sup);
  vm_supervisor_watch_groups (sup);
  return TRUE;
}

/* With a template that turns out to be no good before QEMU has even started, it boots. */
gboolean
vm_supervisor_start_somehow (VmSupervisor *sup, GError **error)
{
  g_autoptr (GError) problem = NULL;

  if (vm_supervisor_start_machine (sup, &problem))
    return TRUE;
  if (!sup->plan->has_template || (!g_error_matches (problem, VM_ERROR, VM_ERROR_INVALID) &&
                                   !g_error_matches (problem, VM_ERROR, VM_ERROR_NOT_FOUND))) {
    g_propagate_error (error, g_steal_pointer (&problem));
    return FALSE;
  }
  vm_supervisor_give_up_template (sup, problem->message, TRUE);
  vm_supervisor_forget_machine (sup);
  return vm_supervisor_start_machine (sup, error);
}

gboolean
vm_supervisor_launch (VmSupervisor *sup, GError **error)
{
  VmOpen open = {.tty = sup->record->tty,
                 .rows = sup->start.rows,
                 .columns = sup->start.columns,
                 .console = sup->plan->serial};

  if (!vm_make_all (sup->plan, sup->dirs->state, error) ||
      !vm_absent_make (sup->dirs->state, sup->plan, error) || !vm_supervisor_make_meta (sup, error) ||
      !vm_supervisor_make_door (sup, error) || !vm_supervisor_listen_vnc (sup, error))
    return FALSE;
  vm_record_stamp (sup->record, VM_STAMP_SUPERVISED);
  vm_sessions_open_main (sup->sessions, &open, sup->start.detached);
  /* The agent is not heard before this returns: its meta dir is written beside its own start. */
  if (!vm_supervisor_start_somehow (sup, error) || !vm_supervisor_write_meta (sup, error))
    return FALSE;
  vm_supervisor_step (sup, "meta");
  vm_supervisor_step_on_record (sup, "boot");
  vm_supervisor_await_boot (sup);
  return TRUE;
}

/* Taking over */

int
vm_supervisor_ask_keeper (VmSupervisor *sup, const char *what, const char *word)
{
  g_autoptr (GArray) fds = g_array_new (FALSE, FALSE, sizeof (int));
  g_autoptr (GString) request = g_string_new (what);
  vm_autofd fd = vm_fd_connect_unix (sup->runtime_fd, "keeper.sock", SOCK_SEQPACKET, NULL);
  char text[KEEPER_MESSAGE_MAX];

  if (word != NULL) {
    g_string_append_c (request, '\0');
    g_string_append (request, word);
  }
  if (fd < 0 || vm_fd_send (fd, request->str, request->len, NULL, 0) < 0 ||
      vm_fd_recv (fd, text, sizeof text, fds) <= 0 || fds->len == 0)
    return -1;
  return g_array_index (fds, int, 0);
}

gboolean
vm_supervisor_take_over (VmSupervisor *sup, GError **error)
{
  g_autoptr (GBytes) output = NULL;
  int console;

  if (!watch_keeper (sup, error))
    return FALSE;
  if (vm_driver_has_console (sup->driver) && (console = vm_supervisor_ask_keeper (sup, "console", NULL)) >= 0)
    sup->console = vm_console_new (console, sup->console_log);
  output = vm_log_tail (sup->state_fd, "output.log", VM_SESSION_RING, NULL);
  vm_sessions_adopt_main (sup->sessions, sup->record->tty, output);
  vm_supervisor_ask_whether_paused (sup);
  vm_supervisor_take_over_net (sup);
  vm_supervisor_take_over_limits (sup);
  vm_supervisor_watch_groups (sup);
  if (!vm_supervisor_listen_vnc (sup, error) || !connect_vmm (sup, error))
    return FALSE;
  vm_supervisor_set_state (sup, sup->record->state); /* running, paused; the record names us now */
  vm_plugs_take_over (sup->plugs);
  if (sup->record->state == VM_STATE_STOPPING)
    vm_supervisor_go_on_stopping (sup);
  return TRUE;
}
