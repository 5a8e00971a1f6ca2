/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/filter.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
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
    SCMP_SYS (bpf),         SCMP_SYS (userfaultfd), SCMP_SYS (keyctl),          SCMP_SYS (add_key),
    SCMP_SYS (request_key), SCMP_SYS (kexec_load),  SCMP_SYS (kexec_file_load), SCMP_SYS (perf_event_open),
};

/* What a user namespace gives to everybody. */
static const int denied_userns[] = {
    SCMP_SYS (mount), SCMP_SYS (umount2), SCMP_SYS (pivot_root), SCMP_SYS (setns), SCMP_SYS (chroot),
};

static const int denied_vmm[] = {
    /* In a user namespace of one uid chown answers EINVAL, which tar and npm take badly; EPERM they know. */
    SCMP_SYS (chown),
    SCMP_SYS (lchown),
    SCMP_SYS (fchown),
    SCMP_SYS (fchownat),
    SCMP_SYS (ptrace),
    SCMP_SYS (process_vm_readv),
    SCMP_SYS (process_vm_writev),
    SCMP_SYS (pidfd_getfd),
    SCMP_SYS (unshare),
};

static const int denied_inside[] = {
    SCMP_SYS (swapon),     SCMP_SYS (swapoff),    SCMP_SYS (acct),           SCMP_SYS (quotactl),
    SCMP_SYS (reboot),     SCMP_SYS (syslog),     SCMP_SYS (init_module),    SCMP_SYS (finit_module),
    SCMP_SYS (nfsservctl), SCMP_SYS (move_pages), SCMP_SYS (lookup_dcookie),
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
deny_all (scmp_filter_ctx filter, const int *calls, gsize n, int error)
{
  int r = 0;

  for (gsize i = 0; i < n && r == 0; i++)
    r = seccomp_rule_add (filter, SCMP_ACT_ERRNO (error), calls[i], 0);
  return r;
}

/* Some kernels look at 32 bits of the request only, so it is compared without the others (CVE-2019-10063). */
static int
deny_terminal (scmp_filter_ctx filter)
{
  static const unsigned requests[] = {TIOCSTI, TIOCLINUX};
  int r = 0;

  for (gsize i = 0; i < G_N_ELEMENTS (requests) && r == 0; i++)
    r = seccomp_rule_add (filter, SCMP_ACT_ERRNO (EPERM), SCMP_SYS (ioctl), 1,
                          SCMP_A1 (SCMP_CMP_MASKED_EQ, 0xffffffffU, requests[i]));
  return r;
}

/* An owner that is not mapped is EINVAL, which tar and npm take badly; EPERM they know. A number is another
 * than `own` if any bit differs; all bits set means "leave it". (One argument can be compared only once a
 * rule.) */
static int
deny_owner (scmp_filter_ctx filter, int call, unsigned argument, guint own)
{
  const guint top = 1U << 31;
  int r = 0;

  for (guint bit = 1; bit != top && r == 0; bit <<= 1) {
    guint mask = (own & bit) != 0 ? bit : bit | top;

    r = seccomp_rule_add (filter, SCMP_ACT_ERRNO (EPERM), call, 1,
                          SCMP_CMP (argument, SCMP_CMP_MASKED_EQ, mask, ~own & bit));
  }
  return r;
}

static int
deny_owners (scmp_filter_ctx filter, guint uid, guint gid)
{
  static const struct {
    int call;
    unsigned first; /* the argument with the uid; the gid follows */
  } calls[] = {
      {SCMP_SYS (chown), 1}, {SCMP_SYS (lchown), 1}, {SCMP_SYS (fchown), 1}, {SCMP_SYS (fchownat), 2}};
  int r = 0;

  for (gsize i = 0; i < G_N_ELEMENTS (calls) && r == 0; i++) {
    r = deny_owner (filter, calls[i].call, calls[i].first, uid);
    if (r == 0)
      r = deny_owner (filter, calls[i].call, calls[i].first + 1, gid);
  }
  return r;
}

/* A user namespace by each of its names, and what can be done in one. */
static int
deny_userns (scmp_filter_ctx filter)
{
  static const int calls[] = {SCMP_SYS (clone), SCMP_SYS (unshare)};
  int r = deny_all (filter, denied_userns, G_N_ELEMENTS (denied_userns), EPERM);

  for (gsize i = 0; i < G_N_ELEMENTS (calls) && r == 0; i++)
    r = seccomp_rule_add (filter, SCMP_ACT_ERRNO (EPERM), calls[i], 1,
                          SCMP_A0 (SCMP_CMP_MASKED_EQ, CLONE_NEWUSER, CLONE_NEWUSER));
  return r;
}

static int
add_inside (scmp_filter_ctx filter, guint uid, guint gid)
{
  int r = deny_terminal (filter);

  if (r == 0)
    r = deny_owners (filter, uid, gid);
  return r == 0 ? deny_all (filter, denied_inside, G_N_ELEMENTS (denied_inside), EPERM) : r;
}

static int
add_rules (scmp_filter_ctx filter, VmFilter which, guint uid, guint gid)
{
  int r = deny_modes (filter);

  if (r == 0)
    r = deny_all (filter, denied, G_N_ELEMENTS (denied), EPERM);
  if (r == 0)
    r = deny_all (filter, missing, G_N_ELEMENTS (missing), ENOSYS);
  if (r == 0 && which != VM_FILTER_INSIDE_USERNS)
    r = deny_userns (filter);
  if (r == 0 && which == VM_FILTER_VMM)
    r = deny_all (filter, denied_vmm, G_N_ELEMENTS (denied_vmm), EPERM);
  if (r == 0 && which != VM_FILTER_VMM)
    r = add_inside (filter, uid, gid);
  return r;
}

int
vm_filter_new (GError **error)
{
  int fd = memfd_create ("seccomp", MFD_CLOEXEC);

  if (fd < 0)
    vm_error_errno (error, errno, "cannot make the seccomp filter");
  return fd;
}

gboolean
vm_filter_write (int fd, VmFilter which, guint uid, guint gid, GError **error)
{
  scmp_filter_ctx filter = seccomp_init (SCMP_ACT_ALLOW);
  int r = -ENOMEM;

  if (filter != NULL)
    r = add_rules (filter, which, uid, gid);
  if (r == 0)
    r = seccomp_export_bpf (filter, fd);
  if (filter != NULL)
    seccomp_release (filter);
  if (r == 0 && lseek (fd, 0, SEEK_SET) < 0)
    r = -errno;
  return r == 0 || vm_error_errno (error, -r, "cannot make the seccomp filter");
}

int
vm_filter_make (VmFilter which, guint uid, guint gid, GError **error)
{
  vm_autofd fd = vm_filter_new (error);

  if (fd < 0 || !vm_filter_write (fd, which, uid, gid, error))
    return -1;
  return vm_fd_steal (&fd);
}
