/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Each check runs in a child under the filter, loaded as bwrap loads it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"
#include "vmctl/filter.h"

#ifndef __NR_fchmodat2
#define __NR_fchmodat2 452
#endif

typedef struct {
  char *path; /* also the working directory */
  char *before;
  struct sock_fprog program;
  char *bytes; /* owned; the program's */
  VmFilter which;
} Fixture;

static const VmFilter vmm = VM_FILTER_VMM, inside = VM_FILTER_INSIDE, userns = VM_FILTER_INSIDE_USERNS;
enum { ANY = -1 }; /* not this filter's business */

static void
set_up (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  vm_autofd fd = vm_filter_make (*(const VmFilter *)data, geteuid (), getegid (), &error);
  gsize length;
  int file;

  g_assert_no_error (error);
  f->which = *(const VmFilter *)data;
  f->bytes = vm_fd_read_all (fd, 1 << 20, &length, NULL);
  g_assert_cmpuint (length % sizeof (struct sock_filter), ==, 0);
  g_assert_cmpuint (length / sizeof (struct sock_filter), <=, BPF_MAXINSNS);
  f->program = (struct sock_fprog){.len = (unsigned short)(length / sizeof (struct sock_filter)),
                                   .filter = (struct sock_filter *)(gpointer)f->bytes};
  f->path = g_dir_make_tmp ("vmctl-filter-XXXXXX", NULL);
  f->before = g_get_current_dir ();
  g_assert_cmpint (chdir (f->path), ==, 0);
  file = open ("file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  close (file);
  g_assert_cmpint (mkdir ("dir", 0700), ==, 0);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  g_assert_cmpint (chdir (f->before), ==, 0);
  g_assert_true (vm_file_remove_tree (AT_FDCWD, f->path, NULL));
  g_free (f->path);
  g_free (f->before);
  g_free (f->bytes);
}

/* The errno that `call` leaves under the filter; 0: it succeeded. */
static int
under_filter (Fixture *f, long (*call) (void))
{
  pid_t pid = fork ();
  int status;

  if (pid == 0) {
    if (prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        syscall (SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &f->program) < 0)
      _exit (255);
    errno = 0;
    _exit (call () < 0 ? errno : 0);
  }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_true (WIFEXITED (status));
  g_assert_cmpint (WEXITSTATUS (status), !=, 255);
  return WEXITSTATUS (status);
}

/* The system calls themselves: the C library may use others. Zeros follow the arguments, so that what is left
 * in the registers decides nothing. */
#define CALL(name, ...)                                                                                      \
  static long call_##name (void)                                                                             \
  {                                                                                                          \
    return syscall (__VA_ARGS__);                                                                            \
  }

CALL (chmod_suid, SYS_chmod, "file", 04755, 0, 0)
CALL (chmod_sgid, SYS_chmod, "file", 02755, 0, 0)
CALL (chmod_both, SYS_chmod, "file", 06755, 0, 0)
CALL (chmod_plain, SYS_chmod, "file", 0755, 0, 0)
CALL (chmod_sticky, SYS_chmod, "dir", 01777, 0, 0)
CALL (fchmodat_suid, SYS_fchmodat, AT_FDCWD, "file", 04755, 0, 0)
CALL (fchmodat_plain, SYS_fchmodat, AT_FDCWD, "file", 0644, 0, 0)
CALL (fchmodat2_suid, __NR_fchmodat2, AT_FDCWD, "file", 04755, 0, 0, 0)
CALL (mkdir_suid, SYS_mkdir, "d1", 04755, 0, 0)
CALL (mkdir_sgid, SYS_mkdir, "d2", 02755, 0, 0)
CALL (mkdirat_sgid, SYS_mkdirat, AT_FDCWD, "d3", 02755, 0, 0)
CALL (mkdir_plain, SYS_mkdir, "d4", 0755, 0, 0)
CALL (open_suid, SYS_open, "o1", O_WRONLY | O_CREAT, 04755, 0, 0)
CALL (openat_suid, SYS_openat, AT_FDCWD, "o2", O_WRONLY | O_CREAT, 04755, 0, 0)
CALL (openat_sgid, SYS_openat, AT_FDCWD, "o3", O_WRONLY | O_CREAT, 02755, 0, 0)
CALL (openat_plain, SYS_openat, AT_FDCWD, "o4", O_WRONLY | O_CREAT, 0755, 0, 0)
CALL (creat_suid, SYS_creat, "o5", 04755, 0, 0)
CALL (openat2, SYS_openat2, AT_FDCWD, "file", NULL, 24)
CALL (mknod_char, SYS_mknod, "n1", S_IFCHR | 0600, makedev (1, 3), 0, 0)
CALL (mknod_block, SYS_mknod, "n2", S_IFBLK | 0600, makedev (7, 0), 0, 0)
CALL (mknodat_char, SYS_mknodat, AT_FDCWD, "n3", S_IFCHR | 0600, makedev (1, 3), 0, 0)
CALL (mknodat_block, SYS_mknodat, AT_FDCWD, "n4", S_IFBLK | 0600, makedev (7, 0), 0, 0)
CALL (mknod_fifo, SYS_mknod, "n5", S_IFIFO | 0600, 0, 0, 0)
CALL (mknodat_fifo, SYS_mknodat, AT_FDCWD, "n6", S_IFIFO | 0600, 0, 0, 0)
CALL (mknodat_socket, SYS_mknodat, AT_FDCWD, "n7", S_IFSOCK | 0600, 0, 0, 0)
CALL (mknod_file_suid, SYS_mknod, "n8", S_IFREG | 04600, 0, 0, 0)
CALL (chown, SYS_chown, "file", geteuid () + 1, -1L)
CALL (chown_group, SYS_chown, "file", -1L, getegid () + 1)
CALL (chown_32, SYS_chown, "file", geteuid () ^ (1U << 30), -1L)
CALL (chown_own, SYS_chown, "file", geteuid (), getegid ())
CALL (chown_leave, SYS_chown, "file", -1L, -1L)
CALL (lchown, SYS_lchown, "file", geteuid () + 1, -1L)
CALL (fchownat, SYS_fchownat, AT_FDCWD, "file", geteuid () + 1, -1L, 0)
CALL (tiocsti, SYS_ioctl, -1, TIOCSTI, "x")
CALL (tiocsti_high, SYS_ioctl, -1, 0xdead00000000UL | TIOCSTI, "x")
CALL (tioclinux, SYS_ioctl, -1, TIOCLINUX, "x")
CALL (winsize, SYS_ioctl, -1, TIOCGWINSZ, NULL)
CALL (unshare_user, SYS_unshare, CLONE_NEWUSER)
CALL (chroot, SYS_chroot, ".", 0, 0)
CALL (io_uring, SYS_io_uring_setup, 1, NULL)
CALL (mount, SYS_mount, "x", "dir", "tmpfs", 0, NULL)
CALL (umount, SYS_umount2, "dir", 0)
CALL (unshare, SYS_unshare, 0)
CALL (setns, SYS_setns, -1, 0)
CALL (clone_newuser, SYS_clone, (long)(CLONE_NEWUSER | SIGCHLD), 0L, 0L, 0L, 0L)
CALL (clone3, SYS_clone3, NULL, 0)
CALL (ptrace, SYS_ptrace, PTRACE_TRACEME, 0, 0, 0)
CALL (bpf, SYS_bpf, 0, NULL, 0)
CALL (keyctl, SYS_keyctl, 0, 0, 0, 0, 0)
CALL (userfaultfd, SYS_userfaultfd, 0)
CALL (pidfd_getfd, SYS_pidfd_getfd, -1, 0, 0)
CALL (process_vm_readv, SYS_process_vm_readv, 1, NULL, 0, NULL, 0, 0)
CALL (perf, SYS_perf_event_open, NULL, 0, -1, -1, 0)
CALL (kexec, SYS_kexec_load, 0, 0, NULL, 0)
CALL (open_tree, SYS_open_tree, AT_FDCWD, "dir", 0)
CALL (move_mount, SYS_move_mount, -1, "", -1, "", 0)
CALL (fsopen, SYS_fsopen, "tmpfs", 0)
CALL (mount_setattr, SYS_mount_setattr, -1, "", 0, NULL, 0)

static long
call_fchmod_suid (void)
{
  return syscall (SYS_fchmod, open ("file", O_RDONLY), 04755, 0, 0);
}

static long
call_fchown (void)
{
  return syscall (SYS_fchown, open ("file", O_RDONLY), geteuid () + 1, -1L);
}

static gpointer
nothing (gpointer data)
{
  return data;
}

/* What QEMU lives on still works: threads, plain files, renames, times. */
static long
call_ordinary (void)
{
  struct stat st;
  pthread_t thread;
  void *ret = NULL;
  int fd = open ("plain", O_RDWR | O_CREAT | O_EXCL, 0600);

  if (fd < 0 || write (fd, "x", 1) != 1 || fchmod (fd, 0640) < 0 || rename ("plain", "renamed") < 0 ||
      symlink ("renamed", "link") < 0 || link ("renamed", "hard") < 0 || unlink ("hard") < 0 ||
      utimensat (AT_FDCWD, "renamed", NULL, 0) < 0 || fchmodat (AT_FDCWD, "renamed", 0600, 0) < 0 ||
      stat ("link", &st) < 0 || pthread_create (&thread, NULL, nothing, &st) != 0 ||
      pthread_join (thread, &ret) != 0)
    return -1;
  return ret == &st ? 0 : -1;
}

static const struct {
  const char *name;
  long (*call) (void);
  int vmm, inside; /* errno under each filter */
} checks[] = {
    {"chmod-suid", call_chmod_suid, EPERM, EPERM},
    {"chmod-sgid", call_chmod_sgid, EPERM, EPERM},
    {"chmod-both", call_chmod_both, EPERM, EPERM},
    {"chmod-plain", call_chmod_plain, 0, 0},
    {"chmod-sticky", call_chmod_sticky, 0, 0},
    {"fchmod-suid", call_fchmod_suid, EPERM, EPERM},
    {"fchmodat-suid", call_fchmodat_suid, EPERM, EPERM},
    {"fchmodat-plain", call_fchmodat_plain, 0, 0},
    {"fchmodat2-suid", call_fchmodat2_suid, ENOSYS, ENOSYS},
    {"mkdir-suid", call_mkdir_suid, EPERM, EPERM},
    {"mkdir-sgid", call_mkdir_sgid, EPERM, EPERM},
    {"mkdirat-sgid", call_mkdirat_sgid, EPERM, EPERM},
    {"mkdir-plain", call_mkdir_plain, 0, 0},
    {"open-suid", call_open_suid, EPERM, EPERM},
    {"openat-suid", call_openat_suid, EPERM, EPERM},
    {"openat-sgid", call_openat_sgid, EPERM, EPERM},
    {"openat-plain", call_openat_plain, 0, 0},
    {"creat-suid", call_creat_suid, EPERM, EPERM},
    {"openat2", call_openat2, ENOSYS, ENOSYS},
    {"mknod-char", call_mknod_char, EPERM, EPERM},
    {"mknod-block", call_mknod_block, EPERM, EPERM},
    {"mknodat-char", call_mknodat_char, EPERM, EPERM},
    {"mknodat-block", call_mknodat_block, EPERM, EPERM},
    {"mknod-fifo", call_mknod_fifo, 0, 0},
    {"mknodat-fifo", call_mknodat_fifo, 0, 0},
    {"mknodat-socket", call_mknodat_socket, 0, 0},
    {"mknod-file-suid", call_mknod_file_suid, EPERM, EPERM},
    {"chown", call_chown, EPERM, EPERM},
    {"chown-group", call_chown_group, EPERM, EPERM},
    {"chown-32", call_chown_32, EPERM, EPERM},
    {"chown-own", call_chown_own, EPERM, 0},
    {"chown-leave", call_chown_leave, EPERM, 0},
    {"tiocsti", call_tiocsti, EBADF, EPERM},
    {"tiocsti-high", call_tiocsti_high, EBADF, EPERM},
    {"tioclinux", call_tioclinux, EBADF, EPERM},
    {"winsize", call_winsize, EBADF, EBADF},
    {"unshare-user", call_unshare_user, EPERM, EPERM},
    {"chroot", call_chroot, ANY, EPERM},
    {"lchown", call_lchown, EPERM, EPERM},
    {"fchown", call_fchown, EPERM, EPERM},
    {"fchownat", call_fchownat, EPERM, EPERM},
    {"io-uring", call_io_uring, ENOSYS, ENOSYS},
    {"mount", call_mount, EPERM, EPERM},
    {"umount", call_umount, EPERM, EPERM},
    {"unshare", call_unshare, EPERM, 0},
    {"setns", call_setns, EPERM, EPERM},
    {"clone-newuser", call_clone_newuser, EPERM, EPERM},
    {"clone3", call_clone3, ENOSYS, ENOSYS},
    {"ptrace", call_ptrace, EPERM, 0},
    {"bpf", call_bpf, EPERM, EPERM},
    {"keyctl", call_keyctl, EPERM, EPERM},
    {"userfaultfd", call_userfaultfd, EPERM, EPERM},
    {"pidfd-getfd", call_pidfd_getfd, EPERM, EBADF},
    {"process-vm-readv", call_process_vm_readv, EPERM, 0},
    {"perf", call_perf, EPERM, EPERM},
    {"kexec", call_kexec, EPERM, EPERM},
    {"open-tree", call_open_tree, ENOSYS, ENOSYS},
    {"move-mount", call_move_mount, ENOSYS, ENOSYS},
    {"fsopen", call_fsopen, ENOSYS, ENOSYS},
    {"mount-setattr", call_mount_setattr, ENOSYS, ENOSYS},
    {"ordinary", call_ordinary, 0, 0},
};

static void
test_calls (Fixture *f, gconstpointer data)
{
  for (gsize i = 0; i < G_N_ELEMENTS (checks); i++) {
    int err = under_filter (f, checks[i].call);
    int wanted = f->which == VM_FILTER_VMM ? checks[i].vmm : checks[i].inside;

    if (wanted != ANY && err != wanted)
      g_error ("%s: %s, wanted %s", checks[i].name, g_strerror (err), g_strerror (wanted));
  }
}

/* Another numbering of the system calls is no way round. */
static long
call_x32 (void)
{
  return syscall (0x40000000 | SYS_chmod, "file", 04755);
}

static void
test_x32 (Fixture *f, gconstpointer data)
{
  pid_t pid = fork ();
  struct stat st;
  int status;

  if (pid == 0) {
    if (prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        syscall (SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &f->program) < 0)
      _exit (255);
    _exit (call_x32 () < 0 ? 1 : 0);
  }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_cmpint (status, !=, 0);
  g_assert_cmpint (stat ("file", &st), ==, 0);
  g_assert_cmpuint (st.st_mode & S_ISUID, ==, 0);
}

/* What was granted works; the rest is as it was. */
static void
test_userns (Fixture *f, gconstpointer data)
{
  g_assert_cmpint (under_filter (f, call_unshare_user), ==, 0);
  g_assert_cmpint (under_filter (f, call_tiocsti), ==, EPERM);
  g_assert_cmpint (under_filter (f, call_chmod_suid), ==, EPERM);
  g_assert_cmpint (under_filter (f, call_bpf), ==, EPERM);
  g_assert_cmpint (under_filter (f, call_fsopen), ==, ENOSYS);
}

/* The descriptor that is handed out is at its start and not inherited by accident. */
static void
test_descriptor (void)
{
  vm_autofd fd = vm_filter_make (VM_FILTER_VMM, 0, 0, NULL);

  g_assert_cmpint (lseek (fd, 0, SEEK_CUR), ==, 0);
  g_assert_true ((fcntl (fd, F_GETFD) & FD_CLOEXEC) != 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/vmctl/filter/vmm/calls", Fixture, &vmm, set_up, test_calls, tear_down);
  g_test_add ("/vmctl/filter/vmm/x32", Fixture, &vmm, set_up, test_x32, tear_down);
  g_test_add ("/vmctl/filter/inside/calls", Fixture, &inside, set_up, test_calls, tear_down);
  g_test_add ("/vmctl/filter/inside/x32", Fixture, &inside, set_up, test_x32, tear_down);
  g_test_add ("/vmctl/filter/inside/userns", Fixture, &userns, set_up, test_userns, tear_down);
  g_test_add_func ("/vmctl/filter/descriptor", test_descriptor);
  return g_test_run ();
}
