/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* QEMU's command line from a plan. Pure: the same plan gives the same words. Slots that must be bound before
 * it is spawned: "qmp" and "agent" (listening AF_UNIX stream sockets), "overlay" and "base" (with a disk),
 * "seccomp" and "args". */
#pragma once

#include "vmctl/base/argv.h"
#include "vmctl/plan.h"

/* Appends qemu-system-x86_64 and its options. */
void vm_qemu_argv (const VmPlan *plan, VmArgv *argv);

/* The guest kernel's command line. (transfer full) */
char *vm_qemu_kernel_command_line (const VmPlan *plan);
