/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is no place of the public internet (RFC 6890 and its registry), but for the ranges for documentation,
 * which lead nowhere. Pure, libc only; vmctl uses it too. Addresses in host order. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct {
  uint32_t network, mask;
  const char *name; /* for people: "private", "loopback", ... */
  bool never;       /* no policy opens it */
} NetClass;

/* NULL: it is a public one. (static) */
const NetClass *net_class_of (uint32_t address);
/* Does all of network/mask lie in it? */
bool net_class_holds (const NetClass *class, uint32_t network, uint32_t mask);
