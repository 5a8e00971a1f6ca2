/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A log of a sandbox as it grows, until the sandbox has ended or nobody reads stdout any more. */
#pragma once

#include "vmctl/dirs.h"
#include "vmctl/tail.h"

/* Calls `changed` when there may be more to read; it, or the loss of the reader of stdout, may set *broken
 * (borrowed), which ends it. What came last may be left to read. */
void vm_tail_follow (VmTail *tail, const VmDirs *dirs, const char *id, gboolean *broken,
                     void (*changed) (gpointer data), gpointer data);
