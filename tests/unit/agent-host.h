/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The host's side of a connection to a real vmctl-agent, for tests. It checks what must hold always: no frame
 * after EXIT, no DATA after EOF, never more DATA than the credit allows. Every wait has a deadline. */
#pragma once

#include <glib.h>

#include "meta/frame.h"

typedef struct {
  GByteArray *out[3]; /* 1: stdout, 2: stderr */
  gboolean eof[3], started, exited;
  guint kind, value, pid;
  guint in_flight[3];     /* DATA that was not given credit for */
  guint64 credit;         /* for stdin */
  gboolean keep_credit;   /* gives none back */
  gboolean relay, closed; /* a relay's channel: `value` is its index, `closed` that CLOSE came */
} HostSession;

typedef struct {
  int fd; /* -1: closed */
  GPid pid;
  gboolean running;
  char *meta, *path; /* the meta dir; the socket (--listen) */
  FrameReader reader;
  guint8 *buffer;
  unsigned preamble;
  gboolean found, ended; /* preamble seen; connection closed by the agent */
  GHashTable *sessions;
  gint hello; /* the agent's flags; -1: none yet */
  gboolean up;
  char *failed;
  GString *log;
  GByteArray *pong;
  GByteArray *changed; /* the payload of the last CHANGED */
} Host;

typedef gboolean (*HostCondition) (Host *host, gpointer data);

/* Relays have the numbers of their channels; a RELAY_OPEN begins a HostSession anew. */

/* `files`: NAME, CONTENT pairs that replace or (CONTENT NULL) remove files of a good meta dir; NULL: none. */
Host *host_new (gboolean listen, const char *const *files);
/* --socket --template */
Host *host_new_template (void);
/* Before host_set_up: the file `mounts`, from its words. */
void host_write_mounts (Host *host, const char *const *words);
void host_free (Host *host);    /* the agent has to end by itself */
void host_connect (Host *host); /* --listen: a new connection, the old one is forgotten */
void host_disconnect (Host *host);
void host_set_up (Host *host); /* HELLO, SETUP, until UP */

void host_send (Host *host, FrameType type, guint32 channel, guint8 stream, const void *payload, gsize n);
void host_send_u32 (Host *host, FrameType type, guint32 channel, guint8 stream, guint32 value);
void host_send_raw (Host *host, const void *data, gsize n);
void host_until (Host *host, HostCondition condition, gpointer data);
void host_pump_for (Host *host, guint ms); /* for what must not happen */
gint host_wait (Host *host);               /* until the agent has ended; its exit status */

HostSession *host_session (Host *host, guint32 channel);
void host_field (GByteArray *fields, guint32 tag, const void *value, gsize n);
void host_field_text (GByteArray *fields, guint32 tag, const char *value);
/* In as many OPEN frames as needed. */
void host_open_fields (Host *host, guint32 channel, const GByteArray *fields);
HostSession *host_open (Host *host, guint32 channel, const char *const *argv);
HostSession *host_open_shell (Host *host, guint32 channel, const char *script);
void host_until_exit (Host *host, guint32 channel);
void host_until_output (Host *host, guint32 channel, const char *text); /* on stdout, up to now */
/* Feeds stdin as credit allows, EOF behind it, until EXIT. The exit code. */
int host_feed (Host *host, guint32 channel, const void *data, gsize n);
int host_run (Host *host, const char *script); /* on channel 9 */
void host_assert_output (Host *host, guint32 channel, guint stream, const char *text);
