/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* For tests of vmctl/net/flows.h: both sides of it, in memory. */
#pragma once

#include <glib.h>

#include "vmctl/net/flows.h"
#include "vmctl/net/frame.h"

typedef struct {
  NetShared shared;
  NetFlows *flows;
  GPtrArray *to_slirp, *to_guest; /* GBytes: frames */
  gboolean no_sockets;            /* libslirp gets none */
  gboolean acknowledges;          /* libslirp acknowledges data at once */
  guint next_fd;
  GHashTable *fds; /* "PORT ADDRESS PORT" -> descriptor, as libslirp has them */
  uint32_t local;  /* an address of this host */
} NetFake;

typedef struct {
  uint16_t guest_port;
  uint32_t address;
  uint16_t port;
  uint32_t sequence, acknowledged;
  uint8_t flags;
  const void *data;
  gsize length;
} NetFakeTcp;

NetFake *net_fake_new (const char *policy); /* the text without its first line */
void net_fake_free (NetFake *fake);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (NetFake, net_fake_free)
void net_fake_policy (NetFake *fake, const char *policy);
void net_fake_learn (NetFake *fake, const char *name, uint32_t address);
uint32_t net_fake_ip (const char *text);

/* A frame from either side. */
void net_fake_guest_tcp (NetFake *fake, const NetFakeTcp *segment);
void net_fake_slirp_tcp (NetFake *fake, const NetFakeTcp *segment);
void net_fake_guest_udp (NetFake *fake, uint16_t guest_port, uint32_t address, uint16_t port,
                         const void *data, gsize length);
/* SYN, answer, ACK; the sandbox's first byte is 1001, libslirp's 5001. */
void net_fake_connect (NetFake *fake, uint16_t guest_port, uint32_t address, uint16_t port);
/* libslirp notices that a socket of its has ended, and closes it. */
void net_fake_closed (NetFake *fake, uint16_t guest_port, uint32_t address, uint16_t port);

/* The oldest frame that nobody has looked at; freed by the next call. FALSE: there is none. */
gboolean net_fake_take (GPtrArray *frames, NetFrame *ret);
/* That it is a TCP frame with these flags and data. */
void net_fake_expect (GPtrArray *frames, guint flags, const void *data, gsize length);
void net_fake_expect_nothing (NetFake *fake);
