/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to host*.c: the parts of the gathering, and a growing list of entries. */
#pragma once

#include "vmctl/host.h"

void vm_host_gather_root (VmHost *host);
void vm_host_gather_etc (VmHost *host);
void vm_host_gather_dotfiles (VmHost *host);

/* of VmHostEntry, zero-terminated, without a clear function: end it with vm_host_list_end. */
GArray *vm_host_list_new (void);
/* Adds `path` if it exists. `public_only`: only if every user of this host may read it. */
void vm_host_list_add (GArray *list, const char *path, gboolean public_only);
VmHostEntry *vm_host_list_end (GArray *take_list);
