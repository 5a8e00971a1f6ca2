/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/net/shared.h"

void
net_shared_allowed (NetShared *shared, const char *protocol, const char *name, uint32_t address,
                    uint16_t port, const char *rule)
{
  shared->count.allowed++;
  (void)net_log_write (&shared->log, true, protocol, name, address, port, rule);
}

void
net_shared_refused (NetShared *shared, const char *protocol, const char *name, uint32_t address,
                    uint16_t port, const char *rule)
{
  shared->count.refused++;
  (void)net_log_write (&shared->log, false, protocol, name, address, port, rule);
  if (shared->tell_refused != NULL)
    shared->tell_refused (shared->tell_data, protocol, name, address, port, rule);
}
