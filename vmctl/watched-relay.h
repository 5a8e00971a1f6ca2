/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A relay (meta/relay.h) whose socket the main loop watches. */
#pragma once

#include <glib.h>

#include "meta/relay.h"

/* It is over: the owner clears it. */
typedef void (*VmWatchedRelayOver) (gpointer data);

typedef struct {
  Relay relay; /* by relay_init() */
  VmWatchedRelayOver over;
  gpointer data;
  guint source; /* watches the socket; 0: nobody does */
  int events;   /* for what */
} VmWatchedRelay;

/* After anything that may have changed what to wait for. May call `over`. */
void vm_watched_relay_update (VmWatchedRelay *watched);
/* Nobody watches it any more, and its socket is closed. */
void vm_watched_relay_clear (VmWatchedRelay *watched);
