/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A bounded log file: NAME up to a limit, then it becomes NAME.1 and a new one begins. So twice the limit is
 * the most it takes. */
#pragma once

#include <glib.h>

typedef struct VmLog VmLog;

enum { VM_LOG_LIMIT = 1 << 20 };

/* `name` below `dir_fd` (borrowed, duplicated), appended to, 0600. A log that cannot be written (disk full)
 * drops what it gets. */
VmLog *vm_log_open (int dir_fd, const char *name, gsize limit, GError **error);
void vm_log_free (VmLog *log);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmLog, vm_log_free)

void vm_log_write (VmLog *log, const void *data, gsize length);
/* One line with the time (UTC, milliseconds) before it; foreign bytes must have been escaped. */
void vm_log_line (VmLog *log, const char *format, ...) G_GNUC_PRINTF (2, 3);

/* The last `max` bytes (over both files). (transfer full) */
GBytes *vm_log_tail (int dir_fd, const char *name, gsize max, GError **error);
