/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The sessions' state, shared by their files: session.c (the table, and what the supervisor asks for),
 * session-client.c (what clients send), session-agent.c (what the agent sends). */
#pragma once

#include "vmctl/session.h"

#define CLIENT_CHANNEL FRAME_CHANNEL_MAIN /* what a client's own connection calls its one session */

typedef struct {
  VmSessions *owner; /* borrowed */
  guint32 channel;
  VmLink *client;   /* owned; NULL: none */
  char **argv;      /* owned; NULL: entrypoint */
  GByteArray *open; /* owned; an OPEN that waits for the agent; NULL: sent */
  gboolean tty, console, ended;
  gboolean captures;              /* it runs without a client, its output is kept */
  guint8 started[4];              /* the payload of STARTED */
  gboolean is_started;            /* it came */
  guint8 exit[8];                 /* the payload of EXIT, if `exit_waits` */
  gboolean exit_waits;            /* for the first client (foreground) */
  gsize in_flight[FRAME_STREAMS]; /* STDIN: from the client; others: from the agent, not yet credited back */
  gsize replayed;     /* bytes of the ring that the client has not credited yet: not the agent's */
  gsize owed;         /* of in_flight[STDIN]: what an earlier client sent; its credit is nobody's */
  GByteArray *input;  /* owned; from the client, waits until the agent is there and has room; NULL: nothing */
  gboolean input_eof; /* and then comes its end */
  gboolean client_eof, input_ended; /* the client's own input has ended; the agent was told of an end */
  gboolean unread[FRAME_STREAMS];   /* no client reads that output any more */
  guint16 rows, columns;            /* a size that waits for the agent; 0: none */
  GByteArray *held[FRAME_STREAMS];  /* owned; output that waits for the first client (foreground), or NULL */
  gboolean eof[FRAME_STREAMS];      /* the agent ended that output */
  GByteArray *capture[FRAME_STREAMS]; /* owned; session without a client, or NULL */
  gboolean truncated;
} Session;

struct VmSessions {
  VmLog *log;                         /* borrowed */
  VmLink *agent;                      /* borrowed; NULL: none */
  const VmSessionsHandlers *handlers; /* borrowed */
  gpointer data;
  GHashTable *table; /* channel -> Session, owned */
  GByteArray *ring;  /* the main session's last output */
  gboolean detached;
};

/* session.c */
Session *vm_session_lookup (VmSessions *sessions, guint32 channel); /* NULL: none */

/* session-client.c */
extern const VmLinkHandlers vm_session_client_handlers; /* of a client's link; the data is the Session */
/* The agent is there and has been told of the session, which goes on. */
gboolean vm_session_can_send (VmSessions *sessions, Session *s);
/* Sends the input that waits, as far as the agent has room. */
void vm_session_pump_input (VmSessions *sessions, Session *s);
/* The client has gone, or must. May free `s`. */
void vm_session_let_go (VmSessions *sessions, Session *s);

/* session-agent.c */
void vm_session_give_back (VmSessions *sessions, Session *s, FrameStream stream, gsize n);
/* To the first client, or to the log if none will come. */
void vm_session_release_held (VmSessions *sessions, Session *s);
/* What a client that comes late has missed besides the output. */
void vm_session_tell_state (Session *s, gboolean before_output);
