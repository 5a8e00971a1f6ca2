/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/filter.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"

/* Calls with a mode argument, and where it is: a setuid or setgid bit in it is refused. */
static const struct {
  int syscall;
  unsigned mode_argument;
} with_mode[] = {
    {SCMP_SYS (chmod), 1},   {SCMP_SYS (fchmod), 1}, {SCMP_SYS (fchmodat), 2}, {SCMP_SYS (mkdir), 1},
    {SCMP_SYS (mkdirat), 2}, {SCMP_SYS (mknod), 1},  {SCMP_SYS (mknodat), 2},  {SCMP_SYS (open), 2},
    {SCMP_SYS (openat), 3},  {SCMP_SYS (creat), 1},
};

/* No device nodes: mknod of these types answers EPERM even where the kernel would allow it (as real root it
 * does). */
static const unsigned node_types[] = {S_IFCHR, S_IFBLK};

static const int denied[] = {
    /* In a user namespace of one uid chown answers EINVAL, which tar and npm take badly; EPERM they know. */
    SCMP_SYS (chown),       SCMP_SYS (lchown),      SCMP_SYS (fchown),           SCMP_SYS (fchownat),
    SCMP_SYS (bpf),         SCMP_SYS (userfaultfd), SCMP_SYS (keyctl),           SCMP_SYS (add_key),
    SCMP_SYS (request_key), SCMP_SYS (ptrace),      SCMP_SYS (process_vm_readv), SCMP_SYS (process_vm_writev),
    SCMP_SYS (pidfd_getfd), SCMP_SYS (kexec_load),  SCMP_SYS (kexec_file_load),  SCMP_SYS (perf_event_open),
    SCMP_SYS (mount),       SCMP_SYS (umount2),     SCMP_SYS (pivot_root),       SCMP_SYS (setns),
    SCMP_SYS (unshare),
};

/* Newer than the libseccomp of Debian 12. */
#ifndef __NR_fchmodat2
#define __NR_fchmodat2 452
#endif

/* Newer than many libraries: ENOSYS makes them fall back. openat2 hides its mode in memory, and clone3 its
 * flags, so they cannot be checked. */
static const int missing[] = {
    __NR_fchmodat2,
    SCMP_SYS (clone3),
    SCMP_SYS (openat2),
    SCMP_SYS (io_uring_setup),
    SCMP_SYS (io_uring_enter),
    SCMP_SYS (io_uring_register),
    SCMP_SYS (open_tree),
    SCMP_SYS (move_mount),
    SCMP_SYS (fsopen),
    SCMP_SYS (fsconfig),
    SCMP_SYS (fsmount),
    SCMP_SYS (fspick),
    SCMP_SYS (mount_setattr),
};

static int
deny_modes (scmp_filter_ctx filter)
{
  static const unsigned bits[] = {S_ISUID, S_ISGID};
  int r = 0;

  for (gsize i = 0; i < G_N_ELEMENTS (with_mode) && r == 0; i++)
    for (gsize b = 0; b < G_N_ELEMENTS (bits) && r == 0; b++)
      r = seccomp_rule_add (filter, SCMP_ACT_ERRNO (EPERM), with_mode[i].syscall, 1,
                            SCMP_CMP (with_mode[i].mode_argument, SCMP_CMP_MASKED_EQ, bits[b], bits[b]));
  for (gsize i = 0; i < G_N_ELEMENTS (node_types) && r == 0; i++) {
    r = seccomp_rule_add (filter, SCMP_ACT_ERRNO (EPERM), SCMP_SYS (mknodat), 1,
                          SCMP_A2 (SCMP_CMP_MASKED_EQ, S_IFMT, node_types[i]));
    if (r == 0)
      r = seccomp_rule_add (filter, SCMP_ACT_ERRNO (EPERM), SCMP_SYS (mknod), 1,
                            SCMP_A1 (SCMP_CMP_MASKED_EQ, S_IFMT, node_types[i]));
  }
  return r;
}

static int
add_rules (scmp_filter_ctx filter)
{
  int r = deny_modes (filter);

  /* unshare by another name */
  if (r == 0)
    r = seccomp_rule_add (filter, SCMP_ACT_ERRNO (EPERM), SCMP_SYS (clone), 1,
                          SCMP_A0 (SCMP_CMP_MASKED_EQ, CLONE_NEWUSER, CLONE_NEWUSER));

  for (gsize i = 0; i < G_N_ELEMENTS (denied) && r == 0; i++)
    r = seccomp_rule_add (filter, SCMP_ACT_ERRNO (EPERM), denied[i], 0);
  for (gsize i = 0; i < G_N_ELEMENTS (missing) && r == 0; i++)
    r = seccomp_rule_add (filter, SCMP_ACT_ERRNO (ENOSYS), missing[i], 0);
  return r;
}

int
vm_filter_make (GError **error)
{
  scmp_filter_ctx filter = seccomp_init (SCMP_ACT_ALLOW);
  vm_autofd fd = memfd_create ("seccomp", MFD_CLOEXEC);
  int r;

  if (filter == NULL || fd < 0) {
    vm_error_errno (error, fd < 0 ? errno : ENOMEM, "cannot make the seccomp filter");
    if (filter != NULL)
      seccomp_release (filter);
    return -1;
  }
  r = add_rules (filter);
  if (r == 0)
    r = seccomp_export_bpf (filter, fd);
  seccomp_release (filter);
  if (r < 0 || lseek (fd, 0, SEEK_SET) < 0) {
    vm_error_errno (error, r < 0 ? -r : errno, "cannot make the seccomp filter");
    return -1;
  }
  return vm_fd_steal (&fd);
}
