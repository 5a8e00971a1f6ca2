/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Drives the real vmctl-keeper (environment variable VMCTL_KEEPER). What needs namespaces runs as the user
 * that runs the test, and, when that is root, again as uid 65534; where there are none it is skipped. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmctl/base/argv.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"

enum { SOMEBODY = 65534, PATIENCE_MS = 60000 };

typedef struct {
  char *path, *door;
  int dir, go, socket; /* go: our end of the pipe; socket: a client's connection */
  int alive;           /* EOF when neither keeper nor child lives */
  VmArgv *argv;
  pid_t pid;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  int ends[2], alive[2];

  f->path = g_dir_make_tmp ("vmctl-keeper-XXXXXX", NULL);
  f->door = g_build_filename (f->path, "door", NULL);
  g_assert_cmpint (mkdir (f->door, 0700), ==, 0);
  f->dir = open (f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  g_assert_cmpint (pipe2 (ends, O_CLOEXEC), ==, 0);
  g_assert_cmpint (pipe2 (alive, O_CLOEXEC), ==, 0);
  f->go = ends[1];
  f->alive = alive[0];
  f->socket = -1;
  f->argv = vm_argv_new ();
  vm_argv_bind (f->argv, "go", ends[0]);
  vm_argv_bind (f->argv, "keeper", vm_fd_listen_unix (f->dir, "keeper.sock", SOCK_SEQPACKET, NULL));
  vm_argv_bind (f->argv, "dir", fcntl (f->dir, F_DUPFD_CLOEXEC, 3));
  vm_argv_bind (f->argv, "alive", alive[1]);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  vm_argv_free (f->argv);
  vm_fd_clear (&f->go);
  vm_fd_clear (&f->socket);
  vm_fd_clear (&f->alive);
  vm_fd_clear (&f->dir);
  g_assert_true (vm_file_remove_tree (AT_FDCWD, f->path, NULL));
  g_free (f->door);
  g_free (f->path);
}

/* Up to and with "--". */
static void
add_keeper_with (Fixture *f, gboolean namespaces, gboolean console, const char *net)
{
  static const char *const options[][2] = {{"go", "go"}, {"listen", "keeper"}, {"dir", "dir"}};

  vm_argv_add (f->argv, g_getenv ("VMCTL_KEEPER"));
  for (gsize i = 0; i < G_N_ELEMENTS (options); i++) {
    vm_argv_addf (f->argv, "--%s", options[i][0]);
    vm_argv_addf (f->argv, "%d", vm_argv_slot (f->argv, options[i][1]));
  }
  if (console) {
    vm_argv_add (f->argv, "--console");
    vm_argv_addf (f->argv, "%d", vm_argv_slot (f->argv, "console"));
  }
  if (net != NULL)
    vm_argv_add_many (f->argv, "--net", net, NULL);
  vm_argv_add (f->argv, namespaces ? "--door" : "--namespaces");
  vm_argv_add_many (f->argv, namespaces ? f->door : "no", "--", NULL);
}

static void
add_keeper (Fixture *f, gboolean namespaces, gboolean console)
{
  add_keeper_with (f, namespaces, console, NULL);
}

static void
spawn (Fixture *f)
{
  g_autoptr (GError) error = NULL;

  vm_argv_spawn (f->argv, VM_SPAWN_DIE_WITH_PARENT, &f->pid, NULL, &error);
  g_assert_no_error (error);
  g_clear_pointer (&f->argv, vm_argv_free);
}

static void
go (Fixture *f)
{
  f->socket = vm_fd_connect_unix (f->dir, "keeper.sock", SOCK_SEQPACKET, NULL);
  g_assert_cmpint (f->socket, >=, 0);
  g_assert_cmpint (write (f->go, "g", 1), ==, 1);
}

/* The keeper without namespaces, with a shell's command. */
static void
start_plain (Fixture *f, const char *command)
{
  add_keeper (f, FALSE, FALSE);
  vm_argv_add_many (f->argv, "/bin/sh", "-c", command, NULL);
  spawn (f);
  go (f);
}

static char *
hear (Fixture *f)
{
  struct pollfd p = {.fd = f->socket, .events = POLLIN};
  char text[512];
  ssize_t n;

  g_assert_cmpint (poll (&p, 1, PATIENCE_MS), ==, 1);
  n = recv (f->socket, text, sizeof text, 0);
  g_assert_cmpint (n, >=, 0);
  return g_strndup (text, (gsize)n);
}

static void
assert_hears (Fixture *f, const char *expected)
{
  g_autofree char *text = hear (f);

  g_assert_cmpstr (text, ==, expected);
}

/* Words with NULs between them. */
static void
ask (Fixture *f, const char *a, const char *b, const char *c, const char *d)
{
  const char *const words[] = {a, b, c, d};
  g_autoptr (GByteArray) request = g_byte_array_new ();

  for (gsize i = 0; i < G_N_ELEMENTS (words) && words[i] != NULL; i++) {
    if (i > 0)
      g_byte_array_append (request, (const guint8 *)"", 1);
    g_byte_array_append (request, (const guint8 *)words[i], (guint)strlen (words[i]));
  }
  g_assert_cmpint (send (f->socket, request->data, request->len, 0), ==, (gssize)request->len);
}

static int
reap (Fixture *f)
{
  int status;

  g_assert_cmpint (waitpid (f->pid, &status, 0), ==, f->pid);
  return status;
}

static void
assert_exit_file (Fixture *f, const char *expected)
{
  g_autofree char *text = vm_file_read (f->dir, "exit", 100, NULL, NULL);

  g_assert_cmpstr (text, ==, expected);
}

/* Nothing that was started lives any more. */
static void
assert_all_dead (Fixture *f)
{
  struct pollfd p = {.fd = f->alive, .events = POLLIN};

  g_assert_cmpint (poll (&p, 1, PATIENCE_MS), ==, 1);
}

/* Waits for a file that the child makes when it has come so far. */
static void
wait_for (Fixture *f, const char *name)
{
  struct stat st;

  for (guint i = 0; fstatat (f->dir, name, &st, 0) < 0; i++) {
    g_assert_cmpuint (i, <, 6000);
    g_usleep (10000);
  }
}

/* Life and death */

static void
test_eof (Fixture *f, gconstpointer data)
{
  add_keeper (f, FALSE, FALSE);
  vm_argv_add_many (f->argv, "/bin/sh", "-c", "echo ran > ran", NULL);
  spawn (f);
  vm_fd_clear (&f->go);
  g_assert_cmpint (reap (f), ==, 0);
  g_assert_null (vm_file_read (f->dir, "exit", 100, NULL, NULL));
  assert_all_dead (f);
}

static void
test_exit (Fixture *f, gconstpointer data)
{
  static const struct {
    const char *command, *how;
  } cases[] = {{"exit 0", "status 0"},
               {"exit 3", "status 3"},
               {"kill -9 $$", "signal 9"},
               {"exit 137", "signal 9"}, /* what bwrap makes of its child's signal */
               {"no-such-program-here", "status 127"}};

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *how = g_strdup_printf ("exit %s", cases[i].how);
    g_autofree char *line = g_strdup_printf ("%s\n", cases[i].how);
    g_autofree char *command = g_strdup_printf ("exec 2>/dev/null; %s", cases[i].command);
    Fixture one = {0};

    set_up (&one, NULL);
    start_plain (&one, command);
    assert_hears (&one, how);
    g_assert_cmpint (reap (&one), ==, 0);
    assert_exit_file (&one, line);
    assert_all_dead (&one);
    tear_down (&one, NULL);
  }
}

static void
test_not_found (Fixture *f, gconstpointer data)
{
  int ends[2];
  g_autofree char *said = NULL;

  g_assert_cmpint (pipe2 (ends, O_CLOEXEC), ==, 0);
  add_keeper (f, FALSE, FALSE);
  vm_argv_add (f->argv, "/no/such/bwrap");
  vm_argv_bind_stdio (f->argv, 2, ends[1]);
  spawn (f);
  go (f);
  assert_hears (f, "exit status 127");
  (void)reap (f);
  said = vm_fd_read_all (ends[0], 1000, NULL, NULL);
  g_assert_nonnull (strstr (said, "/no/such/bwrap"));
  close (ends[0]);
}

/* The child has what it needs, and neither the keeper's own descriptors nor its blocked signals; the keeper
 * has nothing of the child's. */
static void
test_descriptors (Fixture *f, gconstpointer data)
{
  g_autofree char *keepers = NULL, *out = NULL;
  g_autoptr (GDir) dir = NULL;
  int ends[2];
  guint n = 0;

  g_assert_cmpint (pipe2 (ends, O_CLOEXEC), ==, 0);
  add_keeper (f, FALSE, FALSE);
  vm_argv_bind (f->argv, "extra", open ("/dev/zero", O_RDONLY | O_CLOEXEC));
  vm_argv_bind_stdio (f->argv, 1, ends[1]);
  vm_argv_add_many (f->argv, "/bin/sh", "-c",
                    "for i in 3 4 5 6 7 8 9; do test -e /proc/$$/fd/$i && readlink /proc/$$/fd/$i; done;"
                    /* without a child: while the shell waits for one it may block signals itself */
                    "while read -r a b; do [ $a != SigBlk: ] || echo \"$a $b\"; done </proc/$$/status;"
                    "exec sleep 1000 >/dev/null",
                    NULL);
  spawn (f);
  go (f);
  /* EOF here: not even the keeper's own standard output holds the pipe. */
  out = vm_fd_read_all (ends[0], 4000, NULL, NULL);
  g_assert_true (g_str_has_prefix (out, "pipe:")); /* "alive" */
  g_assert_nonnull (strstr (out, "/dev/zero\n"));
  g_assert_null (strstr (out, "socket:"));
  g_assert_null (strstr (out, f->path));
  g_assert_nonnull (strstr (out, "SigBlk: 0000000000000000"));
  ask (f, "status", NULL, NULL, NULL); /* an answer: it has let go of the rest, and let the client in */
  g_free (hear (f));
  keepers = g_strdup_printf ("/proc/%d/fd", (int)f->pid);
  dir = g_dir_open (keepers, 0, NULL);
  while (g_dir_read_name (dir) != NULL)
    n++;
  g_assert_cmpuint (n, ==, 7); /* 0, 1, 2, the socket and its client, the directory, signals */
  close (ends[0]);
  kill (f->pid, SIGTERM);
  (void)reap (f);
}

static void
test_sigterm (Fixture *f, gconstpointer data)
{
  start_plain (f, "exec sleep 1000");
  ask (f, "status", NULL, NULL, NULL); /* an answer: it runs */
  g_free (hear (f));
  kill (f->pid, SIGTERM);
  assert_hears (f, "exit signal 9");
  g_assert_cmpint (reap (f), ==, 0);
  assert_exit_file (f, "signal 9\n");
  assert_all_dead (f);
}

/* The supervisor reads what the keeper complains about. When it has died, the keeper complains to nobody, and
 * goes on. (It cannot answer who has asked and gone: that is worth a complaint.) */
static void
test_nobody_listens (Fixture *f, gconstpointer data)
{
  int said[2], status;

  g_assert_cmpint (pipe2 (said, O_CLOEXEC), ==, 0);
  vm_argv_bind_stdio (f->argv, 2, said[1]);
  start_plain (f, "exec sleep 1000");
  vm_fd_clear (&said[0]);
  kill (f->pid, SIGSTOP);
  g_assert_cmpint (waitpid (f->pid, &status, WUNTRACED), ==, f->pid);
  ask (f, "status", NULL, NULL, NULL);
  vm_fd_clear (&f->socket);
  f->socket = vm_fd_connect_unix (f->dir, "keeper.sock", SOCK_SEQPACKET, NULL);
  kill (f->pid, SIGCONT);
  ask (f, "status", NULL, NULL, NULL);
  g_free (hear (f));
  kill (f->pid, SIGTERM);
  assert_hears (f, "exit signal 9");
  g_assert_cmpint (reap (f), ==, 0);
}

/* That is the keeper's own matter: its child dies of SIGPIPE as any program. */
static void
test_child_sigpipe (Fixture *f, gconstpointer data)
{
  start_plain (f, "kill -PIPE $$; exit 3");
  assert_hears (f, "exit signal 13");
  g_assert_cmpint (reap (f), ==, 0);
}

/* What the child has let go of, in a session of its own, ends with it. */
static void
test_orphans (Fixture *f, gconstpointer data)
{
  g_autofree char *command = g_strdup_printf (
      "setsid sh -c 'sleep 1000 & exec sleep 1000' & echo >'%s/started'; exec sleep 1000", f->path);

  start_plain (f, command);
  ask (f, "status", NULL, NULL, NULL);
  g_free (hear (f));
  wait_for (f, "started");
  kill (f->pid, SIGTERM);
  assert_hears (f, "exit signal 9");
  g_assert_cmpint (reap (f), ==, 0);
  assert_all_dead (f);
}

static void
test_sigkill (Fixture *f, gconstpointer data)
{
  start_plain (f, "exec sleep 1000");
  ask (f, "status", NULL, NULL, NULL);
  g_free (hear (f));
  kill (f->pid, SIGKILL);
  (void)reap (f);
  assert_all_dead (f);
  g_assert_null (vm_file_read (f->dir, "exit", 100, NULL, NULL));
}

static void
test_usage (Fixture *f, gconstpointer data)
{
  static const char *const lines[] = {"",
                                      "--go 0",
                                      "--go x --listen 0 --dir 0 -- true",
                                      "--bogus 1 -- true",
                                      "--go 0 --listen 0 --dir 0 --",
                                      "--go 77 --listen 0 --dir 0 -- true"};

  for (gsize i = 0; i < G_N_ELEMENTS (lines); i++) {
    g_auto (GStrv) words = g_strsplit (lines[i], " ", -1);
    g_autoptr (VmArgv) argv = vm_argv_new ();
    g_autoptr (GError) error = NULL;

    vm_argv_add (argv, g_getenv ("VMCTL_KEEPER"));
    if (*lines[i] != '\0')
      vm_argv_add_strv (argv, (const char *const *)words);
    g_assert_false (vm_argv_run (argv, NULL, &error));
    g_assert_error (error, VM_ERROR, VM_ERROR_CHILD);
    g_assert_nonnull (strstr (error->message, "status 2"));
  }
}

/* Requests */

static void
test_requests (Fixture *f, gconstpointer data)
{
  g_autofree char *status = NULL;

  start_plain (f, "exec sleep 1000");
  ask (f, "status", NULL, NULL, NULL);
  status = hear (f);
  g_assert_true (g_str_has_prefix (status, "running "));
  ask (f, "dance", NULL, NULL, NULL);
  assert_hears (f, "error unknown request");
  ask (f, "console", NULL, NULL, NULL);
  assert_hears (f, "error no console");
  ask (f, "bind", "/tmp", "x", "ro"); /* without a door */
  assert_hears (f, "error bad request");
  ask (f, "unbind", "x", NULL, NULL);
  assert_hears (f, "error bad request");
  kill (f->pid, SIGTERM);
  assert_hears (f, "exit signal 9");
  (void)reap (f);
}

/* More clients than it takes: the surplus is turned away, the others are served, and places become free. */
static void
test_clients (Fixture *f, gconstpointer data)
{
  int others[12];

  start_plain (f, "exec sleep 1000");
  for (gsize i = 0; i < G_N_ELEMENTS (others); i++)
    others[i] = vm_fd_connect_unix (f->dir, "keeper.sock", SOCK_SEQPACKET, NULL);
  ask (f, "status", NULL, NULL, NULL);
  g_free (hear (f));
  for (gsize i = 0; i < G_N_ELEMENTS (others); i++)
    close (others[i]);
  vm_fd_clear (&f->socket);
  f->socket = vm_fd_connect_unix (f->dir, "keeper.sock", SOCK_SEQPACKET, NULL);
  ask (f, "status", NULL, NULL, NULL);
  g_free (hear (f));
  kill (f->pid, SIGTERM);
  assert_hears (f, "exit signal 9");
  (void)reap (f);
}

/* Network cards. In place of vmctl-net this program says a word on its control socket, and stays. */

static void __attribute__ ((noreturn)) be_vmctl_net (const char *control)
{
  (void)!write (atoi (control), "I live", strlen ("I live"));
  for (;;)
    (void)pause ();
}

static void
start_with_net (Fixture *f, const char *net)
{
  add_keeper_with (f, FALSE, FALSE, net);
  vm_argv_add_many (f->argv, "/bin/sleep", "1000", NULL);
  spawn (f);
  go (f);
}

static void
ask_nic (Fixture *f, const char *name, guint n_fds, int *ret_control)
{
  g_autofree char *request = g_strconcat ("nic ", name, NULL);
  int control[2], packets[2], fds[4];

  request[3] = '\0';
  g_assert_true (vm_fd_socketpair (SOCK_SEQPACKET, control, NULL));
  g_assert_true (vm_fd_socketpair (SOCK_DGRAM, packets, NULL));
  fds[0] = packets[0];
  fds[1] = control[0];
  fds[2] = fds[3] = packets[1];
  g_assert_cmpint (vm_fd_send (f->socket, request, 4 + strlen (name), fds, n_fds), >, 0);
  *ret_control = control[1];
  (void)close (control[0]);
  (void)close (packets[0]);
  (void)close (packets[1]);
}

static void
assert_ended (int *control)
{
  struct pollfd p = {.fd = *control, .events = POLLIN};
  char byte;

  g_assert_cmpint (poll (&p, 1, PATIENCE_MS), ==, 1);
  g_assert_cmpint (recv (*control, &byte, 1, 0), ==, 0);
  vm_fd_clear (control);
}

static void
assert_says (int control, const char *wanted)
{
  struct pollfd p = {.fd = control, .events = POLLIN};
  char text[64];
  ssize_t n;

  g_assert_cmpint (poll (&p, 1, PATIENCE_MS), ==, 1);
  n = recv (control, text, sizeof text - 1, 0);
  g_assert_cmpint (n, >, 0);
  text[n] = '\0';
  g_assert_cmpstr (text, ==, wanted);
}

static void
test_nics (Fixture *f, gconstpointer data)
{
  g_autofree char *self = g_file_read_link ("/proc/self/exe", NULL);
  int control, other;

  start_with_net (f, self);
  ask_nic (f, "nic0", 4, &control);
  assert_hears (f, "ok");
  assert_says (control, "I live");
  ask_nic (f, "nic0", 4, &other);
  assert_hears (f, "error cannot start vmctl-net: File exists");
  assert_ended (&other);
  ask_nic (f, "nic1", 3, &other);
  assert_hears (f, "error bad request");
  assert_ended (&other);
  for (const char *const *name = (const char *const[]){"", "a/b", "A", "abcdefghijklmnopqrstu", NULL}; *name;
       name++) {
    ask_nic (f, *name, 4, &other);
    assert_hears (f, "error cannot start vmctl-net: Invalid argument");
    assert_ended (&other);
  }
  ask (f, "nic", "nic1", NULL, NULL);
  assert_hears (f, "error bad request");
  ask (f, "net", "nic0", NULL, NULL);
  assert_hears (f, "ok");
  ask (f, "net", "nic1", NULL, NULL);
  assert_hears (f, "error no network");
  ask (f, "unnic", "nic0", NULL, NULL);
  assert_hears (f, "ok");
  assert_ended (&control);
  ask (f, "unnic", "nic0", NULL, NULL);
  assert_hears (f, "error cannot end vmctl-net: No such file or directory");
  ask_nic (f, "nic0", 4, &control);
  assert_hears (f, "ok");
  assert_says (control, "I live");
  g_assert_cmpint (kill (f->pid, SIGKILL), ==, 0);
  (void)reap (f);
  assert_ended (&control);
}

/* One that ends at once is not started again, which is told. */
static void
test_nic_ends (Fixture *f, gconstpointer data)
{
  int control;

  start_with_net (f, "/nowhere/vmctl-net");
  ask_nic (f, "nic0", 4, &control);
  assert_hears (f, "ok");
  assert_hears (f, "nic nic0 down status 127");
  ask (f, "unnic", "nic0", NULL, NULL);
  assert_hears (f, "ok");
  assert_ended (&control);
  ask (f, "end", NULL, NULL, NULL);
  assert_hears (f, "ok");
  (void)reap (f);
}

/* The outer end of the serial line, for a supervisor that takes over. */
static void
test_console (Fixture *f, gconstpointer data)
{
  g_autoptr (GArray) fds = g_array_new (FALSE, FALSE, sizeof (int));
  char text[64];
  int ends[2], fd;

  g_assert_true (vm_fd_socketpair (SOCK_STREAM, ends, NULL));
  add_keeper (f, FALSE, TRUE);
  vm_argv_bind (f->argv, "console", ends[0]);
  vm_argv_bind_stdio (f->argv, 0, fcntl (ends[1], F_DUPFD_CLOEXEC, 3));
  vm_argv_bind_stdio (f->argv, 1, ends[1]);
  vm_argv_add_many (f->argv, "/bin/sh", "-c", "read x; echo got $x; exec sleep 1000", NULL);
  spawn (f);
  go (f);
  ask (f, "console", NULL, NULL, NULL);
  g_assert_cmpint (vm_fd_recv (f->socket, text, sizeof text, fds), ==, 2);
  g_assert_cmpmem (text, 2, "ok", 2);
  g_assert_cmpuint (fds->len, ==, 1);
  fd = g_array_index (fds, int, 0);
  g_assert_cmpint (write (fd, "hello\n", 6), ==, 6);
  g_assert_cmpint (recv (fd, text, 10, MSG_WAITALL), ==, 10);
  g_assert_cmpmem (text, 10, "got hello\n", 10);
  kill (f->pid, SIGTERM);
  (void)reap (f);
  g_assert_cmpint (read (fd, text, 1), ==, 0); /* and the line ends with QEMU */
  close (fd);
}

/* Namespaces: bwrap as the child, which looks at the door. */

static gboolean
has_bwrap (void)
{
  g_autofree char *bwrap = g_find_program_in_path ("bwrap");

  return bwrap != NULL;
}

static void
start_jail (Fixture *f, const char *command)
{
  g_autofree char *uid = g_strdup_printf ("%u", geteuid ()), *gid = g_strdup_printf ("%u", getegid ());

  add_keeper (f, TRUE, FALSE);
  vm_argv_add_many (f->argv, "bwrap", "--unshare-all", "--unshare-user", "--uid", uid, "--gid", gid,
                    "--die-with-parent", "--cap-drop", "ALL", "--ro-bind", "/usr", "/usr", "--symlink",
                    "usr/bin", "/bin", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64",
                    "--proc", "/proc", "--dev", "/dev", "--bind", f->door, "/door", "--bind", f->path, "/dir",
                    "--chdir", "/", "sh", "-c", command, NULL);
  spawn (f);
  go (f);
}

/* Inside: a loop that runs what it finds in the file `run`, so that the test can look again and again. */
static const char server[] =
    "echo up > /dir/up; while :; do if test -e /dir/run; then "
    "mv /dir/run /dir/now; sh /dir/now > /dir/out 2>&1; mv /dir/out /dir/result; fi; "
    "sleep 0.02; done";

static char *
inside (Fixture *f, const char *command)
{
  char *text;

  (void)unlinkat (f->dir, "result", 0);
  g_assert_true (vm_file_replace (f->dir, "run", command, strlen (command), 0600, FALSE, NULL));
  wait_for (f, "result");
  text = vm_file_read (f->dir, "result", 4000, NULL, NULL);
  return g_strchomp (text);
}

static void
assert_inside (Fixture *f, const char *command, const char *expected)
{
  g_autofree char *text = inside (f, command);

  g_assert_cmpstr (text, ==, expected);
}

static void
check_bind (Fixture *f)
{
  g_autofree char *source = g_build_filename (f->path, "source", NULL);
  g_autofree char *file = g_build_filename (source, "hello", NULL);
  g_autofree char *missing = g_build_filename (f->path, "missing", NULL);
  g_autofree char *flags = NULL;

  g_assert_cmpint (mkdir (source, 0700), ==, 0);
  g_assert_true (g_file_set_contents (file, "hi", 2, NULL));
  start_jail (f, server);
  wait_for (f, "up");
  ask (f, "bind", source, "x", "rw");
  assert_hears (f, "ok");
  assert_inside (f, "cat /door/x/hello; echo new > /door/x/new; cat /door/x/new", "hinew");
  ask (f, "bind", source, "y", "ro");
  assert_hears (f, "ok");
  assert_inside (f, "cat /door/y/hello; (echo no > /door/y/no) 2>/dev/null || echo refused", "hirefused");
  flags = inside (f, "grep ' /door/x ' /proc/self/mountinfo");
  g_assert_nonnull (strstr (flags, "nosuid,nodev"));
  ask (f, "bind", source, "w", "something"); /* whatever is not rw */
  assert_hears (f, "ok");
  assert_inside (f, "(echo no > /door/w/no) 2>/dev/null || echo refused", "refused");
  ask (f, "bind", file, "f", "ro");
  assert_hears (f, "ok");
  assert_inside (f, "cat /door/f", "hi");
  ask (f, "bind", missing, "z", "rw");
  assert_hears (f, "error cannot mount: No such file or directory");
  ask (f, "bind", source, "x", "ro"); /* taken */
  assert_hears (f, "error cannot mount: File exists");
  assert_inside (f, "ls /door", "f\nw\nx\ny");
  ask (f, "unbind", "x", NULL, NULL);
  assert_hears (f, "ok");
  ask (f, "unbind", "f", NULL, NULL);
  assert_hears (f, "ok");
  assert_inside (f, "ls /door", "w\ny");
  ask (f, "unbind", "x", NULL, NULL);
  {
    g_autofree char *answer = hear (f);

    g_assert_true (g_str_has_prefix (answer, "error cannot unmount"));
  }
  ask (f, "bind", source, "x", "ro"); /* and free again */
  assert_hears (f, "ok");
  assert_inside (f, "(echo no > /door/x/no) 2>/dev/null || echo refused", "refused");
  /* Nothing of it outside: the mounts are the keeper's own. */
  g_free (g_steal_pointer (&flags));
  g_assert_true (g_file_get_contents ("/proc/self/mountinfo", &flags, NULL, NULL));
  g_assert_null (strstr (flags, f->door));
  kill (f->pid, SIGTERM);
  assert_hears (f, "exit signal 9");
  (void)reap (f);
  assert_all_dead (f);
  g_assert_true (g_file_test (file, G_FILE_TEST_EXISTS));
}

static void
check_bad_names (Fixture *f)
{
  static const char *const names[] = {"",
                                      ".",
                                      "..",
                                      "../x",
                                      "a/b",
                                      "/x",
                                      ".x",
                                      "A",
                                      "a b",
                                      "a\n",
                                      "0123456789012345678901234567890123456789012345678901234567890123x"};
  g_autofree char *listing = NULL;

  start_jail (f, server);
  wait_for (f, "up");
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++) {
    ask (f, "bind", f->path, names[i], "rw");
    assert_hears (f, "error bad request");
    ask (f, "unbind", names[i], NULL, NULL);
    assert_hears (f, "error bad request");
  }
  ask (f, "bind", "relative", "x", "rw");
  assert_hears (f, "error bad request");
  ask (f, "bind", NULL, NULL, NULL);
  assert_hears (f, "error bad request");
  listing = inside (f, "ls -A /door");
  g_assert_cmpstr (listing, ==, "");
  kill (f->pid, SIGTERM);
  (void)reap (f);
}

static void
check_exit (Fixture *f)
{
  start_jail (f, "exit 7");
  assert_hears (f, "exit status 7");
  (void)reap (f);
  assert_exit_file (f, "status 7\n");
  assert_all_dead (f);
}

/* QEMU was killed: bwrap says so by its status. */
static void
check_signal (Fixture *f)
{
  start_jail (f, "kill -SEGV $$");
  assert_hears (f, "exit signal 11");
  (void)reap (f);
  assert_exit_file (f, "signal 11\n");
}

static void
check_killed (Fixture *f)
{
  start_jail (f, "sleep 1000 & echo up > /dir/up; sleep 1000");
  wait_for (f, "up");
  kill (f->pid, SIGKILL);
  (void)reap (f);
  assert_all_dead (f);
}

static void
as (uid_t uid, void (*check) (Fixture *f))
{
  pid_t pid = fork ();
  int status;

  if (pid == 0) {
    Fixture f = {0};

    prctl (PR_SET_PDEATHSIG, SIGKILL);
    if (uid != geteuid () && (setresgid (uid, uid, uid) < 0 || setresuid (uid, uid, uid) < 0))
      _exit (99);
    prctl (PR_SET_DUMPABLE, 1, 0, 0, 0);
    set_up (&f, NULL);
    check (&f);
    tear_down (&f, NULL);
    _exit (0);
  }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_cmpint (status, ==, 0);
}

static gboolean
can_unshare (uid_t uid)
{
  pid_t pid = fork ();
  int status;

  if (pid == 0) {
    g_autoptr (VmArgv) argv = vm_argv_new ();

    if (uid != geteuid () && (setresgid (uid, uid, uid) < 0 || setresuid (uid, uid, uid) < 0))
      _exit (1);
    vm_argv_add_many (argv, "bwrap", "--unshare-all", "--unshare-user", "--ro-bind", "/", "/", "true", NULL);
    _exit (vm_argv_run (argv, NULL, NULL) ? 0 : 1);
  }
  waitpid (pid, &status, 0);
  return status == 0;
}

/* The program must be reachable for the other user, too. */
static gboolean
can_execute (uid_t uid)
{
  pid_t pid = fork ();
  int status;

  if (pid == 0) {
    if (uid != geteuid () && (setresgid (uid, uid, uid) < 0 || setresuid (uid, uid, uid) < 0))
      _exit (1);
    _exit (access (g_getenv ("VMCTL_KEEPER"), X_OK) == 0 ? 0 : 1);
  }
  waitpid (pid, &status, 0);
  return status == 0;
}

typedef struct {
  const char *name;
  void (*check) (Fixture *f);
} JailTest;

static const JailTest jail_tests[] = {{"bind", check_bind},
                                      {"bad-names", check_bad_names},
                                      {"exit", check_exit},
                                      {"signal", check_signal},
                                      {"killed", check_killed}};

static void
run_jail_test (const JailTest *test, uid_t uid)
{
  if (!has_bwrap ())
    g_test_skip ("bwrap is not installed");
  else if (!can_execute (uid))
    g_test_skip ("the other user cannot reach the keeper");
  else if (!can_unshare (uid))
    g_test_skip ("bwrap cannot make namespaces here");
  else
    as (uid, test->check);
}

static void
test_jail (gconstpointer data)
{
  run_jail_test (data, geteuid ());
}

static void
test_jail_other (gconstpointer data)
{
  if (geteuid () != 0)
    g_test_skip ("not root: the test ran as an ordinary user already");
  else
    run_jail_test (data, SOMEBODY);
}

int
main (int argc, char **argv)
{
  if (argc > 4 && strcmp (argv[1], "--packet") == 0)
    be_vmctl_net (argv[4]);
  (void)signal (SIGPIPE, SIG_IGN);
  g_test_init (&argc, &argv, NULL);
  g_assert_nonnull (g_getenv ("VMCTL_KEEPER"));
#define ADD(name, func) g_test_add ("/vmctl/keeper/" name, Fixture, NULL, set_up, func, tear_down)
  ADD ("eof", test_eof);
  ADD ("exit", test_exit);
  ADD ("not-found", test_not_found);
  ADD ("descriptors", test_descriptors);
  ADD ("sigterm", test_sigterm);
  ADD ("nobody-listens", test_nobody_listens);
  ADD ("child-sigpipe", test_child_sigpipe);
  ADD ("orphans", test_orphans);
  ADD ("sigkill", test_sigkill);
  ADD ("usage", test_usage);
  ADD ("requests", test_requests);
  ADD ("clients", test_clients);
  ADD ("console", test_console);
  ADD ("nics", test_nics);
  ADD ("nic-ends", test_nic_ends);
  for (gsize i = 0; i < G_N_ELEMENTS (jail_tests); i++) {
    g_autofree char *own = g_strconcat ("/vmctl/keeper/jail/", jail_tests[i].name, NULL);
    g_autofree char *other = g_strconcat ("/vmctl/keeper/jail-ordinary-user/", jail_tests[i].name, NULL);

    g_test_add_data_func (own, &jail_tests[i], test_jail);
    g_test_add_data_func (other, &jail_tests[i], test_jail_other);
  }
  return g_test_run ();
}
