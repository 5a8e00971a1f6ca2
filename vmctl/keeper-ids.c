/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/keeper-ids.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmctl/keeper-cage.h"
#include "vmctl/keeper-door.h"

enum { NUMBER_ROOM = 32, COMMAND_AT = 8 };

typedef struct {
  const char *users, *groups, *tmp; /* borrowed */
} Ids;

static int
wait_for (pid_t pid)
{
  int status = -1;

  while (waitpid (pid, &status, 0) < 0)
    if (errno != EINTR)
      return -1;
  return status == 0 ? 0 : -1;
}

/* newuidmap PID 0 FIRST COUNT */
static int
run_map (const char *program, pid_t of, const char *range)
{
  char pid[NUMBER_ROOM], first[NUMBER_ROOM], *colon;
  pid_t child;

  (void)snprintf (pid, sizeof pid, "%d", (int)of);
  (void)snprintf (first, sizeof first, "%s", range);
  if ((colon = strchr (first, ':')) == NULL)
    return -1;
  *colon = '\0';
  child = fork ();
  if (child == 0) {
    execlp (program, program, pid, "0", first, colon + 1, (char *)NULL);
    fprintf (stderr, "vmctl-keeper: cannot run '%s': %s; install it (Debian: apt install uidmap)\n", program,
             strerror (errno));
    _exit (1);
  }
  return child > 0 ? wait_for (child) : -1;
}

/* Those programs want to be started from outside. So this is a child that stays there, and waits until the
 * namespace is made. */
static void
be_mapper (const Ids *ids, pid_t of, int gate)
{
  char byte;
  ssize_t n;

  do
    n = read (gate, &byte, 1);
  while (n < 0 && errno == EINTR);
  _exit (n == 1 && run_map ("newuidmap", of, ids->users) == 0 && run_map ("newgidmap", of, ids->groups) == 0
             ? 0
             : 1);
}

/* Still as the user, who may go there; -1: errno. */
static int
take_tmp (const Ids *ids)
{
  int is_dir;

  return mount (NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 ? -1 : keeper_door_clone (ids->tmp, 0, &is_dir);
}

static int
become_root (void)
{
  return setgroups (0, NULL) < 0 || setresgid (0, 0, 0) < 0 || setresuid (0, 0, 0) < 0 ? -1 : 0;
}

static int
complain (const char *what)
{
  fprintf (stderr, "vmctl-keeper: %s: %s\n", what, strerror (errno));
  return -1;
}

static int
make_namespaces (const Ids *ids)
{
  pid_t self = getpid (), mapper;
  int gate[2], tree = -1, made;

  if (pipe2 (gate, O_CLOEXEC) < 0)
    return complain ("cannot make a pipe");
  mapper = fork ();
  if (mapper == 0) {
    (void)close (gate[1]);
    be_mapper (ids, self, gate[0]);
  }
  (void)close (gate[0]);
  made = mapper > 0 && unshare (CLONE_NEWUSER | CLONE_NEWNS) == 0 && (tree = take_tmp (ids)) >= 0;
  if (!made)
    (void)complain ("cannot make a user and mount namespace");
  else if (write (gate[1], "g", 1) != 1)
    made = 0;
  (void)close (gate[1]);
  if (mapper > 0 && wait_for (mapper) < 0 && made) {
    fprintf (stderr, "vmctl-keeper: your subordinate ids cannot be used, see /etc/subuid and /etc/subgid\n");
    made = 0;
  }
  if (!made)
    return -1;
  if (become_root () < 0 || chdir ("/") < 0 ||
      syscall (SYS_move_mount, tree, "", AT_FDCWD, "/var/tmp", MOVE_MOUNT_F_EMPTY_PATH) < 0)
    return complain ("cannot become root of a user namespace");
  (void)close (tree);
  return 0;
}

int
keeper_ids_run (int argc, char **argv, pid_t parent)
{
  Ids ids = {0};

  if (argc <= COMMAND_AT || strcmp (argv[3], "--groups") != 0 || strcmp (argv[5], "--tmp") != 0 ||
      strcmp (argv[7], "--") != 0) {
    fprintf (stderr, "vmctl-keeper: a part of vmctl, not for use by hand\n");
    return 2;
  }
  ids.users = argv[2];
  ids.groups = argv[4];
  ids.tmp = argv[6];
  if (make_namespaces (&ids) < 0)
    return 1;
  (void)umask (022);
  (void)signal (SIGPIPE, SIG_DFL); /* the command is a script, and relies on it */
  return keeper_cage_run (argv + COMMAND_AT, parent);
}
