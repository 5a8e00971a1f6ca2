/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* For the hand-written inits here: the kernel's modules of the initramfs, in the order of their names. */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

static void
load_modules (void (*failed) (const char *path))
{
  struct dirent **names;
  int n = scandir ("/modules", &names, NULL, alphasort);

  for (int i = 0; i < n; i++) {
    char path[512];
    int fd;

    if (names[i]->d_name[0] == '.')
      continue;
    (void)snprintf (path, sizeof path, "/modules/%s", names[i]->d_name);
    fd = open (path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || (syscall (SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST))
      failed (path);
    (void)close (fd);
  }
}
