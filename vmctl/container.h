/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The keeper's part of the nspawn driver. libc only.
 *
 * How it works
 *
 * 1. The root directory is built (stage.h) in a mount namespace of its own; systemd-nspawn is told
 * to use it, and finds nothing left to do but namespaces, /proc, /sys, /dev, and the ways to lose rights.
 * 2. nspawn passes on the descriptors of socket activation and closes all others: the agent's listening
 * socket and what else it needs are given to it that way, as 3, 4, ... in the order of --activate.
 * 3. When nspawn is killed, its container lives on. So nspawn is the first process of a pid namespace, which
 * the kernel ends with it; where nspawn registers its container (it then names pids to systemd, which must
 * be the host's) the agent has a pipe whose other end is the keeper's, and ends with that. */
#pragma once

#include <sys/types.h>

#include "vmctl/stage.h"

enum { CONTAINER_ACTIVATE_MAX = 8, CONTAINER_RANGE = 65536 /* ids of one container */ };

/* Where the keeper mounts the root directory, in its own mount namespace. */
#define CONTAINER_ROOT "/tmp/root"

/* All of nspawn's defaults but what the agent needs to give commands their identity, their terminals and
 * their end, and to take the rest from them. The commands themselves have none. */
#define CONTAINER_DROPPED                                                                                    \
  "CAP_AUDIT_CONTROL,CAP_AUDIT_WRITE,CAP_DAC_READ_SEARCH,CAP_FOWNER,CAP_FSETID,CAP_IPC_OWNER,CAP_LEASE,"     \
  "CAP_LINUX_IMMUTABLE,CAP_MKNOD,CAP_NET_ADMIN,CAP_NET_BIND_SERVICE,CAP_NET_BROADCAST,CAP_NET_RAW,"          \
  "CAP_SETFCAP,CAP_SYS_ADMIN,CAP_SYS_BOOT,CAP_SYS_CHROOT,CAP_SYS_NICE,CAP_SYS_PTRACE,"                       \
  "CAP_SYS_RESOURCE,CAP_SYS_TTY_CONFIG"

/* Beyond nspawn's own allow list. Both are in the agent's (meta/agent/allow-list.h), which is the one in use:
 * a change here is one there. The commands have the filter of the bwrap driver on top. */
#define CONTAINER_DENIED                                                                                     \
  "~@clock @keyring @module @mount @raw-io @reboot @swap bpf fanotify_init io_uring_enter "                  \
  "io_uring_register io_uring_setup kcmp lookup_dcookie open_by_handle_at perf_event_open quotactl setns "   \
  "userfaultfd"

/* What the keeper says when the plan's range of ids cannot be had; the supervisor puts it on record. */
#define CONTAINER_NOTE "vmctl-keeper: note: "
#define CONTAINER_NOTE_IDS "no id-mapped mounts here: the container's ids are the host's own"

typedef struct {
  int list; /* the list of the root directory (--stage); -1: no container */
  int activate[CONTAINER_ACTIVATE_MAX];
  int n_activate;
  int lifeline; /* the reading end of a pipe; the keeper has the other */
  int is_registered;
  Stage stage;
} Container;

/* Takes one option of the keeper: 1: taken, 0: not one of these, -1: bad value. */
int container_option (Container *c, const char *name, const char *value);
/* Takes what the list names. Changes the words of `command` to what the host can. Only opens: all of it goes
 * with the calling process. `ret_lifeline` (owned): the end of the pipe that the keeper holds. */
int container_prepare (Container *c, char **command, int *ret_lifeline);
/* As fork(), into a pid namespace of its own if that is possible. */
pid_t container_fork (const Container *c);
/* In the child: builds everything in a mount namespace of its own, places descriptors, sets the environment;
 * then it may execute nspawn. */
int container_enter (Container *c);
