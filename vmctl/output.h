/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bytes on their way to our own stdout or stderr without ever blocking the main loop: a stalled reader of one
 * must not hold up the other. A pipe or terminal is opened again (through /proc/self/fd), since O_NONBLOCK on
 * the inherited description would be seen by everybody who shares it. */
#pragma once

#include <glib.h>

typedef struct VmOutput VmOutput;

/* `drained` is called with the number of bytes that went out or were thrown away: all of them, in the end.
 * `failed` once, when nobody will read any more (EPIPE, or an error). Neither may free the output. */
typedef struct {
  void (*drained) (VmOutput *output, gsize bytes, gpointer data);
  void (*failed) (VmOutput *output, int err, gpointer data);
} VmOutputHandlers;

VmOutput *vm_output_new (int fd, const VmOutputHandlers *handlers, gpointer data);
void vm_output_free (VmOutput *output);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmOutput, vm_output_free)
void vm_output_write (VmOutput *output, const void *bytes, gsize length);
gsize vm_output_pending (VmOutput *output);
/* Nobody reads it any more; what is written is thrown away. */
gboolean vm_output_failed (VmOutput *output);
