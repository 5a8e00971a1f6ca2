/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writes a meta dir (meta/format.h). Knows nothing of plans: the driver tells it what to write. */
#pragma once

#include <glib.h>

typedef struct {
  const char *user, *group, *shell, *hostname; /* borrowed; refused if they hold a newline */
  guint uid, gid;
  gboolean root_allowed;
  guint mask;                       /* the umask of commands */
  const char *home, *project, *cwd; /* borrowed */
  const char *const *command;       /* borrowed; NULL: login shell */
  const char *const *environment;   /* borrowed */
  const char *address, *gateway;    /* borrowed; NULL: loopback only */
  const char *mac;                  /* borrowed; NULL: no machine of its own */
  const char *server, *manager;     /* borrowed; X server and window manager, NULL: none */
  guint width, height;              /* of the screen, with `server` */
  guint16 vnc;                      /* port inside for viewers: the server is Xvnc; 0: it is not */
  guint64 tmpfs_mib;                /* 0: the scratch disk */
  const char *filesystem, *init; /* borrowed; of an image's root, and the systemd in that or in the tree (META
                                    format, `disk`); NULL */
  guint partition;
  gboolean keeps;            /* what is written to that root is there the next time */
  const char *const *mounts; /* borrowed; groups of four words (OP A B C) */
  GBytes *const *files;      /* borrowed, NULL-terminated or NULL; become files/0, files/1, ... */
} MetaDir;

/* Makes `name` below `dir_fd` (0700), empty: what is to be mounted can be mounted while it is written. It
 * must not exist. VM_ERROR_INVALID, and nothing is made, where the format cannot carry a value: a newline in
 * a line, a path that is not absolute, an environment entry without '=', a mount without its four words. */
gboolean meta_dir_make (int dir_fd, const char *name, const MetaDir *meta, GError **error);
/* Fills it; refuses the same. On failure nothing is left. `ret_bundle` (owned; may be NULL) is what the file
 * `bundle` has, for SETUP. */
gboolean
meta_dir_write (int dir_fd, const char *name, const MetaDir *meta, GBytes **ret_bundle, GError **error);
