/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/client.h"

#include <sys/socket.h>

#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/json.h"
#include "vmctl/store.h"

/* A command that comes while the sandbox starts waits for it: the supervisor's own deadline ends that. */
enum { CALL_TIMEOUT_MS = 60000, STREAM_TIMEOUT_MS = 0, STREAM_BUFFER = 1 << 20 };
enum { TAKE_OVER_MS = 5000, LOOK_MS = 20 };

static void
got_event (QmpClient *qmp, const char *name, json_object *event_data, json_object *message, gpointer data)
{
  VmClient *client = data;

  if (g_str_equal (name, "SANDBOX_ENDED")) {
    client->ended = TRUE;
    client->reason = g_strdup (vm_json_str (event_data, "reason", ""));
    client->text = g_strdup (vm_json_str (event_data, "text", ""));
    client->status = vm_json_int (event_data, "status", -1);
    client->warnings = vm_json_dup_strv (vm_json_array (event_data, "warnings"));
  }
  client->again |= g_str_equal (name, "SANDBOX_RESTART");
  client->stopping |= g_str_equal (name, "SANDBOX_STOPPING") || g_str_equal (name, "SANDBOX_ENDED");
  if (client->event != NULL)
    client->event (name, event_data, message, client->data);
}

static void
got_closed (QmpClient *qmp, const GError *error, gpointer data)
{
  VmClient *client = data;

  client->closed = TRUE;
}

static const QmpClientHandlers handlers = {.event = got_event, .closed = got_closed};

/* When a supervisor was killed, the first vmctl that comes starts the next one. For the others there is
 * nobody who listens for a moment, though somebody has the sandbox. */
static int
connect_control (int dir, GError **error)
{
  const gint64 end = g_get_monotonic_time () + TAKE_OVER_MS * G_TIME_SPAN_MILLISECOND;

  for (;;) {
    GError *problem = NULL;
    int fd = vm_fd_connect_unix (dir, "control.sock", SOCK_STREAM, &problem);

    if (fd >= 0)
      return fd;
    if (g_get_monotonic_time () >= end || !vm_store_is_held (dir)) {
      g_propagate_error (error, problem);
      return -1;
    }
    g_error_free (problem);
    g_usleep (LOOK_MS * G_TIME_SPAN_MILLISECOND);
  }
}

VmClient *
vm_client_connect (const VmDirs *dirs, const char *id, GError **error)
{
  vm_autofd dir = vm_store_open_runtime (dirs, id, error);
  VmClient *client;
  int fd;

  if (dir < 0)
    return NULL;
  fd = connect_control (dir, error);
  if (fd < 0) {
    g_prefix_error (error, "sandbox '%s' does not answer; try: vmctl list: ", id);
    return NULL;
  }
  client = g_new0 (VmClient, 1);
  client->status = -1;
  client->qmp = qmp_client_new (fd, &handlers, client);
  return client;
}

void
vm_client_free (VmClient *client)
{
  if (client == NULL)
    return;
  qmp_client_free (client->qmp);
  g_free (client->reason);
  g_free (client->text);
  g_strfreev (client->warnings);
  g_clear_pointer (&client->told, g_ptr_array_unref);
  g_free (client);
}

json_object *
vm_client_call (VmClient *client, const char *command, json_object *take_arguments, GError **error)
{
  return qmp_client_call (client->qmp, command, take_arguments, NULL, 0, CALL_TIMEOUT_MS, error);
}

int
vm_client_call_stream (VmClient *client, const char *command, json_object *take_arguments,
                       json_object **ret_reply, GError **error)
{
  vm_autofd mine = -1, theirs = -1;
  int ends[2], size = STREAM_BUFFER;
  json_object *reply;

  if (!vm_fd_socketpair (SOCK_STREAM, ends, error)) {
    json_object_put (take_arguments);
    return -1;
  }
  mine = ends[0];
  theirs = ends[1];
  (void)setsockopt (mine, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  reply = qmp_client_call (client->qmp, command, take_arguments, &theirs, 1, STREAM_TIMEOUT_MS, error);
  if (reply == NULL)
    return -1;
  if (ret_reply != NULL)
    *ret_reply = reply;
  else
    json_object_put (reply);
  return vm_fd_steal (&mine);
}

static gboolean
expired (gpointer data)
{
  *(gboolean *)data = TRUE;
  return G_SOURCE_REMOVE;
}

gboolean
vm_client_wait_end (VmClient *client, int timeout_ms)
{
  gboolean late = FALSE;
  guint timer = timeout_ms >= 0 ? g_timeout_add ((guint)timeout_ms, expired, &late) : 0;

  while (!client->closed && !late && !client->again)
    g_main_context_iteration (NULL, TRUE);
  if (timer != 0 && !late)
    g_source_remove (timer);
  return client->closed;
}
