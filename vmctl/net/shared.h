/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the modules of vmctl-net have in common. */
#pragma once

#include "vmctl/net/learned.h"
#include "vmctl/net/log.h"
#include "vmctl/net/policy.h"

typedef struct {
  NetPolicy policy;
  NetLearned *learned; /* owned */
  NetLog log;
  int64_t now_ms;       /* monotonic; of this turn of the loop */
  uint8_t guest_mac[6]; /* where the sandbox's last frame came from */
  struct {
    uint64_t bytes_in, bytes_out; /* payload to and from the sandbox */
    uint64_t allowed, refused, questions;
  } count;
  /* What is refused goes there, too; may be NULL. */
  void (*tell_refused) (void *data, const char *protocol, const char *name, uint32_t address, uint16_t port,
                        const char *rule);
  void *tell_data;
} NetShared;

/* Counts, and writes the log. `name` may be NULL; `address` 0: none; `port` 0: none. */
void net_shared_allowed (NetShared *shared, const char *protocol, const char *name, uint32_t address,
                         uint16_t port, const char *rule);
void net_shared_refused (NetShared *shared, const char *protocol, const char *name, uint32_t address,
                         uint16_t port, const char *rule);
