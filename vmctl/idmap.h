/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* User namespaces that only say how the ids of a mount are mapped (mount_setattr(2), MOUNT_ATTR_IDMAP). libc
 * only. */
#pragma once

enum { IDMAP_MAX = 2 };

/* As /proc/PID/uid_map and gid_map want them. */
typedef struct {
  char uid[40], gid[40];
} IdmapWords;

/* `n` ids from `uid` and from `gid` on become those that are `shift` above. */
IdmapWords idmap_words (unsigned uid, unsigned gid, unsigned shift, unsigned n);
/* `n` of them at once, at most IDMAP_MAX. 0 and descriptors (owned by the caller), or -1 with errno and none.
 */
int idmap_make (const IdmapWords *words, int n, int *ret_fds);
