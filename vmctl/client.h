/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A verb's connection to a sandbox's control socket, and the events that it follows there. */
#pragma once

#include <glib.h>
#include <json-c/json.h>

#include "qmp/client.h"
#include "vmctl/dirs.h"

typedef struct {
  QmpClient *qmp;      /* owned */
  gboolean ended;      /* SANDBOX_ENDED was seen */
  gboolean stopping;   /* it was seen to begin to end */
  gboolean again;      /* it was seen to start again: its commands are ended */
  gboolean closed;     /* the connection has gone */
  char *reason, *text; /* owned; of SANDBOX_ENDED */
  char **warnings;     /* owned; of SANDBOX_ENDED; NULL */
  GPtrArray *told;     /* owned; of char *; warnings that the user has seen already; NULL */
  gint64 status;       /* of SANDBOX_ENDED, -1 */
  /* Called for each event, if set. */
  void (*event) (const char *name, json_object *event_data, json_object *message, gpointer data);
  gpointer data;
} VmClient;

/* NOT_FOUND (with what to do) if nothing listens. */
VmClient *vm_client_connect (const VmDirs *dirs, const char *id, GError **error);
void vm_client_free (VmClient *client);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmClient, vm_client_free)

/* qmp_client_call with a minute's patience; the error's text is the sandbox's own. (transfer full) */
json_object *
vm_client_call (VmClient *client, const char *command, json_object *take_arguments, GError **error);
/* The same with a new stream: sends one end along, gives the other. -1 and error. `ret_reply` may be NULL. */
int vm_client_call_stream (VmClient *client, const char *command, json_object *take_arguments,
                           json_object **ret_reply, GError **error);

/* Runs the main context until the sandbox has ended and its supervisor has gone. FALSE after `timeout_ms`
 * (-1: none), and at once when it starts again instead. */
gboolean vm_client_wait_end (VmClient *client, int timeout_ms);
