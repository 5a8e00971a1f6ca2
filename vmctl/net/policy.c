/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/net/policy.h"

#include <arpa/inet.h>
#include <string.h>

#define IPV4(a, b, c, d) ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))

/* What is no place of the public internet (RFC 6890 and its registry), but for the ranges for documentation,
 * which lead nowhere. */
static const struct {
  uint32_t network;
  unsigned prefix;
  const char *class;
} closed[] = {
    {IPV4 (169, 254, 169, 254), 32, "cloud metadata"},
    {IPV4 (100, 100, 100, 200), 32, "cloud metadata"},
    {IPV4 (0, 0, 0, 0), 8, "this network"},
    {IPV4 (10, 0, 0, 0), 8, "private"},
    {IPV4 (100, 64, 0, 0), 10, "shared (carrier NAT)"},
    {IPV4 (127, 0, 0, 0), 8, "loopback"},
    {IPV4 (169, 254, 0, 0), 16, "link-local"},
    {IPV4 (172, 16, 0, 0), 12, "private"},
    {IPV4 (192, 0, 0, 0), 24, "reserved"},
    {IPV4 (192, 88, 99, 0), 24, "reserved"},
    {IPV4 (192, 168, 0, 0), 16, "private"},
    {IPV4 (198, 18, 0, 0), 15, "private (benchmarks)"},
    {IPV4 (224, 0, 0, 0), 4, "multicast"},
    {IPV4 (255, 255, 255, 255), 32, "broadcast"},
    {IPV4 (240, 0, 0, 0), 4, "reserved"},
};

const char *
net_policy_class (uint32_t address)
{
  for (size_t i = 0; i < sizeof closed / sizeof *closed; i++)
    if (((address ^ closed[i].network) & ~(uint32_t)0 << (32 - closed[i].prefix)) == 0)
      return closed[i].class;
  return NULL;
}

const char *
net_policy_refusal (const NetPolicy *policy, uint32_t address, bool is_local)
{
  const char *class = net_policy_class (address);

  if (address == NET_GATEWAY)
    return "this host";
  if (!policy->is_public)
    return "no network";
  if (class != NULL)
    return class;
  return is_local ? "this host" : NULL;
}

static bool
add_resolver (NetPolicy *policy, const char *text)
{
  struct in_addr address;

  if (inet_pton (AF_INET, text, &address) != 1 ||
      policy->n_resolvers == sizeof policy->resolvers / sizeof *policy->resolvers)
    return false;
  policy->resolvers[policy->n_resolvers++] = ntohl (address.s_addr);
  return true;
}

static bool
take_line (NetPolicy *policy, const char *word, const char *value)
{
  if (strcmp (word, "mode") == 0 && strcmp (value, "public") == 0)
    return policy->is_public = true;
  return strcmp (word, "nameserver") == 0 && add_resolver (policy, value);
}

/* One line, without its end: a word, a space, a value. */
static bool
parse_line (NetPolicy *policy, const char *text, size_t length, unsigned number)
{
  char line[256], *space;

  if (length >= sizeof line || memchr (text, '\0', length) != NULL)
    return false;
  memcpy (line, text, length);
  line[length] = '\0';
  if (number == 1)
    return strcmp (line, "vmctl-net-policy 1") == 0;
  space = strchr (line, ' ');
  if (space == NULL)
    return false;
  *space = '\0';
  return take_line (policy, line, space + 1);
}

bool
net_policy_parse (const char *text, size_t length, NetPolicy *ret, unsigned *ret_line)
{
  NetPolicy policy = {0};
  unsigned number = 0;

  *ret = policy;
  while (length > 0) {
    const char *end = memchr (text, '\n', length);
    size_t n = end != NULL ? (size_t)(end - text) : length;

    number++;
    if (ret_line != NULL)
      *ret_line = number;
    if (end == NULL || !parse_line (&policy, text, n, number)) /* a text that was cut is no policy */
      return false;
    text = end + 1;
    length -= n + 1;
  }
  if (number == 0)
    return false;
  *ret = policy;
  return true;
}
