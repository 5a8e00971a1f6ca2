/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The list of a template's pages that a machine touches between going on and its first command. A machine
 * from a template copies each page of memory that it writes, one fault a page; vmctl-ram.so has those of the
 * list copied beforehand, beside QEMU's own start.
 *
 * The file `hot` of a template: pairs of u32 in the host's byte order, ascending: the first page, the number
 * of pages, with VM_HOT_WRITTEN if they are written. It is a hint: what is wrong in it costs time or memory,
 * up to VM_HOT_PAGES_MAX. The macros are all that vmctl-ram.so, which has no libc, takes from here. */
#pragma once

#define VM_HOT_PAGE 4096
#define VM_HOT_WRITTEN 0x80000000U
#define VM_HOT_RANGES_MAX 8192
#define VM_HOT_PAGES_MAX 16384 /* 64 MiB */

#include <glib.h>
#include <sys/stat.h>

/* Reads what process `root` or one of its descendants has touched of its private mapping of the file. Costs
 * some 10 ms for each GiB. NULL: no process maps it, or the kernel does not tell. (transfer full) */
GBytes *vm_hot_pages_read (pid_t root, const struct stat *file, GError **error);

/* Words of /proc/PID/pagemap (the kernel's admin-guide/mm/pagemap.rst) to a list: pages that are present, and
 * written if they are the process's own. Too many ranges or pages: the first ones. Pure. (transfer full) */
GBytes *vm_hot_pages_pack (const guint64 *words, gsize n);
