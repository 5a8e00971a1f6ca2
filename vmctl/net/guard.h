/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The decision about one frame. libc only. */
#pragma once

#include "vmctl/net/frame.h"
#include "vmctl/net/learned.h"
#include "vmctl/net/policy.h"

typedef enum { NET_PASS, NET_DROP, NET_REFUSE } NetVerdict;

/* Is the address one of this host's? */
typedef bool (*NetIsLocal) (uint32_t address);

typedef struct {
  NetPolicy policy;
  NetLearned *learned;
  NetIsLocal is_local;
} NetGuard;

/* A frame of the sandbox. *ret_why: the rule, for people, for all but NET_PASS. (static) */
NetVerdict net_guard_outgoing (const NetGuard *guard, const NetFrame *frame, const char **ret_why);

/* A frame that libslirp made for the sandbox: UDP may come from anywhere to a port that is open at all. */
bool net_guard_incoming (const NetGuard *guard, const void *bytes, size_t length);

/* By asking the kernel: can a socket be bound to it? Cached for a second. */
bool net_guard_is_local (uint32_t address);
