/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The parts of DNS messages: for dns*.c only. Pure. libc only. */
#pragma once

#include "vmctl/net/dns.h"

enum { NET_DNS_HEADER = 12 };

enum { /* the header's second word */
       NET_DNS_QR = 0x8000,
       NET_DNS_OPCODE = 0x7800,
       NET_DNS_TC = 0x0200,
       NET_DNS_RD = 0x0100,
       NET_DNS_RA = 0x0080,
       NET_DNS_RCODE = 0x000f,
};

/* The name at *at, without compression; *at is moved behind it. Its length; 0: it is malformed. Pointers lead
 * backwards only, so there is no loop. */
size_t net_dns_read_name (const uint8_t *bytes, size_t length, size_t *at, uint8_t out[NET_DNS_NAME_MAX]);
/* Both without compression. */
bool net_dns_same_name (const uint8_t *a, size_t a_length, const uint8_t *b, size_t b_length);

/* A message being written. What does not fit is left out, and `full` says so. */
typedef struct {
  uint8_t *bytes; /* borrowed */
  size_t length, room;
  unsigned answers; /* records */
  bool full;
} NetDnsWriter;

void net_dns_put (NetDnsWriter *writer, const void *bytes, size_t length);
void net_dns_put16 (NetDnsWriter *writer, unsigned value);
void net_dns_put32 (NetDnsWriter *writer, uint32_t value);
void net_dns_set16 (NetDnsWriter *writer, size_t at, unsigned value);
/* The head of an answer, and the question. */
void net_dns_begin (NetDnsWriter *writer, const NetDnsQuestion *question, NetDnsRcode rcode);
/* Up to a record's data; returns where its length is to be set. `owner`: the offset of a name below 16384. */
size_t net_dns_begin_record (NetDnsWriter *writer, size_t owner, unsigned type, uint32_t ttl);
void net_dns_end_record (NetDnsWriter *writer, size_t length_at);
/* EDNS and the head's counts. */
void net_dns_end (NetDnsWriter *writer, const NetDnsQuestion *question, NetDnsRcode rcode);

/* Record data: of `length` bytes at `at` in the message. False: it is malformed, and what was written is to
 * be forgotten. */
typedef struct {
  const uint8_t *bytes; /* the message */
  size_t length;
  size_t at, end; /* of the data */
} NetDnsData;

bool net_dns_copy_data (NetDnsWriter *writer, NetDnsData data, unsigned type);
/* SVCB and HTTPS: without ECH's keys, IPv6 hints and what is unknown. Hints are added to `answer` with `ttl`.
 */
bool net_dns_copy_service (NetDnsWriter *writer, NetDnsData data, uint32_t ttl, NetDnsAnswer *answer);
void net_dns_add_address (NetDnsAnswer *answer, uint32_t address, uint32_t ttl);
