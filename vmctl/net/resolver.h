/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The name server of the sandbox, 10.0.2.3.
 *
 * Each question is parsed and judged (policy.h) before anything leaves: a name that may not be reached is
 * NXDOMAIN without asking anybody. What may be asked goes, as a message of our own making (random id and
 * port, one question, EDNS), to the policy's name servers, by UDP and, where an answer was cut, TCP; the next
 * one when one is silent. What is asked already is not asked again at the same time. Answers are taken apart
 * and made anew: CNAME, A, HTTPS and SVCB without ECH keys, and other records of known form; AAAA is always
 * empty, for there is no IPv6 inside. The addresses of A records and hints are learned for the name that was
 * asked for (and not for what a CNAME leads to).
 *
 * host.vmctl.internal is the gateway while the policy has ports of the host; nothing else below
 * vmctl.internal is there, nor names for the sandbox's own network, and none of these goes to anybody. */
#pragma once

#include "vmctl/net/dns.h"
#include "vmctl/net/poll.h"
#include "vmctl/net/shared.h"

#define NET_HOST_NAME "host.vmctl.internal"

enum {
  NET_RESOLVER_WAITING_MAX = 256, /* questions under way; the oldest is given up for a new one */
  NET_RESOLVER_PER_SECOND = 200,  /* to the name servers, after a burst of as many; above: REFUSED */
  NET_RESOLVER_TRY_MS = 2000,     /* the next name server after that, */
  NET_RESOLVER_TRIES = 2,         /* each so many times; then SERVFAIL */
};

typedef struct NetResolver NetResolver;

/* Who asked, and is to be answered. */
typedef struct {
  bool tcp;
  uint16_t port;       /* UDP: the sandbox's */
  unsigned connection; /* TCP: dnstcp.h's */
  uint16_t room;       /* bytes of an answer: 512, or what EDNS offers; set by the resolver */
} NetAsker;

typedef void (*NetResolverReply) (void *data, const NetAsker *asker, const uint8_t *message, size_t length);
/* `reply` is called with each answer, perhaps within net_resolver_ask(), and must not ask. `shared` is
 * borrowed; its policy may change between any two calls. */
NetResolver *net_resolver_new (NetShared *shared, NetResolverReply reply, void *data);
void net_resolver_free (NetResolver *resolver);
/* A message from the sandbox, without the length of TCP. Nonsense is dropped or answered with FORMERR. */
void net_resolver_ask (NetResolver *resolver, const NetAsker *asker, const uint8_t *message, size_t length);
void net_resolver_fill (NetResolver *resolver, NetPoll *poll);
void net_resolver_serve (NetResolver *resolver, const NetPoll *poll);
