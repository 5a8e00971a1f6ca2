/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The fake QEMU itself: its ends, and that it can stand in QEMU's place. $FAKE_QEMU is the program. */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmctl/base/argv.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/json.h"

/* Runs `script` against a peer that says `says` and then hangs up; the wait status. */
static int
run (const char *script, const char *says)
{
  g_autoptr (VmArgv) argv = vm_argv_new ();
  g_autoptr (GBytes) bytes = g_bytes_new (script, strlen (script));
  g_autoptr (GError) error = NULL;
  int fds[2], status;
  pid_t pid;

  g_assert_true (vm_fd_socketpair (SOCK_STREAM, fds, NULL));
  vm_argv_add (argv, g_getenv ("FAKE_QEMU"));
  vm_argv_add (argv, "--fd");
  vm_argv_addf (argv, "%d", vm_argv_slot (argv, "qmp"));
  vm_argv_add (argv, "--script");
  vm_argv_addf (argv, "/proc/self/fd/%d", vm_argv_slot (argv, "script"));
  vm_argv_bind (argv, "qmp", fds[1]);
  vm_argv_bind_bytes (argv, "script", bytes);
  vm_argv_spawn (argv, VM_SPAWN_DIE_WITH_PARENT, &pid, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (vm_fd_write_all (fds[0], says, strlen (says), NULL));
  g_assert_cmpint (shutdown (fds[0], SHUT_WR), ==, 0);
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  (void)close (fds[0]);
  return status;
}

static void
check_exit (const char *script, const char *says, int code)
{
  int status = run (script, says);

  g_test_message ("%s", script);
  g_assert_true (WIFEXITED (status));
  g_assert_cmpint (WEXITSTATUS (status), ==, code);
}

static void
test_ends (void)
{
  const char *stop = "{\"execute\":\"stop\",\"arguments\":{\"a\":1,\"b\":[2]}}";

  check_exit ("# nothing\n", "", 0);
  check_exit ("expect stop\nreturn\n", stop, 0);
  check_exit ("expect stop {\"b\":[2]}\n", stop, 0);
  check_exit ("expect stop {\"b\":[3]}\n", stop, 3);
  check_exit ("expect stop {\"c\":1}\n", stop, 3);
  check_exit ("expect cont\n", stop, 3);
  check_exit ("expect stop fds=1\n", stop, 3);
  check_exit ("expect stop\n", "{\"execute\":1}", 3);
  check_exit ("expect stop\nexpect stop\n", stop, 4);
  check_exit ("dance\n", "", 2);
  check_exit ("event X {\n", "", 2);
  check_exit ("exit 42\n", "", 42);
  check_exit ("serve\n", stop, 0);
  g_assert_cmpint (run ("die 11\n", ""), !=, 0);
  g_assert_true (WIFSIGNALED (run ("die 9\n", "")));
  g_assert_cmpint (WTERMSIG (run ("die 9\n", "")), ==, 9);
}

/* Started with QEMU's words: greeting and answers on the passed listening socket, and a record of how. */
static void
test_in_place (void)
{
  g_autofree char *dir = g_dir_make_tmp ("vmctl-test-XXXXXX", NULL);
  g_autofree char *dump = g_build_filename (dir, "dump", NULL);
  g_autofree char *text = NULL;
  g_autoptr (VmArgv) argv = vm_argv_new ();
  g_autoptr (GString) heard = g_string_new (NULL);
  g_autoptr (json_object) record = NULL;
  vm_autofd dir_fd = open (dir, O_DIRECTORY | O_CLOEXEC);
  vm_autofd fd = -1;
  const char *says =
      "{\"execute\":\"qmp_capabilities\"}{\"execute\":\"cont\",\"id\":7}{\"execute\":\"quit\"}";
  pid_t pid;
  int status;
  ssize_t n;
  char bytes[1024];

  vm_argv_add (argv, g_getenv ("FAKE_QEMU"));
  vm_argv_add_many (argv, "-machine", "none", "-chardev", NULL);
  vm_argv_addf (argv, "socket,id=qmp,fd=%d,server=on,wait=off", vm_argv_slot (argv, "qmp"));
  vm_argv_setenv (argv, "FAKE_QEMU_DUMP", dump);
  vm_argv_bind (argv, "qmp", vm_fd_listen_unix (dir_fd, "q", SOCK_STREAM, NULL));
  g_assert_true (vm_argv_spawn (argv, VM_SPAWN_DIE_WITH_PARENT, &pid, NULL, NULL));
  fd = vm_fd_connect_unix (dir_fd, "q", SOCK_STREAM, NULL);
  g_assert_cmpint (fd, >=, 0);
  g_assert_true (vm_fd_write_all (fd, says, strlen (says), NULL));
  while ((n = recv (fd, bytes, sizeof bytes, 0)) > 0)
    g_string_append_len (heard, bytes, n);
  g_assert_true (g_str_has_prefix (heard->str, "{\"QMP\":{"));
  g_assert_nonnull (strstr (heard->str, "{\"return\":{},\"id\":7}\r\n"));
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_cmpint (status, ==, 0);
  g_assert_true (g_file_get_contents (dump, &text, NULL, NULL));
  record = vm_json_parse (text, strlen (text), NULL);
  g_assert_cmpint (json_object_array_length (vm_json_array (record, "argv")), ==, 5);
  g_assert_cmpint (json_object_array_length (vm_json_array (record, "fds")), ==, 4); /* 0, 1, 2, the socket */
  g_assert_cmpint (unlink (dump), ==, 0);
  g_assert_cmpint (unlinkat (dir_fd, "q", 0), ==, 0);
  g_assert_cmpint (rmdir (dir), ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  if (g_getenv ("FAKE_QEMU") == NULL)
    return 77;
  g_test_add_func ("/fake-qemu/ends", test_ends);
  g_test_add_func ("/fake-qemu/in-place", test_in_place);
  return g_test_run ();
}
