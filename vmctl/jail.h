/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bubblewrap jail of a plan (idea 4 of the design): the mount namespace in which QEMU runs is built from
 * the plan's own mount list, and holds the two trees that are exported to the guest. What QEMU can see is
 * what the guest may see, plus QEMU's own libraries (which are the plan's root) and this sandbox's kernel. */
#pragma once

#include "vmctl/base/argv.h"
#include "vmctl/plan.h"

#define VM_JAIL_EXPORT_RO "/export/ro"
#define VM_JAIL_EXPORT_RW "/export/rw"
#define VM_JAIL_VMLINUX "/img/vmlinux"
#define VM_JAIL_STAMP "/img/stamp" /* vmctl-keeper, with --trace */
#define VM_JAIL_INITRAMFS "/img/initramfs"
#define VM_JAIL_VNC "/tmp/vnc.sock" /* of a viewer */

/* bwrap's arguments, one word each, in order (they travel by --args FD and are never in a process's argv).
 * Contents of files become slots of `argv`, bound to their bytes. *ret_tree: the tree that the keeper is to
 * build for it (vmctl/stage.h). Pure. (both transfer full), NULL-terminated */
GPtrArray *vm_jail_arguments (const VmPlan *plan, VmArgv *argv, GPtrArray **ret_tree);

/* The same for a machine that is nobody's: its shares are empty, and bwrap needs no tree. `ram`: a file of
 * the host that is its memory, for a template; NULL: none. */
GPtrArray *vm_jail_empty_arguments (const VmPlan *plan, const char *ram, VmArgv *argv);

/* The same for the viewer that is the window of a sandbox without a machine: it has the socket of the user's
 * display, that of the sandbox's screen, and nothing else. */
GPtrArray *vm_jail_viewer_arguments (const VmPlan *plan, VmArgv *argv);
