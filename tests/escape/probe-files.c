/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files outside the project, by all the ways that lead there. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "probe.h"

static void
cannot_read (const char *name, const char *path)
{
  char text[4096];

  probe_read (path, text, sizeof text);
  probe_report (strstr (text, "canary") == NULL, name, "%s", path);
}

/* The canary lies beside the project, so that only the mounts keep it away. */
static void
canaries (void)
{
  const char *canary = probe_setting ("canary");
  char path[PATH_MAX];
  static const char *const ways[] = {"/proc/self/root",
                                     "/proc/1/root",
                                     "/proc/self/cwd/..",
                                     "..",
                                     "/proc/1/cwd",
                                     "/lower",
                                     "/old",
                                     "/run/vmctl/rw/share/0/..",
                                     "/run/vmctl/meta/.."};

  cannot_read ("A3-canary", canary);
  cannot_read ("A3-link", "link-to-canary");
  cannot_read ("A3-link-dir", "link-to-dir/canary");
  for (unsigned i = 0; i < sizeof ways / sizeof *ways; i++) {
    char name[32];

    snprintf (path, sizeof path, "%s%s", ways[i], canary);
    snprintf (name, sizeof name, "A12-way-%u", i);
    cannot_read (name, path);
    snprintf (path, sizeof path, "%s/canary", ways[i]);
    snprintf (name, sizeof name, "A12-file-%u", i);
    cannot_read (name, path);
  }
}

static bool
has_mode (const char *path, mode_t bits)
{
  struct stat st;

  return lstat (path, &st) == 0 && (st.st_mode & bits) != 0;
}

/* Each way to a setuid bit; the host looks at the files too. */
static void
setuid_bits (void)
{
  int fd;

  close (open ("suid", O_CREAT | O_WRONLY | O_CLOEXEC, 0755));
  chmod ("suid", 06755);
  probe_report (!has_mode ("suid", 06000), "A5-chmod", "chmod 6755");
  fd = open ("suid", O_RDONLY | O_CLOEXEC);
  fchmod (fd, 06755);
  close (fd);
  probe_report (!has_mode ("suid", 06000), "A5-fchmod", "fchmod 6755");
  fchmodat (AT_FDCWD, "suid", 06755, 0);
  probe_report (!has_mode ("suid", 06000), "A5-fchmodat", "fchmodat 6755");
  syscall (452, AT_FDCWD, "suid", 06755, 0);
  probe_report (!has_mode ("suid", 06000), "A5-fchmodat2", "fchmodat2 6755");
  close (open ("suid-open", O_CREAT | O_WRONLY | O_CLOEXEC, 06755));
  probe_report (!has_mode ("suid-open", 06000), "A5-open", "open with mode 6755");
  close (creat ("suid-creat", 06755));
  probe_report (!has_mode ("suid-creat", 06000), "A5-creat", "creat with mode 6755");
  mknod ("suid-mknod", S_IFREG | 06755, 0);
  probe_report (!has_mode ("suid-mknod", 06000), "A5-mknod", "mknod of a file with mode 6755");
  mkdir ("sgid-dir", 02755);
  chmod ("sgid-dir", 02755);
  probe_report (!has_mode ("sgid-dir", 06000), "A5-mkdir", "mkdir and chmod 2755");
  {
    struct {
      unsigned long flags, mode, resolve;
    } how = {O_CREAT | O_WRONLY | O_CLOEXEC, 06755, 0};

    syscall (437, AT_FDCWD, "suid-openat2", &how, sizeof how);
    probe_report (!has_mode ("suid-openat2", 06000), "A5-openat2", "openat2 with mode 6755");
  }
}

static void
owners_and_nodes (void)
{
  static const struct {
    const char *name, *path;
    mode_t type;
  } nodes[] = {{"A5-mknod-char", "node-c", S_IFCHR}, {"A5-mknod-block", "node-b", S_IFBLK}};
  int result = chown ("suid", getuid () == 0 ? 12345 : 0, (gid_t)-1);

  probe_report (result < 0 && errno == EPERM, "A5-chown", "%s",
                result < 0 ? strerror (errno) : "it succeeded");
  for (unsigned i = 0; i < 2; i++) {
    result = mknod (nodes[i].path, nodes[i].type | 0666, makedev (1, 3));
    probe_denied (nodes[i].name, result);
  }
  mkfifo ("fifo", 0644); /* may be made or not; the host looks at what there is */
}

static void
odd_names (void)
{
  static const char *const names[] = {"\033]0;evil\007",
                                      "new\nline",
                                      "-rf",
                                      ";touch evil",
                                      "\xff\xfe",
                                      "\xc2\x9b"
                                      "31m",
                                      "\r\033[2K"};
  char name[256];

  mkdir ("odd", 0755);
  for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
    char path[64];

    snprintf (path, sizeof path, "odd/%s", names[i]);
    close (open (path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
  }
  memset (name, 'x', 255);
  name[255] = '\0';
  if (chdir ("odd") == 0) {
    int fd = open (name, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);

    probe_report (fd >= 0, "A6-long", "a name of 255 bytes: %s", fd >= 0 ? "made" : strerror (errno));
    close (fd);
    if (chdir ("..") != 0)
      abort ();
  }
}

/* The protected files; `keep` is what is in them, and the host compares afterwards. */
static void
protected_paths (void)
{
  static const char hook[] = ".git/hooks/pre-commit";
  char text[64];
  int fd;

  unlink (hook);
  rename (".git/hooks", ".git/h");
  rename (".git", "git2");
  mkdir (".git", 0755);
  mkdir (".git/hooks", 0755);
  fd = open (hook, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0755);
  if (fd >= 0 && write (fd, "evil", 4) < 0)
    probe_report (true, "A11-write", "%s", strerror (errno));
  close (fd);
  probe_report (probe_read (hook, text, sizeof text) && strcmp (text, "keep") == 0, "A11-rename",
                "%s holds '%s'", hook, text);
  probe_report (link (hook, "linked") < 0 || open ("linked", O_WRONLY | O_CLOEXEC) < 0, "A11-link",
                "a hard link that can be written");
  probe_denied ("A11-bind", mount ("/tmp", ".git/hooks", NULL, MS_BIND, NULL));
  probe_denied ("A11-remount", mount (NULL, ".git/hooks", NULL, MS_REMOUNT | MS_BIND, NULL));
  probe_denied ("A11-umount", umount2 (".git/hooks", MNT_DETACH));
}

/* Special files that the host made in the project: they may be refused, they may not hang. */
static int
open_fifo (void)
{
  int fd = open ("host-fifo", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

  return fd >= 0 ? 0 : errno;
}

static int
open_device (void)
{
  int fd = open ("host-null", O_RDWR | O_NONBLOCK | O_CLOEXEC);

  return fd >= 0 ? 0 : errno;
}

static void
special_files (void)
{
  int status = probe_child (open_fifo);

  probe_report (status >= 0, "A14-fifo", "open: %s", status < 0 ? "hung" : strerror (status));
  if (access ("host-null", F_OK) == 0) {
    status = probe_child (open_device);
    probe_report (status > 0, "A14-device", "open of a device of the project: %s",
                  status < 0 ? "hung" : strerror (status));
  }
}

static void
many_files (void)
{
  static int fds[900];
  static char name[5001];
  unsigned opened = 0;
  int result;

  for (unsigned i = 0; i < 900; i++) {
    char path[32];

    snprintf (path, sizeof path, "many-%u", i);
    fds[i] = open (path, O_CREAT | O_RDWR | O_CLOEXEC, 0644);
    opened += fds[i] >= 0;
  }
  for (unsigned i = 0; i < 900; i++) {
    char path[32];

    snprintf (path, sizeof path, "many-%u", i);
    close (fds[i]);
    unlink (path);
  }
  probe_report (opened == 900, "A15-open", "%u of 900 files open at once", opened);
  memset (name, 'n', 5000);
  result = open (name, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
  probe_report (result < 0 && errno == ENAMETOOLONG, "A15-name", "a name of 5000 bytes: %s",
                strerror (errno));
}

static void
map_and_label (const char *path)
{
  int fd = open (path, O_RDONLY | O_CLOEXEC);
  void *map = mmap (NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  int result;

  probe_report (map == MAP_FAILED, "A16-mmap", "%s mapped for writing: %s", path,
                map == MAP_FAILED ? strerror (errno) : "it is");
  result = setxattr (path, "user.vmctl-probe", "x", 1, 0);
  probe_report (result < 0, "A16-xattr", "an attribute of %s: %s", path,
                result < 0 ? strerror (errno) : "it is set");
  result = fsetxattr (fd, "user.vmctl-probe", "x", 1, 0);
  probe_report (result < 0, "A16-fxattr", "an attribute by a descriptor that only reads: %s",
                result < 0 ? strerror (errno) : "it is set");
  close (fd);
}

static void
read_only (void)
{
  static const char *const paths[] = {"/usr/bin/env", "/usr/lib/os-release", "/run/vmctl/meta/identity",
                                      "/etc/passwd"};

  probe_denied ("A16-remount", mount (NULL, "/usr", NULL, MS_REMOUNT | MS_BIND, NULL));
  probe_denied ("A16-remount-root", mount (NULL, "/", NULL, MS_REMOUNT, NULL));
  for (unsigned i = 0; i < 4; i++) {
    char name[32];
    int fd = open (paths[i], O_RDWR | O_CLOEXEC), why = errno;

    snprintf (name, sizeof name, "A16-open-%u", i);
    probe_report (fd < 0, name, "%s for writing: %s", paths[i], fd < 0 ? strerror (why) : "it opens");
    if (fd >= 0)
      close (fd);
  }
  probe_report (unlink ("/usr/lib/os-release") < 0, "A16-unlink", "unlink /usr/lib/os-release");
  map_and_label (paths[0]);
}

/* A file of 8 TiB without content, and one beyond what the file system takes. */
static void
sparse (void)
{
  int fd = open ("sparse", O_CREAT | O_RDWR | O_CLOEXEC, 0644);
  int result = ftruncate (fd, 8LL << 40);

  int why = errno;
  struct stat st = {0};

  probe_report (fd >= 0 && (result < 0 || (fstat (fd, &st) == 0 && st.st_blocks < 2048)), "A17-sparse",
                "ftruncate to 8 TiB: %s, %lld blocks", result == 0 ? "made" : strerror (why),
                (long long)st.st_blocks);
  close (fd);
  unlink ("sparse");
}

/* As many files of a large directory as may be open, and children that are killed in the middle of a request.
 */
static void
give_up (void)
{
  for (unsigned round = 0; round < 300; round++) {
    pid_t pid = fork ();

    if (pid == 0)
      for (unsigned i = round;; i = (i + 7919) % 100000) {
        char path[32];
        struct stat st;

        snprintf (path, sizeof path, "big/%06u", i);
        if (stat (path, &st) < 0)
          _exit (1);
      }
    usleep (round % 10 * 500);
    kill (pid, SIGKILL);
    waitpid (pid, NULL, 0);
  }
}

void
probe_crowd (void)
{
  struct rlimit limit;
  unsigned opened = 0;
  struct stat st;

  getrlimit (RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max < 20000 ? limit.rlim_max : 20000;
  setrlimit (RLIMIT_NOFILE, &limit);
  for (unsigned i = 0; i < 100000; i++) {
    char path[32];

    snprintf (path, sizeof path, "big/%06u", i);
    if (open (path, O_RDONLY | O_CLOEXEC) < 0)
      break;
    opened++;
  }
  probe_report (opened > 500, "A15-many-open", "%u files open at once", opened);
  give_up ();
  probe_report (stat ("big/000000", &st) == 0, "A15-flush",
                "300 processes were killed in the middle of a request");
}

void
probe_files (void)
{
  canaries ();
  setuid_bits ();
  owners_and_nodes ();
  odd_names ();
  protected_paths ();
  special_files ();
  many_files ();
  read_only ();
  sparse ();
}
