/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The first byte says what the rest is: a question of the sandbox (0), or a name server's answer to one of
 * ours, of a type. What is understood can be written and understood again, and is the same. */
#include <stdlib.h>
#include <string.h>

#include "vmctl/net/dns.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
check (bool condition)
{
  if (!condition)
    abort ();
}

static void
read_question (const uint8_t *data, size_t size)
{
  uint8_t out[NET_DNS_QUESTION_MAX + 16];
  char printed[NET_DNS_PRINTED_SIZE], name[NET_NAME_SIZE];
  NetDnsQuestion question, again;
  NetDnsRcode rcode = net_dns_read_question (data, size, &question);

  if (rcode == NET_DNS_DROP)
    return;
  check (net_dns_write_empty (&question, rcode, out) <= NET_DNS_QUESTION_MAX);
  if (rcode != NET_DNS_NOERROR)
    return;
  net_dns_print_name (&question, printed);
  for (const char *p = printed; *p != '\0'; p++)
    check (*p > ' ' && *p < 0x7f);
  if (question.name[0] != '\0')
    check (net_name_canonical (question.name, strlen (question.name), name) &&
           strcmp (name, question.name) == 0);
  check (net_dns_write_address (&question, 1, 1, out) <= sizeof out);
  check (net_dns_read_question (out, net_dns_write_question (&question, 9, true, out), &again) ==
         NET_DNS_NOERROR);
  check (again.type == question.type && strcmp (again.name, question.name) == 0);
  check (again.wire_length == question.wire_length &&
         memcmp (again.wire, question.wire, question.wire_length) == 0);
}

static void
read_answer (const uint8_t *data, size_t size, uint16_t type)
{
  static const uint8_t name[] = "\1a\7example";
  static uint8_t once[NET_DNS_MAX], twice[NET_DNS_MAX];
  NetDnsQuestion question = {.id = 7, .type = type, .class = NET_DNS_IN, .wire_length = sizeof name};
  NetDnsAnswer first = {.bytes = once}, second = {.bytes = twice};

  memcpy (question.wire, name, sizeof name);
  if (net_dns_read_answer (&question, 0x1234, data, size, &first) != NET_DNS_ANSWERED)
    return;
  check (first.n_addresses <= NET_DNS_ADDRESSES_MAX);
  check (net_dns_read_answer (&question, 7, once, first.length, &second) == NET_DNS_ANSWERED);
  check (second.rcode == first.rcode && second.n_addresses == first.n_addresses);
  check (second.length == first.length && memcmp (once, twice, first.length) == 0);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static const uint16_t types[] = {NET_DNS_A,    NET_DNS_NS,    NET_DNS_CNAME, NET_DNS_SOA,
                                   NET_DNS_PTR,  NET_DNS_MX,    NET_DNS_TXT,   NET_DNS_SRV,
                                   NET_DNS_SVCB, NET_DNS_HTTPS, NET_DNS_CAA};
  const size_t n = sizeof types / sizeof *types;

  if (size == 0)
    return 0;
  if (data[0] == 0)
    read_question (data + 1, size - 1);
  else
    read_answer (data + 1, size - 1, types[(data[0] - 1U) % n]);
  return 0;
}
