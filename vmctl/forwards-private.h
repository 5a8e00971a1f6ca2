/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The forwards' state, shared by forwards.c (listening, TCP) and forwards-udp.c. */
#pragma once

#include <netinet/in.h>

#include "meta/dgram.h"
#include "vmctl/forwards.h"
#include "vmctl/watched-relay.h"

typedef struct {
  VmForwards *owner; /* borrowed */
  char *id;          /* owned */
  int fd;            /* owned; listens */
  guint source;      /* watches it; 0: nobody does */
  guint16 port;      /* inside */
  gboolean is_udp;
} Listener;

typedef struct {
  VmWatchedRelay watched;
  VmForwards *owner;  /* borrowed */
  Listener *listener; /* borrowed; where it came in; NULL: that has gone */
  gboolean used, is_udp;

  /* In place of `watched`, of UDP: */
  Dgram dgram;
  struct sockaddr_in peer;
  gint64 last; /* monotonic; when the last datagram passed */
} Connection;

struct VmForwards {
  VmLink *agent;        /* borrowed; NULL: none */
  GPtrArray *listeners; /* owned */
  VmForwardsBroken broken;
  gpointer data;
  gboolean is_broken;
  guint idle_timer; /* ends flows of UDP that have become idle; 0: there are none */
  Connection connections[FRAME_FORWARDS_MAX];
};

/* forwards.c */
Connection *vm_forwards_unused (VmForwards *forwards); /* NULL: all are taken */
/* A frame to the agent; `data` is the Connection. */
void vm_forwards_send (void *data, FrameType type, uint32_t channel, uint8_t stream, const void *payload,
                       size_t n);
/* Tells the agent of a new connection to `port`. */
void vm_forwards_open (Connection *c, guint32 channel, guint16 port);
/* Its number is free. */
void vm_forwards_forget (Connection *c);

/* forwards-udp.c */
/* Datagrams have come to the listener. */
void vm_forwards_udp_ready (Listener *l);
/* A frame for a flow. 0 or -EPROTO. */
int vm_forwards_udp_frame (Connection *c, const FrameHeader *header, const guint8 *payload);
