/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The memory of a running machine as a file: QEMU's dump-guest-memory through the control socket. */
#pragma once

#include <glib.h>

#include "vmctl/client.h"

/* Called now and then, with percent 0..100. */
typedef void (*VmCoreProgress) (const char *what, int percent, gpointer data);

/* Has QEMU write to `fd` (borrowed; a regular file), and runs the main context until it has. *ret_format is
 * static. The error is QEMU's; CHILD if the sandbox ends meanwhile, FAILED once *stop is TRUE (which a signal
 * may set): QEMU then goes on by itself. */
gboolean vm_core_dump (VmClient *client, int fd, const gboolean *stop, VmCoreProgress progress, gpointer data,
                       const char **ret_format, GError **error);

/* Of query-dump-guest-memory-capability's answer: the one that is compressed, where there is one. (static) */
const char *vm_core_choose_format (json_object *capability);
