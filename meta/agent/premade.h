/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The file systems that every sandbox has, whoever it is for. A machine that becomes a template makes them
 * beforehand, since cold kernel code is what a start under emulation consists of; any other makes each when
 * it is needed. Nothing in them is anybody's. */
#pragma once

#include <stdbool.h>

#include "meta/agent/net.h"
#include "meta/agent/util.h"

typedef enum {
  PREMADE_PROC,
  PREMADE_SYS,
  PREMADE_CGROUP,
  PREMADE_DEV,
  PREMADE_SHM,
  PREMADE_MQUEUE,
  PREMADE_PTS,
  PREMADE_RUN,
  PREMADE_TMP,
  PREMADE_SUDO, /* the agent under the name of sudo, set-user-ID; needs /proc */
  PREMADE_N,
} PremadeWhich;

typedef struct {
  int fd[PREMADE_N];       /* owned; mounts that are nowhere yet, -1: not made */
  bool disk;               /* the scratch disk is mounted, with its directories */
  char card[NET_CARD_MAX]; /* the network card's name, "": not looked for */
  bool image;              /* an image's root is mounted, and nothing is in it yet */
  bool is_host;            /* no image, but what of the host its systemd needs */
  char *init;              /* borrowed; the systemd that is to be the first process, NULL: none is */
} Premade;

void premade_init (Premade *premade);
void premade_clear (Premade *premade);
int premade_make (Premade *premade, PremadeWhich which); /* 0 or -errno */
int premade_make_all (Premade *premade, Why *why);       /* but for the disk */
/* Mounts it at a descriptor; it is made now if it was not. 0 or -errno. */
int premade_attach (Premade *premade, PremadeWhich which, int target);
/* Memory that was used and is free again is zero afterwards, so that a saved machine is small. */
void premade_scrub_memory (void);
