/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a session is to run, from its OPEN frames and the meta dir; and running it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "meta/agent/metaread.h"

typedef struct {
  char **argv, **env; /* NULL at the end; the arrays are owned, their words too */
  size_t n_argv, n_env;
  char *cwd; /* owned */
  bool tty, root, console, shell;
  unsigned rows, columns;

  /* Set by the caller before spawn(). */
  bool set_identity, no_new_privs;
  bool drop_capabilities; /* also root's */
  const char *filter;     /* borrowed; a BPF program, or NULL */
  size_t filter_size;
  mode_t mask;
  uid_t uid;
  gid_t gid;
} Launch;

/* Reads the fields. 0; -EPROTO for what is not a list of fields; another -errno for a session that cannot be.
 * launch_clear() in any case. */
int launch_parse (Launch *launch, const uint8_t *data, size_t n);
/* Fills in what the fields left open. `bin_dir` goes to the front of PATH unless NULL. */
int launch_complete (Launch *launch, const Meta *meta, const char *bin_dir);
void launch_clear (Launch *launch);

/* Sets, or with NULL removes. 0 or -ENOMEM */
int launch_set_env (Launch *launch, const char *name, const char *value);
const char *launch_get_env (const Launch *launch, const char *name);

/* session.c: who it runs as. In a VM, and as the root of a container, the agent gives identities; elsewhere
 * it has the one that it was started with. 0 or -EPERM. */
struct Agent;
int session_set_identity (const struct Agent *agent, Launch *launch);

/* The command's ends of its streams; all are left to the caller. */
typedef struct {
  int fds[3];
  bool terminal; /* fds[0] becomes its controlling terminal */
} SpawnStdio;

/* Forks and executes in a session of its own. The pid, or -errno. *ret_report (close-on-exec, non-blocking)
 * gives the errno as an int if the command could not be started, or -errno if its directory could not be
 * entered; else just ends. */
pid_t spawn (const Launch *launch, const SpawnStdio *stdio, int *ret_report);

/* pty.c: `*ret_master` and `*ret_slave`, the latter owned by `uid`. */
int pty_open (uid_t uid, unsigned rows, unsigned columns, int *ret_master, int *ret_slave);
void pty_resize (int fd, unsigned rows, unsigned columns);
