/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The serial console of a VM: QEMU's stdio. Kernel messages, the emergency shell, a session with --serial.
 * Bytes are the guest's: they are logged and shown to viewers as they are, and read here for one thing only,
 * the line of a kernel panic. */
#pragma once

#include <glib.h>

#include "vmctl/log.h"

typedef struct VmConsole VmConsole;

enum { VM_CONSOLE_RING = 262144, VM_CONSOLE_VIEWERS_MAX = 8, VM_CONSOLE_QUEUE_MAX = 1 << 20 };

/* Takes `fd` (stream socket). `log` is borrowed. */
VmConsole *vm_console_new (int take_fd, VmLog *log);
void vm_console_free (VmConsole *console); /* viewers see EOF; NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmConsole, vm_console_free)

/* A viewer: a raw byte stream both ways, taken. It first gets the last `replay` bytes. One that does not read
 * is dropped when VM_CONSOLE_QUEUE_MAX bytes wait for it; the guest never does. FALSE: too many viewers (the
 * stream is closed). */
gboolean vm_console_attach (VmConsole *console, int take_fd, gsize replay);

/* The text of the kernel panic that was seen, escaped for a terminal; NULL: none. Borrowed. */
const char *vm_console_panic (VmConsole *console);
/* Reads what is still in the pipe after QEMU has ended. */
void vm_console_drain (VmConsole *console);
