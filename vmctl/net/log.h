/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What was refused, one line each: "SECONDS.MILLISECONDS VERDICT PROTOCOL ADDRESS PORT RULE", for example
 *
 *   1764000000.123 refuse tcp 169.254.169.254 80 cloud metadata
 *
 * PROTOCOL is tcp, udp, icmp or a number, PORT 0 where there is none. "- N more" stands for lines that came
 * too fast. The file is bounded: at NET_LOG_LIMIT bytes it begins anew. */
#pragma once

#include "vmctl/net/frame.h"

enum { NET_LOG_LIMIT = 1 << 20, NET_LOG_BURST = 100, NET_LOG_PER_SECOND = 10 };

typedef struct {
  int fd; /* borrowed; -1: nothing is written */
  unsigned room, left_out;
  int64_t refilled_ms;
} NetLog;

void net_log_refused (NetLog *log, const NetFrame *frame, const char *why);
