/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to setup.c, setup-image.c, image-*.c and host-*.c. All return 0, or -errno with setup->why
 * set. */
#pragma once

#include "meta/agent/agent.h"
#include "meta/agent/mounts.h"
#include "meta/agent/ops.h"
#include "meta/format.h"

/* The read-only share: the tree that the plan lets in, and the meta dir. */
#define SETUP_LOWER "/lower"
#define SETUP_SCRATCH "/scratch"              /* the scratch disk, or a tmpfs */
#define SETUP_LATE_LOWER META_RW_DIR "/lower" /* SETUP_LOWER, as long as a machine that went on is set up */

typedef struct {
  Agent *agent;
  Meta *meta;
  Tree tree;  /* the new root */
  Tree lower; /* SETUP_LOWER, where the root is an image's; else its descriptor is -1 */
  int meta_fd, share_fd;
  Why *why;
} Setup;

/* Nothing is open yet. */
#define SETUP_INIT(the_agent, the_meta, the_why)                                                             \
  {                                                                                                          \
    .agent = (the_agent), .meta = (the_meta), .tree.root = -1, .lower.root = -1, .meta_fd = -1,              \
    .share_fd = -1, .why = (the_why)                                                                         \
  }

/* setup.c */
/* A mount whose file system may still be among the modules that are being loaded: as mount(2). */
int setup_mount (Setup *setup, const char *source, const char *target, const char *type, unsigned long flags,
                 const char *options);
/* "/dev/vdX" of the disk with this serial number; waits for it a little. */
int setup_find_disk (Setup *setup, const char *serial, char *ret, size_t n);
/* The scratch disk, at a directory that exists. `options`: of ext4's, or NULL. */
int setup_mount_scratch (Setup *setup, const char *target, const char *options);
int setup_prepare_disk (Setup *setup); /* the scratch disk is mounted, for every sandbox */
int setup_open_root (Setup *setup);    /* what is mounted at SETUP_ROOT becomes the tree */
int setup_make_owned (Setup *setup, const char *path, uid_t uid, gid_t gid, mode_t mode);
/* An overlay of them at SETUP_ROOT, which becomes the tree. */
int setup_mount_layers (Setup *setup, const char *layers);
int setup_mount_premade (Setup *setup, PremadeWhich which, const char *path); /* says nothing */
/* The kernel's file systems (for systemd only what it takes over), /run, /tmp, and what is the same in them
 * for every sandbox. */
int setup_mount_system (Setup *setup);
int setup_mount_shares (Setup *setup); /* the read-write share, the meta dir, and sudo if it is wanted */
int setup_set_system (Setup *setup);   /* host name and network */
int setup_switch_root (Setup *setup);
void setup_close (Setup *setup); /* its descriptors */

/* setup-image.c: an image's root at SETUP_ROOT, and on it what has to be there before the shares. */
int setup_image_root (Setup *setup);
int setup_image_mount (Setup *setup);                             /* of it only the mount */
int setup_image_watch (Agent *agent, const char *root, Why *why); /* for freeze.h */
int setup_image_runtime_dir (Setup *setup);                       /* /run/user/UID */
int setup_image_install (Setup *setup, bool is_template);         /* the agent, and its units */
/* After the operations: what systemd and its service need of us, in an image or in the host's tree; nothing
 * where the agent is the init. */
int setup_image_finish (Setup *setup);

/* image-units.c: below `run`, a descriptor of the new root's /run. 0 or -errno. A template's wait for all
 * else that is started, and for who is to log in. */
int image_units_write (int run, const Meta *meta, int root, bool is_template);
/* Who that is, then. *ret_waits: the console waits for it. */
int image_units_write_login (int run, const Meta *meta, bool *ret_waits);
/* A directory, a file, or a link unless something has the name; with the directories above. */
int units_make_dir (int run, const char *path);
int units_put (int run, const char *path, const char *text);
int units_link (int run, const char *path, const char *text);

/* host-units.c: where the tree is the host's, and so is its systemd. */
/* In the layer above the tree, before the two are mounted: what must not start by itself. 0 or -errno. */
int host_units_hide (const char *upper, const Meta *meta);
/* After image_units_write, likewise. */
int host_units_write (int run, const Meta *meta, bool is_template);

/* image-template.c: with `words`, those of META_WORD_ROOT, an image's root is mounted at SETUP_ROOT. */
int setup_image_prepare (Setup *setup, char *words);

/* host-template.c: the host's systemd, copied to SETUP_ROOT; the share is let go again. */
int setup_host_prepare (Setup *setup, char *init);
/* In a machine that went on, with the share at SETUP_LATE_LOWER: the tree becomes the root of everybody. */
int setup_host_late (Setup *setup);
