/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Going on from a template, booting instead when that fails, and having a template made after a boot.
 *
 * A template is only ever a quicker way to the same machine. So whatever is wrong with one, up to the moment
 * at which the agent greets, ends that QEMU and starts another that boots. A template that QEMU cannot load,
 * or whose files are not what they were, is removed; one whose machine was silent stays for another try,
 * since a host that is busy looks the same. */
#include "vmctl/supervisor-private.h"

#include <errno.h>
#include <glib-unix.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "images/template.h"
#include "vmctl/base/error.h"
#include "vmctl/base/escape.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/json.h"
#include "vmctl/hotpages.h"
#include "vmctl/template.h"

enum {
  RESUME_WAIT_MS = 30000, /* eight at once on two emulated processors take ten seconds */
  END_WAIT_MS = 5000,
  WORDS_SHOWN = 300,
  STATUS_SIGNAL = 128
};

static gboolean
in_time (gpointer data)
{
  VmSupervisor *sup = data;
  gboolean again = image_template_suspect (sup->plan->template);

  sup->template_timer = 0;
  vm_supervisor_boot_instead (sup, "its machine does not answer", again);
  return G_SOURCE_REMOVE;
}

static void
incoming_done (QmpClient *client, json_object *ret, json_object *reply, const GError *error, gpointer data)
{
  if (error != NULL && qmp_error_class (error) != NULL) /* else QEMU has ended, and the keeper tells */
    vm_supervisor_boot_instead (data, error->message, TRUE);
}

static json_object *
ignore_shared (void)
{
  json_object *set = json_object_new_object (), *list = json_object_new_array (),
              *one = json_object_new_object ();

  vm_json_add_str (one, "capability", "x-ignore-shared");
  vm_json_add_bool (one, "state", TRUE);
  json_object_array_add (list, one);
  vm_json_add (set, "capabilities", list);
  return set;
}

/* A start that gives its template up must not be near the end of its own time by then. */
static guint
resume_wait (const VmPlan *plan)
{
  const char *wanted = g_getenv ("VMCTL_RESUMEMS"); /* for tests */
  guint64 ms;

  if (wanted != NULL && g_ascii_string_to_unsigned (wanted, 10, 1, G_MAXINT, &ms, NULL))
    return (guint)ms;
  return MIN (RESUME_WAIT_MS, plan->boot_timeout * 1000 / 2);
}

/* Sent at once: QEMU reads both when it is there. */
void
vm_supervisor_resume (VmSupervisor *sup)
{
  json_object *from = json_object_new_object ();
  g_autofree char *uri = g_strdup_printf ("fd:%d", sup->state_slot);

  vm_json_add_str (from, "uri", uri);
  qmp_client_send (sup->qmp, "migrate-set-capabilities", ignore_shared (), NULL, 0, 0, incoming_done, sup);
  qmp_client_send (sup->qmp, "migrate-incoming", from, NULL, 0, 0, incoming_done, sup);
  sup->template_timer = g_timeout_add (resume_wait (sup->plan), in_time, sup);
}

void
vm_supervisor_resumed (VmSupervisor *sup)
{
  if (sup->template_timer != 0)
    g_source_remove (sup->template_timer);
  sup->template_timer = 0;
}

/* The machine that was started, as if it had never been. */
void
vm_supervisor_forget_machine (VmSupervisor *sup)
{
  guint *tags[] = {&sup->keeper_tag, &sup->pidfd_tag,   &sup->stderr_tag,  &sup->template_timer,
                   &sup->lost_timer, &sup->greet_timer, &sup->refused_tag, &sup->stamp_tag};
  int *fds[] = {&sup->keeper_fd, &sup->keeper_pidfd, &sup->vmm_stderr, &sup->refused_fd, &sup->stamp_fd};

  if (sup->keeper_pidfd >= 0 && vm_process_signal (&sup->record->keeper, SIGTERM, NULL) &&
      !vm_process_wait (sup->keeper_pidfd, END_WAIT_MS))
    (void)vm_process_signal (&sup->record->keeper, SIGKILL, NULL);
  if (sup->keeper_pidfd >= 0) /* nobody else reaps it; it may be another supervisor's child */
    (void)waitid (P_PIDFD, (id_t)sup->keeper_pidfd, &(siginfo_t){0}, WEXITED | WNOHANG);
  for (guint i = 0; i < G_N_ELEMENTS (tags); i++)
    if (*tags[i] != 0) {
      g_source_remove (*tags[i]);
      *tags[i] = 0;
    }
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    vm_fd_clear (fds[i]);
  vm_sessions_set_agent (sup->sessions, NULL);
  vm_relays_set_agent (sup->relays, NULL);
  vm_forwards_set_agent (sup->forwards, NULL);
  vm_supervisor_close_window (sup);
  g_clear_pointer (&sup->agent, vm_link_free);
  g_clear_pointer (&sup->qmp, qmp_client_free);
  g_clear_pointer (&sup->console, vm_console_free);
  g_string_truncate (sup->last_words, 0);
  vm_supervisor_remove_groups (sup);
  (void)unlinkat (sup->runtime_fd, "exit", 0);
  sup->record->keeper = (VmProcess){0};
  sup->record->stamps[VM_STAMP_LAUNCHED] = sup->record->stamps[VM_STAMP_JAILED] =
      sup->record->stamps[VM_STAMP_MONITORED] = 0;
}

static gboolean
boot_now (gpointer data)
{
  VmSupervisor *sup = data;
  g_autoptr (GError) error = NULL;

  sup->boot_instead_tag = 0;
  /* Somebody has begun to end it meanwhile. If its machine has ended by itself, that was not taken for the
   * end, and nothing else will be. */
  if (!sup->finished && sup->stop_step != VM_STOP_NOT && sup->pidfd_tag == 0)
    vm_supervisor_finish (sup, NULL);
  if (sup->finished || sup->stop_step != VM_STOP_NOT)
    return G_SOURCE_REMOVE;
  vm_supervisor_forget_machine (sup);
  if (vm_supervisor_start_machine (sup, &error)) {
    vm_supervisor_await_boot (sup);
    return G_SOURCE_REMOVE;
  }
  sup->record->reason = VM_REASON_START_FAILED;
  sup->record->text = g_strdup (error->message);
  vm_supervisor_finish (sup, NULL);
  return G_SOURCE_REMOVE;
}

/* What is told is about the template; the rest is as if there had been none. */
void
vm_supervisor_give_up_template (VmSupervisor *sup, const char *why, gboolean remove)
{
  g_autofree char *shown = vm_escape_terminal (why, -1, WORDS_SHOWN);
  g_autofree char *text =
      g_strdup_printf ("a machine cannot go on from its template, and boots instead: %s%s", shown,
                       remove ? "; the template was removed" : "");
  g_autoptr (GError) error = NULL;

  vm_log_line (sup->log, "template: %s", text);
  vm_supervisor_warn (sup, text);
  if (remove && !image_template_remove (sup->plan->template, &error))
    vm_log_line (sup->log, "%s", error->message);
  sup->plan->has_template = FALSE;
  g_clear_pointer (&sup->record->template, g_free);
  if (sup->plan->disk == 0)
    g_clear_pointer (&sup->plan->disk_base, g_free);
  if (!remove)
    g_clear_pointer (&sup->plan->template, g_free); /* it is there: nothing is to be made */
  if (!vm_supervisor_keep_plan (sup, &error))
    vm_log_line (sup->log, "%s", error->message);
}

void
vm_supervisor_boot_instead (VmSupervisor *sup, const char *why, gboolean remove)
{
  if (!sup->plan->has_template || sup->agent_hello || sup->finished || sup->stop_step != VM_STOP_NOT)
    return;
  vm_supervisor_give_up_template (sup, why, remove);
  vm_supervisor_await_boot (sup); /* anew; else it might be over before there is a machine that boots */
  sup->boot_instead_tag = g_idle_add (boot_now, sup);
}

/* A QEMU that was killed by somebody did not fail. */
static gboolean
is_failure (const char *how)
{
  int status = how != NULL && g_str_has_prefix (how, "status ") ? atoi (how + strlen ("status ")) : 0;

  if (status > STATUS_SIGNAL)
    return status - STATUS_SIGNAL != SIGKILL && status - STATUS_SIGNAL != SIGTERM;
  return status != 0;
}

gboolean
vm_supervisor_template_failed (VmSupervisor *sup, const char *how)
{
  g_autofree char *words = g_strstrip (g_strdup (sup->last_words->str));

  if (sup->boot_instead_tag != 0)
    return TRUE;
  if (!sup->plan->has_template || sup->agent_hello || sup->adopted || !is_failure (how))
    return FALSE;
  vm_supervisor_boot_instead (sup, *words != '\0' ? words : "QEMU ended", TRUE);
  return sup->boot_instead_tag != 0;
}

/* The first machine from a template tells the next ones what they will touch. By now nothing of the user's
 * has run in it, or for a moment only; and the list is no more than a hint. */
void
vm_supervisor_template_started (VmSupervisor *sup)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) list = NULL;
  struct stat ram;

  if (!sup->plan->has_template || sup->adopted || !image_template_needs_hot (sup->plan->template, &ram))
    return;
  list = vm_hot_pages_read (sup->record->keeper.pid, &ram, &error);
  if (list == NULL || !image_template_keep_hot (sup->plan->template, list, &error))
    vm_log_line (sup->log, "the template gets no list of pages: %s", error->message);
  else
    vm_log_line (sup->log, "the template has a list of pages: %" G_GSIZE_FORMAT " ranges",
                 g_bytes_get_size (list) / (2 * sizeof (guint32)));
}

/* Making one */

static gboolean
maker_ended (int fd, GIOCondition condition, gpointer data)
{
  VmSupervisor *sup = data;

  sup->maker_tag = 0;
  (void)waitid (P_PIDFD, (id_t)sup->maker_pidfd, &(siginfo_t){0}, WEXITED);
  vm_fd_clear (&sup->maker_pidfd);
  return G_SOURCE_REMOVE;
}

void
vm_supervisor_template_up (VmSupervisor *sup)
{
  g_autoptr (GError) error = NULL;

  if (sup->plan->template == NULL || sup->plan->disk_file != NULL || sup->adopted || sup->maker_tag != 0)
    return;
  if (sup->plan->has_template) {
    image_template_good (sup->plan->template);
    return;
  }
  if (!vm_template_start_maker (sup->dirs, sup->plan, &sup->maker_pidfd, &error)) {
    vm_log_line (sup->log, "no template is made: %s", error->message);
    return;
  }
  sup->maker_tag = g_unix_fd_add (sup->maker_pidfd, G_IO_IN, maker_ended, sup);
}
