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
  GPtrArray *tree;    /* the same: the list of vmctl/stage.h; NULL: bubblewrap makes all mounts itself */
} VmBwrap;

void vm_bwrap_add (VmBwrap *b, ...) G_GNUC_NULL_TERMINATED;
void vm_bwrap_addf (VmBwrap *b, const char *format, ...) G_GNUC_PRINTF (2, 3);

/* What the sandbox's tree is made of: entries of the tree that the keeper builds, or bubblewrap's own where
 * there is none, or below /proc and /dev, which are bubblewrap's. `take_target` is owned from now on. */
typedef enum { VM_BWRAP_RO, VM_BWRAP_RW, VM_BWRAP_TRY, VM_BWRAP_PIN, VM_BWRAP_PROTECT } VmBwrapBind;
void vm_bwrap_bind (VmBwrap *b, VmBwrapBind how, const char *source, char *take_target);
void vm_bwrap_link (VmBwrap *b, const char *text, char *take_target);
void vm_bwrap_dir (VmBwrap *b, guint mode, char *take_target);
void vm_bwrap_tmpfs (VmBwrap *b, guint mode, guint64 size, char *take_target);
/* The content of a FILE entry, through a slot. */
void vm_bwrap_file (VmBwrap *b, const VmMount *mount, char *take_target);
/* Begins: the keeper's tree is the root. */
void vm_bwrap_take_tree (VmBwrap *b);
/* User, pid, ipc, uts, cgroup namespaces; no capability; an empty environment; it dies with the keeper. */
void vm_bwrap_isolate (VmBwrap *b);
/* /proc of the new pid namespace, with what of it belongs to the kernel as a whole read-only. */
void vm_bwrap_add_proc (VmBwrap *b);

/* The keeper's options for a tree; before its "--". */
void vm_bwrap_add_tree_options (const VmPlan *plan, VmArgv *argv);

/* The words NUL-separated, as --args and --tree want them. (transfer full) */
GBytes *vm_bwrap_bytes (GPtrArray *words);
