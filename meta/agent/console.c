/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The serial console: a session may run on it (TAG_CONSOLE), and when none does, a line typed there gives the
 * user a shell. It is the way in when nothing else works, so it depends on nothing but the serial line, and
 * on a sandbox that was set up: before that a line is answered with what is lacking. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "meta/agent/agent.h"
#include "meta/agent/launch.h"
#include "meta/format.h"

#define CONSOLE "/dev/ttyS0"
enum { CONSOLE_NEVER = -2, TTY_GID = 5 };

static void
make_sane (int fd)
{
  struct termios t;

  if (tcgetattr (fd, &t) < 0)
    return;
  t.c_iflag = ICRNL | IXON | IUTF8 | BRKINT;
  t.c_oflag = OPOST | ONLCR;
  t.c_cflag = (t.c_cflag & ~(tcflag_t)(CSIZE | PARENB | HUPCL)) | CS8 | CREAD | CLOCAL;
  t.c_lflag = ISIG | ICANON | IEXTEN | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE;
  t.c_cc[VINTR] = 3;
  t.c_cc[VQUIT] = 28;
  t.c_cc[VERASE] = 127;
  t.c_cc[VKILL] = 21;
  t.c_cc[VEOF] = 4;
  t.c_cc[VSUSP] = 26;
  t.c_cc[VMIN] = 1;
  t.c_cc[VTIME] = 0;
  (void)tcsetattr (fd, TCSANOW, &t);
}

int
console_open (void)
{
  int fd = open (CONSOLE, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

  if (fd < 0)
    return -errno;
  make_sane (fd);
  (void)fcntl (fd, F_SETFL, O_RDWR);
  return fd;
}

static bool
in_use (const Agent *agent)
{
  if (agent->console_pid > 0 || agent->stop.wanted)
    return true;
  for (unsigned i = 0; i < AGENT_SESSIONS; i++)
    if (agent->sessions[i].console && agent->sessions[i].pid > 0)
      return true;
  return false;
}

/* Opened anew after each session: the end of a terminal's session leader hangs up every descriptor of it. */
void
console_watch (Agent *agent)
{
  if (agent->console_fd == CONSOLE_NEVER || agent->console_fd >= 0)
    return;
  agent->console_fd = console_open ();
  if (agent->console_fd < 0)
    agent->console_fd = CONSOLE_NEVER;
  else
    (void)fcntl (agent->console_fd, F_SETFL, O_RDWR | O_NONBLOCK);
}

void
console_prepare_poll (Agent *agent)
{
  agent->console_poll = -1;
  if (!agent->vm || agent->service || in_use (agent) || (int)agent->state == agent->console_told)
    return;
  console_watch (agent);
  if (agent->console_fd >= 0)
    agent->console_poll = poller_add (&agent->poller, agent->console_fd, POLLIN);
}

static int
start_shell (Agent *agent, Launch *launch)
{
  SpawnStdio stdio = {.terminal = true};
  int report, r;

  launch->shell = launch->console = launch->set_identity = true;
  launch->uid = agent->meta.uid;
  launch->gid = agent->meta.gid;
  launch->no_new_privs = !agent->meta.root;
  launch->mask = agent->meta.mask;
  r = launch_complete (launch, &agent->meta, agent->meta.root ? META_BIN_DIR : NULL);
  if (r == 0)
    r = console_open ();
  if (r < 0)
    return r;
  (void)!fchown (r, launch->uid, TTY_GID);
  (void)!fchmod (r, 0620);
  stdio.fds[0] = stdio.fds[1] = stdio.fds[2] = r;
  agent->console_pid = spawn (launch, &stdio, &report);
  close_fd (&stdio.fds[0]);
  if (agent->console_pid < 0)
    return agent->console_pid;
  close_fd (&report); /* whether it could be started is seen on the console */
  return 0;
}

/* Once in each state, and the line is not read: it may be meant for a session that is to come. */
static void
tell_what_lacks (Agent *agent)
{
  agent->console_told = (int)agent->state;
  if (agent->state == AGENT_FAILED)
    say ("there is no shell: the sandbox could not be set up: %s", agent->failure.text);
  else if (agent->link.state != LINK_UP)
    say ("there is no shell yet: the agent waits for the host to connect");
  else
    say ("there is no shell yet: the agent waits for the host's word to set the sandbox up");
}

void
console_handle (Agent *agent)
{
  Launch launch = {0};
  char line[256];

  if (!poller_events (&agent->poller, agent->console_poll) || in_use (agent))
    return;
  if (agent->state != AGENT_UP) {
    tell_what_lacks (agent);
    return;
  }
  if (read (agent->console_fd, line, sizeof line) <= 0 && errno != EAGAIN) {
    close_fd (&agent->console_fd);
    agent->console_fd = CONSOLE_NEVER; /* nobody there: do not spin */
    return;
  }
  close_fd (&agent->console_fd);
  say ("a shell for '%s' in its sandbox (%s)", agent->meta.name,
       agent->meta.root ? "sudo works without a password" : "root is not allowed");
  if (start_shell (agent, &launch) < 0) {
    agent->console_pid = 0;
    say ("cannot start a shell");
  }
  launch_clear (&launch);
}

bool
console_reaped (Agent *agent, pid_t pid)
{
  if (pid != agent->console_pid)
    return false;
  agent->console_pid = 0;
  say ("press Enter for a shell");
  return true;
}
