/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/container.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "meta/format.h"
#include "vmctl/keeper-fd.h"

#define USERS "--private-users="
#define NSPAWN_STATE "/run/systemd/nspawn"

enum { FIRST_ACTIVATED = 3 };

static int
complain (const char *what)
{
  fprintf (stderr, "vmctl-keeper: %s: %s\n", what, strerror (errno));
  return -1;
}

static int
parse_number (const char *text, unsigned *ret)
{
  char *end;
  unsigned long value = strtoul (text, &end, 10);

  if (*text < '0' || *text > '9' || *end != '\0' || value >= UINT_MAX)
    return -1;
  *ret = (unsigned)value;
  return 1;
}

int
container_option (Container *c, const char *name, const char *value)
{
  if (strcmp (name, "--stage") == 0)
    return keeper_fd_option (value, &c->list);
  if (strcmp (name, "--uid") == 0)
    return parse_number (value, &c->stage.uid);
  if (strcmp (name, "--gid") == 0)
    return parse_number (value, &c->stage.gid);
  if (strcmp (name, "--shift") == 0)
    return parse_number (value, &c->stage.shift);
  if (strcmp (name, "--activate") == 0)
    return c->n_activate == CONTAINER_ACTIVATE_MAX ? -1
                                                   : keeper_fd_option (value, &c->activate[c->n_activate++]);
  return 0;
}

/* nspawn's own notes (locks, propagation) are of no use to anybody but it. */
static int
hide_state (const Container *c)
{
  if (!c->is_registered)
    return stage_cover ("/run");
  if (mkdir (NSPAWN_STATE, 0755) < 0 && errno != EEXIST)
    return complain ("cannot make '" NSPAWN_STATE "'");
  return stage_cover (NSPAWN_STATE);
}

static int
has_word (char **command, const char *word)
{
  for (; *command != NULL; command++)
    if (strcmp (*command, word) == 0)
      return 1;
  return 0;
}

/* What the kernel or a file system cannot is said, and recorded by the supervisor. */
static void
use_host_ids (char **command)
{
  static char word[] = USERS "identity";

  fprintf (stderr, "%s\n", CONTAINER_NOTE CONTAINER_NOTE_IDS);
  for (; *command != NULL && strcmp (*command, "--") != 0; command++)
    if (strncmp (*command, USERS, strlen (USERS)) == 0)
      *command = word;
}

/* Ours, from beside this program. */
static int
find_agent (char *path, size_t size)
{
  static const char name[] = "/vmctl-agent";
  ssize_t n = readlink ("/proc/self/exe", path, size - sizeof name);
  char *slash;

  if (n <= 0)
    return -1;
  path[n] = '\0';
  slash = strrchr (path, '/');
  memcpy (slash != NULL ? slash : path, name, sizeof name);
  return 0;
}

int
container_prepare (Container *c, char **command, int *ret_lifeline)
{
  unsigned shift = c->stage.shift;
  char agent[PATH_MAX];
  int ends[2];

  if (pipe2 (ends, O_CLOEXEC) < 0)
    return complain ("cannot make a pipe");
  c->lifeline = ends[0];
  *ret_lifeline = ends[1];
  if (find_agent (agent, sizeof agent) < 0)
    return complain ("cannot find vmctl-agent");
  c->stage.program = agent;
  c->stage.program_target = META_AGENT;
  c->is_registered = has_word (command, "--register=yes");
  if (stage_open (&c->stage, c->list) < 0)
    return -1;
  if (shift != 0 && c->stage.shift == 0)
    use_host_ids (command);
  return 0;
}

pid_t
container_fork (const Container *c)
{
  return c->is_registered ? fork ()
                          : (pid_t)syscall (SYS_clone, CLONE_NEWPID | SIGCHLD, NULL, NULL, NULL, NULL);
}

static int
activate (const Container *c)
{
  int fds[CONTAINER_ACTIVATE_MAX + 1], n = 0;
  char text[32];

  /* Out of the way first: one may sit on another's number. */
  for (; n < c->n_activate; n++)
    if ((fds[n] = fcntl (c->activate[n], F_DUPFD_CLOEXEC, 100)) < 0)
      return complain ("cannot duplicate a descriptor");
  if ((fds[n++] = fcntl (c->lifeline, F_DUPFD_CLOEXEC, 100)) < 0)
    return complain ("cannot duplicate a descriptor");
  for (int i = 0; i < n; i++)
    if (dup2 (fds[i], FIRST_ACTIVATED + i) < 0)
      return complain ("cannot place a descriptor");
  (void)snprintf (text, sizeof text, "%d", n);
  (void)setenv ("LISTEN_FDS", text, 1);
  (void)snprintf (text, sizeof text, "%d", (int)getpid ());
  (void)setenv ("LISTEN_PID", text, 1);
  return 0;
}

/* Whoever started this may have gone before it asked to be told. */
static int
is_orphan (const Container *c)
{
  struct pollfd p = {.fd = c->lifeline};

  return poll (&p, 1, 0) != 0;
}

static int
build_world (Container *c)
{
  if (unshare (CLONE_NEWNS) < 0 || mount (NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
    return complain ("cannot make a mount namespace");
  if (stage_cover ("/tmp") < 0)
    return -1;
  if (mkdir (CONTAINER_ROOT, 0755) < 0)
    return complain ("cannot make '" CONTAINER_ROOT "'");
  return stage_build (&c->stage, CONTAINER_ROOT) < 0 ? -1 : hide_state (c);
}

int
container_enter (Container *c)
{
  if (build_world (c) < 0)
    return -1;
  /* nspawn looks for its children in /proc. */
  if (!c->is_registered && mount ("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
    return complain ("cannot mount /proc");
  if (is_orphan (c))
    return -1;
  (void)clearenv ();
  (void)setenv ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
  /* The plan's tree need not hold an os-release. */
  (void)setenv ("SYSTEMD_NSPAWN_CHECK_OS_RELEASE", "0", 1);
  /* The agent has that list, and is quicker with it. A nspawn that does not know the variable has its own,
   * too. */
  (void)setenv ("SYSTEMD_SECCOMP", "0", 1);
  return activate (c);
}
