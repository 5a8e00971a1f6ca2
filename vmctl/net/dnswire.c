/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/net/dnswire.h"

#include <string.h>

#include "vmctl/net/bytes.h"

enum { LABEL_MAX = 63, POINTER = 0xc0 };

/* A pointer at `at` that leads to before `limit`: *at is there, and so is the new limit. */
static bool
follow_pointer (const uint8_t *bytes, size_t length, size_t *at, size_t *limit)
{
  size_t to;

  if ((bytes[*at] & POINTER) != POINTER || length - *at < 2)
    return false;
  to = net_read16 (bytes + *at) & 0x3fff;
  if (to < NET_DNS_HEADER || to >= *limit)
    return false;
  *at = *limit = to;
  return true;
}

size_t
net_dns_read_name (const uint8_t *bytes, size_t length, size_t *at, uint8_t out[NET_DNS_NAME_MAX])
{
  size_t here = *at, limit = *at, n = 0;
  bool followed = false;

  while (here < length) {
    size_t label = bytes[here];

    if (label > LABEL_MAX) {
      if (!followed)
        *at = here + 2;
      followed = true;
      if (!follow_pointer (bytes, length, &here, &limit))
        return 0;
      continue;
    }
    if (label + 1 > length - here || label + 1 > NET_DNS_NAME_MAX - n)
      return 0;
    memcpy (out + n, bytes + here, label + 1);
    n += label + 1;
    here += label + 1;
    if (label > 0)
      continue;
    if (!followed)
      *at = here;
    return n;
  }
  return 0;
}

static uint8_t
lower (uint8_t c)
{
  return c >= 'A' && c <= 'Z' ? (uint8_t)(c - 'A' + 'a') : c;
}

bool
net_dns_same_name (const uint8_t *a, size_t a_length, const uint8_t *b, size_t b_length)
{
  if (a_length != b_length)
    return false;
  for (size_t i = 0; i < a_length; i++) /* labels' lengths are below 'A' */
    if (lower (a[i]) != lower (b[i]))
      return false;
  return true;
}

void
net_dns_put (NetDnsWriter *writer, const void *bytes, size_t length)
{
  if (writer->full || length > writer->room - writer->length) {
    writer->full = true;
    return;
  }
  memcpy (writer->bytes + writer->length, bytes, length);
  writer->length += length;
}

void
net_dns_put16 (NetDnsWriter *writer, unsigned value)
{
  uint8_t bytes[2];

  net_write16 (bytes, value);
  net_dns_put (writer, bytes, sizeof bytes);
}

void
net_dns_put32 (NetDnsWriter *writer, uint32_t value)
{
  net_dns_put16 (writer, value >> 16);
  net_dns_put16 (writer, value & 0xffff);
}

void
net_dns_set16 (NetDnsWriter *writer, size_t at, unsigned value)
{
  if (writer->full)
    return;
  net_write16 (writer->bytes + at, value);
}

void
net_dns_begin (NetDnsWriter *writer, const NetDnsQuestion *question, NetDnsRcode rcode)
{
  bool known = question->wire_length > 0;

  net_dns_put16 (writer, question->id);
  net_dns_put16 (writer, NET_DNS_QR | NET_DNS_RA | (question->wants_recursion ? NET_DNS_RD : 0) |
                             ((unsigned)rcode & NET_DNS_RCODE));
  net_dns_put16 (writer, known);
  net_dns_put16 (writer, 0);
  net_dns_put16 (writer, 0);
  net_dns_put16 (writer, 0);
  if (!known)
    return;
  net_dns_put (writer, question->wire, question->wire_length);
  net_dns_put16 (writer, question->type);
  net_dns_put16 (writer, question->class);
}

size_t
net_dns_begin_record (NetDnsWriter *writer, size_t owner, unsigned type, uint32_t ttl)
{
  writer->answers++;
  net_dns_put16 (writer, POINTER << 8 | (unsigned)owner);
  net_dns_put16 (writer, type);
  net_dns_put16 (writer, NET_DNS_IN);
  net_dns_put32 (writer, ttl < NET_DNS_TTL_MAX ? ttl : NET_DNS_TTL_MAX);
  net_dns_put16 (writer, 0);
  return writer->length - 2;
}

void
net_dns_end_record (NetDnsWriter *writer, size_t length_at)
{
  net_dns_set16 (writer, length_at, (unsigned)(writer->length - length_at - 2));
}

/* RFC 6891: who speaks EDNS is answered in it. */
void
net_dns_end (NetDnsWriter *writer, const NetDnsQuestion *question, NetDnsRcode rcode)
{
  enum { ANSWERS = 6, ADDITIONAL = 10, UPPER_RCODE = 24 };

  net_dns_set16 (writer, ANSWERS, writer->answers);
  if (!question->edns)
    return;
  net_dns_put (writer, "", 1); /* the root */
  net_dns_put16 (writer, NET_DNS_OPT);
  net_dns_put16 (writer, NET_DNS_UDP_MAX);
  net_dns_put32 (writer, (uint32_t)rcode >> 4 << UPPER_RCODE);
  net_dns_put16 (writer, 0);
  net_dns_set16 (writer, ADDITIONAL, 1);
}
