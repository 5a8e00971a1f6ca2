/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/forwards-private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <glib-unix.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/json.h"

enum { BACKLOG = 128 };

static gboolean came (int fd, GIOCondition condition, gpointer data);

static void
free_listener (gpointer data)
{
  Listener *l = data;

  if (l->source != 0)
    g_source_remove (l->source);
  vm_fd_clear (&l->fd);
  g_free (l->id);
  g_free (l);
}

VmForwards *
vm_forwards_new (VmForwardsBroken broken, gpointer data)
{
  VmForwards *forwards = g_new0 (VmForwards, 1);

  forwards->broken = broken;
  forwards->data = data;
  forwards->listeners = g_ptr_array_new_with_free_func (free_listener);
  return forwards;
}

Connection *
vm_forwards_unused (VmForwards *forwards)
{
  for (guint i = 0; i < FRAME_FORWARDS_MAX; i++)
    if (!forwards->connections[i].used)
      return &forwards->connections[i];
  return NULL;
}

/* Who comes is let in only when there is an agent to tell, and room. A flow of datagrams may have begun
 * already. */
static void
watch_listeners (VmForwards *forwards)
{
  gboolean can_tell = forwards->agent != NULL && !forwards->is_broken;
  gboolean has_room = vm_forwards_unused (forwards) != NULL;

  for (guint i = 0; i < forwards->listeners->len; i++) {
    Listener *l = g_ptr_array_index (forwards->listeners, i);
    gboolean wanted = can_tell && (has_room || l->is_udp);

    if (wanted && l->source == 0) {
      l->source = g_unix_fd_add (l->fd, G_IO_IN, came, l);
    } else if (!wanted && l->source != 0) {
      g_source_remove (l->source);
      l->source = 0;
    }
  }
}

/* Connections */

static void
forget (Connection *c)
{
  if (c->used && !c->is_udp)
    vm_watched_relay_clear (&c->watched);
  c->used = FALSE;
}

static void
forget_all (VmForwards *forwards)
{
  for (guint i = 0; i < FRAME_FORWARDS_MAX; i++)
    forget (&forwards->connections[i]);
}

void
vm_forwards_free (VmForwards *forwards)
{
  if (forwards == NULL)
    return;
  forget_all (forwards);
  if (forwards->idle_timer != 0)
    g_source_remove (forwards->idle_timer);
  g_ptr_array_unref (forwards->listeners);
  g_free (forwards);
}

void
vm_forwards_forget (Connection *c)
{
  forget (c);
  watch_listeners (c->owner);
}

static void
over (gpointer data)
{
  vm_forwards_forget (data);
}

void
vm_forwards_send (void *data, FrameType type, uint32_t channel, uint8_t stream, const void *payload, size_t n)
{
  Connection *c = data;

  vm_link_send (c->owner->agent, type, channel, (FrameStream)stream, payload, n);
}

void
vm_forwards_open (Connection *c, guint32 channel, guint16 port)
{
  guint8 payload[4];

  frame_put_u16 (payload, port);
  frame_put_u16 (payload + 2, c->is_udp ? FRAME_FORWARD_UDP : 0);
  vm_link_send (c->owner->agent, FRAME_FORWARD_OPEN, channel, FRAME_STDIN, payload, sizeof payload);
}

static void
begin (Connection *c, VmForwards *forwards, Listener *listener, int take_fd, guint16 port)
{
  guint32 channel = FRAME_CHANNEL_FORWARD + (guint32)(c - forwards->connections);

  *c = (Connection){
      .owner = forwards, .listener = listener, .used = TRUE, .watched = {.over = over, .data = c}};
  vm_forwards_open (c, channel, port);
  relay_init (&c->watched.relay, channel, RELAY_HOST, vm_forwards_send, c);
  relay_set_socket (&c->watched.relay, take_fd);
  vm_watched_relay_update (&c->watched);
  watch_listeners (forwards);
}

static gboolean
came (int fd, GIOCondition condition, gpointer data)
{
  Listener *l = data;
  VmForwards *forwards = l->owner;
  Connection *c = vm_forwards_unused (forwards);
  int socket;

  if (l->is_udp) {
    vm_forwards_udp_ready (l);
    return G_SOURCE_CONTINUE;
  }
  if (c == NULL) { /* flows have taken the rest */
    watch_listeners (forwards);
    return G_SOURCE_CONTINUE;
  }
  socket = accept4 (l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (socket >= 0)
    begin (c, forwards, l, socket, l->port);
  return G_SOURCE_CONTINUE; /* or it was removed just now */
}

gboolean
vm_forwards_adopt (VmForwards *forwards, int take_fd, guint16 inside)
{
  Connection *c = vm_forwards_unused (forwards);
  vm_autofd fd = take_fd;

  if (c == NULL || forwards->agent == NULL || forwards->is_broken || !vm_fd_set_nonblocking (fd, TRUE, NULL))
    return FALSE;
  begin (c, forwards, NULL, vm_fd_steal (&fd), inside);
  return TRUE;
}

/* Listening */

static int
listen_at (const char *address, guint16 port, gboolean is_udp, GError **error)
{
  struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons (port)};
  vm_autofd fd = socket (AF_INET, (is_udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  int on = 1;

  if (inet_pton (AF_INET, address, &where.sin_addr) != 1) {
    vm_error (error, VM_ERROR_USAGE, "port: '%s' is no IPv4 address", address);
    return -1;
  }
  if (fd >= 0 && !is_udp)
    (void)setsockopt (fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (fd >= 0 && bind (fd, (struct sockaddr *)&where, sizeof where) == 0 &&
      (is_udp || listen (fd, BACKLOG) == 0))
    return vm_fd_steal (&fd);
  if (errno == EADDRINUSE)
    vm_error (error, VM_ERROR_BUSY,
              "port: %u of %s is in use by another program of this host; choose another one: "
              "HOST:GUEST",
              port, address);
  else if (errno == EADDRNOTAVAIL)
    vm_error (error, VM_ERROR_USAGE, "port: '%s' is no address of this host", address);
  else if (errno == EACCES)
    vm_error (error, VM_ERROR_USAGE, "port: %u may be used by root only; choose one from 1024 on", port);
  else
    vm_error_errno (error, errno, "port: cannot listen at %u of %s", port, address);
  return -1;
}

gboolean
vm_forwards_add (VmForwards *forwards, json_object *what, GError **error)
{
  gboolean is_udp = vm_json_bool (what, "udp", FALSE);
  int fd = listen_at (vm_json_str (what, "address", ""), (guint16)vm_json_int (what, "host-port", 0), is_udp,
                      error);
  Listener *l;

  if (fd < 0)
    return FALSE;
  l = g_new0 (Listener, 1);
  l->owner = forwards;
  l->id = g_strdup (vm_json_str (what, "id", ""));
  l->fd = fd;
  l->is_udp = is_udp;
  l->port = (guint16)vm_json_int (what, "guest-port", 0);
  g_ptr_array_add (forwards->listeners, l);
  watch_listeners (forwards);
  return TRUE;
}

void
vm_forwards_remove (VmForwards *forwards, const char *id)
{
  for (guint i = 0; i < forwards->listeners->len; i++) {
    Listener *l = g_ptr_array_index (forwards->listeners, i);

    if (g_strcmp0 (l->id, id) != 0)
      continue;
    for (guint n = 0; n < FRAME_FORWARDS_MAX; n++) {
      Connection *c = &forwards->connections[n];

      if (!c->used || c->listener != l)
        continue;
      c->listener = NULL;
      if (c->is_udp) {
        dgram_shut (&c->dgram);
        continue;
      }
      relay_shut (&c->watched.relay);
      vm_watched_relay_update (&c->watched);
    }
    g_ptr_array_remove_index (forwards->listeners, i);
    return;
  }
}

/* The agent */

void
vm_forwards_set_agent (VmForwards *forwards, VmLink *agent)
{
  forwards->agent = agent;
  if (agent == NULL)
    forget_all (forwards);
  watch_listeners (forwards);
}

gboolean
vm_forwards_wants (const FrameHeader *header)
{
  return header->channel >= FRAME_CHANNEL_FORWARD &&
         header->channel < FRAME_CHANNEL_FORWARD + FRAME_FORWARDS_MAX;
}

void
vm_forwards_frame (VmForwards *forwards, const FrameHeader *header, const guint8 *payload)
{
  Connection *c = &forwards->connections[header->channel - FRAME_CHANNEL_FORWARD];

  if (forwards->is_broken)
    return;
  if (forwards->agent != NULL && c->used && c->is_udp && vm_forwards_udp_frame (c, header, payload) == 0)
    return;
  if (forwards->agent != NULL && c->used && !c->is_udp &&
      relay_frame (&c->watched.relay, header, payload) == 0) {
    vm_watched_relay_update (&c->watched);
    return;
  }
  forwards->is_broken = TRUE;
  forget_all (forwards);
  watch_listeners (forwards);
  forwards->broken ("a frame that makes no sense for a forwarded connection", forwards->data);
}
