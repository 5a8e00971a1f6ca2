/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The supervisor: one process a sandbox, from its first directory to its last record. Started by `vmctl up`,
 * or by any later vmctl that finds a sandbox whose supervisor was killed. */
#pragma once

#include <glib.h>

#include "vmctl/dirs.h"
#include "vmctl/plan.h"

typedef struct {
  gboolean detached;     /* lives without a client from the start */
  gboolean tty;          /* the main command gets a terminal */
  guint16 rows, columns; /* its size */
  gint64 began, planned; /* the client's stamps (vmctl/trace.h) */
  int root_keeper;       /* borrowed; vmctl/root-keeper.h; 0: none is needed */
} VmStartOptions;

/* Client side: starts the supervisor (a process of its own session, a copy of this one, which may not have
 * used GLib's main context before) for a plan, and waits until its control socket is there or it has failed
 * (then its error comes back). *ret_lifeline is owned by the caller: while no client has attached, closing it
 * ends a sandbox that is not detached. */
gboolean vm_supervisor_start (const VmDirs *dirs, const VmPlan *plan, const VmStartOptions *options,
                              int *ret_lifeline, GError **error);

/* Reads the supervisor's answer from the other end of its --ready-fd. */
gboolean vm_supervisor_wait_ready (int fd, int timeout_ms, GError **error);

typedef struct {
  VmPlan *plan;         /* owned; NULL when adopting */
  int ready_fd;         /* owned */
  int lock_fd;          /* owned; adopting: the locked lock file; else -1 */
  const char *adopt_id; /* NULL: start from a plan */
  VmStartOptions start;
} VmSuperviseOptions;

/* Supervisor side: runs to the end of the sandbox. FALSE: it could not be started (the other end of ready_fd
 * has been told). */
gboolean vm_supervise (const VmDirs *dirs, VmSuperviseOptions *options, GError **error);

/* For tests: kills this process (SIGKILL) if the environment variable VMCTL_FAILPOINT names `point`, or with
 * "hold:POINT" stops it (SIGSTOP) until it gets SIGCONT. */
void vm_failpoint (const char *point);
