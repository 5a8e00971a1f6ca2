/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The "supervisor" that takes over is this program itself: `--ready-fd=N` answers. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"
#include "vmctl/store.h"

typedef struct {
  char *path;
  VmDirs dirs;
  GPtrArray *problems;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  f->path = g_dir_make_tmp ("vmctl-store-XXXXXX", NULL);
  f->dirs.runtime = g_build_filename (f->path, "run", NULL);
  f->dirs.state = g_build_filename (f->path, "state", NULL);
  f->dirs.self = g_file_read_link ("/proc/self/exe", NULL);
  f->problems = g_ptr_array_new_with_free_func (g_free);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  vm_dirs_clear (&f->dirs);
  g_assert_true (vm_file_remove_tree (AT_FDCWD, f->path, NULL));
  g_free (f->path);
  g_ptr_array_unref (f->problems);
}

static pid_t
start_sleeper (void)
{
  pid_t pid = fork ();

  if (pid == 0) {
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    for (;;)
      pause ();
  }
  return pid;
}

static gboolean
has_ended (pid_t pid)
{
  siginfo_t info = {0};

  g_assert_cmpint (waitid (P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT), ==, 0);
  return info.si_pid == pid;
}

static void
end_sleeper (pid_t pid)
{
  kill (pid, SIGKILL);
  waitpid (pid, NULL, 0);
}

static VmRecord *
new_record (const char *id, const char *name, const char *project, VmState state)
{
  static gint64 age = 1700000000000000;
  VmRecord *record = vm_record_new ();

  record->id = g_strdup (id);
  record->name = g_strdup (name);
  record->project = g_strdup (project);
  record->driver = g_strdup ("null");
  record->isolation = g_strdup ("none");
  record->state = state;
  record->created = age++;
  return record;
}

static void
write_record (const char *parent, const VmRecord *record)
{
  g_autofree char *path = g_build_filename (parent, record->id, NULL);
  vm_autofd fd = -1;

  g_assert_true (vm_file_make_private_dir (path, NULL));
  fd = vm_file_open_private_dir (path, NULL);
  g_assert_true (vm_record_write (record, fd, FALSE, NULL));
}

static void
add_ended (Fixture *f, const char *id, const char *name, const char *project)
{
  g_autoptr (VmRecord) record = new_record (id, name, project, VM_STATE_ENDED);
  g_autofree char *parent = g_build_filename (f->dirs.state, "sandboxes", NULL);

  record->reason = VM_REASON_EXITED;
  record->status = 0;
  write_record (parent, record);
}

static int
make_lock (Fixture *f, const char *name, gboolean held)
{
  g_autofree char *path = g_build_filename (f->dirs.runtime, name, "lock", NULL);
  int fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

  g_assert_cmpint (fd, >=, 0);
  if (held)
    g_assert_cmpint (flock (fd, LOCK_EX | LOCK_NB), ==, 0);
  return fd;
}

/* The returned lock keeps it alive. */
static int
add_running (Fixture *f, const char *id, const char *name, const char *project, pid_t keeper, VmState state)
{
  g_autoptr (VmRecord) record = new_record (id, name, project, state);

  if (keeper > 0)
    g_assert_true (vm_process_identify (keeper, &record->keeper, NULL));
  write_record (f->dirs.runtime, record);
  return make_lock (f, id, TRUE);
}

static gboolean
exists (const char *parent, const char *name)
{
  g_autofree char *path = g_build_filename (parent, name, NULL);

  return g_file_test (path, G_FILE_TEST_EXISTS);
}

static VmRecord *
ended_record (Fixture *f, const char *id)
{
  vm_autofd fd = vm_store_open_state (&f->dirs, id, NULL);

  return fd >= 0 ? vm_record_read (fd, NULL) : NULL;
}

static void
assert_list (Fixture *f, gboolean ended, const char *expected)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) records = vm_store_list (&f->dirs, ended, f->problems, &error);
  g_autoptr (GString) ids = g_string_new (NULL);

  g_assert_no_error (error);
  for (guint i = 0; i < records->len; i++)
    g_string_append_printf (ids, "%s ", ((VmRecord *)g_ptr_array_index (records, i))->id);
  g_assert_cmpstr (ids->str, ==, expected);
}

static void
assert_problems (Fixture *f, guint n)
{
  if (f->problems->len != n)
    g_error ("%u problems, first: %s", f->problems->len,
             f->problems->len > 0 ? (char *)g_ptr_array_index (f->problems, 0) : "-");
}

static void
assert_found (Fixture *f, const char *word, gboolean ended, const char *id)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (VmRecord) record = vm_store_find (&f->dirs, word, ended, &error);

  g_assert_no_error (error);
  g_assert_cmpstr (record->id, ==, id);
}

static void
assert_not_found (Fixture *f, const char *word, gboolean ended, VmErrorCode code)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (vm_store_find (&f->dirs, word, ended, &error));
  g_assert_error (error, VM_ERROR, (int)code);
}

/* Listing */

static void
test_nothing (Fixture *f, gconstpointer data)
{
  assert_list (f, FALSE, "");
  assert_list (f, TRUE, "");
  assert_not_found (f, "x", TRUE, VM_ERROR_NOT_FOUND);
  assert_problems (f, 0);
  g_assert_false (exists (f->path, "run")); /* looking makes nothing */
}

static void
test_not_ours (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (mkdir (f->dirs.runtime, 0700), ==, 0);
  g_assert_cmpint (chmod (f->dirs.runtime, 0777), ==, 0);
  g_assert_null (vm_store_list (&f->dirs, FALSE, NULL, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_HOST);
}

static void
test_list (Fixture *f, gconstpointer data)
{
  vm_autofd a = -1, b = -1;

  add_ended (f, "cccc0001", "old", "/p");
  a = add_running (f, "bbbb0001", "app", "/p", 0, VM_STATE_RUNNING);
  b = add_running (f, "aaaa0001", "app-2", "/q", 0, VM_STATE_STARTING);
  assert_list (f, FALSE, "bbbb0001 aaaa0001 ");
  assert_list (f, TRUE, "cccc0001 bbbb0001 aaaa0001 ");
  assert_problems (f, 0);
}

/* One that is just ending has a record in both places. */
static void
test_list_once (Fixture *f, gconstpointer data)
{
  vm_autofd lock = add_running (f, "aaaa0001", "app", "/p", 0, VM_STATE_STOPPING);

  add_ended (f, "aaaa0001", "app", "/p");
  assert_list (f, TRUE, "aaaa0001 ");
  assert_found (f, "app", TRUE, "aaaa0001");
}

static void
test_list_problems (Fixture *f, gconstpointer data)
{
  g_autofree char *broken = g_build_filename (f->dirs.state, "sandboxes", "bbbb0001", NULL);
  g_autofree char *text = g_build_filename (broken, "record.json", NULL);
  g_autofree char *empty = g_build_filename (f->dirs.state, "sandboxes", "eeee0001", NULL);
  g_autofree char *from = g_build_filename (f->dirs.state, "sandboxes", "dddd0001", NULL);
  g_autofree char *to = g_build_filename (f->dirs.state, "sandboxes", "dddd0002", NULL);

  add_ended (f, "aaaa0001", "x", "/p");
  add_ended (f, "dddd0001", "x", "/p");
  g_assert_cmpint (rename (from, to), ==, 0); /* a record that is another's */
  g_assert_true (vm_file_make_private_dir (broken, NULL));
  g_assert_true (g_file_set_contents (text, "null", -1, NULL));
  g_assert_true (vm_file_make_private_dir (empty, NULL)); /* its supervisor has not come so far */
  assert_list (f, TRUE, "aaaa0001 ");
  assert_problems (f, 2);
}

/* Finding */

static void
test_find (Fixture *f, gconstpointer data)
{
  vm_autofd a = add_running (f, "abcd0001", "app", "/p", 0, VM_STATE_RUNNING);
  vm_autofd b = add_running (f, "abce0001", "abc", "/q", 0, VM_STATE_RUNNING);
  vm_autofd c = add_running (f, "zzzz0001", "abcd0001x", "/r", 0, VM_STATE_RUNNING);

  assert_found (f, "abcd0001", FALSE, "abcd0001");
  assert_found (f, "app", FALSE, "abcd0001");
  assert_found (f, "abcd", FALSE, "abcd0001");
  assert_found (f, "abc", FALSE, "abce0001");            /* a name beats a part of an id */
  assert_not_found (f, "ab", FALSE, VM_ERROR_NOT_FOUND); /* too short for a part */
  assert_not_found (f, "", FALSE, VM_ERROR_NOT_FOUND);
  assert_not_found (f, "abcd0002", FALSE, VM_ERROR_NOT_FOUND);
  assert_not_found (f, "ap", FALSE, VM_ERROR_NOT_FOUND);
}

static void
test_find_ambiguous (Fixture *f, gconstpointer data)
{
  vm_autofd a = add_running (f, "abcd0001", "app", "/p", 0, VM_STATE_RUNNING);
  vm_autofd b = add_running (f, "abcd0002", "app", "/p", 0, VM_STATE_RUNNING);
  g_autoptr (GError) error = NULL;

  g_assert_null (vm_store_find (&f->dirs, "abcd", FALSE, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_USAGE);
  g_assert_nonnull (strstr (error->message, "abcd0001"));
  g_assert_nonnull (strstr (error->message, "abcd0002"));
  assert_not_found (f, "app", FALSE, VM_ERROR_USAGE);
  assert_not_found (f, "/p", FALSE, VM_ERROR_USAGE);
}

static void
test_find_ended (Fixture *f, gconstpointer data)
{
  vm_autofd lock = -1;

  add_ended (f, "abcd0001", "app", "/p");
  add_ended (f, "abcd0002", "app", "/p");
  assert_not_found (f, "app", FALSE, VM_ERROR_NOT_FOUND);
  assert_found (f, "app", TRUE, "abcd0002"); /* the newest of that name */
  assert_found (f, "/p", TRUE, "abcd0002");
  assert_found (f, "abcd0001", TRUE, "abcd0001");
  assert_not_found (f, "abcd", TRUE, VM_ERROR_USAGE); /* it would be a guess */
  lock = add_running (f, "ffff0001", "app", "/p", 0, VM_STATE_RUNNING);
  assert_found (f, "app", TRUE, "ffff0001");
}

static void
test_find_path (Fixture *f, gconstpointer data)
{
  g_autofree char *project = g_build_filename (f->path, "project", NULL);
  g_autofree char *link = g_build_filename (f->path, "link", NULL);
  g_autofree char *odd = g_build_filename (f->path, "project", "..", "project", "", NULL);
  g_autofree char *real = NULL, *here = g_get_current_dir ();
  vm_autofd lock = -1;

  g_assert_cmpint (mkdir (project, 0700), ==, 0);
  g_assert_cmpint (symlink ("project", link), ==, 0);
  real = realpath (project, NULL);
  lock = add_running (f, "abcd0001", "app", real, 0, VM_STATE_RUNNING);
  assert_found (f, project, FALSE, "abcd0001");
  assert_found (f, link, FALSE, "abcd0001");
  assert_found (f, odd, FALSE, "abcd0001");
  g_assert_cmpint (chdir (project), ==, 0);
  assert_found (f, ".", FALSE, "abcd0001");
  assert_found (f, "../project", FALSE, "abcd0001");
  assert_not_found (f, "..", FALSE, VM_ERROR_NOT_FOUND);
  assert_not_found (f, "project", FALSE, VM_ERROR_NOT_FOUND); /* a name, not a path */
  g_assert_cmpint (chdir (f->path), ==, 0);
  g_assert_cmpint (rmdir (project), ==, 0);
  assert_found (f, "./project", FALSE, "abcd0001"); /* the directory has gone meanwhile */
  g_assert_cmpint (chdir (here), ==, 0);
}

static void
test_find_project (Fixture *f, gconstpointer data)
{
  vm_autofd a = add_running (f, "abcd0001", "app", "/p", 0, VM_STATE_RUNNING);
  vm_autofd b = add_running (f, "abcd0002", "app-2", "/p", 0, VM_STATE_RUNNING);
  vm_autofd c = add_running (f, "abcd0003", "app-3", "/p", 0, VM_STATE_STOPPING);
  g_autoptr (VmRecord) newest = vm_store_find_project (&f->dirs, "/p");

  g_assert_cmpstr (newest->id, ==, "abcd0002");
  g_assert_null (vm_store_find_project (&f->dirs, "/q"));
}

static void
test_names (Fixture *f, gconstpointer data)
{
  static const char *const projects[][2] = {{"/home/u/my app", "myapp"}, {"/a/.hidden", "hidden"},
                                            {"/a/-x_y.z", "x_y.z"},      {"/a/\346\227\245", "sandbox"},
                                            {"/a/b\nc\033", "bc"},       {"/", "sandbox"}};
  vm_autofd a = add_running (f, "abcd0001", "app", "/p", 0, VM_STATE_RUNNING);
  vm_autofd b = add_running (f, "abcd0002", "app-2", "/p", 0, VM_STATE_RUNNING);
  g_autofree char *third = vm_store_new_name (&f->dirs, NULL, "/x/app", NULL);
  g_autofree char *wanted = vm_store_new_name (&f->dirs, "other", "/x/app", NULL);
  g_autoptr (GError) error = NULL;

  g_assert_cmpstr (third, ==, "app-3");
  g_assert_cmpstr (wanted, ==, "other");
  g_assert_null (vm_store_new_name (&f->dirs, "app", "/x/y", &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_EXISTS);
  for (gsize i = 0; i < G_N_ELEMENTS (projects); i++) {
    g_autofree char *name = vm_store_name_of_project (projects[i][0]);

    g_assert_cmpstr (name, ==, projects[i][1]);
  }
}

static void
test_ids (Fixture *f, gconstpointer data)
{
  char id[9], other[9];

  g_assert_true (vm_store_new_id (&f->dirs, id, NULL));
  g_assert_true (vm_store_new_id (&f->dirs, other, NULL));
  g_assert_true (vm_store_is_id (id));
  g_assert_true (g_ascii_islower (id[0]));
  g_assert_cmpstr (id, !=, other);
  g_assert_false (vm_store_is_id ("abcd000"));
  g_assert_false (vm_store_is_id ("abcd00000"));
  g_assert_false (vm_store_is_id ("abcd.../"));
}

static void
test_remove (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  add_ended (f, "abcd0001", "app", "/p");
  g_assert_true (vm_store_remove (&f->dirs, "abcd0001", &error));
  assert_list (f, TRUE, "");
  g_assert_false (vm_store_remove (&f->dirs, "../../run", &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_USAGE);
  g_assert_true (exists (f->path, "state"));
}

/* Sweeping */

/* Supervisor and keeper have both been killed. */
static void
test_sweep_lost (Fixture *f, gconstpointer data)
{
  pid_t keeper = start_sleeper ();
  vm_autofd lock = add_running (f, "abcd0001", "app", "/p", keeper, VM_STATE_RUNNING);
  g_autoptr (VmRecord) record = NULL;

  end_sleeper (keeper);
  vm_fd_clear (&lock);
  assert_list (f, FALSE, "");
  record = ended_record (f, "abcd0001");
  g_assert_cmpint (record->state, ==, VM_STATE_ENDED);
  g_assert_cmpint (record->reason, ==, VM_REASON_SUPERVISOR_LOST);
  g_assert_cmpint (record->ended, >, record->created);
  g_assert_cmpstr (record->name, ==, "app");
  g_assert_false (exists (f->dirs.runtime, "abcd0001"));
  assert_problems (f, 0);
}

/* A start that was interrupted has a keeper, but nothing that could be taken over. */
static void
test_sweep_starting (Fixture *f, gconstpointer data)
{
  pid_t keeper = start_sleeper ();
  vm_autofd lock = add_running (f, "abcd0001", "app", "/p", keeper, VM_STATE_STARTING);

  vm_fd_clear (&lock);
  vm_store_sweep (&f->dirs, f->problems);
  g_assert_true (has_ended (keeper));
  end_sleeper (keeper);
  g_assert_false (exists (f->dirs.runtime, "abcd0001"));
  assert_problems (f, 0);
}

/* The keeper's pid is another's now: that one is left alone. */
static void
test_sweep_reused_pid (Fixture *f, gconstpointer data)
{
  pid_t other = start_sleeper ();
  g_autoptr (VmRecord) record = new_record ("abcd0001", "app", "/p", VM_STATE_RUNNING), ended = NULL;

  g_assert_true (vm_process_identify (other, &record->keeper, NULL));
  record->keeper.start--;
  write_record (f->dirs.runtime, record);
  close (make_lock (f, "abcd0001", FALSE));
  vm_store_sweep (&f->dirs, f->problems);
  g_assert_false (has_ended (other));
  end_sleeper (other);
  ended = ended_record (f, "abcd0001");
  g_assert_cmpint (ended->reason, ==, VM_REASON_SUPERVISOR_LOST);
}

static void
test_sweep_held (Fixture *f, gconstpointer data)
{
  pid_t keeper = start_sleeper ();
  vm_autofd starting = add_running (f, "abcd0001", "app", "/p", keeper, VM_STATE_STARTING);
  vm_autofd dead = add_running (f, "abcd0002", "app", "/p", 0, VM_STATE_STOPPING);

  vm_store_sweep (&f->dirs, f->problems);
  assert_problems (f, 0);
  g_assert_false (has_ended (keeper));
  end_sleeper (keeper);
  assert_list (f, FALSE, "abcd0001 abcd0002 ");
}

/* A supervisor with so much memory that its end takes a while, in which it still holds its lock. */
static pid_t
start_supervisor (Fixture *f, const char *id)
{
  enum { MEMORY = 256 << 20 };
  g_autoptr (VmRecord) record = new_record (id, "app", "/p", VM_STATE_RUNNING);
  int ends[2];
  char byte;
  pid_t pid;

  write_record (f->dirs.runtime, record);
  g_assert_cmpint (pipe (ends), ==, 0);
  pid = fork ();
  if (pid == 0) {
    char *memory = g_malloc (MEMORY);

    prctl (PR_SET_PDEATHSIG, SIGKILL);
    (void)make_lock (f, id, TRUE);
    for (gsize i = 0; i < MEMORY; i += 4096)
      memory[i] = 1;
    (void)!write (ends[1], "x", 1);
    for (;;)
      pause ();
  }
  close (ends[1]);
  g_assert_cmpint (read (ends[0], &byte, 1), ==, 1);
  close (ends[0]);
  g_assert_true (vm_process_identify (pid, &record->supervisor, NULL));
  write_record (f->dirs.runtime, record);
  return pid;
}

static gboolean
is_exiting (pid_t pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/stat", (int)pid);
  g_autofree char *text = NULL;
  unsigned long flags = 0;

  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  g_assert_cmpint (sscanf (strrchr (text, ')'), ") %*c %*d %*d %*d %*d %*d %lu", &flags), ==, 1);
  return (flags & 4) != 0; /* PF_EXITING */
}

static void
test_sweep_exiting (Fixture *f, gconstpointer data)
{
  pid_t pid = start_supervisor (f, "abcd0001");

  vm_store_sweep (&f->dirs, f->problems);
  assert_list (f, FALSE, "abcd0001 ");
  kill (pid, SIGKILL);
  while (!is_exiting (pid))
    ;
  vm_store_sweep (&f->dirs, f->problems);
  assert_problems (f, 0);
  g_assert_false (exists (f->dirs.runtime, "abcd0001"));
  waitpid (pid, NULL, 0);
}

/* The supervisor was killed between its last record and the removal of its directory. */
static void
test_sweep_buried (Fixture *f, gconstpointer data)
{
  vm_autofd lock = add_running (f, "abcd0001", "app", "/p", 0, VM_STATE_STOPPING);
  g_autoptr (VmRecord) record = NULL;

  add_ended (f, "abcd0001", "app", "/p");
  vm_fd_clear (&lock);
  vm_store_sweep (&f->dirs, f->problems);
  record = ended_record (f, "abcd0001");
  g_assert_cmpint (record->reason, ==, VM_REASON_EXITED);
  g_assert_false (exists (f->dirs.runtime, "abcd0001"));
  assert_problems (f, 0);
}

static gpointer
let_go (gpointer data)
{
  g_usleep (100 * G_TIME_SPAN_MILLISECOND);
  close (GPOINTER_TO_INT (data));
  return NULL;
}

/* The same, and whoever was at it has not quite ended. */
static void
test_sweep_while_removed (Fixture *f, gconstpointer data)
{
  g_autofree char *record = g_build_filename (f->dirs.runtime, "abcd0001", "record.json", NULL);
  int lock = add_running (f, "abcd0001", "app", "/p", 0, VM_STATE_STOPPING);
  GThread *thread;

  add_ended (f, "abcd0001", "app", "/p");
  g_assert_cmpint (unlink (record), ==, 0);
  thread = g_thread_new ("lock", let_go, GINT_TO_POINTER (lock));
  vm_store_sweep (&f->dirs, f->problems);
  g_thread_join (thread);
  g_assert_false (exists (f->dirs.runtime, "abcd0001"));
  assert_problems (f, 0);
}

/* The same, further on: the record had been removed already, or the lock. */
static void
test_sweep_half_removed (Fixture *f, gconstpointer data)
{
  g_autofree char *record = g_build_filename (f->dirs.runtime, "abcd0001", "record.json", NULL);
  g_autofree char *lock = g_build_filename (f->dirs.runtime, "abcd0002", "lock", NULL);
  g_autofree char *dir = g_build_filename (f->dirs.runtime, "abcd0002", NULL);
  struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};

  close (add_running (f, "abcd0001", "app", "/p", 0, VM_STATE_STOPPING));
  close (add_running (f, "abcd0002", "app", "/p", 0, VM_STATE_STOPPING));
  add_ended (f, "abcd0001", "app", "/p");
  add_ended (f, "abcd0002", "app", "/p");
  g_assert_cmpint (unlink (record), ==, 0);
  g_assert_cmpint (unlink (lock), ==, 0);
  vm_store_sweep (&f->dirs, f->problems);
  g_assert_false (exists (f->dirs.runtime, "abcd0001"));
  g_assert_true (exists (f->dirs.runtime, "abcd0002")); /* somebody may be removing it just now */
  g_assert_cmpint (utimensat (AT_FDCWD, dir, old, 0), ==, 0);
  vm_store_sweep (&f->dirs, f->problems);
  g_assert_false (exists (f->dirs.runtime, "abcd0002"));
  assert_problems (f, 0);
}

/* What was being taken away is taken away by the next, and nobody sees a sandbox in it. */
static void
test_sweep_half_gone (Fixture *f, gconstpointer data)
{
  g_autofree char *from = g_build_filename (f->dirs.runtime, "abcd0001", NULL);
  g_autofree char *to = g_build_filename (f->dirs.runtime, ".old-abcd0001", NULL);
  g_autofree char *lock = g_build_filename (to, "lock", NULL);
  g_autoptr (GPtrArray) list = NULL;

  close (add_running (f, "abcd0001", "app", "/p", 0, VM_STATE_STOPPING));
  add_ended (f, "abcd0001", "app", "/p");
  g_assert_cmpint (rename (from, to), ==, 0);
  g_assert_cmpint (unlink (lock), ==, 0);
  list = vm_store_list (&f->dirs, FALSE, f->problems, NULL);
  g_assert_nonnull (list);
  g_assert_cmpuint (list->len, ==, 0);
  g_assert_false (exists (f->dirs.runtime, ".old-abcd0001"));
  assert_problems (f, 0);
}

/* A cleaner of temporary files took the lock away; the supervisor lives. */
static void
test_sweep_lock_cleaned (Fixture *f, gconstpointer data)
{
  pid_t supervisor = start_sleeper (), keeper = start_sleeper ();
  g_autoptr (VmRecord) record = new_record ("abcd0001", "app", "/p", VM_STATE_RUNNING);
  g_autofree char *dir = g_build_filename (f->dirs.runtime, "abcd0001", NULL);
  struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};

  g_assert_true (vm_process_identify (supervisor, &record->supervisor, NULL));
  g_assert_true (vm_process_identify (keeper, &record->keeper, NULL));
  write_record (f->dirs.runtime, record);
  g_assert_cmpint (utimensat (AT_FDCWD, dir, old, 0), ==, 0);
  vm_store_sweep (&f->dirs, f->problems);
  g_assert_false (has_ended (keeper));
  g_assert_true (exists (f->dirs.runtime, "abcd0001"));
  end_sleeper (supervisor);
  vm_store_sweep (&f->dirs, f->problems);
  g_assert_true (has_ended (keeper));
  end_sleeper (keeper);
  g_assert_false (exists (f->dirs.runtime, "abcd0001"));
}

static void
test_sweep_half_made (Fixture *f, gconstpointer data)
{
  static const char *const names[] = {".new-aaaa0001", ".new-aaaa0002", ".new-aaaa0003", ".new-aaaa0004"};
  struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
  g_autofree char *foreign = g_build_filename (f->dirs.runtime, ".other", NULL);
  g_autofree char *fourth = g_build_filename (f->dirs.runtime, names[3], NULL);
  vm_autofd held = -1;

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autofree char *path = g_build_filename (f->dirs.runtime, names[i], NULL);

    g_assert_true (vm_file_make_private_dir (path, NULL));
  }
  g_assert_true (vm_file_make_private_dir (foreign, NULL));
  held = make_lock (f, names[0], TRUE);
  close (make_lock (f, names[1], FALSE));
  g_assert_cmpint (utimensat (AT_FDCWD, fourth, old, 0), ==, 0);
  vm_store_sweep (&f->dirs, f->problems);
  assert_problems (f, 0);
  g_assert_true (exists (f->dirs.runtime, names[0]));  /* its maker lives */
  g_assert_false (exists (f->dirs.runtime, names[1])); /* its maker has died */
  g_assert_true (exists (f->dirs.runtime, names[2]));  /* made just now */
  g_assert_false (exists (f->dirs.runtime, names[3])); /* and never finished */
  g_assert_true (exists (f->dirs.runtime, ".other"));
}

static void
test_sweep_broken (Fixture *f, gconstpointer data)
{
  g_autofree char *path = g_build_filename (f->dirs.runtime, "abcd0001", "record.json", NULL);

  close (add_running (f, "abcd0001", "app", "/p", 0, VM_STATE_RUNNING));
  g_assert_true (g_file_set_contents (path, "{\"format\":", -1, NULL));
  vm_store_sweep (&f->dirs, f->problems);
  assert_problems (f, 1);
  g_assert_nonnull (strstr (g_ptr_array_index (f->problems, 0), "abcd0001"));
  g_assert_true (exists (f->dirs.runtime, "abcd0001"));
  vm_store_sweep (&f->dirs, NULL);
  g_assert_true (g_file_set_contents (path, "null", -1, NULL));
  vm_store_sweep (&f->dirs, f->problems);
  assert_problems (f, 2);
}

/* The keeper lives and the agent was up: somebody takes over, and has the lock. */
static void
test_sweep_adopts (Fixture *f, gconstpointer data)
{
  pid_t keeper = start_sleeper ();
  g_autofree char *said = g_build_filename (f->path, "adopted", NULL), *text = NULL;

  close (add_running (f, "abcd0001", "app", "/p", keeper, VM_STATE_RUNNING));
  g_setenv ("TEST_STORE_SAID", said, TRUE);
  g_setenv ("TEST_STORE_ANSWER", "ok\n", TRUE);
  vm_store_sweep (&f->dirs, f->problems);
  assert_problems (f, 0);
  g_assert_true (g_file_get_contents (said, &text, NULL, NULL));
  g_assert_cmpstr (text, ==, "abcd0001 locked");
  g_assert_false (has_ended (keeper));
  end_sleeper (keeper);
  g_assert_true (exists (f->dirs.runtime, "abcd0001"));
}

static void
test_sweep_adopt_fails (Fixture *f, gconstpointer data)
{
  static const struct {
    const char *answer, *needle;
  } cases[] = {{"error 7 no plan\n", "no plan"}, {"", "died"}, {"what?\n", "nonsense"}};
  pid_t keeper = start_sleeper ();

  close (add_running (f, "abcd0001", "app", "/p", keeper, VM_STATE_RUNNING));
  g_unsetenv ("TEST_STORE_SAID");
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    vm_autofd lock = make_lock (f, "abcd0001", FALSE);

    g_assert_cmpint (flock (lock, LOCK_EX), ==, 0); /* the one before has ended */
    vm_fd_clear (&lock);
    g_setenv ("TEST_STORE_ANSWER", cases[i].answer, TRUE);
    vm_store_sweep (&f->dirs, f->problems);
    assert_problems (f, i + 1);
    g_assert_nonnull (strstr (g_ptr_array_index (f->problems, i), cases[i].needle));
  }
  g_assert_false (has_ended (keeper));
  end_sleeper (keeper);
}

static int
adopter (int argc, char **argv)
{
  const char *said = getenv ("TEST_STORE_SAID"), *answer = getenv ("TEST_STORE_ANSWER");
  int lock = -1, ready = -1;
  const char *id = "?";

  for (int i = 1; i < argc; i++) {
    if (strncmp (argv[i], "--lock-fd=", 10) == 0)
      lock = atoi (argv[i] + 10);
    else if (strncmp (argv[i], "--ready-fd=", 11) == 0)
      ready = atoi (argv[i] + 11);
    else if (strcmp (argv[i], "--adopt") == 0 && i + 1 < argc)
      id = argv[i + 1];
  }
  if (said != NULL) {
    FILE *file = fopen (said, "w");
    g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d", lock);
    int second = open (path, O_RDWR);

    fprintf (file, "%s %s", id, flock (second, LOCK_EX | LOCK_NB) < 0 ? "locked" : "free");
    fclose (file);
  }
  return write (ready, answer, strlen (answer)) < 0;
}

int
main (int argc, char **argv)
{
  if (argc > 1 && strcmp (argv[1], "supervise") == 0)
    return adopter (argc, argv);
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func) g_test_add ("/vmctl/store/" name, Fixture, NULL, set_up, func, tear_down)
  ADD ("nothing", test_nothing);
  ADD ("not-ours", test_not_ours);
  ADD ("list", test_list);
  ADD ("list-once", test_list_once);
  ADD ("list-problems", test_list_problems);
  ADD ("find", test_find);
  ADD ("find-ambiguous", test_find_ambiguous);
  ADD ("find-ended", test_find_ended);
  ADD ("find-path", test_find_path);
  ADD ("find-project", test_find_project);
  ADD ("names", test_names);
  ADD ("ids", test_ids);
  ADD ("remove", test_remove);
  ADD ("sweep-lost", test_sweep_lost);
  ADD ("sweep-starting", test_sweep_starting);
  ADD ("sweep-reused-pid", test_sweep_reused_pid);
  ADD ("sweep-held", test_sweep_held);
  ADD ("sweep-exiting", test_sweep_exiting);
  ADD ("sweep-buried", test_sweep_buried);
  ADD ("sweep-while-removed", test_sweep_while_removed);
  ADD ("sweep-half-removed", test_sweep_half_removed);
  ADD ("sweep-lock-cleaned", test_sweep_lock_cleaned);
  ADD ("sweep-half-gone", test_sweep_half_gone);
  ADD ("sweep-half-made", test_sweep_half_made);
  ADD ("sweep-broken", test_sweep_broken);
  ADD ("sweep-adopts", test_sweep_adopts);
  ADD ("sweep-adopt-fails", test_sweep_adopt_fails);
  return g_test_run ();
}
