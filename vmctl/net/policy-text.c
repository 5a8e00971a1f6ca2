/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The policy's text. Every line is taken apart completely, or there is no policy. */
#include "vmctl/net/policy-parts.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_BYTES = 1024, WORDS = 6, PORT_MAX = 65535 };

static bool
add_resolver (NetPolicy *policy, const char *text)
{
  struct in_addr address;

  if (inet_pton (AF_INET, text, &address) != 1 || policy->n_resolvers == NET_POLICY_RESOLVERS_MAX)
    return false;
  policy->resolvers[policy->n_resolvers++] = ntohl (address.s_addr);
  return true;
}

/* Plain decimal digits, without a zero in front. */
static bool
parse_number (const char *text, size_t length, unsigned max, unsigned *ret)
{
  unsigned value = 0;

  if (length == 0 || length > 5 || (length > 1 && *text == '0'))
    return false;
  for (size_t i = 0; i < length; i++) {
    if (text[i] < '0' || text[i] > '9')
      return false;
    value = value * 10 + (unsigned)(text[i] - '0');
  }
  *ret = value;
  return value <= max;
}

static bool
add_host_port (NetPolicy *policy, const char *text)
{
  unsigned port;

  if (!parse_number (text, strlen (text), PORT_MAX, &port) || port == 0 ||
      policy->n_host_ports == NET_POLICY_HOST_PORTS_MAX)
    return false;
  policy->host_ports[policy->n_host_ports++] = (uint16_t)port;
  return true;
}

static bool
parse_ports (const char *text, NetRule *rule)
{
  const char *dash = strchr (text, '-');
  unsigned first, last;

  if (dash == NULL || !parse_number (text, (size_t)(dash - text), PORT_MAX, &first) ||
      !parse_number (dash + 1, strlen (dash + 1), PORT_MAX, &last) || first > last ||
      (first == 0) != (last == 0))
    return false;
  rule->first = (uint16_t)first;
  rule->last = (uint16_t)last;
  return true;
}

static bool
parse_network (const char *text, NetRule *rule)
{
  const char *slash = strchr (text, '/');
  char address[INET_ADDRSTRLEN];
  struct in_addr in;
  unsigned prefix;

  if (slash == NULL || (size_t)(slash - text) >= sizeof address ||
      !parse_number (slash + 1, strlen (slash + 1), 32, &prefix))
    return false;
  memcpy (address, text, (size_t)(slash - text));
  address[slash - text] = '\0';
  if (inet_pton (AF_INET, address, &in) != 1)
    return false;
  rule->network = ntohl (in.s_addr);
  rule->mask = prefix == 0 ? 0 : ~(uint32_t)0 << (32 - prefix);
  return (rule->network & ~rule->mask) == 0;
}

static bool
parse_name (const char *text, NetRule *rule)
{
  char pattern[NET_PATTERN_SIZE];

  if (!net_name_pattern (text, strlen (text), pattern) || strcmp (pattern, text) != 0)
    return false;
  rule->name = strdup (pattern);
  return rule->name != NULL;
}

static bool
parse_protocol (const char *text, NetRule *rule)
{
  rule->protocol = strcmp (text, "tcp") == 0 ? IPPROTO_TCP : strcmp (text, "udp") == 0 ? IPPROTO_UDP : 0;
  return rule->protocol != 0 || strcmp (text, "any") == 0;
}

static bool
keep_rule (NetPolicy *policy, const NetRule *rule)
{
  NetRules *all = rule->name != NULL ? &policy->names : &policy->nets;

  if (policy->nets.n + policy->names.n == NET_POLICY_RULES_MAX)
    return false;
  if (all->n == all->room) {
    NetRule *more = realloc (all->rules, (all->room * 2 + 16) * sizeof *more);

    if (more == NULL)
      return false;
    all->rules = more;
    all->room = all->room * 2 + 16;
  }
  all->rules[all->n++] = *rule;
  policy->denies_names |= rule->deny && rule->name != NULL;
  return true;
}

/* allow name PATTERN any 0-0 TEXT */
static bool
add_rule (NetPolicy *policy, char *const words[WORDS])
{
  NetRule rule = {.deny = strcmp (words[0], "deny") == 0};
  bool is_name = strcmp (words[1], "name") == 0;

  if (!is_name && strcmp (words[1], "net") != 0)
    return false;
  if (parse_protocol (words[3], &rule) && parse_ports (words[4], &rule) && *words[5] != '\0' &&
      (is_name ? parse_name (words[2], &rule) : parse_network (words[2], &rule)) &&
      (rule.text = strdup (words[5])) != NULL && keep_rule (policy, &rule))
    return true;
  free (rule.name);
  free (rule.text);
  return false;
}

/* One space between two words; the last one is the rest of the line. Returns how many there are. */
static unsigned
split (char *line, unsigned max, char *words[WORDS])
{
  unsigned n = 0;

  for (char *rest = line; n < max; n++) {
    char *space = n + 1 < max ? strchr (rest, ' ') : NULL;

    words[n] = rest;
    if (space == NULL)
      return n + 1;
    *space = '\0';
    rest = space + 1;
  }
  return n;
}

static bool
set_mode (NetPolicy *policy, const char *text, bool *has_mode)
{
  if (*has_mode || (strcmp (text, "public") != 0 && strcmp (text, "list") != 0))
    return false;
  policy->mode = *text == 'p' ? NET_MODE_PUBLIC : NET_MODE_LIST;
  return *has_mode = true;
}

static bool
take_line (NetPolicy *policy, char *line, bool *has_mode)
{
  bool is_rule = strncmp (line, "allow ", 6) == 0 || strncmp (line, "deny ", 5) == 0;
  char *words[WORDS] = {0};
  unsigned n = split (line, is_rule ? WORDS : 2, words);

  if (is_rule)
    return n == WORDS && add_rule (policy, words);
  if (n != 2)
    return false;
  if (strcmp (words[0], "mode") == 0)
    return set_mode (policy, words[1], has_mode);
  if (strcmp (words[0], "hostport") == 0)
    return add_host_port (policy, words[1]);
  return strcmp (words[0], "nameserver") == 0 && add_resolver (policy, words[1]);
}

/* The rule's text ends up in the log and on terminals. */
static bool
is_plain (const char *text, size_t length)
{
  for (size_t i = 0; i < length; i++)
    if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
      return false;
  return true;
}

static bool
parse_line (NetPolicy *policy, const char *text, size_t length, unsigned number, bool *has_mode)
{
  char line[LINE_MAX_BYTES];

  if (length >= sizeof line || !is_plain (text, length))
    return false;
  memcpy (line, text, length);
  line[length] = '\0';
  if (number == 1)
    return strcmp (line, "vmctl-net-policy 2") == 0;
  return take_line (policy, line, has_mode);
}

static bool
parse_lines (const char *text, size_t length, NetPolicy *policy, unsigned *line)
{
  bool has_mode = false;

  for (*line = 0; length > 0;) {
    const char *end = memchr (text, '\n', length);
    size_t n = end != NULL ? (size_t)(end - text) : length;

    ++*line;
    if (end == NULL || !parse_line (policy, text, n, *line, &has_mode)) /* what was cut is no policy */
      return false;
    text = end + 1;
    length -= n + 1;
  }
  return has_mode;
}

bool
net_policy_parse (const char *text, size_t length, NetPolicy *ret, unsigned *ret_line)
{
  NetPolicy policy = {0};
  unsigned line;
  bool sound = parse_lines (text, length, &policy, &line) && net_policy_index (&policy);

  if (ret_line != NULL)
    *ret_line = line;
  if (!sound)
    net_policy_clear (&policy);
  *ret = policy;
  return sound;
}

static void
clear_rules (NetRules *rules)
{
  for (unsigned i = 0; i < rules->n; i++) {
    free (rules->rules[i].name);
    free (rules->rules[i].text);
  }
  free (rules->rules);
}

void
net_policy_clear (NetPolicy *policy)
{
  clear_rules (&policy->nets);
  clear_rules (&policy->names);
  free (policy->buckets);
  free (policy->next);
  *policy = (NetPolicy){0};
}
