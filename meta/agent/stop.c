/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* POWEROFF: everybody is asked to end, then made to; what they still say and their EXITs go out meanwhile,
 * since the loop goes on. */
#include <errno.h>
#include <fcntl.h>
#include <linux/reboot.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <unistd.h>

#include "meta/agent/agent.h"
#include "meta/agent/power.h"
#include "meta/format.h"

enum { KILL_WAIT_MS = 1000, STEP_MS = 20, FLUSH_MS = 200, GRACE_MAX_MS = 600000 };

/* Not PID 1: only what came from us, that is our children (those whose parents have died are ours, too). */
static void
signal_children (int number)
{
  char path[64], text[4096];
  ssize_t n;
  int fd;

  snprintf (path, sizeof path, "/proc/self/task/%d/children", (int)gettid ());
  fd = open (path, O_RDONLY | O_CLOEXEC);
  n = fd < 0 ? -1 : read (fd, text, sizeof text - 1);
  close_fd (&fd);
  if (n <= 0)
    return;
  text[n] = '\0';
  for (char *at = text, *end; *at; at = end + (*end == ' ')) {
    long pid = strtol (at, &end, 10);
    if (end == at || (*end != ' ' && *end != '\0'))
      return;
    if (pid > 1 && *end == ' ') /* a cut last number is not one */
      (void)kill ((pid_t)pid, number);
  }
}

static void
signal_all (Agent *agent, int number)
{
  if (getpid () == 1) {
    (void)kill (-1, number);
    return;
  }
  for (unsigned i = 0; i < AGENT_SESSIONS; i++)
    if (agent->sessions[i].pid > 0)
      (void)kill (-agent->sessions[i].pid, number);
  signal_children (number);
}

void
stop_begin (Agent *agent, unsigned grace_ms)
{
  int64_t deadline = now_ms () + (grace_ms < GRACE_MAX_MS ? grace_ms : GRACE_MAX_MS);

  if (agent->stop.wanted) { /* again: only ever sooner */
    if (!agent->stop.killed && deadline < agent->stop.deadline)
      agent->stop.deadline = deadline;
    return;
  }
  agent->stop.wanted = true;
  agent->stop.deadline = deadline;
  signal_all (agent, SIGTERM);
  /* Interactive shells take no notice of SIGTERM; a terminal that hangs up they understand. */
  for (unsigned i = 0; i < AGENT_SESSIONS; i++)
    if (agent->sessions[i].pid > 0 && (agent->sessions[i].tty || agent->sessions[i].console))
      session_signal (&agent->sessions[i], SIGHUP), (void)kill (-agent->sessions[i].pid, SIGHUP);
  if (agent->console_pid > 0)
    (void)kill (-agent->console_pid, SIGHUP);
  signal_all (agent, SIGCONT);
}

/* Everybody inside descends from us, so whoever has no children is alone. */
static bool
alone (void)
{
  siginfo_t info;

  return waitid (P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 && errno == ECHILD;
}

static bool
all_said (const Agent *agent)
{
  if (agent->link.state != LINK_UP)
    return true;
  for (unsigned i = 0; i < AGENT_SESSIONS; i++)
    if (agent->sessions[i].state != SESSION_FREE && agent->sessions[i].state != SESSION_REFUSED &&
        agent->sessions[i].state != SESSION_OPENING)
      return false;
  return true;
}

int
stop_step (Agent *agent)
{
  AgentStop *stop = &agent->stop;

  if (!stop->wanted)
    return 0;
  if (alone () && all_said (agent))
    return 1;
  if (stop->killed)
    signal_all (agent, SIGKILL); /* those who had just been born */
  if (now_ms () < stop->deadline)
    return 0;
  if (stop->killed)
    return 1;
  stop->killed = true;
  stop->deadline = now_ms () + KILL_WAIT_MS;
  signal_all (agent, SIGKILL);
  return 0;
}

int
stop_timeout (const Agent *agent, int timeout)
{
  if (!agent->stop.wanted)
    return timeout;
  return timeout < 0 || timeout > STEP_MS ? STEP_MS : timeout;
}

static void
flush_link (Agent *agent)
{
  int64_t deadline = now_ms () + FLUSH_MS;

  while (agent->link.state == LINK_UP && link_unsent (&agent->link) > 0 && now_ms () < deadline) {
    struct pollfd fd = {.fd = agent->link.fd, .events = POLLOUT};
    if (poll (&fd, 1, STEP_MS) < 0 || (fd.revents & POLLHUP) || link_flush (&agent->link) < 0)
      return;
  }
}

/* Nothing of these outlives the machine: what is in them need not be written, nor are they in use by anything
 * that has to be written. */
static bool
is_passing (const char *type)
{
  static const char *const types[] = {"overlay",  "proc",   "sysfs",  "tmpfs",
                                      "devtmpfs", "devpts", "mqueue", "cgroup2"};

  for (unsigned i = 0; i < sizeof types / sizeof *types; i++)
    if (strcmp (type, types[i]) == 0)
      return true;
  return false;
}

static bool
write_all_of (const char *point)
{
  int fd = open (point, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  bool done = fd >= 0 && syncfs (fd) == 0;

  close_fd (&fd);
  return done;
}

/* Writes what is on it. A file system of the sandbox's own, such as an image in the project that is mounted
 * somewhere, has to let go of it before the share below is written; this has many mounts, and is written
 * once.
 */
static void
settle_mount (char *line, const char **ret_share)
{
  char *save = NULL, *source = strtok_r (line, " ", &save), *point = strtok_r (NULL, " ", &save),
       *type = strtok_r (NULL, " ", &save);
  bool is_9p;

  if (!source || !type || is_passing (type))
    return;
  unescape_mount (point);
  is_9p = strcmp (type, "9p") == 0;
  if (is_9p && strcmp (source, META_TAG_RO) == 0)
    return;
  if (is_9p && strcmp (source, META_TAG_RW) == 0) {
    *ret_share = point;
    return;
  }
  (void)write_all_of (point);
  if (!is_9p)
    (void)umount2 (point, UMOUNT_NOFOLLOW);
}

/* The last mount first, so that what lies on another goes before it. */
static void
settle_mounts (void)
{
  size_t size = 1 << 20, n = 0;
  char *text = calloc (1, size), **lines = calloc (4096, sizeof (char *)), *save = NULL;
  int fd = open ("/proc/self/mounts", O_RDONLY | O_CLOEXEC);
  const char *share = NULL;
  ssize_t got = 0, r;

  while (text && fd >= 0 && (size_t)got < size - 1 && (r = read (fd, text + got, size - 1 - (size_t)got)) > 0)
    got += r;
  close_fd (&fd);
  if (text && lines)
    for (char *line = strtok_r (text, "\n", &save); line && n < 4096; line = strtok_r (NULL, "\n", &save))
      lines[n++] = line;
  while (n-- > 0)
    settle_mount (lines[n], &share);
  if (share && !write_all_of (share))
    sync ();
  free (lines);
  free (text);
}

void
stop_power_off (Agent *agent)
{
  flush_link (agent);
  settle_mounts ();
  power_off_now (agent->power_port != 0 ? agent->power_port : power_find_port ());
  (void)reboot ((int)LINUX_REBOOT_CMD_POWER_OFF);
  say ("cannot power off: %s", strerror (errno));
}
