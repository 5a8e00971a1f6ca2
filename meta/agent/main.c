/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl-agent                         PID 1 of a VM
 * vmctl-agent --socket FD --meta DIR  serves one connection, then ends (namespaces, containers, tests)
 * vmctl-agent --listen FD --meta DIR  serves one connection after another, as a VM's port does (tests)
 * sudo ...                            when called by that name */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "meta/agent/agent.h"

enum { SOCKET_GRACE_MS = 1000, IDLE_MS = 3600000 };

static int
agent_init (Agent *agent, LinkKind kind, int fd, bool vm)
{
  sigset_t signals;

  for (unsigned i = 0; i < AGENT_SESSIONS; i++)
    session_init (&agent->sessions[i]);
  agent->vm = vm;
  agent->meta_fd = agent->console_fd = agent->console_poll = -1;
  sigemptyset (&signals);
  sigaddset (&signals, SIGCHLD);
  sigaddset (&signals, SIGTERM);
  sigaddset (&signals, SIGINT);
  sigaddset (&signals, SIGHUP);
  sigprocmask (SIG_BLOCK, &signals, NULL);
  (void)signal (SIGPIPE, SIG_IGN);
  agent->signal_fd = signalfd (-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  if (agent->signal_fd < 0)
    return -errno;
  if (getpid () != 1 && prctl (PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
    return -errno;
  return link_init (&agent->link, kind, fd);
}

static void
agent_free (Agent *agent)
{
  for (unsigned i = 0; i < AGENT_SESSIONS; i++)
    session_forget (&agent->sessions[i]);
  meta_clear (&agent->meta);
  link_free (&agent->link);
  close_fd (&agent->signal_fd);
  close_fd (&agent->meta_fd);
  free (agent);
}

static void
reap (Agent *agent)
{
  pid_t pid;
  int status;

  while ((pid = waitpid (-1, &status, WNOHANG)) > 0) {
    if (console_reaped (agent, pid))
      continue;
    if (pid == agent->modules_pid)
      agent->modules_pid = 0;
    for (unsigned i = 0; i < AGENT_SESSIONS; i++)
      if (agent->sessions[i].pid == pid)
        session_reaped (agent, &agent->sessions[i], status);
  }
}

static void
handle_signals (Agent *agent)
{
  struct signalfd_siginfo info;

  if (!poller_events (&agent->poller, agent->signal_poll))
    return;
  while (read (agent->signal_fd, &info, sizeof info) == sizeof info)
    if (info.ssi_signo != SIGCHLD && !agent->vm)
      stop_begin (agent, SOCKET_GRACE_MS);
  reap (agent);
}

static void
handle_link (Agent *agent)
{
  Link *link = &agent->link;
  ssize_t n = 0;
  int r = 0;

  if (link_gone (link, &agent->poller)) {
    agent_link_lost (agent, NULL);
    return;
  }
  if (link_try_up (link, &agent->poller)) {
    agent_link_up (agent);
    return;
  }
  if (link->state != LINK_UP || !(poller_events (&agent->poller, link->poll) & (POLLIN | POLLHUP)))
    return;
  n = link_read (link);
  if (n > 0)
    r = agent_dispatch (agent);
  if (n < 0)
    agent_link_lost (agent, NULL);
  else if (r < 0)
    agent_link_lost (agent, "the host broke the protocol");
}

static void
handle_sessions (Agent *agent)
{
  agent->turn++;
  for (unsigned i = 0; i < AGENT_SESSIONS; i++) {
    Session *session = &agent->sessions[(agent->turn + i) % AGENT_SESSIONS];
    session_pump (agent, session);
    session_settle (agent, session);
  }
}

static void
wait_for_something (Agent *agent)
{
  int timeout = link_timeout (&agent->link);

  agent->poller.n = 0;
  agent->signal_poll = poller_add (&agent->poller, agent->signal_fd, POLLIN);
  link_prepare_poll (&agent->link, &agent->poller);
  console_prepare_poll (agent);
  for (unsigned i = 0; i < AGENT_SESSIONS; i++) {
    session_prepare_poll (agent, &agent->sessions[i]);
    if (agent->link.state == LINK_UP)
      timeout = session_timeout (&agent->sessions[i], timeout);
  }
  timeout = stop_timeout (agent, timeout);
  if (poll (agent->poller.fds, (nfds_t)agent->poller.n, timeout) < 0)
    agent->poller.n = 0; /* interrupted: nothing is known to be ready */
}

int
agent_run (Agent *agent)
{
  for (;;) {
    wait_for_something (agent);
    handle_signals (agent);
    handle_link (agent);
    console_handle (agent);
    handle_sessions (agent);
    if (link_flush (&agent->link) < 0)
      agent_link_lost (agent, NULL);
    if (agent->link.state == LINK_ENDED && !agent->stop.wanted)
      stop_begin (agent, SOCKET_GRACE_MS);
    if (stop_step (agent))
      return 0;
  }
}

/* PID 1 never returns: that would be a kernel panic. */
static void __attribute__ ((noreturn)) give_up (const char *what, int error)
{
  if (error > 0)
    say ("%s: %s", what, strerror (error));
  for (;;)
    pause ();
}

static void __attribute__ ((noreturn)) run_vm (uint64_t started_us)
{
  pid_t modules = 0;
  int r = boot_begin (&modules);
  Agent *agent = calloc (1, sizeof *agent);

  if (r < 0)
    give_up ("cannot boot", -r);
  if (!agent)
    give_up ("cannot boot", ENOMEM);
  agent->started_us = started_us;
  agent->modules_pid = modules;
  r = agent_init (agent, LINK_PORT, boot_find_port (), true);
  if (r < 0)
    give_up ("cannot start", -r);
  (void)agent_run (agent);
  stop_power_off (agent);
  give_up ("", 0);
}

static int
usage (void)
{
  say ("usage: vmctl-agent --socket FD --meta DIR | --listen FD --meta DIR");
  return 2;
}

static int
run_here (int argc, char **argv, uint64_t started_us)
{
  Agent *agent;
  uint64_t fd;
  int r;

  if (argc != 5 || strcmp (argv[3], "--meta") != 0 || parse_number (argv[2], 1 << 20, &fd) < 0)
    return usage ();
  if (strcmp (argv[1], "--socket") != 0 && strcmp (argv[1], "--listen") != 0)
    return usage ();
  agent = calloc (1, sizeof *agent);
  if (!agent)
    return 1;
  agent->started_us = started_us;
  r = agent_init (agent, argv[1][2] == 's' ? LINK_SOCKET : LINK_LISTEN, (int)fd, false);
  agent->meta_fd = open (argv[4], O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (r < 0 || agent->meta_fd < 0) {
    say ("cannot start with meta dir '%s': %s", argv[4], strerror (r < 0 ? -r : errno));
    return 1;
  }
  r = agent_run (agent);
  agent_free (agent);
  return r;
}

int
main (int argc, char **argv)
{
  uint64_t started_us = now_us ();
  const char *name = argc > 0 && strrchr (argv[0], '/') ? strrchr (argv[0], '/') + 1
                     : argc > 0                         ? argv[0]
                                                        : "";

  /* Set-user-ID it is only ever installed as sudo, whatever the caller puts into argv[0]. */
  if (getauxval (AT_SECURE) != 0 || strcmp (name, "sudo") == 0)
    return sudo_main (argc, argv);
  /* The kernel hands words of its command line that it does not know to PID 1. */
  if (getpid () == 1 &&
      (argc < 2 || (strcmp (argv[1], "--socket") != 0 && strcmp (argv[1], "--listen") != 0)))
    run_vm (started_us);
  return run_here (argc, argv, started_us);
}
