/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a sandbox may reach. Pure: addresses in host order, no descriptors, no clock. libc only.
 *
 * The text that vmctl-net is given, one word and its value a line:
 *
 *   vmctl-net-policy 1
 *   mode public
 *   nameserver 10.0.0.53
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The network that every sandbox sees. */
enum {
  NET_NETWORK = 0x0a000200,    /* 10.0.2.0/24 */
  NET_GATEWAY = 0x0a000202,    /* 10.0.2.2: the helper itself, not the host */
  NET_NAMESERVER = 0x0a000203, /* 10.0.2.3 */
  NET_GUEST = 0x0a00020f,      /* 10.0.2.15 */
  NET_PREFIX = 24,
};

typedef struct {
  bool is_public;        /* false: nothing is allowed */
  uint32_t resolvers[3]; /* who answers DNS for the sandbox; may well be an address that it must not reach */
  unsigned n_resolvers;
} NetPolicy;

/* False: `text` is no policy, and *ret allows nothing. *ret_line (may be NULL) is the line at fault, from 1.
 */
bool net_policy_parse (const char *text, size_t length, NetPolicy *ret, unsigned *ret_line);

/* The kind of an address that `public` keeps closed, for people ("private", "loopback", ...); NULL: it is a
 * public one. (static) */
const char *net_policy_class (uint32_t address);

/* Why a connection to `address` is refused; NULL: it is allowed. `is_local`: the address is one of this
 * host's. (static) */
const char *net_policy_refusal (const NetPolicy *policy, uint32_t address, bool is_local);
