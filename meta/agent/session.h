/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One command: its life from OPEN to EXIT, and its streams. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "meta/frame.h"

struct Agent;

typedef enum {
  SESSION_FREE,
  SESSION_OPENING,  /* its OPEN frames are coming */
  SESSION_REFUSED,  /* they are still coming, but only to be counted out */
  SESSION_STARTING, /* forked, not known to have executed */
  SESSION_RUNNING,  /* until EXIT is sent */
} SessionState;

/* stdin: from the host to the command. */
typedef struct {
  int fd; /* owned; -1: nobody reads, what comes is thrown away */
  int poll;
  uint8_t *data; /* owned; [start, end) waits to be written */
  size_t start, end, room;
  uint32_t window; /* how much the host may still send */
  uint32_t due;    /* got rid of, CREDIT not sent yet */
  size_t stale;    /* of what waits: sent by an earlier host, so nobody wants credit for it */
  uint8_t last;    /* the last byte written */
  bool eof;        /* the host has ended it */
} StreamIn;

/* stdout or stderr: from the command to the host. */
typedef struct {
  int fd; /* owned; -1: ended */
  int poll;
  uint32_t credit; /* how much we may still send */
  size_t drain;    /* was in the pipe when the command ended and is not read yet */
  bool bulk;       /* so much comes that it is worth not being copied */
  bool eof;        /* EOF was sent, or there never was such a stream */
  int64_t asleep;  /* ms; a terminal that nobody has open now: not looked at until then */
} StreamOut;

typedef struct {
  SessionState state;
  uint32_t channel;
  uint8_t *open; /* owned; the fields of its OPEN frames */
  size_t open_size;
  int refused; /* SESSION_REFUSED: errno */

  pid_t pid;   /* also its session and process group; 0: reaped */
  int exec_fd; /* owned; errno of a failed start comes here, its end means that the command runs */
  int exec_poll;
  int exec_error;
  bool tty, console, closed; /* closed: CLOSE came, output is thrown away */
  StreamIn in;
  StreamOut out[2]; /* stdout, stderr */

  bool ended; /* reaped: */
  uint8_t kind;
  uint32_t value;
  int64_t quiet_since,
      linger_since; /* ms; the last output; when the last of it from before the end was taken */
} Session;

void session_init (Session *session); /* to SESSION_FREE */
Session *session_find (struct Agent *agent, uint32_t channel);

/* Frames. 0, or -EPROTO. */
int session_open (struct Agent *agent, uint32_t channel, bool more, const uint8_t *data, size_t n);
int session_data (struct Agent *agent, Session *session, const uint8_t *data, size_t n);
int session_eof (struct Agent *agent, Session *session);
int session_credit (Session *session, uint8_t stream, uint32_t n);
void session_signal (Session *session, int number);
void session_resize (Session *session, unsigned rows, unsigned columns);
void session_close (struct Agent *agent, Session *session);

/* Turns of the loop. */
void session_prepare_poll (struct Agent *agent, Session *session);
void session_pump (struct Agent *agent, Session *session);
int session_timeout (const Session *session, int timeout);   /* ms, -1: none; the nearer of the two */
void session_settle (struct Agent *agent, Session *session); /* sends EXIT when it is time */
void session_reaped (struct Agent *agent, Session *session, int status);

/* The host has gone: hangs up and forgets it, or keeps it for the next one. */
void session_hang_up (Session *session);
void session_forget (Session *session);
void session_link_lost (Session *session);
void session_link_up (struct Agent *agent, Session *session);

/* stream.c */
int stream_in_push (struct Agent *agent, Session *session, const uint8_t *data, size_t n);
void stream_in_flush (struct Agent *agent, Session *session);
void stream_in_close (struct Agent *agent, Session *session);
/* Reads what credit and link allow. */
void stream_out_pump (struct Agent *agent, Session *session, unsigned index);
bool stream_out_wanted (const struct Agent *agent, const Session *session, const StreamOut *out);
void stream_out_end (struct Agent *agent, Session *session, unsigned index);
/* The host has nobody to read it: the pipe is closed, so that the command gets SIGPIPE. */
void stream_out_unread (struct Agent *agent, Session *session, unsigned index);
size_t stream_out_pending (const StreamOut *out); /* bytes in the pipe */
