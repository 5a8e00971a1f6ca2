/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "meta/agent/agent.h"
#include "meta/format.h"

enum { PORT_FAST_MS = 1, PORT_SLOW_MS = 50, PORT_REPORT_MS = 5000, KLOG_CONSOLE_LEVEL = 8, SEED_MAX = 256 };

static int
mount_dir (const char *type, const char *path, unsigned long flags)
{
  (void)mkdir (path, 0755);
  return mount (type, path, type, flags, NULL) < 0 && errno != EBUSY ? -errno : 0;
}

/* Descriptors 0 to 2 are the console if the kernel could open one. If it could not they are free, and the
 * next file opened would become "stderr": then they are the serial line, or nothing. */
static void
fill_stdio (void)
{
  bool have = fcntl (STDERR_FILENO, F_GETFD) >= 0;
  int fd;

  do
    fd = open ("/dev/null", O_RDWR);
  while (fd >= 0 && fd <= 2);
  close_fd (&fd);
  if (!have && (fd = open ("/dev/ttyS0", O_RDWR | O_NOCTTY | O_NONBLOCK)) >= 0) {
    for (int i = 0; i < 3; i++)
      (void)dup2 (fd, i);
    close_fd (&fd);
  }
  (void)fcntl (STDERR_FILENO, F_SETFL, O_RDWR | O_NONBLOCK); /* see say() */
}

static void
load_module (const char *name)
{
  char path[300];
  int fd;

  snprintf (path, sizeof path, "/modules/%s", name);
  fd = open (path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || (syscall (SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST))
    say ("cannot load module '%s': %s", name, strerror (errno));
  close_fd (&fd);
  (void)unlink (path); /* it has done its work, and is memory */
}

/* "05-virtio_console.ko" */
static bool
is_port_module (const char *name)
{
  const char *dash = strchr (name, '-');

  return dash && (strcmp (dash, "-virtio_console.ko") == 0 || strcmp (dash, "-virtio-console.ko") == 0);
}

/* The one that is loaded later (balloon.h): only open, for its name goes with the initramfs. */
static int
keep_balloon (struct dirent **entries, int n)
{
  char path[300];
  int fd = -1;

  for (int i = 0; i < n && fd < 0; i++) {
    if (!balloon_is_module (entries[i]->d_name))
      continue;
    snprintf (path, sizeof path, "/modules/%s", entries[i]->d_name);
    fd = open (path, O_RDONLY | O_CLOEXEC);
    (void)unlink (path);
  }
  return fd;
}

/* In the order of their names. What comes after the port's module is loaded by a child, beside what we do
 * with the port, the host and the first mounts (ext4 alone takes as long as half of the others). */
static pid_t
load_modules (int *ret_balloon)
{
  struct dirent **entries;
  int n = scandir ("/modules", &entries, NULL, alphasort);
  pid_t child = 0;

  *ret_balloon = keep_balloon (entries, n);
  for (int i = 0; i < n; i++) {
    if (entries[i]->d_name[0] == '.' || balloon_is_module (entries[i]->d_name))
      continue;
    load_module (entries[i]->d_name);
    if (!is_port_module (entries[i]->d_name) || child != 0)
      continue;
    child = fork ();
    if (child > 0)
      break;
  }
  if (child == 0 && n >= 0 && getpid () != 1)
    _exit (0);
  (void)rmdir ("/modules");
  return child > 0 ? child : 0;
}

void
boot_wait_modules (Agent *agent)
{
  if (agent->modules_pid > 0)
    (void)waitpid (agent->modules_pid, NULL, 0);
  agent->modules_pid = 0;
}

/* As an ordinary system's first process sets them: the kernel's own hard limit on descriptors is low. */
static void
set_limits (void)
{
  struct rlimit files = {1024, 524288}, core = {0, RLIM_INFINITY};

  (void)setrlimit (RLIMIT_NOFILE, &files);
  (void)setrlimit (RLIMIT_CORE, &core);
}

int
boot_begin (pid_t *ret_modules, int *ret_balloon)
{
  int r;

  umask (022);
  if ((r = mount_dir ("devtmpfs", "/dev", MS_NOSUID)) < 0)
    return r;
  fill_stdio ();
  if ((r = mount_dir ("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)) < 0 ||
      (r = mount_dir ("sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC)) < 0)
    return r;
  (void)setenv ("PATH", "/usr/bin:/bin", 1);
  set_limits ();
  /* 9p with a cache logs errors that are none, and "quiet" lets them through. Panics still show. */
  (void)klogctl (KLOG_CONSOLE_LEVEL, NULL, 3);
  *ret_modules = load_modules (ret_balloon);
  return 0;
}

static bool
port_is_ours (const char *name)
{
  char path[300], text[128];

  snprintf (path, sizeof path, "/sys/class/virtio-ports/%s/name", name);
  return read_line (path, text, sizeof text) == 0 && strcmp (text, META_PORT_AGENT) == 0;
}

static int
try_open_port (void)
{
  DIR *dir = opendir ("/sys/class/virtio-ports");
  struct dirent *entry;
  char path[300];
  int fd = -1;

  while (dir && fd < 0 && (entry = readdir (dir))) {
    if (entry->d_name[0] == '.' || !port_is_ours (entry->d_name))
      continue;
    snprintf (path, sizeof path, "/dev/%s", entry->d_name);
    fd = open (path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  }
  if (dir)
    closedir (dir);
  return fd;
}

/* The name comes in a message from the host some time after the device. */
int
boot_find_port (void)
{
  int64_t started = now_ms ();
  bool reported = false;
  int fd;

  while ((fd = try_open_port ()) < 0) {
    bool late = now_ms () - started > PORT_REPORT_MS;
    if (late && !reported)
      say ("no virtio-serial port '%s'", META_PORT_AGENT);
    reported |= late;
    usleep (1000 * (late ? PORT_SLOW_MS : PORT_FAST_MS));
  }
  return fd;
}

int
boot_seed (const uint8_t *seed, size_t n)
{
  uint32_t pool[(sizeof (struct rand_pool_info) + SEED_MAX) / sizeof (uint32_t)];
  struct rand_pool_info *info = (struct rand_pool_info *)pool;
  int fd, r = 0;

  if (n > SEED_MAX)
    return -EINVAL;
  info->entropy_count = (int)n * 8;
  info->buf_size = (int)n;
  memcpy (info->buf, seed, n);
  fd = open ("/dev/urandom", O_RDWR | O_CLOEXEC);
  if (fd < 0)
    return -errno;
  if (ioctl (fd, RNDADDENTROPY, info) < 0 || ioctl (fd, RNDRESEEDCRNG) < 0)
    r = -errno;
  close_fd (&fd);
  explicit_bzero (pool, sizeof pool);
  return r;
}

int
boot_set_clock (int64_t seconds, uint32_t nanoseconds)
{
  struct timespec t = {.tv_sec = (time_t)seconds, .tv_nsec = nanoseconds};

  return clock_settime (CLOCK_REALTIME, &t) < 0 ? -errno : 0;
}
