/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The floor: what a person would write by hand for one run. Loads the same modules, makes the same mounts,
 * runs the command that the kernel command line names, powers off. No agent, no sessions, no identity, no
 * cleaning up. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "modules.h"

#define NINEP "trans=virtio,version=9p2000.L,msize=512000"

static void
die (const char *what)
{
  printf ("floor: %s: %s\n", what, strerror (errno));
  reboot (RB_POWER_OFF);
}

static void
mount_or_die (const char *what, const char *where, const char *type, unsigned long flags, const char *options)
{
  (void)mkdir (where, 0755);
  if (mount (what, where, type, flags, options) < 0)
    die (where);
}

static bool
is_template (void)
{
  char text[4096] = "";
  int fd = open ("/proc/cmdline", O_RDONLY | O_CLOEXEC);
  bool yes = fd >= 0 && read (fd, text, sizeof text - 1) > 0 && strstr (text, "floor.template");

  (void)close (fd);
  return yes;
}

/* The machine is saved while it waits here, and goes on when the host says what the time is. */
static void
wait_for_host (void)
{
  char line[64] = "";
  struct timespec now = {0};
  int fd = -1;

  for (int i = 0; fd < 0; i = (i + 1) % 8) { /* the number of the virtio device */
    char port[] = "/dev/vportNp1";

    port[sizeof "/dev/vport" - 1] = (char)('0' + i);
    fd = open (port, O_RDWR | O_CLOEXEC);
    if (fd < 0 && i == 7)
      usleep (1000);
  }
  while (read (fd, line, sizeof line - 1) <= 0)
    usleep (1000); /* no host yet */
  now.tv_sec = atol (line);
  if (clock_settime (CLOCK_REALTIME, &now) < 0)
    die ("clock");
}

int
main (void)
{
  int status = 0;
  pid_t pid;

  mount_or_die ("proc", "/proc", "proc", 0, NULL);
  mount_or_die ("sys", "/sys", "sysfs", 0, NULL);
  mount_or_die ("dev", "/dev", "devtmpfs", 0, NULL);
  load_modules (die);
  if (is_template ())
    wait_for_host ();
  mount_or_die ("floor.ro", "/lower", "9p", MS_RDONLY, NINEP ",cache=loose");
  mount_or_die ("/dev/vda", "/scratch", "ext4", MS_NOATIME, NULL);
  (void)mkdir ("/scratch/upper", 0755);
  (void)mkdir ("/scratch/work", 0755);
  mount_or_die ("overlay", "/newroot", "overlay", 0,
                "lowerdir=/lower,upperdir=/scratch/upper,workdir=/scratch/work");
  mount_or_die ("tmp", "/newroot/tmp", "tmpfs", 0, NULL);
  mount_or_die ("proc", "/newroot/proc", "proc", 0, NULL);
  mount_or_die ("/dev", "/newroot/dev", NULL, MS_BIND, NULL);
  (void)mkdir ("/newroot/tmp/project", 0755);
  mount_or_die ("floor.rw", "/newroot/tmp/project", "9p", 0, NINEP ",cache=mmap");
  pid = fork ();
  if (pid == 0) {
    if (chroot ("/newroot") < 0 || chdir ("/tmp/project") < 0)
      _exit (126);
    execl ("/usr/bin/true", "true", (char *)NULL);
    _exit (127);
  }
  while (waitpid (pid, &status, 0) != pid)
    ;
  printf ("floor: status %d\n", WIFEXITED (status) ? WEXITSTATUS (status) : 128 + WTERMSIG (status));
  sync ();
  reboot (RB_POWER_OFF);
  return 0;
}
