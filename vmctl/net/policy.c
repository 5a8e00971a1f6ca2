/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How it works
 *
 * Rules for networks are gone through one by one: a comparison each. Rules for names are in a table by the
 * name itself, or for "*.a.b" by "a.b", so that a name of n labels is looked up n times, however many rules
 * there are. Deny beats allow; between two that allow, the closer one is what people are told. */
#include "vmctl/net/policy-parts.h"

#include <stdlib.h>
#include <string.h>

#include "vmctl/net/classes.h"
#include "vmctl/net/learned.h"

enum { DNS = 53, DNS_TLS = 853, QUIC = 443 };

static const char not_listed[] = "not on the list", this_host[] = "this host",
                  host_port[] = "--net-host-port", public[] = "public", other_dns[] = "DNS to another server",
                  quic[] = "QUIC, which hides its name", nameless[] = "no name was said",
                  other_name[] = "the name that was said is not on the list",
                  other_address[] = "the name that was said has another address";

const char *
net_policy_class (uint32_t address)
{
  const NetClass *class = net_class_of (address);

  return class != NULL ? class->name : NULL;
}

/* The table of names. FNV-1a from the end, so that one walk has the hashes of all suffixes. */

enum { HASH_START = 0x811c9dc5, HASH_PRIME = 0x01000193 };

static uint32_t
hash_byte (uint32_t hash, char byte)
{
  return (hash ^ (unsigned char)byte) * HASH_PRIME;
}

static bool
is_wildcard (const NetRule *rule)
{
  return rule->name[0] == '*';
}

static const char *
key_of (const NetRule *rule)
{
  return is_wildcard (rule) ? rule->name + strlen ("*.") : rule->name;
}

static uint32_t
hash_key (const char *key)
{
  uint32_t hash = HASH_START;

  for (size_t i = strlen (key); i > 0; i--)
    hash = hash_byte (hash, key[i - 1]);
  return hash;
}

bool
net_policy_index (NetPolicy *policy)
{
  const NetRules *names = &policy->names;
  unsigned n = 16;

  if (names->n == 0)
    return true;
  while (n < names->n * 2)
    n *= 2;
  policy->buckets = calloc (n, sizeof *policy->buckets);
  policy->next = calloc (names->n, sizeof *policy->next);
  policy->bucket_mask = n - 1;
  if (policy->buckets == NULL || policy->next == NULL)
    return false;
  for (unsigned i = 0; i < names->n; i++) {
    uint16_t *bucket = &policy->buckets[hash_key (key_of (&names->rules[i])) & policy->bucket_mask];

    policy->next[i] = *bucket;
    *bucket = (uint16_t)(i + 1);
  }
  return true;
}

/* Rules that apply. */

typedef struct {
  const NetRule *deny, *allow;
} Found;

static bool
covers (const NetRule *rule, const NetTarget *target)
{
  return (rule->protocol == 0 || rule->protocol == target->protocol) &&
         (rule->first == 0 || (target->port >= rule->first && target->port <= rule->last));
}

/* A question says no port: what is allowed at one may be asked for, and so may what is denied at one. */
static bool
applies (const NetRule *rule, const NetTarget *target)
{
  if (target != NULL)
    return covers (rule, target);
  return !rule->deny || (rule->protocol == 0 && rule->first == 0);
}

static void
take_rule (const NetRule *rule, const NetTarget *target, Found *found)
{
  if (!applies (rule, target))
    return;
  if (rule->deny)
    found->deny = rule;
  else
    found->allow = rule;
}

/* `target` NULL: a question. */
static void
find_name (const NetPolicy *policy, const char *name, const NetTarget *target, Found *found)
{
  uint32_t hash = HASH_START;

  if (policy->names.n == 0)
    return;
  for (size_t i = strlen (name); i > 0; i--) {
    bool is_whole = i == 1, wild = !is_whole;

    hash = hash_byte (hash, name[i - 1]);
    if (wild && name[i - 2] != '.')
      continue;
    for (unsigned r = policy->buckets[hash & policy->bucket_mask]; r != 0; r = policy->next[r - 1]) {
      const NetRule *rule = &policy->names.rules[r - 1];

      if (is_wildcard (rule) == wild && strcmp (key_of (rule), name + i - 1) == 0)
        take_rule (rule, target, found);
    }
  }
}

static bool
opens (const NetRule *rule, const NetClass *class)
{
  return class == NULL || net_class_holds (class, rule->network, rule->mask);
}

/* Among those that allow, one that names the port. */
static void
find_net (const NetPolicy *policy, const NetTarget *target, const NetClass *class, Found *found)
{
  for (unsigned i = 0; i < policy->nets.n; i++) {
    const NetRule *rule = &policy->nets.rules[i];

    if (((target->address ^ rule->network) & rule->mask) != 0 || !covers (rule, target))
      continue;
    if (rule->deny)
      found->deny = rule;
    else if (opens (rule, class) && (found->allow == NULL || (found->allow->first == 0 && rule->first != 0)))
      found->allow = rule;
  }
}

typedef struct {
  const NetPolicy *policy;
  const NetTarget *target;
  bool needs_allow; /* a name that nothing is said about does not do */
  Found found;      /* deny: of some name; allow: of one that is not denied */
  bool good;        /* there is a name that may be reached */
} Names;

static bool
look_at_name (const char *name, void *data)
{
  Names *names = data;
  Found found = {0};

  find_name (names->policy, name, names->target, &found);
  if (found.deny != NULL)
    names->found.deny = found.deny;
  else
    names->found.allow = found.allow;
  names->good = found.deny == NULL && (found.allow != NULL || !names->needs_allow);
  return names->good;
}

bool
net_policy_judge_name (const NetPolicy *policy, const char *name, const char **ret_rule)
{
  Found found = {0};

  find_name (policy, name, NULL, &found);
  if (found.deny != NULL)
    *ret_rule = found.deny->text;
  else if (found.allow != NULL)
    *ret_rule = found.allow->text;
  else
    *ret_rule = policy->mode == NET_MODE_PUBLIC ? public : not_listed;
  return found.deny == NULL && (found.allow != NULL || policy->mode == NET_MODE_PUBLIC);
}

/* Connections. */

typedef struct {
  NetDecision decision;
  const char *rule;
  bool by_address; /* whatever its name is, if that is not denied */
} Judgement;

static Judgement
deny (const char *rule)
{
  return (Judgement){.decision = NET_DENY, .rule = rule};
}

static Judgement
judge_host_port (const NetPolicy *policy, const NetTarget *target)
{
  for (unsigned i = 0; i < policy->n_host_ports && target->protocol == IPPROTO_TCP; i++)
    if (policy->host_ports[i] == target->port)
      return (Judgement){.decision = NET_ALLOW, .rule = host_port, .by_address = true};
  return deny (this_host);
}

/* Another name server tells names that nobody has judged. */
static bool
is_other_dns (const NetPolicy *policy, const NetTarget *target, const NetRule *allow)
{
  return policy->mode == NET_MODE_LIST && (target->port == DNS || target->port == DNS_TLS) &&
         (allow == NULL || allow->first == 0);
}

static Judgement
judge_names (const NetPolicy *policy, const NetLearned *learned, const NetTarget *target, const NetRule *net,
             int64_t now_ms)
{
  bool is_tcp = target->protocol == IPPROTO_TCP;
  bool is_quic = target->protocol == IPPROTO_UDP && target->port == QUIC;
  bool by_address = net != NULL || policy->mode == NET_MODE_PUBLIC;
  Names names = {.policy = policy, .target = target, .needs_allow = !by_address};

  if (policy->names.n > 0 && (!by_address || policy->denies_names))
    (void)net_learned_any (learned, target->address, now_ms, look_at_name, &names);
  if (!names.good && names.found.deny != NULL)
    return deny (names.found.deny->text);
  if (!names.good && !by_address)
    return deny (not_listed);
  if (is_quic && net == NULL && (!by_address || policy->denies_names))
    return deny (quic);
  return (Judgement){.decision = is_tcp && (!by_address || policy->denies_names) ? NET_INSPECT : NET_ALLOW,
                     .rule = net != NULL  ? net->text
                             : by_address ? public
                                          : names.found.allow->text,
                     .by_address = by_address};
}

static Judgement
judge (const NetPolicy *policy, const NetLearned *learned, const NetTarget *target, int64_t now_ms)
{
  const NetClass *class = net_class_of (target->address);
  Found net = {0};

  if (target->address == NET_GATEWAY)
    return judge_host_port (policy, target);
  if (class != NULL && class->never)
    return deny (class->name);
  if (target->is_local)
    return deny (this_host);
  find_net (policy, target, class, &net);
  if (net.deny != NULL)
    return deny (net.deny->text);
  if (class != NULL && net.allow == NULL)
    return deny (class->name);
  if (is_other_dns (policy, target, net.allow))
    return deny (other_dns);
  return judge_names (policy, learned, target, net.allow, now_ms);
}

NetDecision
net_policy_judge (const NetPolicy *policy, const NetLearned *learned, const NetTarget *target, int64_t now_ms,
                  const char **ret_rule)
{
  Judgement judgement = judge (policy, learned, target, now_ms);

  *ret_rule = judgement.rule;
  return judgement.decision;
}

bool
net_policy_judge_said (const NetPolicy *policy, const NetLearned *learned, const NetTarget *target,
                       const char *name, int64_t now_ms, const char **ret_rule)
{
  Judgement judgement = judge (policy, learned, target, now_ms);
  Found found = {0};

  *ret_rule = judgement.rule;
  if (judgement.decision != NET_INSPECT || name == NULL)
    return judgement.decision != NET_DENY;
  find_name (policy, name, target, &found);
  if (found.deny != NULL)
    *ret_rule = found.deny->text;
  else if (judgement.by_address)
    return true;
  else if (*name == '\0')
    *ret_rule = nameless;
  else if (found.allow == NULL)
    *ret_rule = other_name;
  else if (!net_learned_has (learned, name, target->address, now_ms))
    *ret_rule = other_address;
  else {
    *ret_rule = found.allow->text;
    return true;
  }
  return false;
}
