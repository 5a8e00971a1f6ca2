/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads a meta dir (meta/format.h) inside. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "meta/agent/util.h"

enum { META_FILES = 11 };

typedef struct {
  const char *name, *group, *shell, *hostname; /* all texts point into `files` */
  uid_t uid;
  gid_t gid;
  mode_t mask; /* the umask of sessions */
  bool root;   /* the user may become root inside */
  const char *home, *project, *cwd;
  char **entrypoint, **environment, **mounts; /* owned, NULL at the end; what they point at is not */
  size_t n_mounts;                            /* words; a multiple of 4 */
  const char *address, *gateway;              /* NULL: loopback only */
  const char *mac;                            /* of the network card, NULL: as it is */
  const char *server, *manager;               /* X server and window manager, NULL: none */
  unsigned width, height;                     /* of the screen */
  unsigned vnc;                               /* port of Xvnc for viewers; 0: it is another server */
  uint64_t tmpfs_mib;                         /* 0: the scratch disk */
  const char *filesystem;                     /* of an image's root, NULL: the root is no image's */
  unsigned partition;                         /* where that is, 0: on the whole disk */
  bool keeps;                                 /* what is written to it is there the next time */
  const char *init;                           /* systemd's path in the root, NULL: the agent is the init */
  char *files[META_FILES];                    /* owned */
} Meta;

/* `bundle`: of `size` bytes, NULL: as the directory has it. 0, or -errno and a text that names the file. On
 * failure nothing is left in *meta. */
int meta_load (Meta *meta, int dir_fd, const char *bundle, size_t size, Why *why);
void meta_clear (Meta *meta);
