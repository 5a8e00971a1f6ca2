/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A name server's answer, taken apart and made anew: the chain of CNAMEs from the name that was asked for,
 * and the records at its end. Everything else in it is left out. */
#include <string.h>

#include "vmctl/net/bytes.h"
#include "vmctl/net/dnswire.h"

enum { RECORDS_MAX = 1024 }; /* that are looked at */

typedef struct {
  const uint8_t *bytes;
  size_t length;
  size_t first; /* record of the answer section */
  unsigned n_records;
} Message;

typedef struct {
  uint8_t owner[NET_DNS_NAME_MAX];
  size_t owner_length;
  uint16_t type, class;
  uint32_t ttl;
  size_t data, data_length;
} Record;

/* Whose records are looked for: a name of the answer being made. */
typedef struct {
  uint8_t name[NET_DNS_NAME_MAX];
  size_t length;
  size_t offset; /* of it in what was written */
} Owner;

static bool
read_record (const Message *message, size_t *at, Record *ret)
{
  const uint8_t *fixed;

  ret->owner_length = net_dns_read_name (message->bytes, message->length, at, ret->owner);
  if (ret->owner_length == 0 || message->length - *at < 10)
    return false;
  fixed = message->bytes + *at;
  ret->type = net_read16 (fixed);
  ret->class = net_read16 (fixed + 2);
  ret->ttl = net_read32 (fixed + 4);
  if (ret->ttl > INT32_MAX) /* RFC 2181, 8 */
    ret->ttl = 0;
  ret->data_length = net_read16 (fixed + 8);
  ret->data = *at + 10;
  if (ret->data_length > message->length - ret->data)
    return false;
  *at = ret->data + ret->data_length;
  return true;
}

static bool
is_sound (const Message *message)
{
  size_t at = message->first;
  Record record;

  for (unsigned i = 0; i < message->n_records; i++)
    if (!read_record (message, &at, &record))
      return false;
  return true;
}

static bool
belongs (const Record *record, const Owner *owner, unsigned type)
{
  return record->type == type && record->class == NET_DNS_IN &&
         net_dns_same_name (record->owner, record->owner_length, owner->name, owner->length);
}

static bool
copy_record (NetDnsWriter *writer, const Message *message, const Record *record, size_t owner,
             NetDnsAnswer *answer)
{
  const NetDnsData data = {message->bytes, message->length, record->data, record->data + record->data_length};
  size_t length_at = net_dns_begin_record (writer, owner, record->type, record->ttl);
  bool sound = record->type == NET_DNS_HTTPS || record->type == NET_DNS_SVCB
                   ? net_dns_copy_service (writer, data, record->ttl, answer)
                   : net_dns_copy_data (writer, data, record->type);

  net_dns_end_record (writer, length_at);
  return sound;
}

/* The CNAME of *owner, if it has one, which then is the target. 1: so; 0: it has none; -1: nonsense. */
static int
follow (NetDnsWriter *writer, const Message *message, Owner *owner, NetDnsAnswer *answer)
{
  size_t at = message->first;
  Record record;

  for (unsigned i = 0; i < message->n_records && read_record (message, &at, &record); i++) {
    if (!belongs (&record, owner, NET_DNS_CNAME))
      continue;
    if (!copy_record (writer, message, &record, owner->offset, answer) || writer->full)
      return -1;
    owner->offset = writer->length;
    at = record.data;
    owner->length = net_dns_read_name (message->bytes, message->length, &at, owner->name);
    owner->offset -= owner->length;
    return 1;
  }
  return 0;
}

static bool
follow_all (NetDnsWriter *writer, const Message *message, Owner *owner, NetDnsAnswer *answer)
{
  int r = 1;

  for (unsigned n = 0; r > 0 && n <= NET_DNS_CHAIN_MAX; n++)
    r = follow (writer, message, owner, answer);
  return r == 0;
}

/* Addresses beyond what can be learned are not told: the sandbox could not use them. */
static bool
is_one_too_many (const Record *record, const NetDnsAnswer *answer)
{
  return record->type == NET_DNS_A && answer->n_addresses == NET_DNS_ADDRESSES_MAX;
}

/* A record that is not understood is left out. */
static void
copy_records (NetDnsWriter *writer, const Message *message, const Owner *owner, unsigned type,
              NetDnsAnswer *answer)
{
  size_t at = message->first;
  Record record;

  for (unsigned i = 0; i < message->n_records && read_record (message, &at, &record); i++) {
    const NetDnsWriter before = *writer;

    if (!belongs (&record, owner, type) || is_one_too_many (&record, answer))
      continue;
    if (!copy_record (writer, message, &record, owner->offset, answer))
      *writer = before;
    else if (type == NET_DNS_A)
      net_dns_add_address (answer, net_read32 (message->bytes + record.data), record.ttl);
  }
}

static bool
has_our_head (const Message *message, uint16_t id)
{
  return message->length >= NET_DNS_HEADER && net_read16 (message->bytes) == id &&
         (net_read16 (message->bytes + 2) & (NET_DNS_QR | NET_DNS_OPCODE)) == NET_DNS_QR;
}

static bool
has_our_question (const NetDnsQuestion *question, Message *message)
{
  const uint8_t *bytes = message->bytes;
  uint8_t name[NET_DNS_NAME_MAX];
  size_t at = NET_DNS_HEADER, n;

  if (net_read16 (bytes + 4) != 1)
    return false;
  n = net_dns_read_name (bytes, message->length, &at, name);
  if (!net_dns_same_name (name, n, question->wire, question->wire_length) || message->length - at < 4)
    return false;
  message->first = at + 4;
  message->n_records = net_read16 (bytes + 6);
  if (message->n_records > RECORDS_MAX)
    message->n_records = RECORDS_MAX;
  return net_read16 (bytes + at) == question->type && net_read16 (bytes + at + 2) == question->class;
}

static NetDnsRead
translate (const NetDnsQuestion *question, const Message *message, NetDnsAnswer *ret)
{
  NetDnsWriter writer = {.bytes = ret->bytes, .room = NET_DNS_MAX};
  Owner owner = {.length = question->wire_length, .offset = NET_DNS_HEADER};

  memcpy (owner.name, question->wire, question->wire_length);
  net_dns_begin (&writer, question, ret->rcode);
  if (!is_sound (message) || (question->type != NET_DNS_CNAME && !follow_all (&writer, message, &owner, ret)))
    return NET_DNS_FAILED;
  copy_records (&writer, message, &owner, question->type, ret);
  net_dns_end (&writer, question, ret->rcode);
  if (writer.full)
    return NET_DNS_FAILED;
  ret->length = writer.length;
  return NET_DNS_ANSWERED;
}

NetDnsRead
net_dns_read_answer (const NetDnsQuestion *question, uint16_t id, const uint8_t *bytes, size_t length,
                     NetDnsAnswer *ret)
{
  Message message = {.bytes = bytes, .length = length};
  unsigned flags;
  bool failed;
  NetDnsRead read;

  ret->n_addresses = 0;
  ret->length = 0;
  if (!has_our_head (&message, id))
    return NET_DNS_FOREIGN;
  flags = net_read16 (bytes + 2);
  ret->rcode = flags & NET_DNS_RCODE;
  failed = ret->rcode != NET_DNS_NOERROR && ret->rcode != NET_DNS_NXDOMAIN;
  if (failed && net_read16 (bytes + 4) == 0) /* who does not know EDNS may not repeat the question */
    return NET_DNS_FAILED;
  if (!has_our_question (question, &message))
    return NET_DNS_FOREIGN;
  if (failed)
    return NET_DNS_FAILED;
  if (flags & NET_DNS_TC)
    return NET_DNS_CUT;
  read = translate (question, &message, ret);
  if (read != NET_DNS_ANSWERED) {
    ret->rcode = NET_DNS_NOERROR;
    ret->n_addresses = 0;
  }
  return read;
}
