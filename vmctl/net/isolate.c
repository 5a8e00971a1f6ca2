/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/net/isolate.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmctl/net/flows.h"
#include "vmctl/net/resolver.h"

/* As many as all tables together may use, and an address space that holds every buffer of them. */
enum {
  FILES_MAX =
      NET_FLOWS_TCP_MAX + NET_FLOWS_ENDING_MAX + NET_FLOWS_UDP_MAX + 2 * NET_RESOLVER_WAITING_MAX + 64,
  MEMORY_MAX = 1 << 30,
};

static int
write_text (const char *path, const char *text)
{
  int fd = open (path, O_WRONLY | O_CLOEXEC), failed, err;

  if (fd < 0)
    return -1;
  failed = write (fd, text, strlen (text)) != (ssize_t)strlen (text);
  err = errno;
  (void)close (fd);
  errno = err;
  return failed ? -1 : 0;
}

/* Below the keeper and for real root a mount namespace can be made at once; others need a user namespace
 * first. */
static int
make_namespaces (void)
{
  const int own = CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS;
  char map[64];
  unsigned uid = geteuid (), gid = getegid ();

  if (unshare (own) == 0)
    return 0;
  if (errno != EPERM || unshare (CLONE_NEWUSER | own) < 0)
    return -1;
  (void)snprintf (map, sizeof map, "%u %u 1\n", uid, uid);
  if (write_text ("/proc/self/setgroups", "deny") < 0 || write_text ("/proc/self/uid_map", map) < 0)
    return -1;
  (void)snprintf (map, sizeof map, "%u %u 1\n", gid, gid);
  return write_text ("/proc/self/gid_map", map);
}

/* /proc is only a place that is always there: the tmpfs covers it, and then becomes the root. */
static int
empty_root (void)
{
  const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;

  if (mount (NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
      mount ("tmpfs", "/proc", "tmpfs", flags, "nr_inodes=2,size=4k,mode=0755") < 0 || chdir ("/proc") < 0 ||
      syscall (SYS_pivot_root, ".", ".") < 0 || umount2 (".", MNT_DETACH) < 0 || chdir ("/") < 0)
    return -1;
  return mount (NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | flags, NULL);
}

static int
become (uid_t uid, gid_t gid)
{
  if (uid == (uid_t)-1)
    return 0;
  if (setgroups (0, NULL) < 0 || setresgid (gid, gid, gid) < 0)
    return -1;
  return setresuid (uid, uid, uid);
}

/* What could be had again: to be called while there still are capabilities. */
static int
drop_bounding_set (void)
{
  for (int i = 0; prctl (PR_CAPBSET_READ, i, 0, 0, 0) >= 0; i++)
    if (prctl (PR_CAPBSET_DROP, i, 0, 0, 0) < 0)
      return -1;
  return 0;
}

static int
drop_capabilities (void)
{
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct none[2] = {{0}};

  if (prctl (PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
    return -1;
  return (int)syscall (SYS_capset, &header, none);
}

static void
limit (int what, rlim_t value)
{
  struct rlimit limits;

  if (getrlimit (what, &limits) < 0)
    return;
  if (limits.rlim_max > value)
    limits.rlim_max = value;
  limits.rlim_cur = limits.rlim_max;
  (void)setrlimit (what, &limits); /* not above what it was: cannot fail */
}

/* libslirp's, GLib's allocator's and ours. */
static const int allowed[] = {
    SCMP_SYS (poll),
    SCMP_SYS (ppoll),
    SCMP_SYS (read),
    SCMP_SYS (readv),
    SCMP_SYS (write),
    SCMP_SYS (writev),
    SCMP_SYS (recvfrom),
    SCMP_SYS (recvmsg),
    SCMP_SYS (sendto),
    SCMP_SYS (sendmsg),
    SCMP_SYS (connect),
    SCMP_SYS (bind),
    SCMP_SYS (getsockname),
    SCMP_SYS (getpeername),
    SCMP_SYS (getsockopt),
    SCMP_SYS (setsockopt),
    SCMP_SYS (shutdown),
    SCMP_SYS (close),
    SCMP_SYS (fcntl),
    SCMP_SYS (dup),
    SCMP_SYS (fstat),
    SCMP_SYS (newfstatat),
    SCMP_SYS (openat),
    SCMP_SYS (lseek),
    SCMP_SYS (ftruncate),
    SCMP_SYS (clock_gettime),
    SCMP_SYS (gettimeofday),
    SCMP_SYS (brk),
    SCMP_SYS (munmap),
    SCMP_SYS (mremap),
    SCMP_SYS (madvise),
    SCMP_SYS (futex),
    SCMP_SYS (getrandom),
    SCMP_SYS (pause),
    SCMP_SYS (rt_sigreturn),
    SCMP_SYS (rt_sigprocmask),
    SCMP_SYS (restart_syscall),
    SCMP_SYS (exit),
    SCMP_SYS (exit_group),
    SCMP_SYS (getpid),
    SCMP_SYS (getppid),
    SCMP_SYS (gettid),
};

/* Sockets only of the internet: an AF_UNIX one would reach this host's abstract names. */
static int
allow_sockets (scmp_filter_ctx filter)
{
  static const unsigned families[] = {AF_INET, AF_INET6};
  static const unsigned types[] = {SOCK_STREAM, SOCK_DGRAM};
  int r = 0;

  for (size_t f = 0; f < 2 && r == 0; f++)
    for (size_t t = 0; t < 2 && r == 0; t++)
      r = seccomp_rule_add (filter, SCMP_ACT_ALLOW, SCMP_SYS (socket), 2, SCMP_A0 (SCMP_CMP_EQ, families[f]),
                            SCMP_A1 (SCMP_CMP_MASKED_EQ, 0xf, types[t]));
  return r;
}

static int
allow_ioctls (scmp_filter_ctx filter)
{
  static const unsigned requests[] = {FIONREAD, FIONBIO, SIOCATMARK};
  int r = 0;

  for (size_t i = 0; i < sizeof requests / sizeof *requests && r == 0; i++)
    r = seccomp_rule_add (filter, SCMP_ACT_ALLOW, SCMP_SYS (ioctl), 1, SCMP_A1 (SCMP_CMP_EQ, requests[i]));
  return r;
}

static int
filter_calls (void)
{
  scmp_filter_ctx filter = seccomp_init (SCMP_ACT_ERRNO (EPERM));
  int r = filter != NULL ? 0 : -ENOMEM;

  for (size_t i = 0; i < sizeof allowed / sizeof *allowed && r == 0; i++)
    r = seccomp_rule_add (filter, SCMP_ACT_ALLOW, allowed[i], 0);
  if (r == 0) /* no new code */
    r = seccomp_rule_add (filter, SCMP_ACT_ALLOW, SCMP_SYS (mmap), 1,
                          SCMP_A2 (SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
  if (r == 0)
    r = allow_sockets (filter);
  if (r == 0)
    r = allow_ioctls (filter);
  if (r == 0)
    r = seccomp_load (filter);
  if (filter != NULL)
    seccomp_release (filter);
  if (r < 0)
    errno = -r;
  return r < 0 ? -1 : 0;
}

int
net_isolate (uid_t uid, gid_t gid, const char **ret_what)
{
  *ret_what = "cannot make namespaces";
  if (make_namespaces () < 0)
    return -1;
  *ret_what = "cannot make an empty root";
  (void)umask (022);
  if (empty_root () < 0)
    return -1;
  *ret_what = "cannot drop privileges";
  if (drop_bounding_set () < 0 || become (uid, gid) < 0 || drop_capabilities () < 0 ||
      prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl (PR_SET_DUMPABLE, 0) < 0)
    return -1;
  limit (RLIMIT_CORE, 0);
  limit (RLIMIT_NPROC, 0);
  limit (RLIMIT_NOFILE, FILES_MAX);
#if !defined(__SANITIZE_ADDRESS__) /* which maps terabytes: for tests/net/frames.py */
  limit (RLIMIT_AS, MEMORY_MAX);
#endif
  /* Who changes its identity forgets it. */
  *ret_what = "cannot set the signal of the parent's death";
  if (prctl (PR_SET_PDEATHSIG, SIGKILL) < 0)
    return -1;
  *ret_what = "cannot load a system call filter";
  return filter_calls ();
}
