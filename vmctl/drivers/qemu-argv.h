/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* QEMU's command line from a plan. Pure: the same plan gives the same words. Slots that must be bound before
 * it is spawned: "qmp" and "agent" (listening AF_UNIX stream sockets), "overlay" and "base" (with a disk),
 * "seccomp" and "args", "nic" (with a network), "state" (from a template). */
#pragma once

#include "vmctl/base/argv.h"
#include "vmctl/plan.h"

typedef enum {
  VM_QEMU_COLD,  /* boots */
  VM_QEMU_BUILD, /* boots, to be saved: its memory is a file */
  VM_QEMU_CLONE, /* goes on where a template was saved, on a private copy of its memory */
} VmQemuMode;

/* A template's memory, the list of what of it a guest touches first (vmctl/hotpages.h), and what makes QEMU
 * open the one for reading only and reads the other, as QEMU sees them. */
#define VM_QEMU_RAM "/img/ram"
#define VM_QEMU_HOT "/img/hot"
#define VM_QEMU_PRELOAD "/img/vmctl-ram.so"

/* Room for what is plugged later. */
enum {
  VM_QEMU_CPUS_MAX = 64, /* each costs a template some memory */
  VM_QEMU_DIMMS = 16,
};
#define VM_QEMU_MEMORY_UNIT (G_GUINT64_CONSTANT (1) << 30)
/* A processor of 39 bits, which there are, or an emulated one of 40 can address it, with the holes of the
 * bus. */
#define VM_QEMU_MEMORY_ROOM (G_GUINT64_CONSTANT (256) << 30)

/* Appends qemu-system-x86_64 and its options. The machine is the same one in every mode, and but for memory,
 * processors and the disk's size the same for every plan: a template serves whatever is asked for. */
void vm_qemu_argv (const VmPlan *plan, VmQemuMode mode, VmArgv *argv);

/* The guest kernel's command line. (transfer full) */
char *vm_qemu_kernel_command_line (const VmPlan *plan, VmQemuMode mode);

/* Is there a template for machines with this image (no name: without one)? Not with a kept disk, which is not
 * as a template has left it, nor where the kernel's command line could not say which root it has. */
gboolean vm_qemu_image_has_template (const VmImage *image);
/* What of the host a template depends on and QEMU does not check, each as "NAME=VALUE". (transfer full) */
char **vm_qemu_template_inputs (const VmHost *host);
/* The key of the template that serves this plan: a hash over these and over all the words. (transfer full) 32
 * hexadecimal digits */
char *vm_qemu_template_key (const VmPlan *plan, const char *const *inputs);
