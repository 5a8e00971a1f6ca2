/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/keeper-fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int
keeper_fd_option (const char *text, int *ret)
{
  char *end;
  long value = strtol (text, &end, 10);

  if (*text < '0' || *text > '9' || *end != '\0' || value < 3 || value > 1 << 20 ||
      fcntl ((int)value, F_SETFD, FD_CLOEXEC) < 0)
    return -1;
  *ret = (int)value;
  return 1;
}

int
keeper_fd_send (int socket, const char *text, int passed_fd)
{
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE (sizeof (int))];
  } control = {0};
  struct iovec iov = {.iov_base = (void *)(size_t)text, .iov_len = strlen (text)};
  struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

  if (passed_fd >= 0) {
    struct cmsghdr *c;

    message.msg_control = control.space;
    message.msg_controllen = sizeof control.space;
    c = CMSG_FIRSTHDR (&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN (sizeof (int));
    memcpy (CMSG_DATA (c), &passed_fd, sizeof passed_fd);
  }
  return sendmsg (socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -1 : 0;
}

int
keeper_fd_let_go (int fd)
{
  int err = errno;

  if (fd >= 0)
    (void)close (fd);
  errno = err;
  return -1;
}
