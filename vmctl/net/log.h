/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What was allowed and refused, one line each: "SECONDS.MILLISECONDS VERDICT PROTOCOL NAME ADDRESS PORT
 * RULE", for example
 *
 *   1764000000.123 refuse tcp - 169.254.169.254 80 cloud metadata
 *   1764000000.456 allow tcp registry.npmjs.org 104.16.1.34 443 @npm
 *   1764000000.789 refuse dns evil.example - 53 not on the list
 *
 * VERDICT is allow (once a flow) or refuse; PROTOCOL is tcp, udp, icmp, dns or a number; NAME is the one that
 * the address was learned for, or "-"; PORT 0 where there is none. "SECONDS.MILLISECONDS refuse N more", and
 * allow likewise, stands for lines that came too fast. The file is bounded: at NET_LOG_LIMIT bytes it begins
 * anew. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { NET_LOG_LIMIT = 1 << 20, NET_LOG_BURST = 100, NET_LOG_PER_SECOND = 10 };

typedef struct {
  unsigned room, left_out;
  int64_t refilled_ms;
} NetLogRate;

typedef struct {
  int fd;                      /* borrowed; -1: nothing is written */
  NetLogRate allowed, refused; /* what is allowed must not push refusals out */
} NetLog;

/* False: too many came, and it was counted only; or nothing is written. `name` may be NULL; `address` 0:
 * none. */
bool net_log_write (NetLog *log, bool allowed, const char *protocol, const char *name, uint32_t address,
                    uint16_t port, const char *rule);
