/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An image by hand: loads vmctl's modules, mounts the image's root, and becomes its systemd. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "modules.h"

#define SYSTEMD "/usr/lib/systemd/systemd"

/* What matters is missed soon enough. */
static void
pass_over (const char *path)
{
  (void)path;
}

int
main (void)
{
  (void)mkdir ("/dev", 0755);
  (void)mkdir ("/newroot", 0755);
  (void)mount ("dev", "/dev", "devtmpfs", 0, NULL);
  load_modules (pass_over);
  if (mount ("/dev/vda", "/newroot", "ext4", 0, NULL) == 0 &&
      mount ("/dev", "/newroot/dev", NULL, MS_MOVE, NULL) == 0 && chdir ("/newroot") == 0 &&
      mount (".", "/", NULL, MS_MOVE, NULL) == 0 && chroot (".") == 0)
    (void)execl (SYSTEMD, SYSTEMD, (char *)NULL);
  perror ("image-init");
  return 1;
}
