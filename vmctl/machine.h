/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A machine that is nobody's: QEMU in a jail with empty shares, to become a template, or to be measured; and
 * what it has in common with one that is somebody's. */
#pragma once

#include "vmctl/base/argv.h"
#include "vmctl/drivers/qemu-argv.h"
#include "vmctl/plan.h"

/* The disk of a plan's image, read-only; the image stays in its store as long as a copy of it is open. -1 and
 * error */
int vm_machine_open_image (const VmPlan *plan, GError **error);

/* Its command line, with listening sockets "qmp" and "agent" in the directory `dir`, and all but the disk and
 * a template's state bound. `before`: words in front of it, NULL-terminated, or NULL. `ram`: the host's file
 * that is its memory (VM_QEMU_BUILD), else NULL. (transfer full) */
VmArgv *vm_machine_argv (const VmPlan *plan, VmQemuMode mode, const char *const *before, const char *ram,
                         int dir, GError **error);
