/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The seccomp filter of the jail, beside QEMU's own (-sandbox on): what a guest could have QEMU do to the
 * host's files that no project needs (setuid and setgid bits, device nodes, changing owners), and what a
 * taken QEMU would reach for next. */
#pragma once

#include <glib.h>

/* A descriptor with the BPF program, for bwrap --seccomp; -1 on error. */
int vm_filter_make (GError **error);
