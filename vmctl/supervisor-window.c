/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* --display gtk without QEMU: the window is that of a VNC viewer outside, in a jail. The X server stays
 * inside, where a program that breaks it is where it was before; what comes out of it are pixels, which a
 * viewer draws. It dies with its supervisor, and the next one opens another window: what runs inside does not
 * see that. */
#include "vmctl/supervisor-private.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "meta/format.h"
#include "vmctl/base/argv.h"
#include "vmctl/base/error.h"
#include "vmctl/base/escape.h"
#include "vmctl/base/fd.h"
#include "vmctl/bwrap.h"
#include "vmctl/filter.h"
#include "vmctl/inner.h"
#include "vmctl/jail.h"

enum { ANSWER_MAX = 1000, ANSWER_MS = 10000, SAID_MAX = 1000 };

/* Nothing is copied between the sandbox and the desktop unasked, and the size is the plan's. */
static VmArgv *
viewer_words (const VmPlan *plan)
{
  VmArgv *argv = vm_argv_new ();

  vm_argv_add_many (argv, plan->screen.jail, "--args", NULL);
  vm_argv_addf (argv, "%d", vm_argv_slot (argv, "args"));
  vm_argv_add_many (argv, "--", plan->screen.viewer, "-SecurityTypes=None", "-Shared=1", "-RemoteResize=0",
                    "-AcceptClipboard=0", "-SendClipboard=0", "-SendPrimary=0", "-SetPrimary=0",
                    "-AlertOnFatalError=0", "-ReconnectOnError=0", "-Log=*:stderr:0", VM_JAIL_VNC, NULL);
  return argv;
}

/* It was not the sandbox that ended, so somebody closed the window. */
static void
server_answered (GBytes *output, const GError *error, gpointer data)
{
  VmSupervisor *sup = data;

  if (error != NULL)
    vm_log_line (sup->log, "the X server inside does not answer: %s", error->message);
  else
    vm_supervisor_stop (sup, VM_REASON_STOPPED, "its window was closed", VM_STOP_POWERDOWN,
                        VM_STOP_POWERDOWN_MS);
}

static void
ask_server (VmSupervisor *sup)
{
  static const char *const words[] = {META_AGENT, "--screen", "size", NULL};
  g_autoptr (GError) error = NULL;

  if (!vm_inner_run (sup->sessions, words, ANSWER_MAX, ANSWER_MS, server_answered, sup, &error))
    vm_log_line (sup->log, "cannot ask the X server inside: %s", error->message);
}

static gboolean
viewer_said (int fd, GIOCondition condition, gpointer data)
{
  VmSupervisor *sup = data;
  g_autofree char *shown = NULL;
  char text[SAID_MAX];
  ssize_t n = read (fd, text, sizeof text);

  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return G_SOURCE_CONTINUE;
  if (n > 0) {
    shown = vm_escape_terminal (text, n, SAID_MAX);
    vm_log_line (sup->log, "viewer: %s", shown);
    return G_SOURCE_CONTINUE;
  }
  sup->window_said_tag = 0;
  vm_fd_clear (&sup->window_said);
  return G_SOURCE_REMOVE;
}

static gboolean
viewer_ended (int pidfd, GIOCondition condition, gpointer data)
{
  VmSupervisor *sup = data;
  siginfo_t info = {0};
  g_autofree char *text = NULL;

  (void)waitid (P_PIDFD, (id_t)pidfd, &info, WEXITED);
  sup->window_tag = 0;
  vm_fd_clear (&sup->window_pidfd);
  vm_log_line (sup->log, "the viewer has ended, %s %d", info.si_code == CLD_EXITED ? "status" : "signal",
               info.si_status);
  if (!sup->agent_up || sup->stop_step != VM_STOP_NOT || sup->finished)
    return G_SOURCE_REMOVE;
  if (info.si_code == CLD_EXITED && info.si_status == 0) {
    ask_server (sup);
    return G_SOURCE_REMOVE;
  }
  text = g_strdup_printf ("its window failed; see: vmctl logs --supervisor %s", sup->plan->id);
  vm_supervisor_stop (sup, VM_REASON_STOPPED, text, VM_STOP_POWERDOWN, VM_STOP_POWERDOWN_MS);
  return G_SOURCE_REMOVE;
}

static gboolean
start_viewer (VmSupervisor *sup, GError **error)
{
  const VmPlan *plan = sup->plan;
  g_autoptr (VmArgv) argv = viewer_words (plan);
  g_autoptr (GPtrArray) inner = vm_jail_viewer_arguments (plan, argv);
  g_autoptr (GBytes) words = vm_bwrap_bytes (inner);
  vm_autofd filter = vm_filter_make (VM_FILTER_INSIDE, plan->uid, plan->gid, error);
  int ends[2];
  pid_t pid;

  if (filter < 0)
    return FALSE;
  if (pipe2 (ends, O_CLOEXEC) < 0)
    return vm_error_errno (error, errno, "cannot make a pipe");
  vm_fd_clear (&sup->window_said);
  sup->window_said = ends[0];
  (void)vm_fd_set_nonblocking (ends[0], TRUE, NULL);
  vm_argv_bind (argv, "seccomp", vm_fd_steal (&filter));
  vm_argv_bind_bytes (argv, "args", words);
  vm_argv_bind_stdio (argv, 2, ends[1]);
  return vm_argv_spawn (argv, VM_SPAWN_NEW_SESSION | VM_SPAWN_DIE_WITH_PARENT, &pid, &sup->window_pidfd,
                        error);
}

void
vm_supervisor_open_window (VmSupervisor *sup)
{
  g_autoptr (GError) error = NULL;

  if (sup->plan->screen.viewer == NULL || sup->window_pidfd >= 0)
    return;
  if (!start_viewer (sup, &error)) {
    vm_supervisor_stop (sup, VM_REASON_START_FAILED, error->message, VM_STOP_POWERDOWN, VM_STOP_POWERDOWN_MS);
    return;
  }
  sup->window_tag = g_unix_fd_add (sup->window_pidfd, G_IO_IN, viewer_ended, sup);
  sup->window_said_tag = g_unix_fd_add (sup->window_said, G_IO_IN | G_IO_HUP, viewer_said, sup);
}

void
vm_supervisor_close_window (VmSupervisor *sup)
{
  guint *tags[] = {&sup->window_tag, &sup->window_said_tag};

  for (guint i = 0; i < G_N_ELEMENTS (tags); i++) {
    if (*tags[i] != 0)
      g_source_remove (*tags[i]);
    *tags[i] = 0;
  }
  if (sup->window_pidfd >= 0 && syscall (SYS_pidfd_send_signal, sup->window_pidfd, SIGKILL, NULL, 0) == 0)
    (void)waitid (P_PIDFD, (id_t)sup->window_pidfd, &(siginfo_t){0}, WEXITED);
  vm_fd_clear (&sup->window_pidfd);
  vm_fd_clear (&sup->window_said);
}
