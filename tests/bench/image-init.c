/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An image by hand: loads vmctl's modules, mounts the image's root, and becomes its systemd. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SYSTEMD "/usr/lib/systemd/systemd"

static void
load_modules (void)
{
  struct dirent **names;
  int n = scandir ("/modules", &names, NULL, alphasort);

  for (int i = 0; i < n; i++) {
    char path[512];
    int fd;

    (void)snprintf (path, sizeof path, "/modules/%s", names[i]->d_name);
    fd = open (path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
      (void)syscall (SYS_finit_module, fd, "", 0);
  }
}

int
main (void)
{
  (void)mkdir ("/dev", 0755);
  (void)mkdir ("/newroot", 0755);
  (void)mount ("dev", "/dev", "devtmpfs", 0, NULL);
  load_modules ();
  if (mount ("/dev/vda", "/newroot", "ext4", 0, NULL) == 0 &&
      mount ("/dev", "/newroot/dev", NULL, MS_MOVE, NULL) == 0 && chdir ("/newroot") == 0 &&
      mount (".", "/", NULL, MS_MOVE, NULL) == 0 && chroot (".") == 0)
    (void)execl (SYSTEMD, SYSTEMD, (char *)NULL);
  perror ("image-init");
  return 1;
}
