/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An asynchronous QMP client on a GLib main context.
 *
 *   qmp_client_new -> (greeting) -> qmp_capabilities -> running -> closed
 *
 * Commands may be sent at once: those sent before the handshake is over wait for it. Protocol: QEMU
 * docs/interop/qmp-spec.txt. */
#pragma once

#include <glib.h>
#include <json-c/json.h>

#define QMP_ERROR (qmp_error_quark ())

/* QAPI's QapiErrorClass, then what happens to the connection itself. */
typedef enum {
  QMP_ERROR_GENERIC,           /* GenericError, and any class not known here */
  QMP_ERROR_COMMAND_NOT_FOUND, /* CommandNotFound */
  QMP_ERROR_DEVICE_NOT_ACTIVE, /* DeviceNotActive */
  QMP_ERROR_DEVICE_NOT_FOUND,  /* DeviceNotFound */
  QMP_ERROR_KVM_MISSING_CAP,   /* KVMMissingCap */
  QMP_ERROR_PROTOCOL,          /* the peer broke the protocol; the connection is closed */
  QMP_ERROR_DISCONNECTED,      /* EOF or a socket error */
  QMP_ERROR_TIMEOUT,           /* no reply in time; a late one is dropped */
} QmpErrorCode;

GQuark qmp_error_quark (void);
/* "GenericError", "CommandNotFound", ... for the first five; NULL for the others. */
const char *qmp_error_class (const GError *error);
/* The other way; an unknown or NULL class is GENERIC. */
QmpErrorCode qmp_error_code (const char *class_name);

enum {
  QMP_LINE_MAX = 16 << 20,       /* bytes in one message; query-qmp-schema is about 207 kB */
  QMP_IN_FLIGHT_MAX = 256,       /* commands waiting for a reply */
  QMP_HANDSHAKE_TIMEOUT = 60000, /* ms until greeting and capabilities must be done */
};

typedef struct QmpClient QmpClient;

/* Called exactly once for each command sent, also at disconnect and at qmp_client_free. Exactly one of `ret`
 * (borrowed, the "return" member) and `error` (borrowed) is set. `reply` is the whole message, NULL if none
 * came. The client is alive for the call, but may be closed; the callee may call qmp_client_free. */
typedef void (*QmpReplyFunc) (QmpClient *client, json_object *ret, json_object *reply, const GError *error,
                              gpointer data);

typedef struct {
  /* Each may be NULL. `message` is the whole event (borrowed), `event_data` its "data" or NULL. */
  void (*event) (QmpClient *client, const char *name, json_object *event_data, json_object *message,
                 gpointer data);
  /* The handshake is over. */
  void (*ready) (QmpClient *client, gpointer data);
  /* Once, after every pending call has failed. `error` says why (DISCONNECTED for a plain EOF). */
  void (*closed) (QmpClient *client, const GError *error, gpointer data);
} QmpClientHandlers;

/* Takes `fd` (a connected stream socket). `handlers` is copied. The thread-default main context is used. */
QmpClient *qmp_client_new (int take_fd, const QmpClientHandlers *handlers, gpointer data);
/* Replaces QMP_HANDSHAKE_TIMEOUT; counted from now. Without effect once the handshake is over. */
void qmp_client_set_handshake_timeout (QmpClient *client, guint timeout_ms);
/* Fails what is pending (DISCONNECTED), closes. NULL is fine. `closed` is not called. */
void qmp_client_free (QmpClient *client);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (QmpClient, qmp_client_free)

gboolean qmp_client_is_ready (QmpClient *client);
gboolean qmp_client_is_closed (QmpClient *client);
/* The peer's "QMP" object {version, capabilities}; NULL before the greeting. Borrowed. */
json_object *qmp_client_greeting (QmpClient *client);

/* Sends a command. Takes `arguments` (may be NULL). `fds` (borrowed, duplicated; at most 16) travel with its
 * first byte by SCM_RIGHTS; if they cannot be duplicated, the command fails (GENERIC). `timeout_ms`, counted
 * from this call, 0: none. `reply` may be NULL. On a closed client `reply` is called from an idle source. */
void qmp_client_send (QmpClient *client, const char *command, json_object *arguments, const int *fds,
                      guint n_fds, guint timeout_ms, QmpReplyFunc reply, gpointer data);

/* Runs the main context until the reply is there. (transfer full) the "return" value; NULL and `error`
 * otherwise. */
json_object *qmp_client_call (QmpClient *client, const char *command, json_object *arguments, const int *fds,
                              guint n_fds, guint timeout_ms, GError **error);
