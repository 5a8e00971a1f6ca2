/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "meta/agent/launch.h"
#include "meta/agent/util.h"

enum { CAPABILITIES_MAX = 64 };

/* A text file without "#!" is a shell script, as shells have it. */
static void
exec_as_script (const char *path, const Launch *launch)
{
  char **argv = calloc (launch->n_argv + 2, sizeof (char *));

  if (!argv)
    return;
  argv[0] = (char *)"/bin/sh";
  argv[1] = (char *)path;
  for (size_t i = 1; i < launch->n_argv; i++)
    argv[i + 1] = launch->argv[i];
  execve ("/bin/sh", argv, launch->env);
}

/* Returns only on failure: the errno. */
static int
exec_path (const char *path, const Launch *launch)
{
  struct stat st;

  execve (path, launch->argv, launch->env);
  if (errno == ENOEXEC)
    exec_as_script (path, launch);
  if (errno == EACCES && stat (path, &st) == 0 && S_ISDIR (st.st_mode))
    return EISDIR;
  return errno;
}

/* An execve() that finds nothing has copied the environment before it looks. */
static bool
is_missing (const char *path)
{
  return access (path, F_OK) < 0 && (errno == ENOENT || errno == ENOTDIR);
}

/* As a shell looks for it: the first that can be run; "permission denied" only if nothing better comes. */
static int
exec_search (const Launch *launch)
{
  const char *name = launch->argv[0], *at = launch_get_env (launch, "PATH"), *end;
  int error = ENOENT;

  if (*name == '\0')
    return ENOENT;
  if (strchr (name, '/'))
    return exec_path (name, launch);
  for (; at; at = *end ? end + 1 : NULL) {
    char path[PATH_MAX];
    int r;

    end = strchrnul (at, ':');
    r = snprintf (path, sizeof path, "%.*s/%s", (int)(end - at), end > at ? at : ".", name);
    if (end == at)
      r = snprintf (path, sizeof path, "./%s", name);
    if (r < 0 || (size_t)r >= sizeof path || is_missing (path))
      continue;
    r = exec_path (path, launch);
    if (r == EACCES)
      error = EACCES;
    else if (r != ENOENT && r != ENOTDIR && r != EISDIR)
      return r;
  }
  return error;
}

/* Where that is not allowed the set is empty already. */
static void
drop_bounding_set (void)
{
  for (int i = 0; i < CAPABILITIES_MAX; i++)
    if (prctl (PR_CAPBSET_DROP, i, 0, 0, 0) < 0 && errno == EINVAL)
      return; /* the kernel's last one was before */
}

/* With no_new_privs what is dropped here stays so over exec, for root too. */
static int
drop_capabilities (void)
{
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct none[2] = {{0}};

  return syscall (SYS_capset, &header, none) < 0 ? errno : 0;
}

static int
use_filter (const Launch *launch)
{
  struct sock_fprog program = {.len = (unsigned short)(launch->filter_size / sizeof (struct sock_filter)),
                               .filter = (struct sock_filter *)(uintptr_t)launch->filter};

  if (!launch->filter)
    return 0;
  return prctl (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ? errno : 0;
}

static int
become (const Launch *launch)
{
  int r = 0;

  if (launch->no_new_privs && prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
    return errno;
  umask (launch->mask);
  if (launch->drop_capabilities)
    drop_bounding_set ();
  if (launch->set_identity &&
      (setgroups (1, &launch->gid) < 0 || setresgid (launch->gid, launch->gid, launch->gid) < 0 ||
       setresuid (launch->uid, launch->uid, launch->uid) < 0))
    return errno;
  if (launch->drop_capabilities)
    r = drop_capabilities ();
  return r == 0 ? use_filter (launch) : r;
}

/* Ignored signals stay ignored over exec, and so does the mask. The agent itself ignores this one only. */
static void
reset_signals (void)
{
  sigset_t none;

  (void)signal (SIGPIPE, SIG_DFL);
  sigemptyset (&none);
  sigprocmask (SIG_SETMASK, &none, NULL);
}

static int
set_stdio (const SpawnStdio *stdio)
{
  int fds[3];

  /* Out of the way first: one of them may be 0, 1 or 2. */
  for (int i = 0; i < 3; i++)
    if ((fds[i] = fcntl (stdio->fds[i], F_DUPFD_CLOEXEC, 3)) < 0)
      return errno;
  for (int i = 0; i < 3; i++)
    if (dup2 (fds[i], i) < 0)
      return errno;
  if (stdio->terminal && ioctl (0, TIOCSCTTY, 0) < 0)
    return errno;
  return 0;
}

/* As spawn's report. */
static int
start (const Launch *launch, const SpawnStdio *stdio)
{
  int r;

  if (setsid () < 0)
    return errno;
  r = set_stdio (stdio);
  if (r != 0)
    return r;
  close_range (3, ~0U, CLOSE_RANGE_CLOEXEC);
  reset_signals ();
  r = become (launch);
  if (r != 0)
    return r;
  if (chdir (launch->cwd) < 0)
    return -errno; /* told apart from a command that is not there */
  r = exec_search (launch);
  /* The user's shell may be one that is not inside; there is always some shell. */
  if (launch->shell && r == ENOENT) {
    launch->argv[0] = (char *)"/bin/sh";
    r = exec_path ("/bin/sh", launch);
  }
  return r;
}

pid_t
spawn (const Launch *launch, const SpawnStdio *stdio, int *ret_report)
{
  int report[2];
  pid_t pid;

  if (pipe2 (report, O_CLOEXEC) < 0)
    return -errno;
  pid = fork ();
  if (pid == 0) {
    int error = start (launch, stdio);
    (void)!write (report[1], &error, sizeof error);
    _exit (127);
  }
  if (pid < 0) {
    pid = -errno;
    close_fd (&report[0]);
  } else {
    (void)fcntl (report[0], F_SETFL, O_NONBLOCK);
    *ret_report = report[0];
  }
  close_fd (&report[1]);
  return pid;
}
