/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The seccomp filters, for bwrap --seccomp. */
#pragma once

#include <glib.h>

typedef enum {
  VM_FILTER_NONE,
  /* Of the jail, beside QEMU's own (-sandbox on): what a guest could have QEMU do to the host's files that no
   * project needs (setuid and setgid bits, device nodes, changing owners), and what a taken QEMU would reach
   * for next. */
  VM_FILTER_VMM,
  /* Of the commands themselves, where they run on the host's kernel: the same for files, then what reaches
   * out of a terminal (TIOCSTI, TIOCLINUX) or has been the way out of many a sandbox (new mounts, user
   * namespaces, bpf, io_uring, keyrings). What a debugger needs is allowed: there is nobody else's process to
   * debug. */
  VM_FILTER_INSIDE,
  VM_FILTER_INSIDE_USERNS, /* the same, where user namespaces and mounts in them are granted */
} VmFilter;

/* A memory file for one; -1 on error. */
int vm_filter_new (GError **error);
/* The BPF program is written to it, and it is where a reader begins. That takes a millisecond or two. `uid`,
 * `gid`: whose files are made, the only owner that chown() may name inside. */
gboolean vm_filter_write (int fd, VmFilter which, guint uid, guint gid, GError **error);
/* Both. */
int vm_filter_make (VmFilter which, guint uid, guint gid, GError **error);
