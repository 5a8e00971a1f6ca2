/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to host*.c: the parts of the gathering, and a growing list of entries. */
#pragma once

#include "vmctl/host.h"

void vm_host_gather_root (VmHost *host);
void vm_host_gather_etc (VmHost *host);
void vm_host_gather_dotfiles (VmHost *host);
void vm_host_gather_sockets (VmHost *host);
void vm_host_gather_extra (VmHost *host);
void vm_host_sockets_free (VmHostSocket *sockets);
void vm_host_program_clear (VmHostProgram *program);
/* Why the user `uid` should not talk to the socket at `path`, for the end of a sentence. (transfer full)
 * NULL: nothing. */
char *vm_host_socket_problem (const char *path, guint uid);
/* A program in the absolute directories of $PATH ('.' may be the project), then in `more` (NULL: none).
 * (transfer full) NULL: not found */
char *vm_host_find_program (const char *name, const char *const *more);
void vm_host_gather_nspawn (VmHost *host); /* the program, and what stands in its way */

/* of VmHostEntry, zero-terminated, without a clear function: end it with vm_host_list_end. */
GArray *vm_host_list_new (void);
/* Adds `path` if it exists. `public_only`: only if every user of this host may read it. */
void vm_host_list_add (GArray *list, const char *path, gboolean public_only);
/* Fills in where each entry really is. */
void vm_host_list_resolve (GArray *list);
VmHostEntry *vm_host_list_end (GArray *take_list);
