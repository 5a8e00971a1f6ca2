/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A QMP server on a listening AF_UNIX socket: many peers, greeting, capabilities negotiation, ids echoed,
 * errors with class and desc, events to all. The same message layer as the client. Any QMP client can talk to
 * it. */
#pragma once

#include <glib.h>
#include <json-c/json.h>

typedef struct QmpServer QmpServer;
typedef struct QmpPeer QmpPeer; /* one connection; borrowed, valid until peer_closed */
typedef struct QmpRequest
    QmpRequest; /* one command that waits for its answer; owned by the handler until answered */

enum {
  QMP_SERVER_PEERS_MAX = 64,       /* further ones are closed at once */
  QMP_SERVER_QUEUE_MAX = 32 << 20, /* bytes waiting for a slow peer, which is then dropped */
  QMP_SERVER_PENDING_MAX = 64, /* unanswered requests a peer; reading from it stops until one is answered */
};

typedef struct {
  /* A command after negotiation, except qmp_capabilities. `arguments` is borrowed, NULL if absent. The
   * handler answers `request` now or later, exactly once (also when the peer has gone: the answer is
   * dropped). Required. */
  void (*command) (QmpServer *server, QmpPeer *peer, const char *name, json_object *arguments,
                   QmpRequest *request, gpointer data);
  /* The peer is gone. May be NULL. */
  void (*peer_closed) (QmpServer *server, QmpPeer *peer, gpointer data);
} QmpServerHandlers;

/* Takes `listen_fd`. A peer that has closed only its sending side is kept until its requests are answered.
 * `version` (taken) is the greeting's "version" object: {"qemu": {major, minor, micro},
 * "package": "..."}. Peers of another uid than ours (or 0) are closed at once. The thread-default main
 * context is used. */
QmpServer *qmp_server_new (int take_listen_fd, json_object *take_version, const QmpServerHandlers *handlers,
                           gpointer data);
/* Closes all peers (`peer_closed` is called for each). Requests stay valid and must still be answered. NULL
 * is fine. */
void qmp_server_free (QmpServer *server);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (QmpServer, qmp_server_free)

/* Replaces the "version" of later greetings (taken). */
void qmp_server_set_version (QmpServer *server, json_object *take_version);
guint qmp_server_n_peers (QmpServer *server);

/* Ends a request; takes it. `ret` is taken, NULL means {}. */
void qmp_request_return (QmpRequest *take_request, json_object *take_ret);
void qmp_request_error (QmpRequest *take_request, const char *class_name, const char *format, ...)
    G_GNUC_PRINTF (3, 4);
/* An error that came from somewhere else; class from qmp_error_class(), GenericError where that is NULL. */
void qmp_request_error_from (QmpRequest *take_request, const GError *error);
/* Passes on a whole reply of another QMP peer: its "return" or its "error" object as they are. `reply` is
 * borrowed. */
void qmp_request_forward (QmpRequest *take_request, json_object *reply);

/* Descriptors that came with the first byte of the command (or of a later part of it), in order; owned by the
 * caller from now on. -1 when there are no more. If one sendmsg holds several commands, they are the last
 * one's. */
int qmp_request_take_fd (QmpRequest *request);
QmpPeer *qmp_request_peer (QmpRequest *request); /* NULL once the peer has gone */

/* To every negotiated peer: {"event": name, "data": ..., "timestamp": {...}}. Takes `event_data` (may be
 * NULL). */
void qmp_server_emit (QmpServer *server, const char *name, json_object *take_event_data);
/* An event of another QMP peer, passed on with its own timestamp. `message` is borrowed. */
void qmp_server_forward_event (QmpServer *server, json_object *message);
