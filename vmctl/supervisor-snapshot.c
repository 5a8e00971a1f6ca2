/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How a restore works
 *
 * First the snapshot is copied, by a process of its own, while the sandbox goes on: what can fail (no room)
 * fails before anything has changed. Then it is a reset. The next machine takes the copy as its disk, which
 * loses its name at that moment, as every scratch disk does, or gets that of the kept disk. It boots: a
 * template has its own disk mounted. Of disks that were plugged the user's files stay as they are; if they
 * are wanted, copies of the copies are plugged before the command starts, likewise.
 */
#include "vmctl/supervisor-snapshot.h"

#include <errno.h>
#include <glib-unix.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/json.h"
#include "vmctl/plug-parts.h"
#include "vmctl/snapshot.h"
#include "vmctl/supervisor-plug-private.h"

enum { WORDS_MAX = 500 };

struct VmRestore {
  VmSupervisor *sup;   /* borrowed */
  QmpRequest *request; /* owned; NULL: answered */
  char *name;          /* owned */
  int pidfd, words;    /* owned; of the process that copies: it, and what it complains of */
  guint tag;
  gboolean is_ready;  /* it is copied: the next machine takes it */
  json_object *disks; /* owned; those of the plugged ones that come again; NULL: none */
};

/* Making and removing: a snapshot's part of the jobs */

void
vm_snapshot_wish_free (VmSnapshotWish *wish)
{
  if (wish == NULL)
    return;
  g_free (wish->name);
  g_free (wish);
}

VmPlugPlan *
vm_snapshots_plan (VmSupervisor *sup, const VmSnapshotWish *wish, GError **error)
{
  g_autofree char *base = NULL;
  VmSnapshotFacts facts = {.plan = sup->plan,
                           .snapshots = sup->record->snapshots,
                           .devices = sup->record->devices,
                           .parent = sup->record->snapshot,
                           .skip_plugged = wish->skip_plugged,
                           .freeze_ms = wish->freeze_ms,
                           .now = g_get_real_time ()};
  VmPlugPlan *plan = vm_snapshot_plan_make (wish->name, &facts, error);

  if (plan == NULL)
    return NULL;
  base = vm_snapshot_base_id (sup->plan->disk_base);
  if (base != NULL)
    vm_json_add_str (plan->device, "base", base);
  return plan;
}

/* Borrowed. NULL: it has none. */
static json_object *
nth_disk (json_object *snapshot, gsize i)
{
  json_object *disks = vm_json_array (snapshot, "disks");

  return disks != NULL && i < json_object_array_length (disks) ? json_object_array_get_idx (disks, i) : NULL;
}

void
vm_snapshots_made (VmSupervisor *sup, VmPlugPlan *plan, const VmPlugJob *job)
{
  json_object *disk;

  vm_snapshot_take_result (plan, job->result, job->snapshot->freeze_ms);
  for (gsize i = 0; (disk = nth_disk (plan->device, i)) != NULL; i++)
    vm_json_add_int (disk, "bytes",
                     (gint64)vm_snapshot_disk_bytes (sup->state_fd, plan->id, vm_json_str (disk, "id", "")));
  g_free (sup->record->snapshot);
  sup->record->snapshot = g_strdup (plan->id);
}

void
vm_snapshots_removed (VmSupervisor *sup, const char *name)
{
  vm_snapshot_leave (sup->record->snapshots, &sup->record->snapshot, name);
}

static void
refuse (QmpRequest *take_request, const GError *error)
{
  qmp_request_error (take_request, "GenericError", "%s", error->message);
}

static VmPlugJob *
new_job (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request)
{
  gint64 fail_after = CLAMP (vm_json_int (arguments, "fail-after", 0), 0, G_MAXINT);
  gint64 freeze = vm_json_int (arguments, "freeze-ms", VM_SNAPSHOT_FREEZE_MS);
  VmPlugJob *job = vm_plugs_add (sup->plugs, take_request);

  job->snapshot = g_new0 (VmSnapshotWish, 1);
  job->snapshot->freeze_ms = (guint)CLAMP (freeze, 1, VM_SNAPSHOT_FREEZE_MS);
  job->fail_after = (guint)fail_after;
  return job;
}

void
vm_control_snapshot_create (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request)
{
  VmPlugJob *job;

  if (sup->restore != NULL) {
    qmp_request_error (take_request, "GenericError", "the snapshot '%s' is being restored",
                       sup->restore->name);
    return;
  }
  job = new_job (sup, arguments, take_request);
  job->snapshot->name = g_strdup (vm_json_str (arguments, "name", NULL));
  job->snapshot->skip_plugged = vm_json_bool (arguments, "skip-plugged", FALSE);
  vm_plugs_next (sup->plugs);
}

void
vm_control_snapshot_remove (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request)
{
  const char *name = vm_json_str (arguments, "name", NULL);

  if (name == NULL) {
    qmp_request_error (take_request, "GenericError", "'name' is missing");
    return;
  }
  new_job (sup, arguments, take_request)->id = g_strdup (name);
  vm_plugs_next (sup->plugs);
}

/* All of it, on the disk. */
static gint64
bytes_of (const VmSupervisor *sup, json_object *snapshot)
{
  gint64 bytes = (gint64)vm_snapshot_file_bytes (sup->state_fd, vm_json_str (snapshot, "id", ""));
  json_object *disk;

  for (gsize i = 0; (disk = nth_disk (snapshot, i)) != NULL; i++)
    bytes += vm_json_int (disk, "bytes", 0);
  return bytes;
}

void
vm_control_query_snapshots (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request)
{
  json_object *snapshots = sup->record->snapshots, *list = json_object_new_array ();

  for (gsize i = 0; i < json_object_array_length (snapshots); i++) {
    json_object *one = json_object_array_get_idx (snapshots, i), *shown = vm_plugs_shown (one);
    const char *name = vm_json_str (one, "id", "");

    vm_json_add_int (shown, "bytes", bytes_of (sup, one));
    if (g_strcmp0 (sup->record->snapshot, name) == 0)
      vm_json_add_bool (shown, "current", TRUE);
    json_object_array_add (list, shown);
  }
  qmp_request_return (take_request, list);
}

/* Restoring */

void
vm_restore_free (VmRestore *restore)
{
  if (restore == NULL)
    return;
  if (restore->tag != 0)
    g_source_remove (restore->tag);
  if (restore->pidfd >= 0) {
    (void)syscall (SYS_pidfd_send_signal, restore->pidfd, SIGKILL, NULL, 0);
    (void)waitid (P_PIDFD, (id_t)restore->pidfd, &(siginfo_t){0}, WEXITED);
  }
  vm_fd_clear (&restore->pidfd);
  vm_fd_clear (&restore->words);
  if (restore->request != NULL)
    qmp_request_error (restore->request, "GenericError",
                       "the sandbox ended, or started again before it was copied");
  json_object_put (restore->disks);
  g_free (restore->name);
  g_free (restore);
}

static gboolean
check_head (int take_fd, const char *name, GError **error)
{
  vm_autofd fd = take_fd;

  return fd >= 0 && vm_snapshot_check_head (fd, name, error);
}

static gboolean
check_heads (const VmSupervisor *sup, json_object *snapshot, gboolean plugged, GError **error)
{
  const char *name = vm_json_str (snapshot, "id", "");
  json_object *disk;

  if (!check_head (vm_snapshot_file_open (sup->state_fd, name, error), name, error))
    return FALSE;
  for (gsize i = 0; plugged && (disk = nth_disk (snapshot, i)) != NULL; i++) {
    const char *id = vm_json_str (disk, "id", "");

    if (!check_head (vm_snapshot_disk_open (sup->state_fd, name, id, error), id, error))
      return FALSE;
  }
  return TRUE;
}

static gboolean
check_snapshot (const VmSupervisor *sup, const char *name, gboolean plugged, GError **error)
{
  json_object *snapshot = name != NULL ? vm_plug_find (sup->record->snapshots, name) : NULL;
  g_autofree char *base = NULL;

  if (snapshot == NULL)
    return vm_error (error, VM_ERROR_NOT_FOUND,
                     "there is no snapshot '%s'; those there are: vmctl snapshot list",
                     name != NULL ? name : "");
  if (vm_json_bool (snapshot, VM_PLUG_HALF_DONE, FALSE))
    return vm_error (error, VM_ERROR_BUSY, "the snapshot '%s' is still being made", name);
  base = vm_snapshot_base_id (sup->plan->disk_base);
  if (g_strcmp0 (base, vm_json_str (snapshot, "base", NULL)) != 0)
    return vm_error (error, VM_ERROR_INVALID, "'%s' is not the file any more on which the snapshot was made",
                     sup->plan->disk_base);
  return check_heads (sup, snapshot, plugged, error);
}

/* What a machine needs to boot may have been removed from the cache since. */
static gboolean
check_boot (const VmSupervisor *sup, GError **error)
{
  const char *const files[] = {sup->plan->vmlinux, sup->plan->initramfs};

  for (guint i = 0; i < G_N_ELEMENTS (files); i++)
    if (!g_file_test (files[i], G_FILE_TEST_IS_REGULAR))
      return vm_error (error, VM_ERROR_HOST,
                       "'%s' has gone, so the machine could not start again; any start of another makes it "
                       "anew: vmctl up --cold",
                       files[i]);
  return TRUE;
}

static gboolean
check_restore (VmSupervisor *sup, const char *name, gboolean plugged, GError **error)
{
  if (sup->restore != NULL)
    return vm_error (error, VM_ERROR_BUSY, "the snapshot '%s' is being restored", sup->restore->name);
  if (!g_queue_is_empty (&sup->plugs->jobs))
    return vm_error (error, VM_ERROR_BUSY, "something is being plugged, or a snapshot is being made");
  return check_snapshot (sup, name, plugged, error) && check_boot (sup, error) &&
         vm_supervisor_can_restart (sup, error);
}

/* It has the sandbox's lock as long as it lives, which must not be longer than we. */
static void G_GNUC_NORETURN
copy_and_exit (const VmRestore *restore, pid_t parent, int words)
{
  const VmSupervisor *sup = restore->sup;
  g_autoptr (GError) error = NULL;

  if (prctl (PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid () != parent)
    _exit (1);
  if ((restore->disks == NULL ||
       vm_snapshot_disks_copy (sup->state_fd, restore->name, restore->disks, &error)) &&
      vm_snapshot_file_copy (sup->state_fd, restore->name, sup->plan->image.keep, &error))
    _exit (0);
  (void)vm_fd_write_all (words, error->message, strlen (error->message), NULL);
  _exit (1);
}

static gboolean
start_copy (VmRestore *restore, GError **error)
{
  int ends[2];
  pid_t parent = getpid (), pid;

  if (!vm_fd_socketpair (SOCK_STREAM, ends, error))
    return FALSE;
  restore->words = ends[0];
  pid = fork ();
  if (pid == 0)
    copy_and_exit (restore, parent, ends[1]);
  vm_fd_clear (&ends[1]);
  if (pid < 0)
    return vm_error_errno (error, errno, "cannot start a process");
  restore->pidfd = (int)syscall (SYS_pidfd_open, pid, 0);
  return restore->pidfd >= 0 || vm_error_errno (error, errno, "cannot watch a process");
}

static void
give_up (VmRestore *restore, const GError *error)
{
  restore->sup->restore = NULL;
  vm_snapshot_disks_forget (restore->sup->state_fd);
  vm_log_line (restore->sup->log, "restore: %s", error->message);
  refuse (g_steal_pointer (&restore->request), error);
  vm_restore_free (restore);
}

static void
begin_anew (VmRestore *restore)
{
  VmSupervisor *sup = restore->sup;
  g_autofree char *why = g_strdup_printf ("the snapshot '%s' is restored", restore->name);
  g_autoptr (GError) error = NULL;

  restore->is_ready = TRUE;
  if (vm_supervisor_restart (sup, why, VM_STOP_KILL, 0, &error))
    qmp_request_return (g_steal_pointer (&restore->request), NULL);
  else
    give_up (restore, error);
}

static gboolean
copied (int fd, GIOCondition condition, gpointer data)
{
  VmRestore *restore = data;
  g_autofree char *words = NULL;
  g_autoptr (GError) error = NULL;
  siginfo_t info = {0};

  restore->tag = 0;
  (void)waitid (P_PIDFD, (id_t)restore->pidfd, &info, WEXITED);
  vm_fd_clear (&restore->pidfd);
  if (info.si_code == CLD_EXITED && info.si_status == 0) {
    vm_failpoint ("copied");
    begin_anew (restore);
    return G_SOURCE_REMOVE;
  }
  words = vm_fd_read_all (restore->words, WORDS_MAX, NULL, NULL);
  vm_error (&error, VM_ERROR_HOST, "%s; nothing has changed",
            words != NULL && *words != '\0' ? words : "the process that copies it was killed");
  give_up (restore, error);
  return G_SOURCE_REMOVE;
}

void
vm_control_snapshot_restore (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request)
{
  const char *name = vm_json_str (arguments, "name", NULL);
  gboolean plugged = vm_json_bool (arguments, "plugged", FALSE);
  g_autoptr (GError) error = NULL;
  VmRestore *restore;

  if (!check_restore (sup, name, plugged, &error)) {
    refuse (take_request, error);
    return;
  }
  restore = sup->restore = g_new0 (VmRestore, 1);
  restore->sup = sup;
  restore->request = take_request;
  restore->name = g_strdup (name);
  if (plugged)
    restore->disks = json_object_get (vm_json_array (vm_plug_find (sup->record->snapshots, name), "disks"));
  restore->pidfd = restore->words = -1;
  if (start_copy (restore, &error))
    restore->tag = g_unix_fd_add (restore->pidfd, G_IO_IN, copied, restore);
  else
    give_up (restore, error);
}

/* That they are not there then the jobs will say. */
static void
choose_plugged (VmSupervisor *sup, const VmRestore *restore)
{
  g_autoptr (GError) error = NULL;

  if (!vm_snapshot_disks_choose (sup->state_fd, &error))
    vm_log_line (sup->log, "restore: %s", error->message);
  vm_plugs_restore (sup->plugs, restore->name, restore->disks);
}

void
vm_snapshots_choose_disk (VmSupervisor *sup)
{
  VmPlan *plan = sup->plan;
  gboolean brings_disks = sup->restore != NULL && sup->restore->is_ready && sup->restore->disks != NULL;

  if (brings_disks)
    choose_plugged (sup, sup->restore);
  else
    vm_snapshot_disks_forget (sup->state_fd);
  g_clear_pointer (&plan->disk_file, g_free);
  g_clear_pointer (&sup->record->snapshot, g_free);
  if (sup->restore != NULL && sup->restore->is_ready) {
    plan->disk_file = vm_snapshot_next_disk (plan);
    plan->has_template = FALSE;
    g_clear_pointer (&sup->record->template, g_free);
    sup->record->snapshot = g_strdup (sup->restore->name);
  }
  g_clear_pointer (&sup->restore, vm_restore_free);
}

void
vm_snapshots_end (VmSupervisor *sup)
{
  json_object *snapshots = sup->record->snapshots;

  g_clear_pointer (&sup->restore, vm_restore_free);
  vm_snapshot_files_remove_all (sup->state_fd);
  json_object_array_del_idx (snapshots, 0, json_object_array_length (snapshots));
  g_clear_pointer (&sup->record->snapshot, g_free);
}
