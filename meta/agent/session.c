/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How it works
 *
 * OPEN frames are collected, then the command is forked. A pipe that closes by exec tells whether it could be
 * started. EXIT is the last frame of a channel and goes out when
 *  - the command was reaped and its stdout and stderr are at their end, or
 *  - it was reaped, but others (a daemon it left behind) hold the streams: when everything that was in them
 *    as it ended has been sent, and then either nothing came for 200 ms, or two seconds have passed.
 * So no byte written before the end is lost, and a background process does not hold the session. */
#include "meta/agent/session.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "meta/agent/agent.h"
#include "meta/agent/launch.h"
#include "meta/format.h"

enum { QUIET_MS = 200, LINGER_MS = 2000, PIPE_SIZE = 262144 };

void
session_init (Session *session)
{
  *session = (Session){.exec_fd = -1, .exec_poll = -1};
  session->in.fd = session->in.poll = -1;
  for (unsigned i = 0; i < 2; i++) {
    session->out[i].fd = session->out[i].poll = -1;
    session->out[i].credit = FRAME_WINDOW;
  }
  session->in.window = FRAME_WINDOW;
}

static void
session_free (Session *session)
{
  free (session->open);
  free (session->in.data);
  close_fd (&session->exec_fd);
  close_fd (&session->in.fd);
  close_fd (&session->out[0].fd);
  close_fd (&session->out[1].fd);
  session_init (session);
}

Session *
session_find (Agent *agent, uint32_t channel)
{
  for (unsigned i = 0; i < AGENT_SESSIONS; i++)
    if (agent->sessions[i].state != SESSION_FREE && agent->sessions[i].channel == channel)
      return &agent->sessions[i];
  return NULL;
}

static void
send_exit (Agent *agent, uint32_t channel, uint8_t kind, uint32_t value)
{
  uint8_t payload[8] = {kind};

  frame_put_u32 (payload + 4, value);
  link_send (&agent->link, FRAME_EXIT, channel, 0, payload, sizeof payload);
}

/* The end of a channel. The main command's is remembered for the next host. */
static void
finish (Agent *agent, Session *session, uint8_t kind, uint32_t value)
{
  if (session->channel == FRAME_CHANNEL_MAIN && agent->main.started) {
    agent->main.ended = true;
    agent->main.kind = kind;
    agent->main.value = value;
  }
  send_exit (agent, session->channel, kind, value);
  session_free (session);
}

/* Opening */

static Session *
new_session (Agent *agent, uint32_t channel)
{
  Session *empty = NULL;
  unsigned live = 0;

  for (unsigned i = 0; i < AGENT_SESSIONS; i++) {
    Session *session = &agent->sessions[i];
    if (session->state == SESSION_FREE)
      empty = session;
    else if (session->state != SESSION_REFUSED)
      live++;
  }
  if (!empty)
    return NULL;
  empty->channel = channel;
  empty->state = live < FRAME_CHANNELS_MAX ? SESSION_OPENING : SESSION_REFUSED;
  empty->refused = EAGAIN;
  return empty;
}

static void
refuse (Session *session, int error)
{
  free (session->open);
  session->open = NULL;
  session->open_size = 0;
  session->state = SESSION_REFUSED;
  session->refused = error;
}

static void
collect (Session *session, const uint8_t *data, size_t n)
{
  uint8_t *bigger;

  if (session->open_size + n > FRAME_OPEN_MAX) {
    refuse (session, E2BIG);
    return;
  }
  bigger = realloc (session->open, session->open_size + n + 1);
  if (!bigger) {
    refuse (session, ENOMEM);
    return;
  }
  memcpy (bigger + session->open_size, data, n);
  session->open = bigger;
  session->open_size += n;
}

/* Both ends of each stream: ours into the session, the command's into *stdio. 0 or -errno; what was opened is
 * closed by the caller. */
static int
open_pipes (Session *session, const Launch *launch, SpawnStdio *stdio)
{
  for (int i = 0; i < 3; i++) {
    int ends[2], ours;

    if (pipe2 (ends, O_CLOEXEC) < 0)
      return -errno;
    /* So that /dev/stdin and /dev/stderr can be opened by their names. */
    if (launch->set_identity)
      (void)!fchown (ends[0], launch->uid, launch->gid);
    ours = i == 0 ? ends[1] : ends[0];
    stdio->fds[i] = i == 0 ? ends[0] : ends[1];
    (void)fcntl (ours, F_SETPIPE_SZ, PIPE_SIZE); /* best effort: fewer turns for bulk output */
    (void)fcntl (ours, F_SETFL, O_NONBLOCK);
    if (i == 0)
      session->in.fd = ours;
    else
      session->out[i - 1].fd = ours;
  }
  return 0;
}

static int
open_terminal (Session *session, const Launch *launch, SpawnStdio *stdio)
{
  int r = pty_open (launch->uid, launch->rows, launch->columns, &session->out[0].fd, &stdio->fds[0]);

  if (r < 0)
    return r;
  stdio->fds[1] = stdio->fds[2] = stdio->fds[0];
  stdio->terminal = true;
  session->tty = true;
  session->out[1].eof = true;
  session->in.fd = fcntl (session->out[0].fd, F_DUPFD_CLOEXEC, 3);
  return session->in.fd < 0 ? -errno : 0;
}

static int
open_console (Agent *agent, Session *session, SpawnStdio *stdio)
{
  if (!agent->vm)
    return -ENOTTY;
  for (unsigned i = 0; i < AGENT_SESSIONS; i++)
    if (agent->sessions[i].console)
      return -EBUSY;
  if (agent->console_pid > 0)
    return -EBUSY;
  stdio->fds[0] = console_open ();
  if (stdio->fds[0] < 0)
    return stdio->fds[0];
  stdio->fds[1] = stdio->fds[2] = stdio->fds[0];
  stdio->terminal = true;
  session->console = true;
  session->out[0].eof = session->out[1].eof = true;
  close_fd (&agent->console_fd);
  return 0;
}

static void
close_stdio (SpawnStdio *stdio)
{
  for (int i = 0; i < 3; i++)
    if (i == 0 || stdio->fds[i] != stdio->fds[0])
      close_fd (&stdio->fds[i]);
}

int
session_set_identity (const Agent *agent, Launch *launch)
{
  bool gives = agent->vm || (agent->contained && geteuid () != agent->meta.uid);

  if (launch->root && (!agent->meta.root || (!agent->vm && geteuid () != 0)))
    return -EPERM;
  launch->set_identity = gives;
  launch->drop_capabilities = agent->contained;
  launch->filter = agent->filter;
  launch->filter_size = agent->filter_size;
  launch->uid = launch->root ? 0 : gives ? agent->meta.uid : geteuid ();
  launch->gid = launch->root ? 0 : gives ? agent->meta.gid : getegid ();
  launch->no_new_privs = !agent->meta.root;
  launch->mask = agent->meta.mask;
  return 0;
}

static int
start_launch (Agent *agent, Session *session, Launch *launch)
{
  SpawnStdio stdio = {.fds = {-1, -1, -1}};
  pid_t pid;
  int r = session_set_identity (agent, launch);

  if (r == 0)
    r = launch_complete (launch, &agent->meta,
                         agent->contained || (agent->vm && agent->meta.root) ? META_BIN_DIR : NULL);
  if (r < 0)
    return r;
  if (launch->console)
    r = open_console (agent, session, &stdio);
  else if (launch->tty)
    r = open_terminal (session, launch, &stdio);
  else
    r = open_pipes (session, launch, &stdio);
  pid = r < 0 ? r : spawn (launch, &stdio, &session->exec_fd);
  close_stdio (&stdio);
  if (pid < 0)
    return pid;
  session->pid = pid;
  session->state = SESSION_STARTING;
  return 0;
}

static int
start (Agent *agent, Session *session)
{
  Launch launch;
  int r = launch_parse (&launch, session->open, session->open_size);

  free (session->open);
  session->open = NULL;
  if (r == 0 && agent->state != AGENT_UP)
    r = -EIO; /* the host has been told why, or has forgotten SETUP */
  if (r == 0 && agent->stop.wanted)
    r = -ESHUTDOWN;
  if (r == 0)
    r = start_launch (agent, session, &launch);
  if (r == 0 && session->channel == FRAME_CHANNEL_MAIN)
    agent->main = (AgentMain){.started = true};
  launch_clear (&launch);
  if (r < 0 && r != -EPROTO)
    finish (agent, session, FRAME_EXIT_ERRNO, (uint32_t)-r);
  return r == -EPROTO ? r : 0;
}

int
session_open (Agent *agent, uint32_t channel, bool more, const uint8_t *data, size_t n)
{
  Session *session = session_find (agent, channel);

  if (!session)
    session = new_session (agent, channel);
  if (!session || (session->state != SESSION_OPENING && session->state != SESSION_REFUSED))
    return -EPROTO;
  if (session->state == SESSION_OPENING)
    collect (session, data, n);
  if (more)
    return 0;
  if (session->state == SESSION_OPENING)
    return start (agent, session);
  finish (agent, session, FRAME_EXIT_ERRNO, (uint32_t)session->refused);
  return 0;
}

/* Frames */

static bool
running (const Session *session)
{
  return session->state == SESSION_STARTING || session->state == SESSION_RUNNING;
}

int
session_data (Agent *agent, Session *session, const uint8_t *data, size_t n)
{
  return running (session) ? stream_in_push (agent, session, data, n) : -EPROTO;
}

int
session_eof (Agent *agent, Session *session)
{
  if (!running (session) || session->in.eof)
    return -EPROTO;
  session->in.eof = true;
  stream_in_flush (agent, session);
  return 0;
}

int
session_credit (Session *session, uint8_t stream, uint32_t n)
{
  StreamOut *out = &session->out[stream - FRAME_STDOUT];

  if (n == 0 || n > FRAME_WINDOW - out->credit)
    return -EPROTO;
  out->credit += n;
  return 0;
}

/* The process group in front on the session's terminal, else its own. Once the command is reaped the number
 * may be somebody else's. */
static void
send_signal (Session *session, int number)
{
  pid_t group = session->pid;

  if (session->pid <= 0)
    return;
  if (session->tty && session->out[0].fd >= 0) {
    pid_t front = tcgetpgrp (session->out[0].fd);
    if (front > 1)
      group = front;
  }
  /* Just forked, it has no group yet. */
  if (kill (-group, number) < 0 && errno == ESRCH)
    (void)kill (session->pid, number);
}

void
session_signal (Session *session, int number)
{
  if (number > 0 && number < NSIG)
    send_signal (session, number);
}

void
session_resize (Session *session, unsigned rows, unsigned columns)
{
  if (session->tty && session->out[0].fd >= 0)
    pty_resize (session->out[0].fd, rows, columns);
  else if (session->console && session->pid > 0) {
    int fd = open ("/dev/ttyS0", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0)
      pty_resize (fd, rows, columns);
    close_fd (&fd);
  }
}

/* What a modem did when the line dropped. Stopped processes have to be woken to notice. */
void
session_hang_up (Session *session)
{
  if (session->pid <= 0)
    return;
  send_signal (session, SIGHUP);
  (void)kill (-session->pid, SIGHUP);
  send_signal (session, SIGCONT);
  (void)kill (-session->pid, SIGCONT);
  if (session->tty) {
    close_fd (&session->in.fd);
    close_fd (&session->out[0].fd);
  }
}

void
session_close (Agent *agent, Session *session)
{
  if (!running (session)) {
    refuse (session, ECANCELED); /* in the middle of OPEN */
    finish (agent, session, FRAME_EXIT_ERRNO, ECANCELED);
    return;
  }
  session->closed = true;
  session_hang_up (session);
  session->in.eof = true;
  stream_in_close (agent, session);
}

/* Turns of the loop */

void
session_prepare_poll (Agent *agent, Session *session)
{
  Poller *poller = &agent->poller;

  session->exec_poll = session->in.poll = -1;
  session->out[0].poll = session->out[1].poll = -1;
  if (!running (session))
    return;
  session->exec_poll = poller_add (poller, session->exec_fd, POLLIN);
  if (session->in.end > session->in.start)
    session->in.poll = poller_add (poller, session->in.fd, POLLOUT);
  for (unsigned i = 0; i < 2; i++)
    if (stream_out_wanted (agent, session, &session->out[i]))
      session->out[i].poll = poller_add (poller, session->out[i].fd, POLLIN);
}

static void
send_started (Agent *agent, Session *session)
{
  uint8_t payload[4];

  frame_put_u32 (payload, (uint32_t)session->pid);
  link_send (&agent->link, FRAME_STARTED, session->channel, 0, payload, sizeof payload);
}

/* Has exec happened? Also asked before output is read, so that STARTED comes before DATA. */
static void
check_started (Agent *agent, Session *session)
{
  int error;
  ssize_t n;

  if (session->state != SESSION_STARTING)
    return;
  n = read (session->exec_fd, &error, sizeof error);
  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return;
  close_fd (&session->exec_fd);
  session->state = SESSION_RUNNING;
  if (n == sizeof error)
    session->exec_error = error;
  else
    send_started (agent, session);
}

void
session_pump (Agent *agent, Session *session)
{
  if (!running (session))
    return;
  check_started (agent, session);
  if (poller_events (&agent->poller, session->in.poll))
    stream_in_flush (agent, session);
  if (session->state != SESSION_RUNNING || session->exec_error)
    return;
  for (unsigned i = 0; i < 2; i++)
    if (poller_events (&agent->poller, session->out[i].poll))
      stream_out_pump (agent, session, i);
}

void
session_reaped (Agent *agent, Session *session, int status)
{
  session->ended = true;
  session->kind = WIFSIGNALED (status) ? FRAME_EXIT_SIGNAL : FRAME_EXIT_STATUS;
  session->value = (uint32_t)(WIFSIGNALED (status) ? WTERMSIG (status) : WEXITSTATUS (status));
  check_started (agent, session);
  session->pid = 0;
  if (session->exec_error) {
    session->kind = session->exec_error < 0 ? FRAME_EXIT_CWD : FRAME_EXIT_ERRNO;
    session->value = (uint32_t)abs (session->exec_error);
  }
  session->quiet_since = session->linger_since = now_ms ();
  for (unsigned i = 0; i < 2; i++) {
    session->out[i].asleep = 0;
    session->out[i].drain = stream_out_pending (&session->out[i]);
  }
}

/* When the streams are held by others. */
static bool
streams_settled (Agent *agent, Session *session, int64_t now)
{
  for (unsigned i = 0; i < 2; i++) {
    StreamOut *out = &session->out[i];
    if (out->drain > 0)
      session->linger_since = session->quiet_since = now;
    else if (!stream_out_wanted (agent, session, out) && stream_out_pending (out) > 0)
      session->quiet_since = now; /* more came, which cannot be sent now */
  }
  return now - session->quiet_since >= QUIET_MS || now - session->linger_since >= LINGER_MS;
}

int
session_timeout (const Session *session, int timeout)
{
  if (session->state == SESSION_FREE ||
      (!session->ended && (!session->out[0].asleep || session->out[0].fd < 0)))
    return timeout;
  return timeout < 0 || timeout > QUIET_MS / 4 ? QUIET_MS / 4 : timeout;
}

void
session_settle (Agent *agent, Session *session)
{
  if (session->state == SESSION_FREE || !session->ended || agent->link.state != LINK_UP)
    return;
  if (!session->closed && !session->exec_error && (session->out[0].fd >= 0 || session->out[1].fd >= 0) &&
      !streams_settled (agent, session, now_ms ()))
    return;
  if (!session->closed && !session->exec_error)
    for (unsigned i = 0; i < 2; i++)
      stream_out_end (agent, session, i);
  finish (agent, session, session->kind, session->value);
}

/* The host's coming and going */

void
session_forget (Session *session)
{
  session_hang_up (session);
  session_free (session);
}

void
session_link_lost (Session *session)
{
  if (session->state == SESSION_FREE)
    return;
  if (session->channel != FRAME_CHANNEL_MAIN || !running (session))
    session_forget (session);
}

/* Both sides start again with a full window. What the last host had sent and the command has not read yet is
 * not counted in it. */
void
session_link_up (Agent *agent, Session *session)
{
  if (!running (session))
    return;
  session->in.window = FRAME_WINDOW;
  session->in.due = 0;
  session->in.stale = session->in.end - session->in.start;
  for (unsigned i = 0; i < 2; i++) {
    session->out[i].credit = FRAME_WINDOW;
    if (session->out[i].eof && !session->console && !(session->tty && i == 1))
      link_send (&agent->link, FRAME_EOF, session->channel, (uint8_t)(FRAME_STDOUT + i), NULL, 0);
  }
  if (session->state == SESSION_RUNNING && !session->exec_error && session->pid > 0)
    send_started (agent, session);
}
