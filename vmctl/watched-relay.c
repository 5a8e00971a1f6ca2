/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/watched-relay.h"

#include <glib-unix.h>

static void
stop_watching (VmWatchedRelay *w)
{
  if (w->source != 0)
    g_source_remove (w->source);
  w->source = 0;
}

static gboolean
ready (int fd, GIOCondition condition, gpointer data)
{
  VmWatchedRelay *w = data;

  relay_ready (&w->relay, (short)condition, TRUE);
  vm_watched_relay_update (w);
  return G_SOURCE_CONTINUE; /* or it was removed meanwhile */
}

void
vm_watched_relay_update (VmWatchedRelay *w)
{
  int events = relay_events (&w->relay, TRUE);

  if (relay_is_over (&w->relay)) {
    w->over (w->data);
    return;
  }
  if (w->source != 0 && events == w->events)
    return;
  stop_watching (w);
  w->events = events;
  if (events >= 0)
    w->source = g_unix_fd_add (w->relay.fd, (GIOCondition)events | G_IO_HUP | G_IO_ERR, ready, w);
}

void
vm_watched_relay_clear (VmWatchedRelay *w)
{
  stop_watching (w);
  relay_clear (&w->relay);
}
