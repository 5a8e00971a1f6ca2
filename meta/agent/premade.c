/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "meta/agent/premade.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "meta/agent/mounts.h"
#include "meta/format.h"

/* Boot leaves less than that behind. */
enum { SCRUB_MAX = 96 << 20 };

static const struct {
  const char *type, *options;
  unsigned attr;
} table[PREMADE_N] = {
    [PREMADE_PROC] = {"proc", "", MOUNT_PLAIN | MOUNT_ATTR_NOEXEC},
    [PREMADE_SYS] = {"sysfs", "", MOUNT_PLAIN | MOUNT_ATTR_NOEXEC},
    [PREMADE_CGROUP] = {"cgroup2", "nsdelegate", MOUNT_PLAIN | MOUNT_ATTR_NOEXEC},
    [PREMADE_DEV] = {"devtmpfs", "", MOUNT_ATTR_NOSUID},
    [PREMADE_SHM] = {"tmpfs", "mode=1777", MOUNT_PLAIN},
    [PREMADE_MQUEUE] = {"mqueue", "", MOUNT_PLAIN | MOUNT_ATTR_NOEXEC},
    [PREMADE_PTS] = {"devpts", "mode=0620,ptmxmode=0666,gid=" META_TTY_GID,
                     MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC},
    [PREMADE_RUN] = {"tmpfs", "mode=0755", MOUNT_PLAIN},
    [PREMADE_TMP] = {"tmpfs", "mode=1777", MOUNT_PLAIN},
    [PREMADE_SUDO] = {"tmpfs", "mode=0755,size=16m", MOUNT_ATTR_NODEV},
};

void
premade_init (Premade *premade)
{
  for (unsigned i = 0; i < PREMADE_N; i++)
    premade->fd[i] = -1;
  premade->disk = false;
  premade->card[0] = '\0';
  premade->image = false;
  premade->is_host = false;
  premade->init = NULL;
}

void
premade_clear (Premade *premade)
{
  for (unsigned i = 0; i < PREMADE_N; i++)
    close_fd (&premade->fd[i]);
}

/* Ourselves, on a file system of its own that honours the set-user-ID bit. */
static int
put_sudo (int dir)
{
  struct mount_attr set = {.attr_set = MOUNT_ATTR_RDONLY};
  int self = open ("/proc/self/exe", O_RDONLY | O_CLOEXEC), fd = -1, r = 0;
  struct stat st;

  if (self >= 0)
    fd = openat (dir, "sudo", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
  if (fd < 0 || fstat (self, &st) < 0 || sendfile (fd, self, NULL, (size_t)st.st_size) != st.st_size ||
      fchmod (fd, 04755) < 0)
    r = errno != 0 ? -errno : -EIO;
  close_fd (&fd);
  close_fd (&self);
  if (r == 0)
    (void)mount_setattr (dir, "", AT_EMPTY_PATH, &set, sizeof set);
  return r;
}

static void
make_dirs (int dir, const char *const *names)
{
  for (; *names; names++)
    (void)mkdirat (dir, *names, 0755);
}

/* What everybody expects below /dev. */
static int
fill_dev (int dir)
{
  static const char *const links[][2] = {{"/proc/self/fd", "fd"},
                                         {"/proc/self/fd/0", "stdin"},
                                         {"/proc/self/fd/1", "stdout"},
                                         {"/proc/self/fd/2", "stderr"},
                                         {"/proc/kcore", "core"}};
  static const char *const dirs[] = {"shm", "mqueue", "pts", NULL};

  for (size_t i = 0; i < sizeof links / sizeof *links; i++)
    (void)symlinkat (links[i][0], dir, links[i][1]);
  make_dirs (dir, dirs);
  return 0;
}

static int
fill_run (int dir)
{
  static const char *const dirs[] = {"user", "vmctl", "vmctl/meta", "vmctl/bin", NULL};

  make_dirs (dir, dirs);
  return mkdirat (dir, "vmctl/rw", 0700) < 0 && errno != EEXIST ? -errno : 0;
}

int
premade_make (Premade *premade, PremadeWhich which)
{
  int fd, r;

  if (premade->fd[which] >= 0)
    return 0;
  fd = mount_make (table[which].type, table[which].type, table[which].options, table[which].attr);
  if (fd < 0)
    return fd;
  r = which == PREMADE_SUDO  ? put_sudo (fd)
      : which == PREMADE_DEV ? fill_dev (fd)
      : which == PREMADE_RUN ? fill_run (fd)
                             : 0;
  if (r < 0)
    close_fd (&fd);
  premade->fd[which] = fd;
  return r;
}

/* A kernel may lack control groups or message queues; whoever needs the others is told when they are used. */
int
premade_make_all (Premade *premade, Why *why)
{
  for (unsigned i = 0; i < PREMADE_N; i++) {
    int r = premade_make (premade, i);

    if (r < 0 && i != PREMADE_CGROUP && i != PREMADE_MQUEUE)
      return why_set (why, -r, "cannot make a file system of type %s", table[i].type);
  }
  return 0;
}

int
premade_attach (Premade *premade, PremadeWhich which, int target)
{
  int r = premade_make (premade, which);

  if (r == 0)
    r = mount_attach (premade->fd[which], target);
  close_fd (&premade->fd[which]);
  return r;
}

/* New memory is zeroed, and the kernel hands out first what was in use before: whole large blocks come last.
 */
void
premade_scrub_memory (void)
{
  struct sysinfo info;
  size_t n;
  void *memory;

  if (sysinfo (&info) < 0)
    return;
  n = (size_t)info.freeram * info.mem_unit / 4;
  n = n < SCRUB_MAX ? n : SCRUB_MAX;
  memory = mmap (NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    return;
  (void)madvise (memory, n, MADV_NOHUGEPAGE); /* small pieces are what is wanted */
  (void)madvise (memory, n, MADV_POPULATE_WRITE);
  (void)munmap (memory, n);
}
