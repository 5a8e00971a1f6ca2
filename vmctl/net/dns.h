/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* DNS messages (RFC 1035, 6891, 9460): the sandbox's questions, our answers; our questions, a name server's
 * answers. Nothing that came in goes out as it was: what is understood is written anew. Pure. libc only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmctl/net/learned.h"
#include "vmctl/net/name.h"

enum {
  NET_DNS_NAME_MAX = 255,                                /* as labels, with the root's */
  NET_DNS_PRINTED_SIZE = 4 * NET_DNS_NAME_MAX + 1,       /* of a name, whatever is in it */
  NET_DNS_QUESTION_MAX = 12 + NET_DNS_NAME_MAX + 4 + 11, /* of a message that asks, with EDNS */
  NET_DNS_MAX = 65535,                                   /* of a message */
  NET_DNS_UDP_MIN = 512,                                 /* what everybody takes */
  NET_DNS_UDP_MAX = 4096,                                /* of an answer to the sandbox by UDP */
  NET_DNS_UDP_OURS = 1232,                               /* that we take: a packet that is not cut up */
  NET_DNS_ADDRESSES_MAX = NET_LEARNED_PER_NAME,          /* more are not told, for they would not be kept */
  NET_DNS_CHAIN_MAX = 16,                                /* CNAMEs */
  NET_DNS_TTL_MAX = NET_LEARNED_TTL_MIN, /* s, told: no cache inside holds on to what we may have lost */
};

typedef enum {
  NET_DNS_A = 1,
  NET_DNS_NS = 2,
  NET_DNS_CNAME = 5,
  NET_DNS_SOA = 6,
  NET_DNS_PTR = 12,
  NET_DNS_MX = 15,
  NET_DNS_TXT = 16,
  NET_DNS_AAAA = 28,
  NET_DNS_SRV = 33,
  NET_DNS_OPT = 41,
  NET_DNS_SSHFP = 44,
  NET_DNS_TLSA = 52,
  NET_DNS_SVCB = 64,
  NET_DNS_HTTPS = 65,
  NET_DNS_IXFR = 251, /* from here to ANY: no types of records, but of questions */
  NET_DNS_ANY = 255,
  NET_DNS_CAA = 257,
} NetDnsType;

enum { NET_DNS_IN = 1 };

typedef enum {
  NET_DNS_DROP = -1, /* no answer at all */
  NET_DNS_NOERROR = 0,
  NET_DNS_FORMERR = 1,
  NET_DNS_SERVFAIL = 2,
  NET_DNS_NXDOMAIN = 3,
  NET_DNS_NOTIMP = 4,
  NET_DNS_REFUSED = 5,
  NET_DNS_BADVERS = 16,
} NetDnsRcode;

typedef struct {
  uint16_t id, type, class;
  bool wants_recursion, edns;
  uint16_t room;                  /* bytes of an answer by UDP */
  uint8_t wire[NET_DNS_NAME_MAX]; /* the name as it was asked for, in its letter case */
  size_t wire_length;             /* 0: the question is not known */
  char name[NET_NAME_SIZE];       /* canonical; "": it is no host's */
} NetDnsQuestion;

/* A message of the sandbox. NOERROR: it is a question. Another: how to answer, with what of *ret is known. */
NetDnsRcode net_dns_read_question (const uint8_t *bytes, size_t length, NetDnsQuestion *ret);

/* The name that was asked for, for people: one word of printable ASCII, other bytes as \DDD. */
void net_dns_print_name (const NetDnsQuestion *question, char out[NET_DNS_PRINTED_SIZE]);

/* Are records of this type taken from answers? The others are answered as if there were none. */
bool net_dns_is_passed (uint16_t type);

/* The same question to a name server. `out`: NET_DNS_QUESTION_MAX bytes. Returns the length. */
size_t net_dns_write_question (const NetDnsQuestion *question, uint16_t id, bool edns, uint8_t *out);

/* Answers without a record, cut ones (whoever asked is to ask by TCP) and one with an address.
 * `out`: NET_DNS_QUESTION_MAX bytes and, with an address, 16 more. */
size_t net_dns_write_empty (const NetDnsQuestion *question, NetDnsRcode rcode, uint8_t *out);
size_t net_dns_write_cut (const NetDnsQuestion *question, uint8_t *out);
size_t net_dns_write_address (const NetDnsQuestion *question, uint32_t address, uint32_t ttl, uint8_t *out);

typedef enum {
  NET_DNS_ANSWERED,
  NET_DNS_CUT,     /* to be asked for by TCP */
  NET_DNS_FAILED,  /* it says that it cannot, or nonsense; *ret_rcode says which (NOERROR: nonsense) */
  NET_DNS_FOREIGN, /* no answer to this question: as if it had not come */
} NetDnsRead;

typedef struct {
  uint16_t rcode; /* ANSWERED: NOERROR, NXDOMAIN; FAILED: what it said, NOERROR: nonsense */
  uint8_t *bytes; /* room for NET_DNS_MAX bytes, the caller's: the answer to the sandbox's question */
  size_t length;
  unsigned n_addresses; /* of A records and hints */
  struct {
    uint32_t address, ttl; /* as it came */
  } addresses[NET_DNS_ADDRESSES_MAX];
} NetDnsAnswer;

/* A name server's message, that should answer net_dns_write_question (question, id, ...). ret->bytes is to be
 * set before. */
NetDnsRead net_dns_read_answer (const NetDnsQuestion *question, uint16_t id, const uint8_t *bytes,
                                size_t length, NetDnsAnswer *ret);
