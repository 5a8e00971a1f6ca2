/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl-keeper: one small process a sandbox that stays in the outer namespaces. libc only. Its arguments:
 *
 * --go FD --listen FD --dir FD --door PATH [--console FD] [--group FD]... [--namespaces no] [NETWORK] [TREE]
 * -- COMMAND...
 *
 * --go FD --listen FD --dir FD --stage FD ... [NETWORK] -- COMMAND..., for a container (vmctl/container.h)
 *
 * --root FD --uid N --gid N [PLACES], the same for a user who has used sudo (vmctl/keeper-root.h), with
 * --make-group ID:MEMORY:CPUS:PROCESSES in place of --group (vmctl/keeper-group.h)
 *
 * --cage yes -- COMMAND..., which ends with whoever started this (in others, --users: vmctl/keeper-ids.h)
 *
 * --stamp FD -- COMMAND..., in the jail: writes the time to FD and becomes COMMAND (vmctl up --trace)
 *
 * --check yes -- COMMAND..., makes the namespaces and runs COMMAND, for vmctl doctor
 *
 * How it works
 *
 * 1. It makes the outer namespaces: a mount namespace, and for an ordinary user a user namespace in which it
 * is root (facts: the jail's bwrap can then start as root of a namespace, and mounts may be added later). The
 * door (a directory of the sandbox's runtime dir) is bound onto itself and made shared: what is mounted below
 * it later propagates into the jail. And it builds the tree of mounts that bwrap is to take
 * (vmctl/keeper-tree.h), or opens what a container is to see. All of that goes with this process.
 * 2. It waits for one byte on --go. The supervisor sends it once its record names this process: whatever is
 * killed when, the next vmctl finds in the record what must be ended. EOF instead of a byte: exit.
 * 3. It starts COMMAND (bwrap, hence QEMU) in the control groups of --group, in a pid namespace that dies
 * with it (vmctl/keeper-cage.h); and vmctl-net for its network (vmctl/keeper-net.h), as a child that dies
 * with it, but not in the groups. So this pid is the one handle on all of the sandbox.
 * 4. It serves one-line requests on the listening SOCK_SEQPACKET socket (words separated by NUL):
 *      console               "ok" and the outer end of QEMU's stdio; a new supervisor takes over the serial
 *                            console with it
 *      bind SOURCE NAME MODE  mount SOURCE (absolute) at door/NAME, MODE rw or ro
 *      unbind NAME
 *      net [NAME]            "ok" and the supervisor's end of vmctl-net's control socket, or of a card's
 *      nic NAME              one more vmctl-net, for a card that is plugged (vmctl/keeper-nics.h)
 *      unnic NAME
 *      enter SOURCE NAME TARGET MODE
 *                            mount SOURCE at TARGET inside (vmctl/keeper-enter.h)
 *      leave NAME
 *      device SOURCE NAME TARGET
 *                            a USB device's node (vmctl/keeper-device.h); it comes along, opened
 *      limit BYTES CPUS      of the control group that it made itself
 *      status                "running PID"
 *      end                   kills COMMAND: for those who may not signal a keeper that is root's
 * 5. When COMMAND ends, the file `exit` ("status N" or "signal N") in --dir says how, connected clients hear
 * "exit ...", and it exits. Before that they may hear "net restarted ..." or "net down ...": vmctl-net ended;
 * "nic NAME ...": that of a card.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/mount.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmctl/keeper-cage.h"
#include "vmctl/keeper-door.h"
#include "vmctl/keeper-enter.h"
#include "vmctl/keeper-fd.h"
#include "vmctl/keeper-group.h"
#include "vmctl/keeper-ids.h"
#include "vmctl/keeper-net.h"
#include "vmctl/keeper-nics.h"
#include "vmctl/container.h"
#include "vmctl/keeper-request.h"
#include "vmctl/keeper-root.h"
#include "vmctl/keeper-tree.h"

enum { CLIENTS_MAX = 8, GROUPS_MAX = 4, NONE = -1 };

typedef struct {
  int go, listener, dir, console, lifeline;
  int groups[GROUPS_MAX]; /* cgroup.procs of the child's control groups */
  int n_groups;
  KeeperGroup group; /* one that it makes itself */
  uid_t owner;       /* of the runtime directory */
  int plain;         /* no namespaces: the null driver */
  int cage;          /* only the namespaces, and this process waits */
  int check;         /* only the namespaces, then COMMAND in this very process */
  const char *door;
  char **command;
  Container container;
  pid_t self, child;
  KeeperNet net;
  KeeperNics nics;
  KeeperTree tree;
  int clients[CLIENTS_MAX];
  KeeperEnter enter; /* what was added later */
} Keeper;

static void
complain (const char *what)
{
  fprintf (stderr, "vmctl-keeper: %s: %s\n", what, strerror (errno));
}

static int
parse_fd (const char *text)
{
  char *end;
  long value = strtol (text, &end, 10);

  if (*text == '\0' || *end != '\0' || value < 0 || value > 1 << 20 ||
      fcntl ((int)value, F_SETFD, FD_CLOEXEC) < 0)
    return NONE;
  return (int)value;
}

static int
parse_arguments (Keeper *k, int argc, char **argv)
{
  int r;

  for (int i = 1; i + 1 < argc; i += 2) {
    if (strcmp (argv[i], "--") == 0) {
      k->command = argv + i + 1;
      break;
    }
    if (strcmp (argv[i], "--go") == 0)
      k->go = parse_fd (argv[i + 1]);
    else if (strcmp (argv[i], "--listen") == 0)
      k->listener = parse_fd (argv[i + 1]);
    else if (strcmp (argv[i], "--dir") == 0)
      k->dir = parse_fd (argv[i + 1]);
    else if (strcmp (argv[i], "--console") == 0)
      k->console = parse_fd (argv[i + 1]);
    else if (strcmp (argv[i], "--group") == 0 && k->n_groups < GROUPS_MAX)
      k->groups[k->n_groups++] = parse_fd (argv[i + 1]);
    else if (strcmp (argv[i], "--make-group") == 0) {
      if (keeper_group_want (&k->group, argv[i + 1]) < 0)
        return -1;
    } else if (strcmp (argv[i], "--door") == 0)
      k->door = argv[i + 1];
    else if (strcmp (argv[i], "--namespaces") == 0)
      k->plain = strcmp (argv[i + 1], "no") == 0;
    else if (strcmp (argv[i], "--check") == 0)
      k->check = strcmp (argv[i + 1], "yes") == 0;
    else if (strcmp (argv[i], "--cage") == 0)
      k->cage = strcmp (argv[i + 1], "yes") == 0;
    else if ((r = container_option (&k->container, argv[i], argv[i + 1])) < 0 ||
             (r == 0 && (r = keeper_tree_option (&k->tree, argv[i], argv[i + 1])) < 0) ||
             (r == 0 && keeper_net_option (&k->net, argv[i], argv[i + 1]) <= 0))
      return -1;
  }
  return k->command != NULL && (k->check || k->cage || (k->go >= 0 && k->listener >= 0 && k->dir >= 0)) ? 0
                                                                                                        : -1;
}

static int
wait_for_go (int fd)
{
  char byte;
  ssize_t n;

  do
    n = read (fd, &byte, 1);
  while (n < 0 && errno == EINTR);
  (void)close (fd);
  return n == 1 ? 0 : -1;
}

/* Before anything of it runs; a limit that cannot be kept is no limit. */
static void
enter_groups (const Keeper *k)
{
  for (int i = 0; i < k->n_groups; i++)
    if (write (k->groups[i], "0", 1) != 1) {
      complain ("cannot enter the control group");
      _exit (127);
    }
  if (keeper_group_enter (&k->group) < 0) {
    complain ("cannot enter the control group");
    _exit (127);
  }
}

static void
run_child (void *data)
{
  Keeper *k = data;
  sigset_t none;

  (void)prctl (PR_SET_PDEATHSIG, SIGKILL);
  if (k->plain && getppid () != k->self)
    _exit (127);
  enter_groups (k);
  sigemptyset (&none);
  (void)sigprocmask (SIG_SETMASK, &none, NULL);
  /* nspawn complains to the same reader, and restores all signals for what it runs. */
  if (k->container.list < 0)
    (void)signal (SIGPIPE, SIG_DFL);
  if (keeper_net_enter (&k->net) < 0 || (k->container.list >= 0 && container_enter (&k->container) < 0))
    _exit (127);
  execvp (k->command[0], k->command);
  fprintf (stderr, "vmctl-keeper: cannot run '%s': %s\n", k->command[0], strerror (errno));
  _exit (127);
}

/* Everything else belongs to the child: listening sockets, disks, data, the serial line. Holding them here
 * would keep them alive after QEMU. */
static void
close_all_but (const Keeper *k, int signal_fd)
{
  int keep[] = {k->listener,      k->dir,           k->console,       signal_fd,        k->lifeline,
                k->net.packet,    k->net.control,   k->net.log,       k->net.pair[0],   k->net.pair[1],
                k->group.dirs[0], k->group.dirs[1], k->group.dirs[2], k->group.dirs[3], k->net.control_peer};
  int nothing = open ("/dev/null", O_RDWR | O_CLOEXEC);
  unsigned from = 3;

  if (nothing >= 0 && (dup2 (nothing, 0) < 0 || dup2 (nothing, 1) < 0))
    complain ("cannot let go of the standard streams");

  for (;;) {
    unsigned next = ~0U;

    for (size_t i = 0; i < sizeof keep / sizeof *keep; i++)
      if (keep[i] >= 0 && (unsigned)keep[i] >= from && (unsigned)keep[i] < next)
        next = (unsigned)keep[i];
    if (next == ~0U) {
      (void)syscall (SYS_close_range, from, ~0U, 0U);
      return;
    }
    if (next > from)
      (void)syscall (SYS_close_range, from, next - 1, 0U);
    from = next + 1;
  }
}

static void
reply (int fd, const char *text, int passed_fd)
{
  if (keeper_fd_send (fd, text, passed_fd) < 0)
    complain ("cannot answer a request");
}

static void
reply_errno (int fd, const char *what)
{
  char text[256];

  (void)snprintf (text, sizeof text, "error %s: %s", what, strerror (errno));
  reply (fd, text, NONE);
}

static void
serve_door (int fd, int result, const char *what)
{
  if (result == KEEPER_DOOR_BAD)
    reply (fd, "error bad request", NONE);
  else if (result < 0)
    reply_errno (fd, what);
  else
    reply (fd, "ok", NONE);
}

static void
serve_enter (Keeper *k, int fd, const KeeperRequest *request)
{
  const char *const *words = request->words;
  int passed = request->n_fds > 0 ? request->fds[0] : NONE;
  KeeperInside inside = {.child = k->child};
  size_t n = strlen (words[2]);

  if (k->container.list >= 0) {
    inside.stage = &k->container.stage;
    inside.root = CONTAINER_ROOT;
  }
  if (k->plain || k->console >= 0 || *words[1] == '\0') /* no inside of this kernel's; no name */
    reply (fd, "error bad request", NONE);
  else if (strcmp (words[0], "leave") == 0)
    serve_door (fd, keeper_enter_unbind (&k->enter, &inside, words[1]), "cannot unmount");
  else if (*words[1] != '/' || n == 0 || n > KEEPER_ENTER_NAME_MAX || *words[3] != '/')
    reply (fd, "error bad request", NONE);
  else if (strcmp (words[0], "device") == 0)
    serve_door (fd, keeper_enter_device (&k->enter, &inside, passed, words[1], words[2], words[3]),
                "cannot show the device");
  else
    serve_door (
        fd,
        keeper_enter_bind (&k->enter, &inside, words[1], words[2], words[3], strcmp (words[4], "rw") != 0),
        "cannot mount");
}

static void
serve_nic (Keeper *k, int fd, const KeeperRequest *request)
{
  if (request->n_fds != KEEPER_NIC_FDS) {
    reply (fd, "error bad request", NONE);
    return;
  }
  serve_door (fd, keeper_nics_add (&k->nics, &k->net, request->words[1], request->fds),
              "cannot start vmctl-net");
}

static void
serve_request (Keeper *k, int fd, const KeeperRequest *request)
{
  const char *const *words = request->words;
  char text[64];

  if (strcmp (words[0], "console") == 0)
    reply (fd, k->console >= 0 ? "ok" : "error no console", k->console);
  else if (strcmp (words[0], "net") == 0) {
    int control = *words[1] != '\0' ? keeper_nics_control (&k->nics, words[1]) : k->net.control_peer;

    reply (fd, control >= 0 ? "ok" : "error no network", control);
  } else if (strcmp (words[0], "nic") == 0)
    serve_nic (k, fd, request);
  else if (strcmp (words[0], "unnic") == 0)
    serve_door (fd, keeper_nics_remove (&k->nics, words[1]), "cannot end vmctl-net");
  else if (strcmp (words[0], "bind") == 0)
    serve_door (fd, keeper_door_bind (k->door, words[1], words[2], strcmp (words[3], "rw") != 0),
                "cannot mount");
  else if (strcmp (words[0], "unbind") == 0)
    serve_door (fd, keeper_door_unbind (k->door, words[1]), "cannot unmount");
  else if (strcmp (words[0], "enter") == 0 || strcmp (words[0], "leave") == 0 ||
           strcmp (words[0], "device") == 0)
    serve_enter (k, fd, request);
  else if (strcmp (words[0], "limit") == 0)
    serve_door (fd, keeper_group_limit (&k->group, words[1], words[2]), "cannot change the limit");
  else if (strcmp (words[0], "status") == 0) {
    (void)snprintf (text, sizeof text, "running %d", (int)k->child);
    reply (fd, text, NONE);
  } else if (strcmp (words[0], "end") == 0) {
    (void)kill (k->child, SIGKILL);
    reply (fd, "ok", NONE);
  } else
    reply (fd, "error unknown request", NONE);
}

static void
serve_client (Keeper *k, int index)
{
  KeeperRequest request = {.n_fds = 0};
  ssize_t n = keeper_request_receive (k->clients[index], &request);

  if (n > 0) {
    serve_request (k, k->clients[index], &request);
    keeper_request_clear (&request);
  } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
    (void)close (k->clients[index]);
    k->clients[index] = NONE;
  }
}

static int
is_owner (const Keeper *k, int fd)
{
  struct ucred peer;
  socklen_t n = sizeof peer;

  return getsockopt (fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0 && (peer.uid == 0 || peer.uid == k->owner);
}

static void
accept_client (Keeper *k)
{
  int fd = accept4 (k->listener, NULL, NULL, SOCK_CLOEXEC);

  if (fd < 0)
    return;
  if (!is_owner (k, fd)) {
    (void)close (fd);
    return;
  }
  for (int i = 0; i < CLIENTS_MAX; i++)
    if (k->clients[i] == NONE) {
      k->clients[i] = fd;
      return;
    }
  (void)close (fd);
}

/* Whoever connected before the end hears of it, though there was no time to let it in. */
static void
accept_waiting (Keeper *k)
{
  struct pollfd p = {.fd = k->listener, .events = POLLIN};

  for (int i = 0; i < CLIENTS_MAX && poll (&p, 1, 0) > 0; i++)
    accept_client (k);
}

static void
tell_clients (const Keeper *k, const char *text)
{
  for (int i = 0; i < CLIENTS_MAX; i++)
    if (k->clients[i] != NONE)
      reply (k->clients[i], text, NONE);
}

static void
report_exit (Keeper *k, int status)
{
  char text[64], message[80];
  int fd;

  if (WIFSIGNALED (status))
    (void)snprintf (text, sizeof text, "signal %d\n", WTERMSIG (status));
  else if (WEXITSTATUS (status) > 128) /* bwrap reports its child's signal like a shell */
    (void)snprintf (text, sizeof text, "signal %d\n", WEXITSTATUS (status) - 128);
  else
    (void)snprintf (text, sizeof text, "status %d\n", WEXITSTATUS (status));
  fd = openat (k->dir, ".exit", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0 || write (fd, text, strlen (text)) < 0 || close (fd) < 0 ||
      renameat (k->dir, ".exit", k->dir, "exit") < 0)
    complain ("cannot record how the sandbox ended");
  accept_waiting (k);
  text[strcspn (text, "\n")] = '\0';
  (void)snprintf (message, sizeof message, "exit %s", text);
  tell_clients (k, message);
}

/* 1 when the child has ended. */
static int
reap (Keeper *k, int *ret_status)
{
  char text[64];
  pid_t pid;
  int status;

  while ((pid = waitpid (-1, &status, WNOHANG)) > 0)
    if (pid == k->child) {
      *ret_status = status;
      return 1;
    } else if (keeper_net_ended (&k->net, pid, status, text, sizeof text) ||
               keeper_nics_ended (&k->nics, pid, status, text, sizeof text)) {
      accept_waiting (k);
      tell_clients (k, text);
    }
  return 0;
}

static int
serve (Keeper *k, int signal_fd)
{
  for (;;) {
    struct pollfd fds[2 + CLIENTS_MAX] = {{.fd = signal_fd, .events = POLLIN},
                                          {.fd = k->listener, .events = POLLIN}};
    struct signalfd_siginfo info;
    int status;

    for (int i = 0; i < CLIENTS_MAX; i++)
      fds[2 + i] = (struct pollfd){.fd = k->clients[i], .events = POLLIN};
    if (poll (fds, 2 + CLIENTS_MAX, -1) < 0 && errno != EINTR)
      return 1;
    if (fds[0].revents != 0 && read (signal_fd, &info, sizeof info) == sizeof info) {
      if (info.ssi_signo == SIGTERM)
        (void)kill (k->child, SIGKILL);
      if (reap (k, &status)) {
        keeper_net_stop (&k->net);
        keeper_nics_stop (&k->nics);
        keeper_cage_end_orphans ();
        keeper_group_remove (&k->group);
        report_exit (k, status);
        return 0;
      }
    }
    /* Those that have left make room for those that come. */
    for (int i = 0; i < CLIENTS_MAX; i++)
      if (k->clients[i] != NONE && fds[2 + i].revents != 0)
        serve_client (k, i);
    if (fds[1].revents != 0)
      accept_client (k);
  }
}

static int
run_check (Keeper *k)
{
  if (keeper_door_make (k->door) < 0)
    return 1;
  execvp (k->command[0], k->command);
  fprintf (stderr, "vmctl-keeper: cannot run '%s': %s\n", k->command[0], strerror (errno));
  return 127;
}

/* What may be done before the go: nobody but this process and its children will ever see it, and so all of it
 * goes with them. The rest of a container is its first process's to make. */
static int
prepare (Keeper *k)
{
  if (keeper_net_prepare (&k->net) < 0)
    return -1;
  if (k->plain)
    return 0;
  if (k->container.list >= 0)
    return container_prepare (&k->container, k->command, &k->lifeline);
  return keeper_door_make (k->door) < 0 ? -1 : keeper_tree_make (&k->tree);
}

/* A keeper that is root's keeps books in a directory of the user's: with no more rights to files than he
 * has. */
static void
let_go_of_files (Keeper *k)
{
  struct stat st = {0};

  if (fstat (k->dir, &st) < 0)
    complain ("cannot look at the runtime directory");
  k->owner = st.st_uid;
  if (geteuid () == 0 && st.st_uid != 0) {
    (void)setgroups (0, NULL); /* nor with root's groups, should he ask for a directory */
    (void)setfsgid (st.st_gid);
    (void)setfsuid (st.st_uid);
  }
}

/* nspawn is the first process of a pid namespace itself (container.h); without namespaces there is none. */
static pid_t
start_child (Keeper *k)
{
  pid_t pid;

  if (!k->plain && k->container.list < 0)
    return keeper_cage_fork (run_child, k);
  pid = k->container.list >= 0 ? container_fork (&k->container) : fork ();
  if (pid == 0)
    run_child (k);
  return pid;
}

int
main (int argc, char **argv)
{
  Keeper k = {.go = NONE,
              .listener = NONE,
              .dir = NONE,
              .console = NONE,
              .lifeline = NONE,
              .container.list = NONE,
              .tree.list = NONE,
              .group.dirs = {NONE, NONE, NONE, NONE},
              .net = KEEPER_NET_INIT};
  pid_t parent = getppid ();
  sigset_t signals;
  int signal_fd, prepared;

  for (int i = 0; i < CLIENTS_MAX; i++)
    k.clients[i] = NONE;
  /* Whoever reads our complaints may be gone: a supervisor that died is no reason to end the sandbox. */
  (void)signal (SIGPIPE, SIG_IGN);
  if (argc > 4 && strcmp (argv[1], "--stamp") == 0)
    return keeper_cage_stamp (parse_fd (argv[2]), argv + 4);
  if (argc > 1 && strcmp (argv[1], "--users") == 0)
    return keeper_ids_run (argc, argv, parent);
  if (argc > 1 && strcmp (argv[1], "--root") == 0)
    keeper_root_receive (&argc, &argv, &k.group);
  if (parse_arguments (&k, argc, argv) < 0) {
    fprintf (stderr, "vmctl-keeper: a part of vmctl, not for use by hand\n");
    return 2;
  }
  if (k.check)
    return run_check (&k);
  if (k.cage)
    return keeper_door_make (k.door) < 0 ? 1 : keeper_cage_run (k.command, parent);
  prepared = prepare (&k);
  if (wait_for_go (k.go) < 0)
    return 0;
  sigemptyset (&signals);
  sigaddset (&signals, SIGCHLD);
  sigaddset (&signals, SIGTERM);
  (void)sigprocmask (SIG_BLOCK, &signals, NULL);
  signal_fd = signalfd (-1, &signals, SFD_CLOEXEC);
  if (prepared < 0 || signal_fd < 0 || keeper_group_make (&k.group, k.dir) < 0)
    return 1;
  (void)prctl (PR_SET_CHILD_SUBREAPER, 1);
  k.self = getpid ();
  k.child = start_child (&k);
  if (k.child < 0) {
    complain ("cannot make a process");
    return 1;
  }
  let_go_of_files (&k);
  close_all_but (&k, signal_fd);
  keeper_net_start (&k.net);
  return serve (&k, signal_fd);
}
