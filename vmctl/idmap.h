/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* User namespaces that only say how the ids of a mount are mapped (mount_setattr(2), MOUNT_ATTR_IDMAP). libc
 * only. */
#pragma once

/* The maps as /proc/PID/uid_map wants them. A descriptor (owned by the caller), or -1 with errno. */
int idmap_make (const char *uid_map, const char *gid_map);
