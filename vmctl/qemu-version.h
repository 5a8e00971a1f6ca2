/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which QEMU this is. Asking costs a process of 40 ms, so the answer is remembered in the cache directory by
 * the program's path, inode, size and time of change. */
#pragma once

#include <glib.h>

enum { VM_QEMU_MAJOR_MIN = 7, VM_QEMU_MINOR_MIN = 2 };

/* "7.2.22" for the program `qemu`; NULL and an error with the mend if it does not run or says something else.
 * (transfer full) */
char *vm_qemu_version (const char *qemu, const char *cache_dir, GError **error);

/* "QEMU emulator version 7.2.22 (Debian ...)" -> "7.2.22"; NULL if it is not that. (transfer full) */
char *vm_qemu_version_parse (const char *said);
/* TRUE from 7.2 on; FALSE also for what is no version. */
gboolean vm_qemu_version_is_enough (const char *version);
