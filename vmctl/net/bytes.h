/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Numbers in network order. */
#pragma once

#include <stdint.h>

static inline uint16_t
net_read16 (const uint8_t *p)
{
  return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t
net_read32 (const uint8_t *p)
{
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void
net_write16 (uint8_t *p, unsigned value)
{
  p[0] = (uint8_t)(value >> 8);
  p[1] = (uint8_t)value;
}

static inline void
net_write32 (uint8_t *p, uint32_t value)
{
  net_write16 (p, value >> 16);
  net_write16 (p + 2, value & 0xffff);
}
