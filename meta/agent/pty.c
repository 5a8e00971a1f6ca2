/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "meta/agent/launch.h"
#include "meta/agent/util.h"

enum { SIZE_MAX_CELLS = 4096 };

static unsigned short
clamp (unsigned n)
{
  if (n < 1)
    return 1;
  return (unsigned short)(n > SIZE_MAX_CELLS ? SIZE_MAX_CELLS : n);
}

void
pty_resize (int fd, unsigned rows, unsigned columns)
{
  struct winsize size = {.ws_row = clamp (rows), .ws_col = clamp (columns)};

  (void)ioctl (fd, TIOCSWINSZ, &size);
}

/* No path is opened for the other end: what /dev/pts holds does not matter. */
static int
open_slave (int master)
{
  int unlock = 0;
  int fd;

  if (ioctl (master, TIOCSPTLCK, &unlock) < 0)
    return -errno;
  fd = ioctl (master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

int
pty_open (uid_t uid, unsigned rows, unsigned columns, int *ret_master, int *ret_slave)
{
  int master = open ("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
  int slave;

  if (master < 0)
    return -errno;
  slave = open_slave (master);
  if (slave < 0) {
    close_fd (&master);
    return slave;
  }
  /* The group stays what the mount says; not being allowed to is fine, then it is ours already. */
  (void)!fchown (slave, uid, (gid_t)-1);
  pty_resize (master, rows, columns);
  *ret_master = master;
  *ret_slave = slave;
  return 0;
}
