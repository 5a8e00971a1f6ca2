/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/keeper-fd.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

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

typedef union {
  struct cmsghdr header;
  char space[CMSG_SPACE (sizeof (int))];
} Control;

int
keeper_fd_send (int socket, const char *text, int passed)
{
  Control control = {0};
  struct iovec iov = {.iov_base = (void *)(size_t)text, .iov_len = strlen (text)};
  struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

  if (passed >= 0) {
    struct cmsghdr *c;

    message.msg_control = control.space;
    message.msg_controllen = sizeof control.space;
    c = CMSG_FIRSTHDR (&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN (sizeof (int));
    memcpy (CMSG_DATA (c), &passed, sizeof passed);
  }
  return sendmsg (socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -1 : 0;
}

ssize_t
keeper_fd_receive (int socket, char *data, size_t size, int *ret_passed)
{
  Control control = {0};
  struct iovec iov = {.iov_base = data, .iov_len = size};
  struct msghdr message = {.msg_iov = &iov,
                           .msg_iovlen = 1,
                           .msg_control = control.space,
                           .msg_controllen = CMSG_LEN (sizeof (int))}; /* no room for another */
  ssize_t n = recvmsg (socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  struct cmsghdr *c = n >= 0 ? CMSG_FIRSTHDR (&message) : NULL;

  *ret_passed = -1;
  if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
      c->cmsg_len == CMSG_LEN (sizeof (int)))
    memcpy (ret_passed, CMSG_DATA (c), sizeof *ret_passed);
  return n;
}
