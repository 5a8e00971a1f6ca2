/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/json.h"
#include "vmctl/base/process.h"

static pid_t
start_child (const char *name)
{
  int ends[2];
  char byte;
  pid_t pid;

  g_assert_cmpint (pipe (ends), ==, 0);
  pid = fork ();
  if (pid == 0) {
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    prctl (PR_SET_NAME, name);
    close (ends[0]);
    close (ends[1]);
    for (;;)
      pause ();
  }
  close (ends[1]);
  g_assert_cmpint (read (ends[0], &byte, 1), ==, 0); /* the child has its name now */
  close (ends[0]);
  return pid;
}

static void
end_child (pid_t pid)
{
  kill (pid, SIGKILL);
  g_assert_cmpint (waitpid (pid, NULL, 0), ==, pid);
}

static void
test_self (void)
{
  VmProcess self;

  vm_process_self (&self);
  g_assert_cmpint (self.pid, ==, getpid ());
  g_assert_cmpuint (self.start, >, 0);
  g_assert_cmpuint (strlen (self.boot_id), ==, 36);
  g_assert_true (vm_process_alive (&self));
}

/* Field 22 is counted from the last bracket: a name may have brackets and spaces itself. */
static void
test_odd_name (void)
{
  pid_t pid = start_child (") S 1 2 (x) 9"), plain = start_child ("plain");
  VmProcess odd, other;

  g_assert_true (vm_process_identify (pid, &odd, NULL));
  g_assert_true (vm_process_identify (plain, &other, NULL));
  g_assert_cmpuint (odd.start, >, 100);
  g_assert_cmpuint (other.start - odd.start, <, 100000); /* of ticks: made one after the other */
  g_assert_true (vm_process_alive (&odd));
  end_child (pid);
  end_child (plain);
}

static void
test_gone (void)
{
  pid_t pid = start_child ("x");
  g_autoptr (GError) error = NULL;
  VmProcess process;

  g_assert_true (vm_process_identify (pid, &process, NULL));
  end_child (pid);
  g_assert_false (vm_process_alive (&process));
  g_assert_cmpint (vm_process_open (&process), ==, -1);
  g_assert_true (vm_process_signal (&process, SIGKILL, &error));
  g_assert_no_error (error);
  g_assert_false (vm_process_identify (pid, &process, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_NOT_FOUND);
}

/* The pid has been given to another process since: it is not signalled. */
static void
test_reused (void)
{
  pid_t pid = start_child ("x");
  VmProcess process, earlier, other_boot;

  g_assert_true (vm_process_identify (pid, &process, NULL));
  earlier = other_boot = process;
  earlier.start--;
  other_boot.boot_id[0] = other_boot.boot_id[0] == 'a' ? 'b' : 'a';
  g_assert_false (vm_process_alive (&earlier));
  g_assert_false (vm_process_alive (&other_boot));
  g_assert_true (vm_process_signal (&earlier, SIGKILL, NULL));
  g_assert_true (vm_process_signal (&other_boot, SIGKILL, NULL));
  g_assert_true (vm_process_alive (&process));
  end_child (pid);
}

static void
test_zombie (void)
{
  pid_t pid = start_child ("x");
  vm_autofd pidfd = -1;
  VmProcess process;

  g_assert_true (vm_process_identify (pid, &process, NULL));
  pidfd = vm_process_open (&process);
  g_assert_cmpint (pidfd, >=, 0);
  g_assert_false (vm_process_wait (pidfd, 0));
  g_assert_true (vm_process_signal (&process, SIGTERM, NULL));
  g_assert_true (vm_process_wait (pidfd, 60000));
  g_assert_false (vm_process_alive (&process)); /* a zombie: ended, not reaped */
  g_assert_cmpint (waitpid (pid, NULL, 0), ==, pid);
}

static void
test_wait_timeout (void)
{
  pid_t pid = start_child ("x");
  vm_autofd pidfd = -1;
  VmProcess process;
  gint64 before = g_get_monotonic_time ();

  g_assert_true (vm_process_identify (pid, &process, NULL));
  pidfd = vm_process_open (&process);
  g_assert_false (vm_process_wait (pidfd, 50));
  g_assert_cmpint (g_get_monotonic_time () - before, >=, 49000);
  end_child (pid);
  g_assert_true (vm_process_wait (pidfd, -1));
}

/* Killed, but it does not get to run: it shares a processor with us, and comes last. */
static void
test_wait_killed (void)
{
  struct sched_param none = {0};
  VmProcess process;
  cpu_set_t before, here;
  pid_t pid;

  g_assert_cmpint (sched_getaffinity (0, sizeof before, &before), ==, 0);
  CPU_ZERO (&here);
  CPU_SET (sched_getcpu (), &here);
  g_assert_cmpint (sched_setaffinity (0, sizeof here, &here), ==, 0);
  pid = fork ();
  if (pid == 0) {
    (void)sched_setscheduler (0, SCHED_IDLE, &none);
    for (;;)
      ;
  }
  g_assert_true (vm_process_identify (pid, &process, NULL));
  g_assert_cmpint (kill (pid, SIGKILL), ==, 0);
  g_assert_true (vm_process_wait_exiting (&process, 60000));
  g_assert_cmpint (waitpid (pid, NULL, 0), ==, pid);
  g_assert_cmpint (sched_setaffinity (0, sizeof before, &before), ==, 0);
}

static void
test_wait_exiting (void)
{
  pid_t pid = start_child ("x");
  VmProcess process;

  g_assert_true (vm_process_identify (pid, &process, NULL));
  g_assert_false (vm_process_wait_exiting (&process, 60000)); /* at once: it does not end */
  kill (pid, SIGKILL);
  while (!vm_process_wait_exiting (&process, 60000))
    ; /* the signal has yet to come to it */
  g_assert_false (vm_process_alive (&process));
  g_assert_cmpint (waitpid (pid, NULL, 0), ==, pid);
  g_assert_true (vm_process_wait_exiting (&process, 0));
}

static void
test_none (void)
{
  VmProcess none = {0}, negative = {.pid = -1}, init_group = {.pid = 0, .start = 1};

  g_assert_false (vm_process_alive (&none));
  g_assert_false (vm_process_alive (&negative));
  g_assert_true (vm_process_signal (&negative, SIGKILL, NULL)); /* not to every process there is */
  g_assert_true (vm_process_signal (&init_group, SIGKILL, NULL));
}

static void
test_json (void)
{
  static const char *const bad[] = {
      "{}", "[]", "{\"pid\":0}", "{\"pid\":-1}", "{\"pid\":\"1\"}", "{\"pid\":4294967297}"};
  g_autoptr (json_object) object = NULL;
  VmProcess self, again;

  vm_process_self (&self);
  object = vm_process_to_json (&self);
  g_assert_true (vm_process_from_json (object, &again));
  g_assert_cmpint (again.pid, ==, self.pid);
  g_assert_cmpuint (again.start, ==, self.start);
  g_assert_cmpstr (again.boot_id, ==, self.boot_id);
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_autoptr (json_object) broken = vm_json_parse (bad[i], strlen (bad[i]), NULL);

    again.pid = 5;
    g_assert_false (vm_process_from_json (broken, &again));
    g_assert_cmpint (again.pid, <=, 0);
  }
  g_assert_false (vm_process_from_json (NULL, &again));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/base/process/self", test_self);
  g_test_add_func ("/base/process/odd-name", test_odd_name);
  g_test_add_func ("/base/process/gone", test_gone);
  g_test_add_func ("/base/process/reused", test_reused);
  g_test_add_func ("/base/process/zombie", test_zombie);
  g_test_add_func ("/base/process/wait-timeout", test_wait_timeout);
  g_test_add_func ("/base/process/wait-exiting", test_wait_exiting);
  g_test_add_func ("/base/process/wait-killed", test_wait_killed);
  g_test_add_func ("/base/process/none", test_none);
  g_test_add_func ("/base/process/json", test_json);
  return g_test_run ();
}
