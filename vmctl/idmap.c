/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/idmap.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

static int
write_proc (pid_t pid, const char *name, const char *text)
{
  char path[64];
  ssize_t n;
  int fd;

  (void)snprintf (path, sizeof path, "/proc/%d/%s", (int)pid, name);
  fd = open (path, O_WRONLY | O_CLOEXEC);
  if (fd < 0)
    return -1;
  n = write (fd, text, strlen (text));
  (void)close (fd);
  return n == (ssize_t)strlen (text) ? 0 : -1;
}

/* A user namespace is made by being in one: a child is, until its descriptor is open. */
int
idmap_make (const char *uid_map, const char *gid_map)
{
  char path[64];
  int status, fd = -1;
  pid_t pid = (pid_t)syscall (SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL);

  if (pid == 0)
    for (;;)
      (void)pause ();
  if (pid < 0)
    return -1;
  (void)snprintf (path, sizeof path, "/proc/%d/ns/user", (int)pid);
  if (write_proc (pid, "uid_map", uid_map) == 0 && write_proc (pid, "gid_map", gid_map) == 0)
    fd = open (path, O_RDONLY | O_CLOEXEC);
  (void)kill (pid, SIGKILL);
  while (waitpid (pid, &status, 0) < 0 && errno == EINTR)
    ;
  return fd;
}
