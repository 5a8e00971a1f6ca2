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
  int64_t now_ms; /* monotonic; of this turn of the loop */
  struct {
    uint64_t bytes_in, bytes_out; /* payload to and from the sandbox */
    uint64_t allowed, refused, questions;
  } count;
} NetShared;
