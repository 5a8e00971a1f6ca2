/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmctl/absent.h"
#include "vmctl/base/argv.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"
#include "vmctl/group.h"
#include "vmctl/plan.h"
#include "vmctl/snapshot.h"
#include "vmctl/supervisor.h"
#include "vmctl/watched.h"

enum {
  ID_LENGTH = 8,
  PREFIX_MIN = 3,
  HALF_MADE_AGE = 60,
  KILL_WAIT_MS = 5000,
  LOCK_LOOK_MS = 5,
  ADOPT_WAIT_MS = 10000,
  KEEPER_WORDS_MAX = 512
};

static void
close_dir (DIR *dir)
{
  (void)closedir (dir);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DIR, close_dir)

gboolean
vm_store_is_id (const char *name)
{
  return strlen (name) == ID_LENGTH && strspn (name, "abcdefghijklmnopqrstuvwxyz0123456789") == ID_LENGTH;
}

static void
note_problem (GPtrArray *problems, const char *where, GError *error)
{
  if (problems != NULL)
    g_ptr_array_add (problems, g_strdup_printf ("%s: %s", where, error->message));
  g_error_free (error);
}

/* A directory that is being made, or taken away. */
static gboolean
is_half (const char *name)
{
  return (g_str_has_prefix (name, ".new-") || g_str_has_prefix (name, ".old-")) &&
         vm_store_is_id (name + strlen (".new-"));
}

/* The names in a directory that look like ids (or, with `half`, like one that was being made or removed).
 * Absent: empty. */
static GPtrArray *
names_in (const char *path, gboolean half)
{
  GPtrArray *names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (DIR) dir = opendir (path);
  struct dirent *entry;

  while (dir != NULL && (entry = readdir (dir)) != NULL)
    if (vm_store_is_id (entry->d_name) || (half && is_half (entry->d_name)))
      g_ptr_array_add (names, g_strdup (entry->d_name));
  return names;
}

static int
open_below (const char *parent, const char *name, GError **error)
{
  g_autofree char *path = g_build_filename (parent, name, NULL);

  return vm_file_open_private_dir (path, error);
}

int
vm_store_open_runtime (const VmDirs *dirs, const char *id, GError **error)
{
  return open_below (dirs->runtime, id, error);
}

int
vm_store_open_state (const VmDirs *dirs, const char *id, GError **error)
{
  g_autofree char *parent = g_build_filename (dirs->state, "sandboxes", NULL);

  return open_below (parent, id, error);
}

/* In one step as far as anybody can see: a directory that is half empty, perhaps without its lock, never
 * bears the name of a sandbox. */
gboolean
vm_store_remove_runtime (const VmDirs *dirs, const char *name, GError **error)
{
  vm_autofd runtime_fd = vm_file_open_private_dir (dirs->runtime, error);
  g_autofree char *old = g_strconcat (".old-", name, NULL);

  if (runtime_fd < 0)
    return FALSE;
  if (*name != '.')
    vm_absent_clean (dirs->state, name);
  if (*name == '.' || renameat (runtime_fd, name, runtime_fd, old) < 0)
    return vm_file_remove_tree (runtime_fd, name, error);
  return vm_file_remove_tree (runtime_fd, old, error);
}

/* A supervisor writes the last record before it takes the runtime directory away: it may be killed, or still
 * be at work, between the two. That record is the true one. */
static gboolean
is_buried (const VmDirs *dirs, const char *id)
{
  vm_autofd fd = vm_store_open_state (dirs, id, NULL);
  g_autoptr (VmRecord) record = fd >= 0 ? vm_record_read (fd, NULL) : NULL;

  return record != NULL && record->state == VM_STATE_ENDED;
}

/* Writes the ended record where it stays, then takes the runtime directory away. */
static gboolean
bury (const VmDirs *dirs, VmRecord *record, int dir_fd, GPtrArray *problems, GError **error)
{
  g_autofree char *path = g_build_filename (dirs->state, "sandboxes", record->id, NULL);
  g_autoptr (VmPlan) plan = vm_plan_read (dir_fd, NULL);
  vm_autofd state_fd = -1;

  if (plan != NULL)
    vm_watched_warn (plan, record, problems);
  record->state = VM_STATE_ENDED;
  record->ended = g_get_real_time ();
  json_object_array_del_idx (record->snapshots, 0, json_object_array_length (record->snapshots));
  if (!vm_file_make_private_dir (path, error) || (state_fd = vm_file_open_private_dir (path, error)) < 0)
    return FALSE;
  vm_snapshot_files_remove_all (state_fd);
  if (!vm_record_write (record, state_fd, TRUE, error))
    return FALSE;
  return vm_store_remove_runtime (dirs, record->id, error);
}

/* A keeper that is root's cannot be signalled by the user whose sandbox it keeps. */
static gboolean
ask_keeper_to_end (int dir_fd, GError **error)
{
  vm_autofd fd = vm_fd_connect_unix (dir_fd, "keeper.sock", SOCK_SEQPACKET, error);

  if (fd < 0)
    return FALSE;
  if (vm_fd_send (fd, "end", strlen ("end"), NULL, 0) < 0)
    return vm_error_errno (error, errno, "cannot ask vmctl-keeper to end");
  return TRUE;
}

/* TRUE: it is gone. */
static gboolean
kill_keeper (const VmRecord *record, int dir_fd, GError **error)
{
  vm_autofd pidfd = vm_process_open (&record->keeper);

  if (pidfd < 0)
    return TRUE;
  if (!vm_process_signal (&record->keeper, SIGKILL, NULL) && !ask_keeper_to_end (dir_fd, error))
    return FALSE;
  if (vm_process_wait (pidfd, KILL_WAIT_MS))
    return TRUE;
  return vm_error (error, VM_ERROR_TIMEOUT, "its process %d does not end", (int)record->keeper.pid);
}

/* One that was just killed is there for a moment longer than its sockets are. */
static gboolean
keeper_lives (const VmRecord *record, int dir_fd)
{
  vm_autofd pidfd = vm_process_open (&record->keeper);
  vm_autofd fd = pidfd >= 0 ? vm_fd_connect_unix (dir_fd, "keeper.sock", SOCK_SEQPACKET, NULL) : -1;

  return pidfd >= 0 && (fd >= 0 || !vm_process_wait (pidfd, KILL_WAIT_MS));
}

/* Takes the lock along: nobody can come between. */
static gboolean
start_adopter (const VmDirs *dirs, const char *id, int take_lock_fd, GError **error)
{
  g_autoptr (VmArgv) argv = vm_argv_new ();
  g_autofree char *answer = NULL;
  vm_autofd ready = -1;
  int ends[2];
  pid_t pid;

  vm_argv_bind (argv, "lock", take_lock_fd);
  if (pipe2 (ends, O_CLOEXEC) < 0)
    return vm_error_errno (error, errno, "cannot make a pipe");
  ready = ends[0];
  vm_argv_bind (argv, "ready", ends[1]);
  vm_argv_add_many (argv, dirs->self, "supervise", "--adopt", id, NULL);
  vm_argv_addf (argv, "--lock-fd=%d", vm_argv_slot (argv, "lock"));
  vm_argv_addf (argv, "--ready-fd=%d", vm_argv_slot (argv, "ready"));
  if (!vm_argv_spawn (argv, VM_SPAWN_NEW_SESSION, &pid, NULL, error))
    return FALSE;
  g_clear_pointer (&argv, vm_argv_free); /* our copy of the pipe's end: EOF must mean that the adopter died */
  if (vm_supervisor_wait_ready (ready, ADOPT_WAIT_MS, error))
    return TRUE;
  g_prefix_error (
      error, "it runs without a supervisor, and none can take over (vmctl stop --force %s ends it): ", id);
  return FALSE;
}

/* The supervisor did not live to the end: what it knew stays, and else the keeper may have seen it. */
static void
take_last_words (VmRecord *record, int dir_fd)
{
  g_autofree char *how = vm_file_read (dir_fd, "exit", KEEPER_WORDS_MAX, NULL, NULL);

  if (how != NULL)
    vm_record_take_end (record, g_strchomp (how));
  if (record->reason == VM_REASON_NONE)
    record->reason = VM_REASON_SUPERVISOR_LOST;
}

static gboolean
wait_for_lock (int lock_fd)
{
  const gint64 end = g_get_monotonic_time () + KILL_WAIT_MS * G_TIME_SPAN_MILLISECOND;

  while (flock (lock_fd, LOCK_EX | LOCK_NB) < 0) {
    if (g_get_monotonic_time () >= end)
      return FALSE;
    g_usleep (LOCK_LOOK_MS * G_TIME_SPAN_MILLISECOND);
  }
  return TRUE;
}

/* One that was killed closes its sockets before its lock: whoever saw that it is gone, and looks, may be here
 * in between. One that takes its sandbox away, or was killed while it did, is in no record any more. */
static gboolean
take_lock (const VmDirs *dirs, const char *id, int lock_fd, int dir_fd)
{
  g_autoptr (VmRecord) record = NULL;

  if (flock (lock_fd, LOCK_EX | LOCK_NB) == 0)
    return TRUE;
  record = vm_record_read (dir_fd, NULL);
  if (record == NULL)
    return is_buried (dirs, id) && wait_for_lock (lock_fd);
  return vm_process_wait_exiting (&record->supervisor, KILL_WAIT_MS) &&
         flock (lock_fd, LOCK_EX | LOCK_NB) == 0;
}

gboolean
vm_store_is_held (int runtime_fd)
{
  vm_autofd fd = openat (runtime_fd, "lock", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

  return fd >= 0 && flock (fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

/* Has it ended while somebody tried to take it over? Then there was nothing left to take over, and it is to
 * be buried; the lock is ours again. */
static gboolean
ended_meanwhile (const VmDirs *dirs, const VmRecord *record, int dir_fd, int *lock_fd)
{
  *lock_fd = openat (dir_fd, "lock", O_RDWR | O_NOFOLLOW | O_CLOEXEC);
  if (*lock_fd >= 0 && take_lock (dirs, record->id, *lock_fd, dir_fd) && !keeper_lives (record, dir_fd))
    return TRUE;
  vm_fd_clear (lock_fd);
  return FALSE;
}

/* With the lock held, or with no lock file there. */
static gboolean
sweep_one (const VmDirs *dirs, int dir_fd, const char *id, int *lock_fd, GPtrArray *problems, GError **error)
{
  g_autoptr (VmRecord) record = vm_record_read (dir_fd, error);
  gboolean buried = is_buried (dirs, id);

  /* No lock file, though somebody holds it: a cleaner of temporary files was here. */
  if (*lock_fd < 0 && record != NULL && vm_process_alive (&record->supervisor))
    return TRUE;
  if (record == NULL && !buried) /* a broken record: keep it for a person to look at, and say so */
    return FALSE;
  g_clear_error (error);
  if (record != NULL && !buried && *lock_fd >= 0 && record->state != VM_STATE_STARTING &&
      keeper_lives (record, dir_fd)) {
    if (start_adopter (dirs, id, vm_fd_steal (lock_fd), error))
      return TRUE;
    if (!ended_meanwhile (dirs, record, dir_fd, lock_fd))
      return FALSE;
    g_clear_error (error);
  }
  if (record != NULL &&
      (!kill_keeper (record, dir_fd, error) || !vm_group_remove ((const char *const *)record->groups, error)))
    return FALSE;
  if (buried)
    return vm_store_remove_runtime (dirs, id, error);
  take_last_words (record, dir_fd);
  return bury (dirs, record, dir_fd, problems, error);
}

static gboolean
is_old (int dir_fd)
{
  struct stat st;

  return fstat (dir_fd, &st) == 0 && st.st_mtime + HALF_MADE_AGE <= g_get_real_time () / G_USEC_PER_SEC;
}

/* Another sweep, or the supervisor itself, may have taken it away while we came to the lock. */
static gboolean
is_still_there (const VmDirs *dirs, const char *name, int dir_fd)
{
  g_autofree char *path = g_build_filename (dirs->runtime, name, NULL);
  struct stat ours, now;

  return lstat (path, &now) == 0 && fstat (dir_fd, &ours) == 0 && now.st_ino == ours.st_ino &&
         now.st_dev == ours.st_dev;
}

static void
sweep_name (const VmDirs *dirs, const char *name, GPtrArray *problems)
{
  GError *error = NULL;
  vm_autofd dir_fd = open_below (dirs->runtime, name, NULL), lock_fd = -1;
  gboolean ok;

  if (dir_fd < 0)
    return; /* gone meanwhile, or not ours */
  lock_fd = openat (dir_fd, "lock", O_RDWR | O_NOFOLLOW | O_CLOEXEC);
  if (lock_fd >= 0 && !take_lock (dirs, name, lock_fd, dir_fd))
    return; /* it lives */
  /* Without a lock somebody is just making it: left alone until that cannot be any more. One that was being
   * taken away may be taken away by several. */
  if (!is_still_there (dirs, name, dir_fd) ||
      (lock_fd < 0 && !is_old (dir_fd) && !g_str_has_prefix (name, ".old-")))
    return;
  if (*name == '.')
    ok = vm_store_remove_runtime (dirs, name, &error);
  else
    ok = sweep_one (dirs, dir_fd, name, &lock_fd, problems, &error);
  if (!ok)
    note_problem (problems, name, error);
}

void
vm_store_sweep (const VmDirs *dirs, GPtrArray *problems)
{
  g_autoptr (GPtrArray) names = names_in (dirs->runtime, TRUE);

  for (guint i = 0; i < names->len; i++)
    sweep_name (dirs, g_ptr_array_index (names, i), problems);
  vm_absent_sweep (dirs->state);
}

static gboolean
has_id (GPtrArray *records, const char *id)
{
  for (guint i = 0; i < records->len; i++)
    if (g_str_equal (((VmRecord *)g_ptr_array_index (records, i))->id, id))
      return TRUE;
  return FALSE;
}

static VmRecord *
read_one (const char *parent, const char *id, GError **error)
{
  vm_autofd dir_fd = open_below (parent, id, NULL);
  g_autoptr (VmRecord) record = dir_fd >= 0 ? vm_record_read (dir_fd, error) : NULL;

  if (record != NULL && !g_str_equal (record->id, id)) {
    vm_error (error, VM_ERROR_INVALID, "its record is that of '%s'", record->id);
    return NULL;
  }
  return g_steal_pointer (&record);
}

/* One that is just ending has a record in both places: the first one that was read counts. */
static void
read_all (const char *parent, GPtrArray *out, GPtrArray *problems)
{
  g_autoptr (GPtrArray) names = names_in (parent, FALSE);
  guint before = out->len;

  for (guint i = 0; i < names->len; i++) {
    const char *name = g_ptr_array_index (names, i);
    GError *error = NULL;
    VmRecord *record = read_one (parent, name, &error);

    if (record != NULL && before > 0 && has_id (out, record->id))
      g_clear_pointer (&record, vm_record_free);
    if (record != NULL)
      g_ptr_array_add (out, record);
    else if (error != NULL && !g_error_matches (error, VM_ERROR, VM_ERROR_NOT_FOUND))
      note_problem (problems, name, error);
    else
      g_clear_error (&error);
  }
}

static void
free_record (gpointer data)
{
  vm_record_free (data);
}

static int
by_age (gconstpointer a, gconstpointer b)
{
  const VmRecord *x = *(VmRecord *const *)a, *y = *(VmRecord *const *)b;

  return x->created < y->created ? -1 : x->created > y->created;
}

GPtrArray *
vm_store_list (const VmDirs *dirs, gboolean ended, GPtrArray *problems, GError **error)
{
  g_autoptr (GPtrArray) records = g_ptr_array_new_with_free_func (free_record);
  g_autofree char *old = g_build_filename (dirs->state, "sandboxes", NULL);

  if (g_file_test (dirs->runtime, G_FILE_TEST_EXISTS)) {
    vm_autofd runtime_fd = vm_file_open_private_dir (dirs->runtime, error);

    if (runtime_fd < 0)
      return NULL;
    vm_store_sweep (dirs, problems);
    read_all (dirs->runtime, records, problems);
  }
  if (ended)
    read_all (old, records, problems);
  g_ptr_array_sort (records, by_age);
  return g_steal_pointer (&records);
}

static gboolean
is_path (const char *word)
{
  return strchr (word, '/') != NULL || g_str_equal (word, ".") || g_str_equal (word, "..");
}

static gboolean
matches (const VmRecord *record, const char *word, const char *path)
{
  if (path != NULL)
    return g_strcmp0 (record->project, path) == 0;
  return g_str_equal (record->id, word) || g_str_equal (record->name, word) ||
         (strlen (word) >= PREFIX_MIN && g_str_has_prefix (record->id, word));
}

/* An exact id beats a name, a name beats a prefix: those are never ambiguous with weaker matches. */
static int
strength (const VmRecord *record, const char *word)
{
  return g_str_equal (record->id, word) ? 2 : g_str_equal (record->name, word) ? 1 : 0;
}

static GPtrArray *
strongest (GPtrArray *records, const char *word, const char *path, gboolean running)
{
  GPtrArray *found = g_ptr_array_new ();
  int best = 0;

  for (guint i = 0; i < records->len; i++) {
    VmRecord *record = g_ptr_array_index (records, i);
    int how = path != NULL ? 0 : strength (record, word);

    if (!matches (record, word, path) || (record->state != VM_STATE_ENDED) != running || how < best)
      continue;
    if (how > best)
      g_ptr_array_set_size (found, 0);
    best = how;
    g_ptr_array_add (found, record);
  }
  return found;
}

static gboolean
complain_many (GPtrArray *found, const char *word, GError **error)
{
  g_autoptr (GString) list = g_string_new (NULL);

  for (guint i = 0; i < found->len; i++) {
    const VmRecord *record = g_ptr_array_index (found, i);

    g_string_append_printf (list, "%s%s (%s)", i > 0 ? ", " : "", record->id, record->name);
  }
  return vm_error (error, VM_ERROR_USAGE, "'%s' names several sandboxes: %s; use an id", word, list->str);
}

static VmRecord *
pick (GPtrArray *records, GPtrArray *found, guint index)
{
  VmRecord *record = g_ptr_array_index (found, index);
  guint at;

  (void)g_ptr_array_find (records, record, &at);
  return g_ptr_array_steal_index (records, at);
}

static VmRecord *
find_in (GPtrArray *records, const char *word, const char *path, gboolean ended, GError **error)
{
  g_autoptr (GPtrArray) running = strongest (records, word, path, TRUE);
  g_autoptr (GPtrArray) old = strongest (records, word, path, FALSE);

  if (running->len == 1)
    return pick (records, running, 0);
  if (running->len > 1) {
    complain_many (running, word, error);
    return NULL;
  }
  /* A name or project may have had many; of a part of an id only the whole can be meant. */
  if (ended && old->len > 1 && path == NULL && strength (g_ptr_array_index (old, 0), word) == 0) {
    complain_many (old, word, error);
    return NULL;
  }
  if (ended && old->len > 0)
    return pick (records, old, old->len - 1); /* the newest: the list is sorted by age */
  if (path != NULL)
    vm_error (error, VM_ERROR_NOT_FOUND, "no sandbox %s on '%s'; see: vmctl list%s",
              ended ? "is or was" : "runs", path, ended ? " --all" : "");
  else
    vm_error (error, VM_ERROR_NOT_FOUND, "there is no %ssandbox '%s'; see: vmctl list%s",
              ended ? "" : "running ", word, ended ? " --all" : "");
  return NULL;
}

/* By its whole id: of those that have ended, which may be hundreds, one record is read. What runs under that
 * id or name comes first, as always. NULL: it has to be looked for. */
static VmRecord *
find_ended (const VmDirs *dirs, const char *id)
{
  g_autoptr (GPtrArray) running = vm_store_list (dirs, FALSE, NULL, NULL);
  g_autofree char *old = g_build_filename (dirs->state, "sandboxes", NULL);
  VmRecord *record = running != NULL ? find_in (running, id, NULL, FALSE, NULL) : NULL;

  return record != NULL || running == NULL ? record : read_one (old, id, NULL);
}

VmRecord *
vm_store_find (const VmDirs *dirs, const char *word, gboolean ended, GError **error)
{
  VmRecord *record = ended && vm_store_is_id (word) ? find_ended (dirs, word) : NULL;
  g_autoptr (GPtrArray) records = record == NULL ? vm_store_list (dirs, ended, NULL, error) : NULL;
  char *real = NULL;
  g_autofree char *path = NULL;

  if (record != NULL)
    return record;
  if (records == NULL)
    return NULL;
  if (is_path (word)) {
    real = realpath (word, NULL);
    path = real != NULL ? g_strdup (real) : g_canonicalize_filename (word, NULL);
    free (real);
  }
  return find_in (records, word, path, ended, error);
}

VmRecord *
vm_store_find_project (const VmDirs *dirs, const char *project)
{
  g_autoptr (GPtrArray) records = vm_store_list (dirs, FALSE, NULL, NULL);

  for (guint i = records != NULL ? records->len : 0; i > 0; i--) {
    VmRecord *record = g_ptr_array_index (records, i - 1);

    if (g_strcmp0 (record->project, project) == 0 && record->state != VM_STATE_STOPPING)
      return g_ptr_array_steal_index (records, i - 1);
  }
  return NULL;
}

gboolean
vm_store_remove (const VmDirs *dirs, const char *id, GError **error)
{
  g_autofree char *parent = g_build_filename (dirs->state, "sandboxes", NULL);
  vm_autofd fd = -1;

  if (!vm_store_is_id (id))
    return vm_error (error, VM_ERROR_USAGE, "'%s' is not an id", id);
  fd = vm_file_open_private_dir (parent, error);
  return fd >= 0 && vm_file_remove_tree (fd, id, error);
}
