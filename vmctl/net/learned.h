/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which names an address was given for, by answers that the sandbox got. Bounded: the oldest go first. libc
 * only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  NET_LEARNED_MAX = 4096,    /* pairs of a name and an address */
  NET_LEARNED_PER_NAME = 64, /* addresses, so that one name does not push all others out */
  NET_LEARNED_TTL_MIN = 300, /* s: programs hold on to addresses for longer than they may */
  NET_LEARNED_TTL_MAX = 86400,
};

typedef struct NetLearned NetLearned;

NetLearned *net_learned_new (void); /* aborts without memory */
void net_learned_free (NetLearned *learned);
/* `name` is canonical and copied. A pair that is there already lives longer. ttl in seconds, clamped as
 * above. */
void net_learned_add (NetLearned *learned, const char *name, uint32_t address, uint32_t ttl, int64_t now_ms);

/* Calls `visit` for the names that `address` still has, until it says true: then true. */
typedef bool (*NetLearnedVisit) (const char *name, void *data);
bool net_learned_any (const NetLearned *learned, uint32_t address, int64_t now_ms, NetLearnedVisit visit,
                      void *data);
/* Was `name` answered with `address`? */
bool net_learned_has (const NetLearned *learned, const char *name, uint32_t address, int64_t now_ms);
/* The name that `address` was last given for, for people; NULL: none. Borrowed, until the next add. */
const char *net_learned_name (const NetLearned *learned, uint32_t address, int64_t now_ms);
