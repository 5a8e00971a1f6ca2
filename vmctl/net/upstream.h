/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One question to one name server, by UDP or TCP, from a socket (and so a port) of its own. Nothing here
 * waits. libc only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmctl/net/dns.h"

typedef struct {
  int fd; /* owned; -1: none */
  bool tcp;
  uint8_t out[2 + NET_DNS_QUESTION_MAX]; /* TCP: to be sent */
  size_t out_length, sent;
  uint8_t *in; /* TCP: owned; with its length before it */
  size_t got;
} NetUpstream;

void net_upstream_init (NetUpstream *upstream);
/* Asks. False, and nothing is open: it cannot be. `message`: at most NET_DNS_QUESTION_MAX bytes. */
bool
net_upstream_ask (NetUpstream *upstream, uint32_t server, bool tcp, const uint8_t *message, size_t length);
void net_upstream_close (NetUpstream *upstream);
/* What to wait for, as poll() has it. */
short net_upstream_events (const NetUpstream *upstream);

typedef enum { NET_UPSTREAM_MORE, NET_UPSTREAM_MESSAGE, NET_UPSTREAM_FAILED } NetUpstreamState;

/* Something has come. MESSAGE: it is lent until the next call for any upstream; there may be another. */
NetUpstreamState net_upstream_serve (NetUpstream *upstream, const uint8_t **ret_message, size_t *ret_length);
