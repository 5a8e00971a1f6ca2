/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/net/dns.h"

#include <string.h>

#include "vmctl/net/bytes.h"
#include "vmctl/net/dnswire.h"

/* As text, as far as it can be a host's name: a dot within a label, a NUL and the like make it none. */
static void
set_name (NetDnsQuestion *question)
{
  char text[NET_DNS_NAME_MAX];
  size_t n = 0;

  question->name[0] = '\0';
  for (size_t at = 0; question->wire[at] != 0; at += 1U + question->wire[at]) {
    size_t label = question->wire[at];

    if (memchr (question->wire + at + 1, '.', label) != NULL)
      return;
    memcpy (text + n, question->wire + at + 1, label);
    text[n + label] = '.';
    n += label + 1;
  }
  (void)net_name_canonical (text, n, question->name);
}

void
net_dns_print_name (const NetDnsQuestion *question, char out[NET_DNS_PRINTED_SIZE])
{
  size_t n = 0, end = 0; /* of the label */

  for (size_t at = 0; at + 1 < question->wire_length; at++) {
    uint8_t c = question->wire[at];

    if (at == end) {
      end += c + 1U;
      if (at > 0)
        out[n++] = '.';
    } else if (c > ' ' && c < 0x7f && c != '.' && c != '\\') {
      out[n++] = (char)c;
    } else {
      out[n++] = '\\';
      out[n++] = (char)('0' + c / 100);
      out[n++] = (char)('0' + c / 10 % 10);
      out[n++] = (char)('0' + c % 10);
    }
  }
  if (n == 0)
    out[n++] = '.';
  out[n] = '\0';
}

/* The additional section: EDNS's record, at most once. What else is there is none of ours. */
static NetDnsRcode
read_additional (const uint8_t *bytes, size_t length, size_t at, unsigned n, NetDnsQuestion *ret)
{
  uint8_t owner[NET_DNS_NAME_MAX];
  NetDnsRcode rcode = NET_DNS_NOERROR;

  for (; n > 0; n--) {
    size_t owner_length = net_dns_read_name (bytes, length, &at, owner), data;

    if (owner_length == 0 || length - at < 10 || net_read16 (bytes + at + 8) > length - at - 10)
      return NET_DNS_FORMERR;
    data = net_read16 (bytes + at + 8);
    if (net_read16 (bytes + at) == NET_DNS_OPT) {
      unsigned room = net_read16 (bytes + at + 2);

      if (ret->edns || owner_length != 1)
        return NET_DNS_FORMERR;
      ret->edns = true;
      ret->room = (uint16_t)(room > NET_DNS_UDP_MAX ? NET_DNS_UDP_MAX : room > ret->room ? room : ret->room);
      if (bytes[at + 5] != 0)
        rcode = NET_DNS_BADVERS;
    }
    at += 10 + data;
  }
  return at == length ? rcode : NET_DNS_FORMERR;
}

NetDnsRcode
net_dns_read_question (const uint8_t *bytes, size_t length, NetDnsQuestion *ret)
{
  size_t at = NET_DNS_HEADER, n;
  unsigned flags;

  memset (ret, 0, sizeof *ret);
  ret->room = NET_DNS_UDP_MIN;
  if (length < NET_DNS_HEADER)
    return NET_DNS_DROP;
  ret->id = net_read16 (bytes);
  flags = net_read16 (bytes + 2);
  if (flags & NET_DNS_QR) /* never two that answer each other */
    return NET_DNS_DROP;
  ret->wants_recursion = (flags & NET_DNS_RD) != 0;
  if (flags & NET_DNS_OPCODE)
    return NET_DNS_NOTIMP;
  if (net_read16 (bytes + 4) != 1 || net_read32 (bytes + 6) != 0)
    return NET_DNS_FORMERR;
  n = net_dns_read_name (bytes, length, &at, ret->wire);
  if (n == 0 || length - at < 4)
    return NET_DNS_FORMERR;
  ret->wire_length = n;
  ret->type = net_read16 (bytes + at);
  ret->class = net_read16 (bytes + at + 2);
  set_name (ret);
  return read_additional (bytes, length, at + 4, net_read16 (bytes + 10), ret);
}

size_t
net_dns_write_question (const NetDnsQuestion *question, uint16_t id, bool edns, uint8_t *out)
{
  NetDnsWriter writer = {.bytes = out, .room = NET_DNS_QUESTION_MAX};

  net_dns_put16 (&writer, id);
  net_dns_put16 (&writer, NET_DNS_RD);
  net_dns_put16 (&writer, 1);
  net_dns_put32 (&writer, 0);
  net_dns_put16 (&writer, edns);
  net_dns_put (&writer, question->wire, question->wire_length);
  net_dns_put16 (&writer, question->type);
  net_dns_put16 (&writer, question->class);
  if (edns) {
    net_dns_put (&writer, "", 1);
    net_dns_put16 (&writer, NET_DNS_OPT);
    net_dns_put16 (&writer, NET_DNS_UDP_OURS);
    net_dns_put32 (&writer, 0);
    net_dns_put16 (&writer, 0);
  }
  return writer.length;
}

size_t
net_dns_write_empty (const NetDnsQuestion *question, NetDnsRcode rcode, uint8_t *out)
{
  NetDnsWriter writer = {.bytes = out, .room = NET_DNS_QUESTION_MAX};

  net_dns_begin (&writer, question, rcode);
  net_dns_end (&writer, question, rcode);
  return writer.length;
}

size_t
net_dns_write_cut (const NetDnsQuestion *question, uint8_t *out)
{
  size_t length = net_dns_write_empty (question, NET_DNS_NOERROR, out);

  out[2] |= NET_DNS_TC >> 8;
  return length;
}

size_t
net_dns_write_address (const NetDnsQuestion *question, uint32_t address, uint32_t ttl, uint8_t *out)
{
  NetDnsWriter writer = {.bytes = out, .room = NET_DNS_QUESTION_MAX + 16};
  size_t length_at;

  net_dns_begin (&writer, question, NET_DNS_NOERROR);
  length_at = net_dns_begin_record (&writer, NET_DNS_HEADER, NET_DNS_A, ttl);
  net_dns_put32 (&writer, address);
  net_dns_end_record (&writer, length_at);
  net_dns_end (&writer, question, NET_DNS_NOERROR);
  return writer.length;
}
