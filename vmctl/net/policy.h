/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a sandbox may reach. Pure: addresses in host order, no descriptors, no clock. libc only.
 *
 * The text that vmctl-net is given, a rule a line:
 *
 *   vmctl-net-policy 2
 *   mode public                                  public or list; said once
 *   nameserver 10.0.0.53
 *   hostport 5432                                of this host's loopback, as host.vmctl.internal:5432
 *   allow name *.npmjs.org tcp 443-443 @npm      allow or deny; name PATTERN or net NETWORK/PREFIX;
 *   deny net 198.51.100.0/24 any 0-0 deny:...    any, tcp or udp; ports, 0-0: all; and, to the end of the
 *                                                line, what people wrote
 *
 * A text that is cut or has a word too many is no policy, and then nothing is allowed. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmctl/net/name.h"

/* The network that every sandbox sees. */
enum {
  NET_NETWORK = 0x0a000200,    /* 10.0.2.0/24 */
  NET_GATEWAY = 0x0a000202,    /* 10.0.2.2: the helper itself; host.vmctl.internal */
  NET_NAMESERVER = 0x0a000203, /* 10.0.2.3 */
  NET_GUEST = 0x0a00020f,      /* 10.0.2.15 */
  NET_PREFIX = 24,
};

enum { NET_POLICY_RULES_MAX = 4096, NET_POLICY_RESOLVERS_MAX = 3, NET_POLICY_HOST_PORTS_MAX = 32 };

typedef struct NetLearned NetLearned;

typedef enum { NET_MODE_LIST, NET_MODE_PUBLIC } NetMode;

typedef struct {
  bool deny;
  uint8_t protocol;     /* 0: any; IPPROTO_TCP, IPPROTO_UDP */
  uint16_t first, last; /* ports; 0, 0: all */
  char *name;           /* owned; a canonical pattern; NULL: a network */
  uint32_t network, mask;
  char *text; /* owned; as people wrote it */
} NetRule;

typedef struct {
  NetRule *rules; /* owned */
  unsigned n, room;
} NetRules;

typedef struct {
  NetMode mode;
  NetRules nets, names;
  uint16_t *buckets;    /* owned; names by their pattern: numbers of rules from 1, 0: none */
  uint16_t *next;       /* owned; of names: the next one of the same bucket, likewise */
  unsigned bucket_mask; /* there are one more, a power of two */
  bool denies_names;    /* what is said inside a connection matters everywhere */
  uint32_t resolvers[NET_POLICY_RESOLVERS_MAX]; /* may well be addresses that the sandbox must not reach */
  unsigned n_resolvers;
  uint16_t host_ports[NET_POLICY_HOST_PORTS_MAX];
  unsigned n_host_ports;
} NetPolicy; /* all zero: nothing is allowed */

/* False: `text` is no policy, and *ret allows nothing. *ret_line (may be NULL) is the line at fault, from 1.
 */
bool net_policy_parse (const char *text, size_t length, NetPolicy *ret, unsigned *ret_line);
void net_policy_clear (NetPolicy *policy);

/* The kind of an address that `public` keeps closed, for people ("private", "loopback", ...); NULL: it is a
 * public one. (static) */
const char *net_policy_class (uint32_t address);

/* May `name` (canonical) be asked for at the name server? *ret_rule says by which rule, or why not. (static,
 * or the policy's) */
bool net_policy_judge_name (const NetPolicy *policy, const char *name, const char **ret_rule);

typedef struct {
  uint8_t protocol; /* IP's */
  uint32_t address;
  uint16_t port;
  bool is_local; /* an address of this host */
} NetTarget;

typedef enum {
  NET_DENY,
  NET_ALLOW,
  NET_INSPECT, /* TCP: depends on the name that the connection says it is for */
} NetDecision;

/* *ret_rule: by which rule, or why not. (static, or the policy's) */
NetDecision net_policy_judge (const NetPolicy *policy, const NetLearned *learned, const NetTarget *target,
                              int64_t now_ms, const char **ret_rule);

/* A connection that was to be inspected says `name` (canonical). "": it is of a kind that should say one, and
 * does not; NULL: of a kind that has none. */
bool net_policy_judge_said (const NetPolicy *policy, const NetLearned *learned, const NetTarget *target,
                            const char *name, int64_t now_ms, const char **ret_rule);
