/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The test program is its own child: `test-base-argv --child WHAT...` says what it was given. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmctl/base/argv.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/json.h"

/* The child */

static int
by_number (const void *a, const void *b)
{
  return *(const int *)a - *(const int *)b;
}

static int
print_descriptors (void)
{
  DIR *dir = opendir ("/proc/self/fd");
  struct dirent *entry;
  int fds[64], n = 0;

  while ((entry = readdir (dir)) != NULL)
    if (entry->d_name[0] != '.' && atoi (entry->d_name) != dirfd (dir) && n < 64)
      fds[n++] = atoi (entry->d_name);
  closedir (dir);
  qsort (fds, (size_t)n, sizeof *fds, by_number);
  for (int i = 0; i < n; i++)
    printf ("%s%d", i > 0 ? " " : "", fds[i]);
  return 0;
}

static int
print_content (int fd)
{
  char text[256];
  ssize_t n = read (fd, text, sizeof text);

  return n < 0 || fwrite (text, 1, (size_t)n, stdout) != (size_t)n;
}

static int
print_signals (void)
{
  sigset_t blocked;
  struct sigaction action;

  sigprocmask (SIG_SETMASK, NULL, &blocked);
  sigaction (SIGPIPE, NULL, &action);
  printf ("%s %s", sigismember (&blocked, SIGUSR1) ? "blocked" : "open",
          action.sa_handler == SIG_DFL ? "default" : "ignored");
  return 0;
}

static int
child (int argc, char **argv)
{
  const char *what = argv[0];

  if (strcmp (what, "fds") == 0)
    return print_descriptors ();
  if (strcmp (what, "content") == 0) {
    for (int i = 1; i < argc; i++)
      if (print_content (atoi (argv[i])) != 0)
        return 1;
    return 0;
  }
  if (strcmp (what, "env") == 0) {
    for (char **p = environ; *p != NULL; p++)
      printf ("%s\n", *p);
    return 0;
  }
  if (strcmp (what, "words") == 0) {
    for (int i = 1; i < argc; i++)
      fwrite (argv[i], 1, strlen (argv[i]) + 1, stdout);
    return 0;
  }
  if (strcmp (what, "signals") == 0)
    return print_signals ();
  if (strcmp (what, "session") == 0)
    return printf ("%s", getsid (0) == getpid () ? "own" : "parent's") < 0;
  if (strcmp (what, "flood") == 0) {
    for (int i = 0; i < atoi (argv[1]); i++)
      putchar ('x');
    return 0;
  }
  if (strcmp (what, "complain") == 0) {
    for (int i = 0; i < atoi (argv[1]); i++)
      fprintf (stderr, "chatter %d\n", i);
    fprintf (stderr, "%s\n", argv[2]);
    return atoi (argv[3]);
  }
  if (strcmp (what, "kill") == 0)
    return raise (SIGKILL);
  if (strcmp (what, "wait") == 0)
    return pause ();
  return 99;
}

/* The parent */

static VmArgv *
new_child (const char *what)
{
  VmArgv *argv = vm_argv_new ();
  g_autofree char *self = g_file_read_link ("/proc/self/exe", NULL);

  vm_argv_add_many (argv, self, "--child", what, NULL);
  return argv;
}

static char *
run (VmArgv *argv)
{
  g_autoptr (GError) error = NULL;
  char *out = NULL;

  vm_argv_run (argv, &out, &error);
  g_assert_no_error (error);
  return out;
}

static int
open_at (int number)
{
  int fd = open ("/dev/null", O_RDONLY), at = fcntl (fd, F_DUPFD, number);

  close (fd);
  return at;
}

static int
pipe_with (const char *text)
{
  int ends[2];

  g_assert_true (pipe2 (ends, O_CLOEXEC) == 0);
  g_assert_cmpint (write (ends[1], text, strlen (text)), ==, (gssize)strlen (text));
  close (ends[1]);
  return ends[0];
}

static void
test_slots (void)
{
  g_autoptr (VmArgv) argv = vm_argv_new ();

  g_assert_cmpint (vm_argv_slot (argv, "a"), ==, 3);
  g_assert_cmpint (vm_argv_slot (argv, "b"), ==, 4);
  g_assert_cmpint (vm_argv_slot (argv, "a"), ==, 3);
  vm_argv_bind (argv, "c", open ("/dev/null", O_RDONLY | O_CLOEXEC));
  g_assert_cmpint (vm_argv_slot (argv, "c"), ==, 5);
}

static void
test_words (void)
{
  static const char *const odd[] = {"", "a b", "-x", "a\nb", "'\"$`\\", "caf\303\251", "\377\001", NULL};
  g_autoptr (VmArgv) argv = new_child ("words");
  g_autofree char *self = NULL;
  g_autofree char *out = NULL;
  const char *at;

  vm_argv_add_strv (argv, odd);
  vm_argv_addf (argv, "fd=%d", 7);
  vm_argv_add_json (argv, vm_json_parse ("{\"a\": \"/b\"}", 11, NULL));
  out = run (argv);
  at = out;
  for (const char *const *p = odd; *p != NULL; p++, at += strlen (at) + 1)
    g_assert_cmpstr (at, ==, *p);
  g_assert_cmpstr (at, ==, "fd=7");
  g_assert_cmpstr (at + strlen (at) + 1, ==, "{\"a\":\"/b\"}");
}

/* Nothing of ours gets in but the slots, whatever is open here and however it is marked. */
static void
test_only_slots (void)
{
  g_autoptr (VmArgv) argv = new_child ("fds");
  int leaks[] = {open_at (3), open_at (20), open_at (200)};
  g_autofree char *out = NULL;

  vm_argv_bind (argv, "one", open ("/dev/null", O_RDONLY | O_CLOEXEC));
  vm_argv_bind (argv, "two", open ("/dev/null", O_RDONLY | O_CLOEXEC));
  out = run (argv);
  g_assert_cmpstr (out, ==, "0 1 2 3 4");
  for (guint i = 0; i < G_N_ELEMENTS (leaks); i++)
    close (leaks[i]);
}

/* Sources that sit on each other's numbers: 3 and 4 crossed, 5 on itself, and the same over the low ones. */
static void
test_collisions (void)
{
  g_autoptr (VmArgv) argv = new_child ("content");
  int hold[3] = {-1, -1, -1};
  int fds[3] = {pipe_with ("A"), pipe_with ("B"), pipe_with ("C")}, high[3];
  g_autofree char *out = NULL;

  for (int i = 0; i < 3; i++) {
    high[i] = fcntl (fds[i], F_DUPFD_CLOEXEC, 100);
    close (fds[i]);
  }
  for (int i = 3; i <= 5; i++)
    if (fcntl (i, F_GETFD) >= 0)
      hold[i - 3] = fcntl (i, F_DUPFD_CLOEXEC, 150);
  g_assert_cmpint (dup3 (high[0], 4, O_CLOEXEC), ==, 4);
  g_assert_cmpint (dup3 (high[1], 3, O_CLOEXEC), ==, 3);
  g_assert_cmpint (dup3 (high[2], 5, O_CLOEXEC), ==, 5);
  for (int i = 0; i < 3; i++)
    close (high[i]);
  vm_argv_bind (argv, "a", 4);
  vm_argv_bind (argv, "b", 3);
  vm_argv_bind (argv, "c", 5);
  vm_argv_add_many (argv, "3", "4", "5", NULL);
  out = run (argv);
  g_assert_cmpstr (out, ==, "ABC");
  g_clear_pointer (&argv, vm_argv_free);
  for (int i = 3; i <= 5; i++)
    if (hold[i - 3] >= 0)
      dup3 (hold[i - 3], i, O_CLOEXEC);
  for (int i = 0; i < 3; i++)
    vm_fd_clear (&hold[i]);
}

/* The numbers are free here: a copy made on the way must not land on one of them. */
static void
test_free_numbers (void)
{
  g_autoptr (VmArgv) argv = new_child ("content");
  int first = pipe_with ("A"), second = pipe_with ("B"), hold[2];
  g_autofree char *out = NULL;

  vm_argv_bind (argv, "a", fcntl (first, F_DUPFD_CLOEXEC, 100));
  vm_argv_bind (argv, "b", fcntl (second, F_DUPFD_CLOEXEC, 100));
  close (first);
  close (second);
  for (int i = 0; i < 2; i++) {
    hold[i] = fcntl (3 + i, F_GETFD) >= 0 ? fcntl (3 + i, F_DUPFD_CLOEXEC, 150) : -1;
    close (3 + i);
  }
  vm_argv_add_many (argv, "3", "4", NULL);
  out = run (argv);
  g_assert_cmpstr (out, ==, "AB");
  for (int i = 0; i < 2; i++)
    if (hold[i] >= 0) {
      dup3 (hold[i], 3 + i, O_CLOEXEC);
      close (hold[i]);
    }
}

/* More of them than descriptors that are open here, so that their numbers run over everything in use. */
static void
bind_many (VmArgv *argv, int n)
{
  for (int i = 0; i < n; i++) {
    g_autofree char *name = g_strdup_printf ("slot-%d", i), *text = g_strdup_printf ("%d ", i);
    g_autoptr (GBytes) bytes = g_bytes_new (text, strlen (text));

    vm_argv_bind_bytes (argv, name, bytes);
  }
}

static void
test_many (void)
{
  g_autoptr (VmArgv) argv = new_child ("content"), bad = vm_argv_new ();
  g_autoptr (GString) expected = g_string_new (NULL);
  g_autoptr (GError) error = NULL;
  g_autofree char *out = NULL;
  pid_t pid;

  bind_many (argv, 60);
  for (int i = 0; i < 60; i++) {
    vm_argv_addf (argv, "%d", 3 + i);
    g_string_append_printf (expected, "%d ", i);
  }
  out = run (argv);
  g_assert_cmpstr (out, ==, expected->str);
  vm_argv_add (bad, "/no/such/program");
  bind_many (bad, 60);
  g_assert_false (vm_argv_spawn (bad, 0, &pid, NULL, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_NOT_FOUND);
}

static void
test_bind_twice (void)
{
  g_autoptr (VmArgv) argv = new_child ("content");
  int first = pipe_with ("old");
  g_autofree char *out = NULL;

  vm_argv_bind (argv, "a", first);
  vm_argv_bind (argv, "a", pipe_with ("new"));
  g_assert_cmpint (fcntl (first, F_GETFD), ==, -1);
  vm_argv_add (argv, "3");
  out = run (argv);
  g_assert_cmpstr (out, ==, "new");
}

static void
test_bytes (void)
{
  g_autoptr (VmArgv) argv = new_child ("content");
  g_autoptr (GBytes) bytes = g_bytes_new_static ("some\nbytes", 10), none = g_bytes_new_static ("", 0);
  g_autofree char *out = NULL;

  vm_argv_bind_bytes (argv, "bytes", bytes);
  vm_argv_bind_bytes (argv, "none", none);
  vm_argv_add_many (argv, "3", "4", NULL);
  out = run (argv);
  g_assert_cmpstr (out, ==, "some\nbytes");
}

static void
test_unbound (void)
{
  g_autoptr (VmArgv) argv = new_child ("fds");
  g_autoptr (GError) error = NULL;
  pid_t pid;

  (void)vm_argv_slot (argv, "disk");
  g_assert_false (vm_argv_spawn (argv, 0, &pid, NULL, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_FAILED);
  g_assert_nonnull (strstr (error->message, "'disk'"));
}

static void
test_stdio (void)
{
  g_autoptr (VmArgv) argv = new_child ("content"), unbound = new_child ("content");
  g_autofree char *out = NULL, *empty = NULL;

  vm_argv_add (argv, "0");
  vm_argv_bind_stdio (argv, 0, pipe_with ("typed"));
  out = run (argv);
  g_assert_cmpstr (out, ==, "typed");
  vm_argv_add (unbound, "0");
  empty = run (unbound);
  g_assert_cmpstr (empty, ==, "");
}

static void
test_environment (void)
{
  g_autoptr (VmArgv) inherits = new_child ("env"), own = new_child ("env"), none = new_child ("env");
  g_autofree char *all = NULL, *two = NULL, *nothing = NULL;

  g_setenv ("TEST_BASE_ARGV", "here", TRUE);
  all = run (inherits);
  g_assert_nonnull (strstr (all, "TEST_BASE_ARGV=here\n"));
  vm_argv_setenv (own, "A", "1");
  vm_argv_setenv (own, "B", "x=y z");
  vm_argv_setenv (own, "A", "2");
  two = run (own);
  g_assert_cmpstr (two, ==, "A=2\nB=x=y z\n");
  vm_argv_clearenv (none);
  nothing = run (none);
  g_assert_cmpstr (nothing, ==, "");
}

static void
test_signals (void)
{
  g_autoptr (VmArgv) argv = new_child ("signals");
  g_autofree char *out = NULL;
  sigset_t set, old;
  void (*before) (int) = signal (SIGPIPE, SIG_IGN);

  sigemptyset (&set);
  sigaddset (&set, SIGUSR1);
  sigprocmask (SIG_BLOCK, &set, &old);
  out = run (argv);
  sigprocmask (SIG_SETMASK, &old, NULL);
  signal (SIGPIPE, before);
  g_assert_cmpstr (out, ==, "open default");
}

static char *
session_of (VmSpawnFlags flags)
{
  g_autoptr (VmArgv) argv = new_child ("session");
  g_autoptr (GError) error = NULL;
  int ends[2];
  vm_autofd read_end = -1;
  char *out;
  pid_t pid;

  g_assert_true (pipe2 (ends, O_CLOEXEC) == 0);
  read_end = ends[0];
  vm_argv_bind_stdio (argv, 1, ends[1]);
  vm_argv_spawn (argv, flags, &pid, NULL, &error);
  g_assert_no_error (error);
  g_clear_pointer (&argv, vm_argv_free);
  out = vm_fd_read_all (read_end, 100, NULL, NULL);
  waitpid (pid, NULL, 0);
  return out;
}

static void
test_session (void)
{
  g_autofree char *own = session_of (VM_SPAWN_NEW_SESSION), *ours = session_of (0);

  g_assert_cmpstr (own, ==, "own");
  g_assert_cmpstr (ours, ==, "parent's");
}

static void
assert_cannot_run (const char *program, VmErrorCode code)
{
  g_autoptr (VmArgv) argv = vm_argv_new ();
  g_autoptr (GError) error = NULL;
  pid_t pid = 0;

  vm_argv_add (argv, program);
  g_assert_false (vm_argv_spawn (argv, 0, &pid, NULL, &error));
  g_assert_error (error, VM_ERROR, (int)code);
  g_assert_nonnull (strstr (error->message, program));
  g_assert_cmpint (pid, ==, 0);
  g_assert_cmpint (waitpid (-1, NULL, WNOHANG), ==, -1); /* no child is left to reap */
}

static void
test_cannot_run (void)
{
  assert_cannot_run ("/no/such/program", VM_ERROR_NOT_FOUND);
  assert_cannot_run ("no-such-program-anywhere", VM_ERROR_NOT_FOUND);
  assert_cannot_run ("/etc/passwd", VM_ERROR_FAILED);
  assert_cannot_run ("/", VM_ERROR_FAILED);
}

static void
test_pidfd (void)
{
  g_autoptr (VmArgv) argv = new_child ("wait");
  g_autoptr (GError) error = NULL;
  vm_autofd pidfd = -1;
  struct pollfd p;
  pid_t pid;
  int status;

  vm_argv_spawn (argv, VM_SPAWN_DIE_WITH_PARENT, &pid, &pidfd, &error);
  g_assert_no_error (error);
  g_assert_cmpint (pidfd, >=, 3);
  g_assert_true ((fcntl (pidfd, F_GETFD) & FD_CLOEXEC) != 0);
  p = (struct pollfd){.fd = pidfd, .events = POLLIN};
  g_assert_cmpint (poll (&p, 1, 0), ==, 0);
  kill (pid, SIGTERM);
  g_assert_cmpint (poll (&p, 1, 60000), ==, 1);
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_true (WIFSIGNALED (status) && WTERMSIG (status) == SIGTERM);
}

/* A parent that is killed takes such a child along. */
static void
test_die_with_parent (void)
{
  int ends[2];
  struct pollfd p;
  pid_t middle;

  g_assert_true (pipe2 (ends, O_CLOEXEC) == 0);
  middle = fork ();
  if (middle == 0) {
    VmArgv *argv = new_child ("wait");
    pid_t pid;

    vm_argv_bind (argv, "alive", ends[1]);
    if (!vm_argv_spawn (argv, VM_SPAWN_DIE_WITH_PARENT, &pid, NULL, NULL))
      _exit (1);
    (void)raise (SIGKILL);
  }
  close (ends[1]);
  waitpid (middle, NULL, 0);
  p = (struct pollfd){.fd = ends[0], .events = POLLIN};
  g_assert_cmpint (poll (&p, 1, 60000), ==, 1); /* EOF: nobody holds the other end any more */
  close (ends[0]);
}

static char *
failure_of (VmArgv *argv)
{
  g_autoptr (GError) error = NULL;
  char *out = NULL;

  g_assert_false (vm_argv_run (argv, &out, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_CHILD);
  g_assert_null (out);
  return g_strdup (error->message);
}

static void
test_run_fails (void)
{
  g_autoptr (VmArgv) status = new_child ("complain"), killed = new_child ("kill");
  g_autoptr (VmArgv) chatty = new_child ("complain");
  g_autofree char *a = NULL, *b = NULL, *c = NULL;

  vm_argv_add_many (status, "0", "disk\033[31m full", "3", NULL);
  a = failure_of (status);
  g_assert_nonnull (strstr (a, "failed with status 3"));
  g_assert_nonnull (strstr (a, "disk\\x1b[31m full"));
  b = failure_of (killed);
  g_assert_nonnull (strstr (b, "killed by signal 9"));
  vm_argv_add_many (chatty, "200000", "the reason", "1", NULL);
  c = failure_of (chatty);
  g_assert_nonnull (strstr (c, "the reason"));
  g_assert_cmpuint (strlen (c), <, 4000);
}

static void
test_run_output_bound (void)
{
  g_autoptr (VmArgv) most = new_child ("flood"), more = new_child ("flood");
  g_autoptr (GError) error = NULL;
  g_autofree char *out = NULL, *none = NULL;

  vm_argv_add (most, "1048576");
  out = run (most);
  g_assert_cmpuint (strlen (out), ==, 1048576);
  vm_argv_add (more, "1048577");
  g_assert_false (vm_argv_run (more, &none, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_INVALID);
  g_assert_null (none);
}

static void
test_to_string (void)
{
  g_autoptr (VmArgv) argv = vm_argv_new ();
  g_autofree char *line = NULL, *lines = NULL;

  vm_argv_add_many (argv, "qemu", "-m", "64", "-name", "a 'b'", "\033", NULL);
  line = vm_argv_to_string (argv, FALSE);
  lines = vm_argv_to_string (argv, TRUE);
  g_assert_true (g_str_has_prefix (line, "qemu -m 64 -name 'a '"));
  g_assert_null (strchr (line, '\033'));
  g_assert_true (g_str_has_prefix (lines, "qemu \\\n  -m 64 \\\n  -name "));
}

static void
test_to_json (void)
{
  g_autoptr (VmArgv) argv = vm_argv_new ();
  g_autoptr (json_object) object = NULL;
  g_autofree char *text = NULL;

  vm_argv_add_many (argv, "x", "\377", NULL);
  (void)vm_argv_slot (argv, "go");
  object = vm_argv_to_json (argv);
  text = vm_json_line (object);
  g_assert_cmpstr (text, ==, "{\"argv\":[\"x\",\"\\\\xff\"],\"descriptors\":{\"go\":3}}");
}

/* Nothing that was bound, or opened on the way, stays open. */
static void
test_no_leak (void)
{
  int before = open ("/dev/null", O_RDONLY | O_CLOEXEC), after;

  close (before);
  for (int i = 0; i < 5; i++) {
    g_autoptr (VmArgv) good = new_child ("fds"), bad = vm_argv_new ();
    g_autoptr (GBytes) bytes = g_bytes_new_static ("x", 1);
    g_autofree char *out = NULL;
    pid_t pid;

    vm_argv_bind_bytes (good, "x", bytes);
    out = run (good);
    vm_argv_add (bad, "/no/such/program");
    vm_argv_bind_bytes (bad, "x", bytes);
    g_assert_false (vm_argv_spawn (bad, 0, &pid, NULL, NULL));
  }
  after = open ("/dev/null", O_RDONLY | O_CLOEXEC);
  g_assert_cmpint (after, ==, before);
  close (after);
}

int
main (int argc, char **argv)
{
  if (argc > 2 && strcmp (argv[1], "--child") == 0)
    return child (argc - 2, argv + 2);
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/base/argv/slots", test_slots);
  g_test_add_func ("/base/argv/words", test_words);
  g_test_add_func ("/base/argv/only-slots", test_only_slots);
  g_test_add_func ("/base/argv/collisions", test_collisions);
  g_test_add_func ("/base/argv/free-numbers", test_free_numbers);
  g_test_add_func ("/base/argv/many", test_many);
  g_test_add_func ("/base/argv/bind-twice", test_bind_twice);
  g_test_add_func ("/base/argv/bytes", test_bytes);
  g_test_add_func ("/base/argv/unbound", test_unbound);
  g_test_add_func ("/base/argv/stdio", test_stdio);
  g_test_add_func ("/base/argv/environment", test_environment);
  g_test_add_func ("/base/argv/signals", test_signals);
  g_test_add_func ("/base/argv/session", test_session);
  g_test_add_func ("/base/argv/cannot-run", test_cannot_run);
  g_test_add_func ("/base/argv/pidfd", test_pidfd);
  g_test_add_func ("/base/argv/die-with-parent", test_die_with_parent);
  g_test_add_func ("/base/argv/run-fails", test_run_fails);
  g_test_add_func ("/base/argv/run-output-bound", test_run_output_bound);
  g_test_add_func ("/base/argv/to-string", test_to_string);
  g_test_add_func ("/base/argv/to-json", test_to_json);
  g_test_add_func ("/base/argv/no-leak", test_no_leak);
  return g_test_run ();
}
