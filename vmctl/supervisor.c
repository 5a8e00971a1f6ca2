/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How it works
 *
 * Start: directory and lock -> record -> control socket -> "ready" to the client -> meta dir -> keeper, which
 * waits -> record with the keeper's identity -> go -> QMP and agent connections -> agent up. End: the
 * command's EXIT, a stop, a vanished client, a dead QEMU -> stop steps -> the keeper's last word -> record in
 * the state directory -> runtime directory removed -> control socket closed, which is the end for clients.
 *
 * With vmctl restart, or a policy, it starts again where it would be buried (supervisor-restart.c).
 *
 * Whatever is killed in between, the record and the lock tell the next vmctl what to do (vmctl/store.c). */
#include "vmctl/supervisor-private.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"
#include "vmctl/base/json.h"
#include "vmctl/net-words.h"
#include "vmctl/store.h"
#include "vmctl/supervisor-net.h"
#include "vmctl/supervisor-plug.h"
#include "vmctl/supervisor-snapshot.h"

enum { PLAN_MAX = 16 << 20, ANSWER_MAX = 65536, START_WAIT_MS = 60000, READY_FD = 3, ROOT_KEEPER_FD = 4 };

void
vm_failpoint (const char *point)
{
  const char *wanted = g_getenv ("VMCTL_FAILPOINT");
  gboolean hold = wanted != NULL && g_str_has_prefix (wanted, "hold:");

  if (g_strcmp0 (hold ? wanted + strlen ("hold:") : wanted, point) == 0)
    (void)kill (getpid (), hold ? SIGSTOP : SIGKILL);
}

gboolean
vm_supervisor_save (VmSupervisor *sup, GError **error)
{
  return vm_record_write (sup->record, sup->runtime_fd, FALSE, error);
}

static void
reached (VmSupervisor *sup, const char *step)
{
  vm_log_line (sup->log, "step %s", step);
  vm_failpoint (step);
}

void
vm_supervisor_step (VmSupervisor *sup, const char *step)
{
  g_free (sup->record->step);
  sup->record->step = g_strdup (step);
  reached (sup, step);
}

void
vm_supervisor_step_on_record (VmSupervisor *sup, const char *step)
{
  g_autoptr (GError) error = NULL;

  g_free (sup->record->step);
  sup->record->step = g_strdup (step);
  if (!vm_supervisor_save (sup, &error))
    vm_log_line (sup->log, "cannot write the record: %s", error->message);
  reached (sup, step);
}

void
vm_supervisor_emit (VmSupervisor *sup, const char *name, json_object *take_data)
{
  if (sup->control != NULL)
    qmp_server_emit (sup->control, name, take_data);
  else
    json_object_put (take_data);
}

void
vm_supervisor_warn_again (VmSupervisor *sup, const char *text)
{
  json_object *data = json_object_new_object ();

  if (vm_record_warn (sup->record, text))
    (void)vm_supervisor_save (sup, NULL); /* the next state change writes it again */
  vm_json_add_str (data, "text", text);
  vm_supervisor_emit (sup, "SANDBOX_WARNING", data);
}

void
vm_supervisor_warn (VmSupervisor *sup, const char *text)
{
  if (!g_strv_contains ((const char *const *)sup->record->warnings, text))
    vm_supervisor_warn_again (sup, text);
}

void
vm_supervisor_set_state (VmSupervisor *sup, VmState state)
{
  json_object *data = json_object_new_object ();
  g_autoptr (GError) error = NULL;

  sup->record->state = state;
  if (state != VM_STATE_PAUSED)
    g_clear_pointer (&sup->record->paused_why, g_free);
  if (!vm_supervisor_save (sup, &error))
    vm_log_line (sup->log, "cannot write the record: %s", error->message);
  vm_log_line (sup->log, "state %s", vm_state_name (state));
  vm_json_add_str (data, "state", vm_state_name (state));
  vm_json_add_str (data, "why", sup->record->paused_why);
  vm_supervisor_emit (sup, "SANDBOX_STATE", data);
}

/* Client side */

gboolean
vm_supervisor_wait_ready (int fd, int timeout_ms, GError **error)
{
  char answer[ANSWER_MAX];
  gsize length = 0;
  gint64 end = g_get_monotonic_time () + (gint64)timeout_ms * 1000;

  while (length < sizeof answer - 1 && memchr (answer, '\n', length) == NULL) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int left = (int)MAX (0, (end - g_get_monotonic_time ()) / 1000);
    ssize_t n;
    int r = poll (&p, 1, left);

    if (r < 0 && errno == EINTR)
      continue;
    if (r == 0)
      return vm_error (error, VM_ERROR_TIMEOUT, "the supervisor did not answer in %d s", timeout_ms / 1000);
    n = read (fd, answer + length, sizeof answer - 1 - length);
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return vm_error (error, VM_ERROR_CHILD,
                       "the supervisor died while it was starting; see: vmctl list --all");
    length += (gsize)n;
  }
  answer[length] = '\0';
  g_strchomp (answer);
  if (g_str_equal (answer, "ok"))
    return TRUE;
  if (g_str_has_prefix (answer, "error ")) {
    char *text;
    long code = strtol (answer + strlen ("error "), &text, 10);

    return vm_error (error, (VmErrorCode)code, "%s", g_strchug (text));
  }
  return vm_error (error, VM_ERROR_INVALID, "the supervisor answered nonsense");
}

/* `ready_fd` becomes 3, `root_keeper`, if there is one, 4. All else is closed. */
static gboolean
place_descriptors (int ready_fd, int root_keeper)
{
  unsigned next = READY_FD + 1U;

  if (root_keeper > 0 && (root_keeper = fcntl (root_keeper, F_DUPFD_CLOEXEC, ROOT_KEEPER_FD + 1)) < 0)
    return FALSE;
  if (ready_fd != READY_FD && dup3 (ready_fd, READY_FD, O_CLOEXEC) < 0)
    return FALSE;
  if (root_keeper > 0) {
    if (dup3 (root_keeper, ROOT_KEEPER_FD, O_CLOEXEC) < 0)
      return FALSE;
    next++;
  }
  return syscall (SYS_close_range, next, ~0U, 0U) == 0;
}

/* Descriptors, signals and session of a process of its own. */
static gboolean
leave_client (int ready_fd, int root_keeper)
{
  static const char name[] = "vmctl-supervise"; /* as long as the kernel lets it be */
  vm_autofd null_fd = open ("/dev/null", O_RDWR | O_CLOEXEC);
  sigset_t none;

  (void)setsid ();
  (void)prctl (PR_SET_NAME, name);
  for (int i = 1; i < NSIG; i++)
    (void)signal (i, SIG_DFL);
  sigemptyset (&none);
  (void)sigprocmask (SIG_SETMASK, &none, NULL);
  for (int fd = 0; fd < 3; fd++)
    if (null_fd < 0 || dup2 (null_fd, fd) < 0)
      return FALSE;
  null_fd = -1; /* closed with all else; GLib's main context, which holds one too, does not exist yet */
  return place_descriptors (ready_fd, root_keeper);
}

/* The supervisor is a copy of the client, which has read and planned all that it needs: to load the program a
 * second time would cost a small sandbox a good part of its start. `plan` is the copy's to free. */
static void G_GNUC_NORETURN
run_supervisor (const VmDirs *dirs, const VmPlan *plan, const VmStartOptions *options, int ready_fd)
{
  g_autofree char *title = g_strdup_printf ("vmctl supervise %s", plan->id);
  VmSuperviseOptions how = {.plan = (VmPlan *)plan, .ready_fd = READY_FD, .lock_fd = -1, .start = *options};

  if (!leave_client (ready_fd, options->root_keeper))
    _exit (1);
  if (options->root_keeper > 0)
    how.start.root_keeper = ROOT_KEEPER_FD;
  vm_process_set_title (title);
  _exit (vm_supervise (dirs, &how, NULL) ? 0 : 1);
}

gboolean
vm_supervisor_start (const VmDirs *dirs, const VmPlan *plan, const VmStartOptions *options, int *ret_lifeline,
                     GError **error)
{
  vm_autofd mine = -1, its = -1;
  int ends[2];
  pid_t pid;

  if (!vm_fd_socketpair (SOCK_STREAM, ends, error))
    return FALSE;
  mine = ends[0];
  its = ends[1];
  pid = fork ();
  if (pid < 0)
    return vm_error_errno (error, errno, "cannot make a process for the supervisor");
  if (pid == 0)
    run_supervisor (dirs, plan, options, its);
  vm_fd_clear (&its);
  if (!vm_supervisor_wait_ready (mine, START_WAIT_MS, error))
    return FALSE;
  *ret_lifeline = vm_fd_steal (&mine);
  return TRUE;
}

/* Supervisor side */

static void
harden (void)
{
  struct rlimit none = {0, 0};

  umask (077);
  (void)chdir ("/"); /* so that no directory of the user's is held busy */
  (void)setrlimit (RLIMIT_CORE, &none);
  (void)prctl (PR_SET_DUMPABLE, 0);
  (void)prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  (void)signal (SIGPIPE, SIG_IGN);
  (void)signal (SIGHUP, SIG_IGN);
}

static VmRecord *
record_from_plan (const VmPlan *plan, gboolean detached)
{
  VmRecord *record = vm_record_new ();

  record->id = g_strdup (plan->id);
  record->name = g_strdup (plan->name);
  record->project = g_strdup (plan->project);
  record->driver = g_strdup (plan->driver);
  record->isolation = g_strdup (vm_isolation_name (plan->isolation));
  record->accel = g_strdup (plan->accel);
  record->image = g_strdup (plan->image.name);
  record->keep = plan->image.keep != NULL ? g_path_get_basename (plan->image.keep) : NULL;
  record->template = plan->has_template ? g_path_get_basename (plan->template) : NULL;
  g_strfreev (record->passed_over);
  record->passed_over = g_strdupv (plan->passed_over);
  record->profile = g_strdup (plan->profile);
  record->command = g_strdupv (plan->command);
  record->created = g_get_real_time ();
  record->detached = detached;
  record->serial = plan->serial;
  record->memory = plan->memory;
  record->cpus = plan->cpus;
  record->processes = plan->processes;
  g_strfreev (record->groups);
  record->groups = vm_groups_list (&plan->groups);
  g_strfreev (record->unkept);
  record->unkept = g_strdupv (plan->unkept);
  record->disk = plan->disk;
  record->restart_max = plan->restart_max;
  record->display = g_strdup (vm_display_name (plan->screen.kind));
  record->size = vm_screen_size (&plan->screen);
  record->net = g_strdup (vm_net_name (plan->net));
  g_strfreev (record->net_rules);
  record->net_rules = g_strdupv (plan->net_rules);
  vm_process_self (&record->supervisor);
  return record;
}

static gboolean
open_state (VmSupervisor *sup, GError **error)
{
  if (!vm_file_make_private_dir (sup->dirs->state, error) ||
      !vm_file_make_private_dir (sup->plan->state_dir, error))
    return FALSE;
  sup->state_fd = vm_file_open_private_dir (sup->plan->state_dir, error);
  if (sup->state_fd < 0)
    return FALSE;
  (void)flock (sup->state_fd, LOCK_SH | LOCK_NB); /* vmctl prune sees that it is in use */
  sup->log = vm_log_open (sup->state_fd, "supervisor.log", VM_LOG_LIMIT, error);
  sup->console_log =
      sup->log != NULL ? vm_log_open (sup->state_fd, "console.log", VM_LOG_LIMIT, error) : NULL;
  sup->output_log =
      sup->console_log != NULL ? vm_log_open (sup->state_fd, "output.log", VM_LOG_LIMIT, error) : NULL;
  if (sup->output_log == NULL)
    return FALSE;
  vm_supervisor_make_sessions (sup);
  return TRUE;
}

/* The directory appears under its name only with its lock held, its record written and its control socket
 * listening, and the lock under its own only when it is held: a sweep never takes a directory that is being
 * made for one that was left, and whoever finds the sandbox can talk to it. */
static gboolean
make_runtime (VmSupervisor *sup, GError **error)
{
  g_autofree char *hidden = g_strconcat (".new-", sup->plan->id, NULL);
  vm_autofd parent = -1;

  if (!vm_file_make_private_dir (sup->dirs->runtime, error) ||
      (parent = vm_file_open_private_dir (sup->dirs->runtime, error)) < 0)
    return FALSE;
  if (mkdirat (parent, hidden, 0700) < 0 ||
      (sup->runtime_fd = openat (parent, hidden, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0 ||
      (sup->lock_fd = openat (sup->runtime_fd, "lock.new", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600)) <
          0 ||
      flock (sup->lock_fd, LOCK_EX | LOCK_NB) < 0 ||
      renameat (sup->runtime_fd, "lock.new", sup->runtime_fd, "lock") < 0)
    return vm_error_errno (error, errno, "cannot make the directory '%s'", sup->plan->runtime_dir);
  vm_failpoint ("lock");
  if (!vm_supervisor_save (sup, error) || !vm_control_listen (sup, error))
    return FALSE;
  if (renameat (parent, hidden, parent, sup->plan->id) < 0)
    return vm_error_errno (error, errno, "cannot make the directory '%s'", sup->plan->runtime_dir);
  return TRUE;
}

static gboolean
take_plan (VmSupervisor *sup, VmPlan *plan, GError **error)
{
  sup->plan = plan;
  sup->powerdown_ms = vm_supervisor_powerdown_ms (plan);
  sup->driver = vm_driver_find (sup->plan->driver);
  return sup->driver != NULL ||
         vm_error (error, VM_ERROR_UNSUPPORTED, "unknown driver '%s'", sup->plan->driver);
}

static gboolean
read_plan (VmSupervisor *sup, int fd, GError **error)
{
  gsize length;
  g_autofree char *text = vm_fd_read_all (fd, PLAN_MAX, &length, error);
  g_autoptr (json_object) object = text != NULL ? vm_json_parse_object (text, length, error) : NULL;
  VmPlan *plan;

  if (object == NULL)
    return FALSE;
  plan = vm_plan_from_json (object, error);
  return plan != NULL && take_plan (sup, plan, error);
}

gboolean
vm_supervisor_keep_plan (VmSupervisor *sup, GError **error)
{
  g_autoptr (json_object) object = vm_plan_to_json (sup->plan);
  g_autofree char *text = vm_json_line (object);

  return vm_file_replace (sup->runtime_fd, "plan.json", text, strlen (text), 0600, FALSE, error);
}

static gboolean
got_signal (int fd, GIOCondition condition, gpointer data)
{
  struct signalfd_siginfo info;
  VmSupervisor *sup = data;

  if (read (fd, &info, sizeof info) == sizeof info)
    vm_supervisor_stop (sup, VM_REASON_STOPPED, "the supervisor was asked to end by a signal",
                        VM_STOP_POWERDOWN, sup->powerdown_ms);
  return G_SOURCE_CONTINUE;
}

/* A signalfd and not g_unix_signal_add, which starts a thread: this process forks, and should be small. */
static void
watch_signals (VmSupervisor *sup)
{
  sigset_t set;

  sigemptyset (&set);
  sigaddset (&set, SIGTERM);
  sigaddset (&set, SIGINT);
  (void)sigprocmask (SIG_BLOCK, &set, NULL);
  sup->signal_fd = signalfd (-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (sup->signal_fd >= 0)
    sup->signal_tag = g_unix_fd_add (sup->signal_fd, G_IO_IN, got_signal, sup);
}

static void
answer (int fd, const GError *error)
{
  g_autofree char *line = NULL;

  if (error == NULL)
    line = g_strdup ("ok\n");
  else
    line = g_strdup_printf ("error %d %s\n", error->domain == VM_ERROR ? error->code : VM_ERROR_FAILED,
                            error->message);
  for (char *p = line; *p != '\0' && p[1] != '\0'; p++)
    if (*p == '\n')
      *p = ' ';
  (void)vm_fd_write_all (fd, line, strlen (line),
                         NULL); /* the client may be gone: then nobody wants to know */
}

static gboolean
lifeline_cut (int fd, GIOCondition condition, gpointer data)
{
  VmSupervisor *sup = data;

  sup->lifeline_tag = 0;
  vm_fd_clear (&sup->lifeline);
  if (!sup->record->detached && !vm_sessions_main_has_client (sup->sessions))
    vm_supervisor_stop (sup, VM_REASON_CLIENT_GONE, NULL, VM_STOP_POWERDOWN, sup->powerdown_ms);
  return G_SOURCE_REMOVE;
}

static gboolean
start_fresh (VmSupervisor *sup, VmSuperviseOptions *options, GError **error)
{
  if (!take_plan (sup, g_steal_pointer (&options->plan), error))
    return FALSE;
  sup->record = record_from_plan (sup->plan, options->start.detached);
  sup->record->tty = options->start.tty && !sup->plan->serial; /* the console is a terminal itself */
  sup->record->stamps[VM_STAMP_BEGAN] = options->start.began;
  sup->record->stamps[VM_STAMP_PLANNED] = options->start.planned;
  sup->start = options->start;
  if (!make_runtime (sup, error) || !open_state (sup, error) || !vm_supervisor_keep_plan (sup, error))
    return FALSE;
  vm_supervisor_step (sup, "files");
  vm_control_start (sup);
  return vm_supervisor_launch (sup, error);
}

static gboolean
start_over (VmSupervisor *sup, VmSuperviseOptions *options, GError **error)
{
  vm_autofd plan_fd = -1;

  sup->lock_fd = vm_fd_steal (&options->lock_fd);
  sup->adopted = TRUE;
  sup->runtime_fd = vm_store_open_runtime (sup->dirs, options->adopt_id, error);
  if (sup->runtime_fd < 0 || (sup->record = vm_record_read (sup->runtime_fd, error)) == NULL)
    return FALSE;
  plan_fd = openat (sup->runtime_fd, "plan.json", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (plan_fd < 0)
    return vm_error_errno (error, errno, "cannot read plan.json of '%s'", options->adopt_id);
  if (!read_plan (sup, plan_fd, error) || !open_state (sup, error))
    return FALSE;
  vm_process_self (&sup->record->supervisor);
  sup->record->detached = TRUE;
  vm_log_line (sup->log, "taking over from a supervisor that was killed");
  if (!vm_control_listen (sup, error))
    return FALSE;
  vm_control_start (sup);
  return vm_supervisor_take_over (sup, error);
}

static void
clear_supervisor (VmSupervisor *sup)
{
  guint *tags[] = {&sup->signal_tag,   &sup->keeper_tag,  &sup->pidfd_tag,      &sup->stderr_tag,
                   &sup->lifeline_tag, &sup->boot_timer,  &sup->stop_timer,     &sup->lost_timer,
                   &sup->greet_timer,  &sup->refused_tag, &sup->template_timer, &sup->boot_instead_tag,
                   &sup->maker_tag,    &sup->stamp_tag,   &sup->again_timer,    &sup->watchdog_timer,
                   &sup->vnc_tag};
  int *fds[] = {&sup->signal_fd,  &sup->keeper_fd, &sup->keeper_pidfd, &sup->vmm_stderr, &sup->lifeline,
                &sup->runtime_fd, &sup->state_fd,  &sup->lock_fd,      &sup->refused_fd, &sup->maker_pidfd,
                &sup->stamp_fd,   &sup->vnc_fd,    &sup->control_fd};

  for (guint i = 0; i < G_N_ELEMENTS (tags); i++)
    if (*tags[i] != 0)
      g_source_remove (*tags[i]);
  vm_supervisor_close_window (sup);
  g_clear_pointer (&sup->sessions, vm_sessions_free);
  g_clear_pointer (&sup->relays, vm_relays_free);
  g_clear_pointer (&sup->forwards, vm_forwards_free);
  g_clear_pointer (&sup->lines, vm_lines_free);
  g_clear_pointer (&sup->agent, vm_link_free);
  g_clear_pointer (&sup->bundle, g_bytes_unref);
  g_clear_pointer (&sup->qmp, qmp_client_free);
  vm_supervisor_close_net (sup);
  g_clear_pointer (&sup->plugs, vm_plugs_free);
  g_clear_pointer (&sup->restore, vm_restore_free);
  g_clear_pointer (&sup->control, qmp_server_free);
  g_clear_pointer (&sup->console, vm_console_free);
  g_clear_pointer (&sup->log, vm_log_free);
  g_clear_pointer (&sup->console_log, vm_log_free);
  g_clear_pointer (&sup->output_log, vm_log_free);
  g_clear_pointer (&sup->plan, vm_plan_free);
  g_clear_pointer (&sup->record, vm_record_free);
  g_clear_pointer (&sup->loop, g_main_loop_unref);
  if (sup->last_words != NULL)
    g_string_free (g_steal_pointer (&sup->last_words), TRUE);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    vm_fd_clear (fds[i]);
}

/* A start that failed half way: what there is ends, and the record says why. A sandbox that could not be
 * taken over goes on: nothing of it failed, and the next vmctl tries again. */
static void
fail_start (VmSupervisor *sup, const GError *why)
{
  g_autofree char *hidden = NULL;
  vm_autofd parent = -1;

  if (sup->adopted) {
    if (sup->log != NULL)
      vm_log_line (sup->log, "cannot take over: %s", why->message);
    vm_fd_clear (&sup->lock_fd); /* whoever hears of it may have to bury the sandbox */
    return;
  }
  if (sup->record != NULL && sup->state_fd >= 0) {
    if (sup->record->reason == VM_REASON_NONE) {
      sup->record->reason = VM_REASON_START_FAILED;
      sup->record->text = g_strdup (why->message);
    }
    vm_supervisor_finish (sup, NULL);
    return;
  }
  if (sup->plan == NULL || (parent = vm_file_open_private_dir (sup->dirs->runtime, NULL)) < 0)
    return;
  hidden = g_strconcat (".new-", sup->plan->id, NULL);
  (void)vm_file_remove_tree (parent, hidden, NULL);
  (void)vm_file_remove_tree (parent, sup->plan->id, NULL);
}

gboolean
vm_supervise (const VmDirs *dirs, VmSuperviseOptions *options, GError **error)
{
  VmSupervisor sup = {.dirs = dirs,
                      .runtime_fd = -1,
                      .state_fd = -1,
                      .lock_fd = -1,
                      .keeper_fd = -1,
                      .keeper_pidfd = -1,
                      .vmm_stderr = -1,
                      .signal_fd = -1,
                      .lifeline = -1,
                      .refused_fd = -1,
                      .maker_pidfd = -1,
                      .stamp_fd = -1,
                      .vnc_fd = -1,
                      .window_pidfd = -1,
                      .window_said = -1,
                      .control_fd = -1,
                      .powerdown_ms = VM_STOP_POWERDOWN_MS};
  vm_autofd state_fd = -1;
  GError *why = NULL;
  gboolean ok;

  harden ();
  sup.loop = g_main_loop_new (NULL, FALSE);
  sup.last_words = g_string_new (NULL);
  watch_signals (&sup);
  ok = options->adopt_id != NULL ? start_over (&sup, options, &why) : start_fresh (&sup, options, &why);
  if (!ok)
    fail_start (&sup, why);
  answer (options->ready_fd, why);
  if (ok) {
    if (options->adopt_id == NULL) {
      sup.lifeline = vm_fd_steal (&options->ready_fd);
      sup.lifeline_tag = g_unix_fd_add (sup.lifeline, G_IO_IN | G_IO_HUP, lifeline_cut, &sup);
    }
    vm_fd_clear (&options->ready_fd);
    if (!sup.finished)
      g_main_loop_run (sup.loop);
  }
  state_fd = vm_fd_steal (&sup.state_fd);
  clear_supervisor (&sup);
  /* Nobody waits for the disk: the clients have heard the end when their sockets were closed. */
  if (state_fd >= 0)
    vm_file_sync (state_fd, "record.json");
  if (!ok)
    g_propagate_error (error, why);
  return ok;
}
