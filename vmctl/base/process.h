/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which process, exactly: a pid alone is reused. The identity is (pid, start time in clock ticks since boot,
 * boot id). */
#pragma once

#include <glib.h>
#include <json-c/json.h>
#include <sys/types.h>

typedef struct {
  pid_t pid;        /* 0: none */
  guint64 start;    /* field 22 of /proc/PID/stat (proc(5)), clock ticks */
  char boot_id[40]; /* /proc/sys/kernel/random/boot_id */
} VmProcess;

/* Identity of a process that exists now. */
gboolean vm_process_identify (pid_t pid, VmProcess *ret, GError **error);
void vm_process_self (VmProcess *ret);

/* A pidfd (owned) if that very process still exists and is not a zombie; -1 if it is gone or the pid is
 * another's now. */
int vm_process_open (const VmProcess *process);
gboolean vm_process_alive (const VmProcess *process);

/* Sends a signal to that very process. Already gone is success. */
gboolean vm_process_signal (const VmProcess *process, int signal, GError **error);

/* What ps shows of this process from now on; cut to the room that the command line had. */
void vm_process_set_title (const char *title);

/* Waits until a pidfd's process has ended; FALSE after `timeout_ms` (-1: for ever). */
gboolean vm_process_wait (int pidfd, int timeout_ms);

/* One whose end has begun, or that was killed and has not run since, is waited for. TRUE: all that it held is
 * free; FALSE: its end has not begun, or takes more than `timeout_ms`. */
gboolean vm_process_wait_exiting (const VmProcess *process, int timeout_ms);

json_object *vm_process_to_json (const VmProcess *process); /* (transfer full) */
gboolean vm_process_from_json (json_object *object, VmProcess *ret);
