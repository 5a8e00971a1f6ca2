/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The data of records: what is in an answer to the sandbox was understood byte by byte, or is of a kind that
 * has no meaning to a resolver (TXT). */
#include <string.h>

#include "vmctl/net/bytes.h"
#include "vmctl/net/dnswire.h"

typedef struct {
  uint16_t type;
  uint8_t before, names, after; /* bytes, names, bytes */
  bool opaque;                  /* any number of bytes instead */
} Form;

static const Form forms[] = {
    {NET_DNS_A, 4, 0, 0, false},    {NET_DNS_NS, 0, 1, 0, false},  {NET_DNS_CNAME, 0, 1, 0, false},
    {NET_DNS_SOA, 0, 2, 20, false}, {NET_DNS_PTR, 0, 1, 0, false}, {NET_DNS_MX, 2, 1, 0, false},
    {NET_DNS_TXT, 0, 0, 0, true},   {NET_DNS_SRV, 6, 1, 0, false}, {NET_DNS_SSHFP, 0, 0, 0, true},
    {NET_DNS_TLSA, 0, 0, 0, true},  {NET_DNS_CAA, 0, 0, 0, true},
};

static const Form *
form_of (unsigned type)
{
  for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
    if (forms[i].type == type)
      return &forms[i];
  return NULL;
}

bool
net_dns_is_passed (uint16_t type)
{
  return type == NET_DNS_HTTPS || type == NET_DNS_SVCB || form_of (type) != NULL;
}

static bool
copy_bytes (NetDnsWriter *writer, NetDnsData *data, size_t n)
{
  if (n > data->end - data->at)
    return false;
  net_dns_put (writer, data->bytes + data->at, n);
  data->at += n;
  return true;
}

/* A name may be compressed with what is anywhere before it, but ends within the data. */
static bool
copy_name (NetDnsWriter *writer, NetDnsData *data)
{
  uint8_t name[NET_DNS_NAME_MAX];
  size_t n = net_dns_read_name (data->bytes, data->end, &data->at, name);

  if (n == 0 || data->at > data->end)
    return false;
  net_dns_put (writer, name, n);
  return true;
}

bool
net_dns_copy_data (NetDnsWriter *writer, NetDnsData data, unsigned type)
{
  const Form *form = form_of (type);

  if (form == NULL)
    return false;
  if (form->opaque)
    return copy_bytes (writer, &data, data.end - data.at);
  if (!copy_bytes (writer, &data, form->before))
    return false;
  for (unsigned i = 0; i < form->names; i++)
    if (!copy_name (writer, &data))
      return false;
  return copy_bytes (writer, &data, form->after) && data.at == data.end;
}

/* SVCB and HTTPS (RFC 9460): priority, target, and keys in ascending order, each with a value */

enum { MANDATORY = 0, /* ALPN, no default ALPN, port */ IPV4_HINT = 4, DOH_PATH = 7 };

/* Not ECH (5), for then no name could be seen, and not IPv6 (6). */
static bool
is_kept (unsigned key)
{
  return key <= IPV4_HINT || key == DOH_PATH;
}

static bool
is_mandatory_kept (const uint8_t *value, size_t length)
{
  for (; length >= 2; value += 2, length -= 2)
    if (!is_kept (net_read16 (value)))
      return false;
  return length == 0;
}

static bool
learn_hints (const uint8_t *value, size_t length, uint32_t ttl, NetDnsAnswer *answer)
{
  if (length == 0 || length % 4 != 0 || length / 4 > NET_DNS_ADDRESSES_MAX - answer->n_addresses)
    return false;
  for (; length > 0; value += 4, length -= 4)
    net_dns_add_address (answer, net_read32 (value), ttl);
  return true;
}

static bool
take_key (unsigned key, const uint8_t *value, size_t length, uint32_t ttl, NetDnsAnswer *answer)
{
  if (key == MANDATORY)
    return is_mandatory_kept (value, length);
  return key != IPV4_HINT || learn_hints (value, length, ttl, answer);
}

static bool
copy_keys (NetDnsWriter *writer, NetDnsData *data, uint32_t ttl, NetDnsAnswer *answer)
{
  for (int last = -1; data->at < data->end;) {
    const uint8_t *here = data->bytes + data->at;
    unsigned key;
    size_t length;

    if (data->end - data->at < 4)
      return false;
    key = net_read16 (here);
    length = net_read16 (here + 2);
    if ((int)key <= last || length > data->end - data->at - 4 ||
        !take_key (key, here + 4, length, ttl, answer))
      return false;
    if (is_kept (key))
      net_dns_put (writer, here, 4 + length);
    data->at += 4 + length;
    last = (int)key;
  }
  return true;
}

bool
net_dns_copy_service (NetDnsWriter *writer, NetDnsData data, uint32_t ttl, NetDnsAnswer *answer)
{
  unsigned before = answer->n_addresses;

  if (copy_bytes (writer, &data, 2) && copy_name (writer, &data) && copy_keys (writer, &data, ttl, answer))
    return true;
  answer->n_addresses = before;
  return false;
}

void
net_dns_add_address (NetDnsAnswer *answer, uint32_t address, uint32_t ttl)
{
  answer->addresses[answer->n_addresses].address = address;
  answer->addresses[answer->n_addresses].ttl = ttl;
  answer->n_addresses++;
}
