/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* bubblewrap's arguments, word by word: what the jail of QEMU (jail.c) and the bwrap driver have in common.
 * They travel by --args FD, so they are in no process's argv. */
#pragma once

#include "vmctl/base/argv.h"
#include "vmctl/plan.h"

typedef struct {
  const VmPlan *plan; /* borrowed */
  VmArgv *argv;       /* borrowed; descriptors become its slots */
  GPtrArray *out;     /* of char *, NULL-terminated; the caller's */
} VmBwrap;

void vm_bwrap_add (VmBwrap *b, ...) G_GNUC_NULL_TERMINATED;
void vm_bwrap_addf (VmBwrap *b, const char *format, ...) G_GNUC_PRINTF (2, 3);
/* "OPTION FIRST SECOND" with the last made by the caller (owned from now on). */
void vm_bwrap_add_take (VmBwrap *b, const char *option, const char *first, char *take_second);
/* --perms of the next argument. */
void vm_bwrap_add_mode (VmBwrap *b, guint mode);
/* The content of a FILE entry at `target` (owned from now on), through a slot. */
void vm_bwrap_add_file (VmBwrap *b, const VmMount *mount, char *take_target);
/* User, pid, ipc, uts, cgroup namespaces; no capability; an empty environment; it dies with the keeper. */
void vm_bwrap_isolate (VmBwrap *b);
/* /proc of the new pid namespace, with what of it belongs to the kernel as a whole read-only. */
void vm_bwrap_add_proc (VmBwrap *b);

/* The words NUL-separated, as --args wants them. (transfer full) */
GBytes *vm_bwrap_bytes (GPtrArray *words);
