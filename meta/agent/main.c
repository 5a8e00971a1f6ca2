/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl-agent                         PID 1 of a VM
 * vmctl-agent vmctl-template          the same in one that is saved once it waits for its host
 * vmctl-agent vmctl-image             the same, to become an image's systemd, which starts:
 * vmctl-agent --service               in a VM, as a service
 * vmctl-agent --service vmctl-template    the same in one that is saved once it waits for its host
 * vmctl-agent --socket FD --meta DIR  serves one connection, then ends (namespaces, containers, tests)
 * vmctl-agent --listen FD --meta DIR  serves one connection after another, as a VM's port does (tests)
 * vmctl-agent --listen FD --meta DIR --contained    the same in a container or in namespaces;
 *     --lifeline FD  it ends when this pipe does
 *     --allow-list   it and its commands make no system calls but those of allow-list.h
 *     --uid N        in systemd-nspawn: commands run as this user, whatever the meta dir says
 *     --template     it insists on what a machine from a template must have (tests)
 *     --filter FD    commands run under this seccomp filter (a BPF program)
 * vmctl-agent --screen ...             a client of the X server inside (xclient.c)
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
#include "meta/agent/allow-list.h"
#include "meta/agent/xclient.h"
#include "meta/format.h"

#define OOM_SCORE "500"

enum { SOCKET_GRACE_MS = 1000, IDLE_MS = 3600000, FILTER_MAX = 1 << 20 };

static int
agent_init (Agent *agent, LinkKind kind, int fd, bool vm)
{
  sigset_t signals;

  for (int i = 1; i < NSIG; i++) /* whoever started us may ignore some; what we start begins with none */
    (void)signal (i, SIG_DFL);
  for (unsigned i = 0; i < AGENT_SESSIONS; i++)
    session_init (&agent->sessions[i]);
  relays_init (&agent->relays);
  forwards_init (agent);
  agent->vm = vm;
  agent->only_uid = UINT64_MAX;
  agent->scratch_fd = -1;
  agent->meta_fd = agent->console_fd = agent->console_poll = agent->console_told = agent->lifeline_fd = -1;
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

/* systemd-nspawn, around us, is larger than many a command, and must not be the first that is killed for want
 * of memory: that would be the end of all of them. What is started here inherits it. */
static void
offer_to_be_killed (void)
{
  int fd = open ("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

  if (fd < 0 || write (fd, OOM_SCORE, strlen (OOM_SCORE)) < 0)
    say ("cannot set the OOM score");
  close_fd (&fd);
}

static void
agent_free (Agent *agent)
{
  for (unsigned i = 0; i < AGENT_SESSIONS; i++)
    session_forget (&agent->sessions[i]);
  relays_free (&agent->relays);
  forwards_free (agent);
  change_free (agent);
  meta_clear (&agent->meta);
  premade_clear (&agent->premade);
  link_free (&agent->link);
  close_fd (&agent->signal_fd);
  close_fd (&agent->meta_fd);
  close_fd (&agent->scratch_fd);
  close_fd (&agent->lifeline_fd);
  free (agent->filter);
  free (agent->bundle);
  free (agent);
}

static void
reap (Agent *agent)
{
  pid_t pid;
  int status;

  while ((pid = waitpid (-1, &status, WNOHANG)) > 0) {
    if (console_reaped (agent, pid) || change_reaped (agent, pid, status))
      continue;
    desktop_reaped (agent, pid);
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
    if (info.ssi_signo != SIGCHLD && (!agent->vm || agent->service)) {
      agent->stop.by_init = !agent->stop.wanted;
      stop_begin (agent, SOCKET_GRACE_MS);
    }
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
  agent->lifeline_poll =
      agent->lifeline_fd >= 0 ? poller_add (&agent->poller, agent->lifeline_fd, POLLIN) : -1;
  link_prepare_poll (&agent->link, &agent->poller);
  console_prepare_poll (agent);
  relays_prepare_poll (agent);
  forwards_prepare_poll (agent);
  for (unsigned i = 0; i < AGENT_SESSIONS; i++) {
    session_prepare_poll (agent, &agent->sessions[i]);
    if (agent->link.state == LINK_UP)
      timeout = session_timeout (&agent->sessions[i], timeout);
  }
  timeout = balloon_timeout (agent, stop_timeout (agent, timeout));
  if (poll (agent->poller.fds, (nfds_t)agent->poller.n, timeout) < 0)
    agent->poller.n = 0; /* interrupted: nothing is known to be ready */
}

int
agent_run (Agent *agent)
{
  for (;;) {
    wait_for_something (agent);
    /* Whoever made this container has gone; the container goes with its first process. */
    if (agent->lifeline_poll >= 0 && poller_events (&agent->poller, agent->lifeline_poll))
      return 1;
    handle_signals (agent);
    handle_link (agent);
    console_handle (agent);
    handle_sessions (agent);
    relays_handle (agent);
    forwards_handle (agent);
    balloon_step (agent);
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

/* The port is opened last: that it is open is how the builder of a template sees that all is done. */
static void
become_template (Agent *agent)
{
  Why why = {0};

  agent->is_template = true;
  if (setup_prepare (agent, &why) == 0 && setup_image_become (agent, &why) == 0)
    return;
  say ("cannot become a template: %s", why.text);
  stop_power_off (agent);
}

/* What went wrong is said to the host, as by any agent. */
static void
become_init (Agent *agent)
{
  (void)setup_hand_over (agent, &agent->failure);
  agent->state = AGENT_FAILED;
  say ("setup failed: %s", agent->failure.text);
}

static void __attribute__ ((noreturn)) run_vm (uint64_t started_us, const char *word)
{
  bool is_template = word && strcmp (word, META_WORD_TEMPLATE) == 0;
  pid_t modules = 0;
  int balloon = -1, r = boot_begin (&modules, &balloon);
  Agent *agent = calloc (1, sizeof *agent);

  if (r < 0)
    give_up ("cannot boot", -r);
  if (!agent)
    give_up ("cannot boot", ENOMEM);
  agent->started_us = started_us;
  agent->modules_pid = modules;
  agent->balloon_fd = balloon;
  premade_init (&agent->premade);
  if (is_template)
    become_template (agent);
  else if (word && strcmp (word, META_WORD_IMAGE) == 0)
    become_init (agent);
  r = agent_init (agent, LINK_PORT, boot_find_port (), true);
  if (r < 0)
    give_up ("cannot start", -r);
  agent->link.is_eager = is_template;
  (void)agent_run (agent);
  stop_power_off (agent);
  give_up ("", 0);
}

static int
run_service (uint64_t started_us, bool is_template)
{
  Agent *agent = calloc (1, sizeof *agent);
  int r;

  if (!agent)
    return 1;
  agent->started_us = started_us;
  agent->balloon_fd = -1;
  agent->service = true;
  agent->is_template = is_template;
  premade_init (&agent->premade);
  if (is_template)
    setup_image_settle (agent);
  r = agent_init (agent, LINK_PORT, boot_find_port (), true);
  if (r < 0) {
    say ("cannot start: %s", strerror (-r));
    return 1;
  }
  agent->link.is_eager = is_template;
  r = agent_run (agent);
  stop_power_off (agent);
  agent_free (agent);
  return r;
}

static int
usage (void)
{
  say ("usage: vmctl-agent --socket FD --meta DIR | --listen FD --meta DIR [--contained] [--lifeline FD] "
       "[--allow-list] [--filter FD] [--uid N]");
  return 2;
}

static int
take_fd (const char *text, int *ret)
{
  uint64_t fd;

  if (parse_number (text, 1 << 20, &fd) < 0 || fcntl ((int)fd, F_SETFD, FD_CLOEXEC) < 0)
    return -EINVAL;
  *ret = (int)fd;
  return 0;
}

static int
read_filter (Agent *agent, const char *text)
{
  int fd = -1, r = take_fd (text, &fd);

  if (r == 0 && lseek (fd, 0, SEEK_SET) < 0)
    r = -errno;
  if (r == 0) {
    agent->filter = read_open_file (fd, FILTER_MAX, &agent->filter_size);
    r = agent->filter && agent->filter_size > 0 ? 0 : -EINVAL;
  }
  close_fd (&fd);
  return r;
}

static int
take_options (Agent *agent, int argc, char **argv)
{
  int r = 0;

  for (int i = 5; i < argc && r == 0; i++) {
    if (strcmp (argv[i], "--contained") == 0)
      agent->contained = true;
    else if (strcmp (argv[i], "--allow-list") == 0)
      r = allow_list_use ();
    else if (strcmp (argv[i], "--template") == 0)
      agent->is_template = true;
    else if (strcmp (argv[i], "--lifeline") == 0 && i + 1 < argc)
      r = take_fd (argv[++i], &agent->lifeline_fd);
    else if (strcmp (argv[i], "--uid") == 0 && i + 1 < argc)
      r = parse_number (argv[++i], UINT32_MAX - 1, &agent->only_uid) < 0 ? -EINVAL : 0;
    else if (strcmp (argv[i], "--filter") == 0 && i + 1 < argc)
      r = read_filter (agent, argv[++i]);
    else
      r = -EINVAL;
  }
  return r;
}

static int
run_here (int argc, char **argv, uint64_t started_us)
{
  Agent *agent;
  uint64_t fd;
  int r;

  if (argc < 5 || strcmp (argv[3], "--meta") != 0 || parse_number (argv[2], 1 << 20, &fd) < 0)
    return usage ();
  if (strcmp (argv[1], "--socket") != 0 && strcmp (argv[1], "--listen") != 0)
    return usage ();
  agent = calloc (1, sizeof *agent);
  if (!agent)
    return 1;
  agent->started_us = started_us;
  agent->balloon_fd = -1;
  premade_init (&agent->premade);
  r = agent_init (agent, argv[1][2] == 's' ? LINK_SOCKET : LINK_LISTEN, (int)fd, false);
  if (take_options (agent, argc, argv) < 0)
    return usage ();
  agent->meta_fd = open (argv[4], O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (r < 0 || agent->meta_fd < 0) {
    say ("cannot start with meta dir '%s': %s", argv[4], strerror (r < 0 ? -r : errno));
    return 1;
  }
  if (agent->only_uid != UINT64_MAX)
    offer_to_be_killed ();
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
  if (argc >= 2 && strcmp (argv[1], "--screen") == 0)
    return xclient_main (argc - 2, argv + 2);
  /* The kernel hands words of its command line that it does not know to PID 1. */
  if (getpid () == 1 &&
      (argc < 2 || (strcmp (argv[1], "--socket") != 0 && strcmp (argv[1], "--listen") != 0)))
    run_vm (started_us, argc >= 2 ? argv[1] : NULL);
  if (argc >= 2 && strcmp (argv[1], "--service") == 0)
    return run_service (started_us, argc == 3 && strcmp (argv[2], META_WORD_TEMPLATE) == 0);
  return run_here (argc, argv, started_us);
}
