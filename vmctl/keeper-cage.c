/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/keeper-cage.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { STATUS_FAILED = 127, STATUS_SIGNAL = 128 };

/* What the child has is the child's: a copy here would hide that it has closed it. */
static void
let_go (void)
{
  int nothing = open ("/dev/null", O_RDWR | O_CLOEXEC);

  for (int fd = 0; fd < 3 && nothing >= 0; fd++)
    (void)dup2 (nothing, fd);
  (void)syscall (SYS_close_range, 3U, ~0U, 0U);
}

static void
wait_for_go (int fd)
{
  char byte;
  ssize_t n;

  do
    n = read (fd, &byte, 1);
  while (n < 0 && errno == EINTR);
  if (n != 1)
    _exit (STATUS_FAILED); /* the keeper has gone meanwhile */
}

/* The first process: it also reaps whatever loses its parent. */
static void
be_first (int gate, void (*run) (void *data), void *data)
{
  pid_t child, ended;
  int status = 0;

  (void)prctl (PR_SET_PDEATHSIG, SIGKILL);
  wait_for_go (gate); /* from here on the keeper's death is ours */
  child = fork ();
  if (child == 0)
    run (data);
  let_go ();
  do
    ended = waitpid (-1, &status, 0);
  while (ended != child && (ended > 0 || errno == EINTR));
  if (ended < 0)
    _exit (STATUS_FAILED);
  _exit (WIFSIGNALED (status) ? STATUS_SIGNAL + WTERMSIG (status) : WEXITSTATUS (status));
}

pid_t
keeper_cage_fork (void (*run) (void *data), void *data)
{
  int gate[2];
  pid_t pid;

  if (pipe2 (gate, O_CLOEXEC) < 0)
    return -1;
  pid = (pid_t)syscall (SYS_clone, CLONE_NEWPID | SIGCHLD, NULL, NULL, NULL, NULL);
  if (pid == 0) {
    (void)close (gate[1]);
    be_first (gate[0], run, data);
  }
  (void)close (gate[0]);
  if (pid > 0 && write (gate[1], "g", 1) != 1)
    (void)kill (pid, SIGKILL);
  (void)close (gate[1]);
  return pid;
}

static void
run_command (void *data)
{
  char **command = data;

  execvp (command[0], command);
  fprintf (stderr, "vmctl-keeper: cannot run '%s': %s\n", command[0], strerror (errno));
  _exit (STATUS_FAILED);
}

int
keeper_cage_run (char **command, pid_t parent)
{
  int status = 0;
  pid_t pid;

  (void)prctl (PR_SET_PDEATHSIG, SIGKILL); /* a user namespace was made, which unties from the parent */
  if (getppid () != parent)
    return STATUS_FAILED;
  pid = keeper_cage_fork (run_command, command);
  if (pid < 0)
    return STATUS_FAILED;
  while (waitpid (pid, &status, 0) < 0 && errno == EINTR)
    ;
  return WIFSIGNALED (status) ? STATUS_SIGNAL + WTERMSIG (status) : WEXITSTATUS (status);
}

int
keeper_cage_stamp (int fd, char **command)
{
  struct timespec now;
  int64_t stamp;

  (void)clock_gettime (CLOCK_REALTIME, &now);
  stamp = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
  (void)!write (fd, &stamp, sizeof stamp);
  run_command (command);
  return STATUS_FAILED;
}

void
keeper_cage_end_orphans (void)
{
  char text[4096];
  int fd;

  while ((fd = open ("/proc/thread-self/children", O_RDONLY | O_CLOEXEC)) >= 0) {
    ssize_t n = read (fd, text, sizeof text - 1);

    (void)close (fd);
    if (n <= 0)
      return;
    text[n] = '\0';
    for (char *rest = text, *word; (word = strsep (&rest, " ")) != NULL;)
      if (*word != '\0' && rest != NULL) /* each ends with a space: a word that was cut does not */
        (void)kill (atoi (word), SIGKILL);
    (void)waitpid (-1, NULL, 0);
  }
}
