/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/relays.h"

#include "vmctl/hostsocket.h"
#include "vmctl/watched-relay.h"

enum {
  RETRY_MS = 50,        /* between two tries to connect to a socket whose queue is full */
  RETRY_FOR_MS = 10000, /* a server that takes nobody for so long is as good as gone */
};

typedef struct {
  VmWatchedRelay watched;
  VmRelays *owner; /* borrowed */
  guint index;
  gboolean used;
  guint retry;
  gint64 retry_until;
} Connection;

struct VmRelays {
  VmLog *log;           /* borrowed */
  VmLink *agent;        /* borrowed; NULL: none */
  GPtrArray *sources;   /* the sockets, borrowed from the plan */
  GPtrArray *writable;  /* directories that the sandbox can write, borrowed likewise, NULL-terminated */
  gboolean *complained; /* owned; for each socket: why it cannot be had was logged */
  VmRelaysBroken broken;
  gpointer data;
  gboolean is_broken;
  Connection connections[FRAME_RELAYS_MAX];
};

VmRelays *
vm_relays_new (const VmPlan *plan, VmLog *log, VmRelaysBroken broken, gpointer data)
{
  VmRelays *relays = g_new0 (VmRelays, 1);

  relays->log = log;
  relays->broken = broken;
  relays->data = data;
  relays->sources = g_ptr_array_new ();
  relays->writable = g_ptr_array_new ();
  for (guint i = 0; i < plan->mounts->len; i++) {
    const VmMount *m = g_ptr_array_index (plan->mounts, i);

    if (m->kind == VM_MOUNT_RELAY)
      g_ptr_array_add (relays->sources, m->source);
    else if (m->kind == VM_MOUNT_RW)
      g_ptr_array_add (relays->writable, m->source);
  }
  g_ptr_array_add (relays->writable, NULL);
  relays->complained = g_new0 (gboolean, relays->sources->len);
  return relays;
}

static void
forget (gpointer data)
{
  Connection *c = data;

  if (c->retry != 0)
    g_source_remove (c->retry);
  c->retry = 0;
  if (c->used)
    vm_watched_relay_clear (&c->watched);
  c->used = FALSE;
}

static void
forget_all (VmRelays *relays)
{
  for (guint i = 0; i < FRAME_RELAYS_MAX; i++)
    forget (&relays->connections[i]);
}

void
vm_relays_free (VmRelays *relays)
{
  if (relays == NULL)
    return;
  forget_all (relays);
  g_ptr_array_unref (relays->sources);
  g_ptr_array_unref (relays->writable);
  g_free (relays->complained);
  g_free (relays);
}

void
vm_relays_set_agent (VmRelays *relays, VmLink *agent)
{
  relays->agent = agent;
  if (agent == NULL)
    forget_all (relays);
}

gboolean
vm_relays_wants (const FrameHeader *header)
{
  return header->type == FRAME_RELAY_OPEN ||
         (header->channel >= FRAME_CHANNEL_RELAY && header->channel < FRAME_CHANNEL_RELAY + FRAME_RELAYS_MAX);
}

static void
break_off (VmRelays *relays, const char *why)
{
  relays->is_broken = TRUE;
  forget_all (relays);
  relays->broken (why, relays->data);
}

/* The host's socket */

static void
send_frame (void *data, FrameType type, uint32_t channel, uint8_t stream, const void *payload, size_t n)
{
  Connection *c = data;

  vm_link_send (c->owner->agent, type, channel, (FrameStream)stream, payload, n);
}

/* Once, until it worked again: a program inside may try for ever. */
static void
complain (Connection *c, const GError *error)
{
  VmRelays *relays = c->owner;

  if (!relays->complained[c->index])
    vm_log_line (relays->log, "relay to '%s' refused: %s",
                 (const char *)g_ptr_array_index (relays->sources, c->index), error->message);
  relays->complained[c->index] = TRUE;
}

static gboolean try_again (gpointer data);

static void
try_connect (Connection *c)
{
  VmRelays *relays = c->owner;
  g_autoptr (GError) error = NULL;
  gboolean busy;
  int fd = vm_host_socket_connect (g_ptr_array_index (relays->sources, c->index),
                                   (const char *const *)relays->writable->pdata, &busy, &error);

  if (fd >= 0) {
    relays->complained[c->index] = FALSE;
    relay_set_socket (&c->watched.relay, fd);
  } else if (busy && g_get_monotonic_time () < c->retry_until) {
    c->retry = g_timeout_add (RETRY_MS, try_again, c);
  } else {
    complain (c, error);
    relay_shut (&c->watched.relay);
  }
  vm_watched_relay_update (&c->watched);
}

static gboolean
try_again (gpointer data)
{
  Connection *c = data;

  c->retry = 0;
  if (!c->watched.relay.closed)
    try_connect (c);
  return G_SOURCE_REMOVE;
}

/* Frames */

static void
open_relay (VmRelays *relays, Connection *c, const FrameHeader *header, const guint8 *payload)
{
  guint32 index = header->length == 4 ? frame_get_u32 (payload) : G_MAXUINT32;

  if (c->used || header->stream != 0 || index >= relays->sources->len) {
    break_off (relays, c->used ? "a relay that is open already" : "a relay that there is not");
    return;
  }
  c->used = TRUE;
  c->owner = relays;
  c->index = index;
  c->retry_until = g_get_monotonic_time () + RETRY_FOR_MS * 1000;
  c->watched = (VmWatchedRelay){.over = forget, .data = c};
  relay_init (&c->watched.relay, header->channel, RELAY_HOST, send_frame, c);
  try_connect (c);
}

void
vm_relays_frame (VmRelays *relays, const FrameHeader *header, const guint8 *payload)
{
  guint32 number = header->channel - FRAME_CHANNEL_RELAY;
  Connection *c;

  if (relays->is_broken)
    return;
  if (relays->agent == NULL || number >= FRAME_RELAYS_MAX) {
    break_off (relays, "a relay out of place");
    return;
  }
  c = &relays->connections[number];
  if (header->type == FRAME_RELAY_OPEN)
    open_relay (relays, c, header, payload);
  else if (!c->used || relay_frame (&c->watched.relay, header, payload) < 0)
    break_off (relays, "a frame that makes no sense for a relay");
  else
    vm_watched_relay_update (&c->watched);
}
