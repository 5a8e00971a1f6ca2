/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/net/classes.h"

#include <stddef.h>

#define NET(a, b, c, d, prefix)                                                                              \
  (uint32_t) (a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d),                           \
      ~(uint32_t)0 << (32 - (prefix))

/* The first one counts: what opens link-local does not open metadata. */
static const NetClass classes[] = {
    {NET (169, 254, 169, 254, 32), "cloud metadata", false},
    {NET (100, 100, 100, 200, 32), "cloud metadata", false},
    {NET (0, 0, 0, 0, 8), "this network", true},
    {NET (10, 0, 2, 0, 24), "the sandbox's own network", true}, /* libslirp's way to this host's loopback */
    {NET (10, 0, 0, 0, 8), "private", false},
    {NET (100, 64, 0, 0, 10), "shared (carrier NAT)", false},
    {NET (127, 0, 0, 0, 8), "loopback", true},
    {NET (169, 254, 0, 0, 16), "link-local", false},
    {NET (172, 16, 0, 0, 12), "private", false},
    {NET (192, 0, 0, 0, 24), "reserved", false},
    {NET (192, 88, 99, 0, 24), "reserved", false},
    {NET (192, 168, 0, 0, 16), "private", false},
    {NET (198, 18, 0, 0, 15), "private (benchmarks)", false},
    {NET (224, 0, 0, 0, 4), "multicast", true},
    {NET (255, 255, 255, 255, 32), "broadcast", true},
    {NET (240, 0, 0, 0, 4), "reserved", true},
};

const NetClass *
net_class_of (uint32_t address)
{
  for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
    if (((address ^ classes[i].network) & classes[i].mask) == 0)
      return &classes[i];
  return NULL;
}

bool
net_class_holds (const NetClass *class, uint32_t network, uint32_t mask)
{
  return (mask & class->mask) == class->mask && ((network ^ class->network) & class->mask) == 0;
}
