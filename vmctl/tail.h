/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading a bounded log (vmctl/log.h) from its beginning, and on as it grows, across its rotation. */
#pragma once

#include <glib.h>

typedef struct VmTail VmTail;

/* NAME below `dir_fd` (borrowed, duplicated); it need not exist yet. */
VmTail *vm_tail_open (int dir_fd, const char *name, GError **error);
void vm_tail_free (VmTail *tail);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmTail, vm_tail_free)

/* Appends what has come since the last call; the first call gives all there is, the older file before. */
void vm_tail_read (VmTail *tail, GByteArray *out);
/* Readable when there may be more (borrowed). */
int vm_tail_fd (VmTail *tail);

/* The last `lines` lines of `bytes`; a last line without a newline counts. */
gsize vm_tail_cut (const guint8 *bytes, gsize length, guint lines);
