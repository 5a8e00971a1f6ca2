/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* System calls that a sandbox without a kernel of its own must not reach. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probe.h"

static const struct {
  const char *name;
  long number;
  long a[6];
} calls[] = {
    {"B24-io-uring-setup", 425, {0, 0}},
    {"B24-io-uring-enter", 426, {-1, 0, 0, 0}},
    {"B24-io-uring-register", 427, {-1, 0, 0, 0}},
    {"B24-clone3", 435, {0, 0}},
    {"B24-open-tree", 428, {-1, 0, 0}},
    {"B24-move-mount", 429, {-1, 0, -1, 0, 0}},
    {"B24-fsopen", 430, {0, 0}},
    {"B24-fsconfig", 431, {-1, 0, 0, 0, 0}},
    {"B24-fsmount", 432, {-1, 0, 0}},
    {"B24-fspick", 433, {-1, 0, 0}},
    {"B24-mount-setattr", 442, {-1, 0, 0, 0, 0}},
    {"B24-mount", SYS_mount, {0, 0, 0, 0, 0}},
    {"B24-umount2", SYS_umount2, {0, 0}},
    {"B24-pivot-root", SYS_pivot_root, {0, 0}},
    {"B24-setns", SYS_setns, {-1, 0}},
    {"B24-keyctl", SYS_keyctl, {KEYCTL_READ, -1, 0, 0, 0}},
    {"B24-add-key", SYS_add_key, {0, 0, 0, 0, 0}},
    {"B24-request-key", SYS_request_key, {0, 0, 0, 0}},
    {"B24-bpf", SYS_bpf, {-1, 0, 0}},
    {"B24-userfaultfd", SYS_userfaultfd, {-1}},
    {"B24-perf-event-open", SYS_perf_event_open, {0, 0, -1, -1, 0}},
    {"B24-kexec-load", SYS_kexec_load, {0, -1, 0, 0}},
    {"B24-kexec-file-load", SYS_kexec_file_load, {-1, -1, 0, 0, 0}},
    {"B30-init-module", SYS_init_module, {0, 0, 0}},
    {"B30-finit-module", SYS_finit_module, {-1, 0, 0}},
    {"B30-delete-module", SYS_delete_module, {0, 0}},
    {"B30-reboot", SYS_reboot, {0, 0, 0, 0}}, /* wrong magic: EINVAL, never a reboot */
    {"B30-swapon", SYS_swapon, {0, 0}},
    {"B30-acct", SYS_acct, {1}},
    {"B30-iopl", SYS_iopl, {3}},
    {"B30-syslog", SYS_syslog, {3, 0, 0}},
    {"B30-quotactl", SYS_quotactl, {0, 0, 0, 0}},
};

static void
direct_calls (void)
{
  for (unsigned i = 0; i < sizeof calls / sizeof *calls; i++) {
    const long *a = calls[i].a;

    probe_denied (calls[i].name, syscall (calls[i].number, a[0], a[1], a[2], a[3], a[4], a[5]));
  }
}

/* Namespaces: a new user namespace is the way to most of the kernel's surface. */
static int
try_unshare (void)
{
  return unshare (CLONE_NEWUSER) == 0 ? 0 : errno;
}

static int
try_clone (void)
{
  long pid = syscall (SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);

  if (pid == 0)
    _exit (0);
  if (pid > 0)
    waitpid (pid, NULL, 0);
  return pid > 0 ? 0 : errno;
}

static int
try_unshare_mount (void)
{
  return unshare (CLONE_NEWNS) == 0 ? 0 : errno;
}

static void
namespaces (void)
{
  static const struct {
    const char *name;
    int (*run) (void);
  } ways[] = {{"B24-unshare-user", try_unshare},
              {"B24-clone-user", try_clone},
              {"B24-unshare-mount", try_unshare_mount}};

  for (unsigned i = 0; i < sizeof ways / sizeof *ways; i++) {
    errno = probe_child (ways[i].run);
    probe_denied (ways[i].name, errno == 0 ? 0 : -1);
  }
}

/* The same calls by their other numbers: a filter that looks at one architecture's only is none. */
static int
int80 (void)
{
#ifdef __x86_64__
  long result;

  __asm__ volatile("int $0x80"
                   : "=a"(result)
                   : "a"(20), "b"(0), "c"(0), "d"(0)
                   : "memory", "cc"); /* getpid */
  return result > 0 ? 0 : result < 0 && result > -200 ? (int)-result : EIO;
#else
  return ENOSYS;
#endif
}

static int
x32 (void)
{
  long result = syscall (0x40000000 | SYS_getpid);

  return result > 0 ? 0 : errno;
}

static void
other_numbers (void)
{
  int status = probe_child (int80);

  /* Killed is as good as refused. */
  errno = status < 0 ? EPERM : status;
  probe_denied ("B24-int80", status == 0 ? 0 : -1);
  status = probe_child (x32);
  errno = status < 0 ? EPERM : status;
  probe_denied ("B24-x32", status == 0 ? 0 : -1);
}

/* The first process inside: vmctl's own. It is let go again. */
static int
attach_init (void)
{
  int status;

  if (ptrace (PTRACE_ATTACH, 1, 0, 0) < 0)
    return errno;
  waitpid (1, &status, __WALL);
  ptrace (PTRACE_DETACH, 1, 0, 0);
  return 0;
}

static int
seize_init (void)
{
  return ptrace (PTRACE_SEIZE, 1, 0, 0) < 0 ? errno : 0;
}

static void
trace (void)
{
  char byte;
  struct iovec here = {&byte, 1}, there = {(void *)0x400000, 1};

  errno = probe_child (attach_init);
  probe_denied ("B24-ptrace-init", errno == 0 ? 0 : -1);
  errno = probe_child (seize_init);
  probe_denied ("B24-seize-init", errno == 0 ? 0 : -1);
  probe_denied ("B24-process-vm-readv", process_vm_readv (1, &here, 1, &there, 1, 0));
}

static void
read_status (const char *key, char *value, size_t size)
{
  char text[8192];
  const char *at;

  value[0] = '\0';
  if (!probe_read ("/proc/self/status", text, sizeof text))
    return;
  at = strstr (text, key);
  if (at != NULL)
    snprintf (value, size, "%.*s", (int)strcspn (at + strlen (key) + 1, "\n"), at + strlen (key) + 1);
}

static void
privileges (void)
{
  static const char *const sets[] = {"CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"};
  char value[64];
  struct statvfs root;

  read_status ("NoNewPrivs:", value, sizeof value);
  probe_report (strcmp (value, "1") == 0, "B29-no-new-privileges", "NoNewPrivs is '%s'", value);
  read_status ("Seccomp:", value, sizeof value);
  probe_report (strcmp (value, "2") == 0, "B29-seccomp", "Seccomp is '%s'", value);
  for (unsigned i = 0; i < sizeof sets / sizeof *sets; i++) {
    char name[32];

    snprintf (name, sizeof name, "B29-%.6s", sets[i]);
    read_status (sets[i], value, sizeof value);
    probe_report (strspn (value, "0") == strlen (value) && *value != '\0', name, "%s", value);
  }
  probe_report (statvfs ("/usr", &root) == 0 && (root.f_flag & ST_NOSUID), "B29-nosuid",
                "/usr honours setuid bits: %s", root.f_flag & ST_NOSUID ? "no" : "yes");
  value[0] = '\0';
  errno = 0;
  /* EINVAL: the number has no meaning in this user namespace. */
  if ((getuid () == 0 ? setgid (12345) : setuid (0)) < 0 && errno == EINVAL)
    errno = EPERM;
  probe_denied ("B29-setuid", errno == 0 ? 0 : -1);
}

static void
kernel_files (void)
{
  static const struct {
    const char *name, *path;
  } files[] = {{"B30-core-pattern", "/proc/sys/kernel/core_pattern"},
               {"B30-modprobe", "/proc/sys/kernel/modprobe"},
               {"B30-sysrq", "/proc/sysrq-trigger"},
               {"B30-uevent-helper", "/sys/kernel/uevent_helper"},
               {"B30-binfmt", "/proc/sys/fs/binfmt_misc/register"},
               {"B30-hostname", "/proc/sys/kernel/hostname"},
               {"B30-release-agent", "/sys/fs/cgroup/release_agent"},
               {"B30-cgroup-procs", "/sys/fs/cgroup/cgroup.procs"},
               {"B30-kcore", "/proc/kcore"},
               {"B30-kmem", "/dev/mem"},
               {"B30-kmsg", "/dev/kmsg"},
               {"B30-uinput", "/dev/uinput"},
               {"B30-fuse", "/dev/fuse"},
               {"B30-net-tun", "/dev/net/tun"},
               {"B30-kvm", "/dev/kvm"},
               {"B30-loop", "/dev/loop-control"}};

  /* Opening for writing is the question; nothing is written. */
  for (unsigned i = 0; i < sizeof files / sizeof *files; i++) {
    int fd = open (files[i].path, O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    int why = errno;

    if (fd >= 0)
      close (fd);
    probe_report (fd < 0, files[i].name, "%s for writing: %s", files[i].path,
                  fd < 0 ? strerror (why) : "it opens");
  }
}

/* Whatever else of /proc and /sys can be opened for writing: what belongs to no process of the sandbox. */
static unsigned writable;
static char first_writable[PATH_MAX];

static int
look_at (const char *path, const struct stat *st, int type, struct FTW *at)
{
  static const char *const mine[] = {"/proc/self", "/proc/thread-self", "/proc/pressure"};
  int fd;

  for (unsigned i = 0; i < 3; i++)
    if (strncmp (path, mine[i], strlen (mine[i])) == 0)
      return FTW_SKIP_SUBTREE;
  if (at->level == 1 && path[6] >= '0' && path[6] <= '9' && strncmp (path, "/proc/", 6) == 0)
    return FTW_SKIP_SUBTREE;
  if (type != FTW_F || !S_ISREG (st->st_mode) || (st->st_mode & 0222) == 0)
    return FTW_CONTINUE;
  fd = open (path, O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (fd < 0)
    return FTW_CONTINUE;
  close (fd);
  if (writable++ == 0)
    snprintf (first_writable, sizeof first_writable, "%s", path);
  return FTW_CONTINUE;
}

static void
all_kernel_files (void)
{
  static const char *const trees[] = {"/proc", "/sys"};

  for (unsigned i = 0; i < 2; i++) {
    writable = 0;
    first_writable[0] = '\0';
    nftw (trees[i], look_at, 32, FTW_PHYS | FTW_MOUNT | FTW_ACTIONRETVAL);
    nftw (i == 0 ? "/proc/sys" : "/sys/fs/cgroup", look_at, 32, FTW_PHYS | FTW_ACTIONRETVAL);
    probe_report (writable == 0, i == 0 ? "B30-proc" : "B30-sys",
                  "%u files of %s can be opened for writing; one is '%s'", writable, trees[i],
                  first_writable);
  }
}

/* Calls that read their arguments before they ask who calls. What is set is what was there. */
static void
with_arguments (void)
{
  struct {
    struct file_handle head;
    unsigned char bytes[8];
  } handle = {.head = {.handle_bytes = 8, .handle_type = 1}, .bytes = {2}};
  int root = open ("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  struct timeval now;
  int fd = open_by_handle_at (root, &handle.head, O_RDONLY);
  int why = errno;

  probe_report (fd < 0 && why != ESTALE, "B30-open-by-handle-at", "%s", fd < 0 ? strerror (why) : "it opens");
  gettimeofday (&now, NULL);
  probe_denied ("B30-settimeofday", settimeofday (&now, NULL));
}

/* A device node made somewhere, of the host's disk. */
static void
device_nodes (void)
{
  static const char *const where[] = {"/tmp", "/dev", "/run", "/dev/shm", "."};

  for (unsigned i = 0; i < sizeof where / sizeof *where; i++) {
    char path[64], name[32];
    int result, fd = -1, why;

    snprintf (path, sizeof path, "%s/probe-disk", where[i]);
    snprintf (name, sizeof name, "B30-mknod-%u", i);
    result = mknod (path, S_IFBLK | 0600, makedev (254, 0));
    why = errno;
    if (result == 0) {
      fd = open (path, O_RDONLY | O_CLOEXEC);
      unlink (path);
    }
    probe_report (fd < 0, name, "%s: %s%s", path, result == 0 ? "made" : strerror (why),
                  fd >= 0 ? ", and it opens" : "");
    if (fd >= 0)
      close (fd);
  }
}

void
probe_kernel (void)
{
  direct_calls ();
  namespaces ();
  other_numbers ();
  trace ();
  privileges ();
  kernel_files ();
  all_kernel_files ();
  with_arguments ();
  device_nodes ();
}

#ifndef TIOCLINUX
#define TIOCLINUX 0x541C
#endif

/* The flatpak way: descriptor -1, so a call that is let through says EBADF. Then on the terminal itself, if
 * there is one. The kernel looks at 32 bits of the number; a filter that compares 64 misses the others. */
void
probe_terminal (void)
{
  static const struct {
    const char *name;
    unsigned long number;
  } ways[] = {{"TIOCSTI", TIOCSTI}, {"TIOCLINUX", TIOCLINUX}};
  static const unsigned long high[] = {0, 1UL << 32, 0xffffffffUL << 32, 0x8000000000000000UL,
                                       0xdeadbeefUL << 32};

  for (unsigned w = 0; w < 2; w++)
    for (unsigned h = 0; h < sizeof high / sizeof *high; h++) {
      char name[48];

      snprintf (name, sizeof name, "B23-%s-high-%u", ways[w].name, h);
      probe_denied (name, syscall (SYS_ioctl, -1L, ways[w].number | high[h], 0L));
    }
  if (isatty (0)) {
    char paste = 2;

    probe_denied ("B23-TIOCSTI-tty", ioctl (0, TIOCSTI, "#"));
    probe_denied ("B23-TIOCLINUX-tty", ioctl (0, TIOCLINUX, &paste));
  }
}
