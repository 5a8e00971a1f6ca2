/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/keeper-request.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void
split (KeeperRequest *request, size_t n)
{
  size_t at = 0;

  request->text[n] = '\0';
  for (int i = 0; i < KEEPER_WORDS_MAX; i++) {
    request->words[i] = at < n ? request->text + at : "";
    at += strlen (request->words[i]) + 1;
  }
}

ssize_t
keeper_request_receive (int socket, KeeperRequest *ret)
{
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE (KEEPER_FDS_MAX * sizeof (int))];
  } control = {0};
  struct iovec iov = {.iov_base = ret->text, .iov_len = KEEPER_REQUEST_MAX};
  struct msghdr message = {
      .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
  ssize_t n = recvmsg (socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  struct cmsghdr *c = n >= 0 ? CMSG_FIRSTHDR (&message) : NULL;

  ret->n_fds = 0;
  if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
    ret->n_fds = (int)((c->cmsg_len - CMSG_LEN (0)) / sizeof (int));
    memcpy (ret->fds, CMSG_DATA (c), (size_t)ret->n_fds * sizeof (int));
  }
  if (n > 0)
    split (ret, (size_t)n);
  else
    keeper_request_clear (ret);
  return n;
}

void
keeper_request_clear (KeeperRequest *request)
{
  while (request->n_fds > 0)
    (void)close (request->fds[--request->n_fds]);
}
