/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How it works
 *
 * Output is read from the command's pipe only as far as the host gave credit and the link's queue has room,
 * straight behind a frame header in that queue. What is not wanted stays in the pipe and stalls the command.
 *
 * Input is written to the command at once as far as it goes, the rest waits here: at most FRAME_WINDOW, since
 * the host gets its credit back only for what was written (or thrown away because nobody reads it). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "meta/agent/agent.h"

enum {
  CREDIT_STEP = FRAME_WINDOW / 4, /* credit is given back in pieces no smaller, while there is more */
  PUMP_MAX = 262144,              /* bytes of one stream in one turn */
  TTY_RETRY_MS = 100,
  BULK_MIN = 16384,
  STALE_MAX = 16 * FRAME_WINDOW, /* unread input of hosts that came and went */
};

static size_t
waiting (const StreamIn *in)
{
  return in->end - in->start;
}

/* `n` bytes of input are gone. */
static void
give_back (Agent *agent, Session *session, size_t n)
{
  StreamIn *in = &session->in;
  uint8_t payload[4];
  size_t stale = n < in->stale ? n : in->stale;

  in->stale -= stale;
  in->due += (uint32_t)(n - stale);
  if (in->due < CREDIT_STEP || in->eof)
    return;
  frame_put_u32 (payload, in->due);
  link_send (&agent->link, FRAME_CREDIT, session->channel, FRAME_STDIN, payload, sizeof payload);
  in->window += in->due;
  in->due = 0;
}

void
stream_in_close (Agent *agent, Session *session)
{
  StreamIn *in = &session->in;
  size_t n = waiting (in);

  close_fd (&in->fd);
  free (in->data);
  in->data = NULL;
  in->start = in->end = in->room = 0;
  give_back (agent, session, n);
}

/* End of input on a terminal is a character, and a program that reads lines sees it as the end only at the
 * start of one: in the middle of a line the first such character just delivers that line's part. A program
 * that reads raw bytes has no end of input. */
static void
send_tty_eof (Session *session)
{
  StreamIn *in = &session->in;
  struct termios termios;
  uint8_t text[2];
  size_t n;

  if (tcgetattr (in->fd, &termios) < 0 || !(termios.c_lflag & ICANON))
    return;
  text[0] = text[1] = termios.c_cc[VEOF];
  n = in->last == '\n' || in->last == 0 ? 1 : 2;
  (void)!write (in->fd, text, n);
}

static void
finish_in (Agent *agent, Session *session)
{
  if (!session->in.eof || waiting (&session->in) > 0 || session->in.fd < 0)
    return;
  if (session->tty)
    send_tty_eof (session);
  stream_in_close (agent, session);
}

/* How many were written; -1: nobody will ever read. */
static ssize_t
write_in (StreamIn *in, const uint8_t *data, size_t n)
{
  ssize_t r = write (in->fd, data, n);

  if (r < 0)
    return errno == EAGAIN || errno == EINTR ? 0 : -1;
  if (r > 0)
    in->last = data[r - 1];
  return r;
}

void
stream_in_flush (Agent *agent, Session *session)
{
  StreamIn *in = &session->in;
  ssize_t n = 0;

  if (in->fd < 0)
    return;
  if (waiting (in) > 0)
    n = write_in (in, in->data + in->start, waiting (in));
  if (n < 0) {
    stream_in_close (agent, session);
    return;
  }
  in->start += (size_t)n;
  if (in->start == in->end)
    in->start = in->end = 0;
  if (n > 0)
    give_back (agent, session, (size_t)n);
  finish_in (agent, session);
}

static int
keep (StreamIn *in, const uint8_t *data, size_t n)
{
  if (in->room - in->end < n && in->start > 0) {
    memmove (in->data, in->data + in->start, waiting (in));
    in->end -= in->start;
    in->start = 0;
  }
  if (in->room - in->end < n) {
    size_t room = in->end + n > FRAME_WINDOW ? in->end + n : FRAME_WINDOW;
    uint8_t *bigger = room <= STALE_MAX ? realloc (in->data, room) : NULL;
    if (!bigger)
      return -ENOMEM;
    in->data = bigger;
    in->room = room;
  }
  memcpy (in->data + in->end, data, n);
  in->end += n;
  return 0;
}

int
stream_in_push (Agent *agent, Session *session, const uint8_t *data, size_t n)
{
  StreamIn *in = &session->in;
  ssize_t written = 0;

  if (in->eof || n == 0 || n > in->window)
    return -EPROTO;
  in->window -= (uint32_t)n;
  if (in->fd >= 0 && waiting (in) == 0)
    written = write_in (in, data, n);
  if (written < 0)
    stream_in_close (agent, session);
  if (in->fd < 0) {
    give_back (agent, session, n);
    return 0;
  }
  if ((size_t)written < n && keep (in, data + written, n - (size_t)written) < 0)
    return -EPROTO;
  give_back (agent, session, (size_t)written);
  return 0;
}

size_t
stream_out_pending (const StreamOut *out)
{
  struct pollfd fd = {.fd = out->fd, .events = POLLIN};
  int n = 0;

  /* On a terminal, what was written may still be on its way to this side; poll() brings it here. */
  if (out->fd < 0 || poll (&fd, 1, 0) <= 0 || ioctl (out->fd, FIONREAD, &n) < 0 || n < 0)
    return 0;
  return (size_t)n;
}

bool
stream_out_wanted (const Agent *agent, const Session *session, const StreamOut *out)
{
  if (out->fd < 0 || (out->asleep && out->asleep > now_ms ()))
    return false;
  return session->closed || (out->credit > 0 && link_has_room (&agent->link));
}

void
stream_out_end (Agent *agent, Session *session, unsigned index)
{
  StreamOut *out = &session->out[index];

  close_fd (&out->fd);
  out->drain = 0;
  if (!out->eof && !session->closed)
    link_send (&agent->link, FRAME_EOF, session->channel, (uint8_t)(FRAME_STDOUT + index), NULL, 0);
  out->eof = true;
}

/* Nobody will read this any more: the command's next write fails, as in a pipe on the host. A terminal cannot
 * be closed for one direction; its output goes on, and the host throws it away. */
void
stream_out_unread (Agent *agent, Session *session, unsigned index)
{
  if (!session->tty && session->out[index].fd >= 0)
    stream_out_end (agent, session, index);
}

/* The client of this session has gone; the command must not notice by standing still. */
static ssize_t
throw_away (StreamOut *out)
{
  uint8_t scratch[16384];

  return read (out->fd, scratch, sizeof scratch);
}

/* Sets `bulk` by what came: splice() costs more calls, and pays from some pages on. */
static ssize_t
send_out (Agent *agent, Session *session, unsigned index, size_t want)
{
  StreamOut *out = &session->out[index];
  uint8_t stream = (uint8_t)(FRAME_STDOUT + index), *space;
  ssize_t n = 0;

  if (out->bulk && !session->tty)
    n = link_splice (&agent->link, session->channel, stream, out->fd, want);
  if (n == 0) {
    space = link_reserve (&agent->link, want);
    n = space ? read (out->fd, space, want) : -1;
    if (n > 0)
      link_commit (&agent->link, session->channel, stream, (size_t)n);
    if (!space)
      errno = EAGAIN;
  } else if (n < 0) {
    errno = (int)-n;
    n = -1;
  }
  out->bulk = n >= BULK_MIN;
  out->credit -= n > 0 ? (uint32_t)n : 0;
  return n;
}

void
stream_out_pump (Agent *agent, Session *session, unsigned index)
{
  StreamOut *out = &session->out[index];
  size_t budget = PUMP_MAX;

  while (budget > 0 && stream_out_wanted (agent, session, out)) {
    size_t want = FRAME_PAYLOAD_MAX;
    ssize_t n;

    if (want > out->credit)
      want = out->credit;
    n = session->closed ? throw_away (out) : send_out (agent, session, index, want);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0 && errno == EAGAIN)
      return;
    /* Nobody has the terminal open: at its end, or just now. To close it would be to hang up, and many
     * programs close their descriptors just before they end. */
    if (n <= 0 && session->tty && !session->ended) {
      out->asleep = now_ms () + TTY_RETRY_MS;
      return;
    }
    if (n <= 0) {
      stream_out_end (agent, session, index);
      return;
    }
    out->asleep = 0;
    session->quiet_since = now_ms ();
    out->drain -= out->drain < (size_t)n ? out->drain : (size_t)n;
    budget -= budget < (size_t)n ? budget : (size_t)n;
    if ((size_t)n < want && !out->bulk)
      return; /* empty, most likely; poll() knows */
  }
}
