/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The supervisor's side of the commands that run inside: one session a command, a channel of the agent's
 * connection, and at most one client that holds its streams.
 *
 * The main command is session FRAME_CHANNEL_MAIN. Its client may leave and another come: between them the
 * output goes to a ring (replayed to the next client) and to the output log. Every other session ends with
 * its client. */
#pragma once

#include <glib.h>
#include <json-c/json.h>

#include "vmctl/link.h"
#include "vmctl/log.h"

typedef struct VmSessions VmSessions;

enum {
  VM_SESSION_RING = 65536,          /* bytes of a terminal's last output that a new client sees first */
  VM_SESSION_CAPTURE_MAX = 1 << 20, /* bytes kept of each stream of a session without a client */
};

/* What to run. Plain data; strings borrowed. */
typedef struct {
  const char *const *argv; /* NULL: the entrypoint of the meta dir */
  const char *const *env;  /* NULL: none */
  const char *cwd;         /* NULL: the project */
  gboolean shell, root, console;
  gboolean tty;
  guint16 rows, columns; /* with tty */
} VmOpen;

typedef struct {
  /* The command ended; its client has been told. `capture` (borrowed; NULL unless it ran without a client)
   * has "stdout", "stderr" (base64) and "truncated". */
  void (*exited) (guint32 channel, guint8 kind, guint32 value, json_object *capture, gpointer data);
  /* The main command's client vanished without detaching. */
  void (*client_gone) (gpointer data);
  /* The main command's client detached on purpose. */
  void (*detached) (gpointer data);
  /* The agent sent more than it had credit for, or frames that make no sense. */
  void (*broken) (const char *why, gpointer data);
} VmSessionsHandlers;

VmSessions *vm_sessions_new (VmLog *output_log, const VmSessionsHandlers *handlers, gpointer data);
void vm_sessions_free (VmSessions *sessions);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmSessions, vm_sessions_free)

/* The agent's connection (borrowed); NULL when it is lost: then all but the main session end. */
void vm_sessions_set_agent (VmSessions *sessions, VmLink *agent);

/* The main command. Before the agent is there the OPEN waits. `detached`: its output is logged while no
 * client is there; else it is held back (by the flow control) until one comes. */
void vm_sessions_open_main (VmSessions *sessions, const VmOpen *open, gboolean detached);
/* After a takeover: the agent runs it already. `output` (borrowed, at most VM_SESSION_RING bytes; NULL: none)
 * is what it wrote last. */
void vm_sessions_adopt_main (VmSessions *sessions, gboolean tty, GBytes *output);

/* The main command's client is told to go (CLOSE), as one from whom it is stolen. */
void vm_sessions_detach_main (VmSessions *sessions);
/* The agent has gone, and so has the main command: it runs again, detached, once there is another. What was
 * written last is kept. */
void vm_sessions_restart_main (VmSessions *sessions, const VmOpen *open);

/* Another command. `take_stream`: the client's end (owned), -1: run without stdin and capture the output. 0
 * and an error if there is no agent or no channel left. */
guint32 vm_sessions_open (VmSessions *sessions, const VmOpen *open, int take_stream, GError **error);

/* A client for the main command; takes `stream` also on failure. BUSY if one is there, unless `steal`: then
 * that one is detached (it is sent CLOSE). A foreground command that ended before its first client came waits
 * for it with what it said and how it ended; else NOT_FOUND for one that has ended. */
gboolean vm_sessions_attach_main (VmSessions *sessions, int take_stream, gboolean steal, GError **error);

gboolean vm_sessions_resize (VmSessions *sessions, guint32 channel, guint16 rows, guint16 columns);
gboolean vm_sessions_signal (VmSessions *sessions, guint32 channel, guint32 signal);
gboolean vm_sessions_main_has_client (VmSessions *sessions);
/* The main command has ended, and its first client has yet to come for the exit status. */
gboolean vm_sessions_main_waits (VmSessions *sessions);
gboolean vm_sessions_main_is_tty (VmSessions *sessions);
void vm_sessions_set_detached (VmSessions *sessions, gboolean detached);

/* A frame of the agent on a channel other than 0. */
void vm_sessions_frame (VmSessions *sessions, const FrameHeader *header, const guint8 *payload);

/* Everybody's streams are closed (their clients see EOF), for the end of the sandbox. Slow clients have two
 * seconds together to take what is left. */
void vm_sessions_close_all (VmSessions *sessions);

/* [{"session": n, "argv": [...], "tty": b, "attached": b}] (transfer full) */
json_object *vm_sessions_to_json (VmSessions *sessions);
