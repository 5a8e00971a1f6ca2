/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmctl/base/error.h"

enum { FDS_PER_MESSAGE = 16, LISTEN_BACKLOG = 64 };

void
vm_fd_clear (int *fd)
{
  int saved = errno;

  if (*fd >= 0)
    (void)close (*fd);
  *fd = -1;
  errno = saved;
}

gboolean
vm_fd_set_nonblocking (int fd, gboolean nonblocking, GError **error)
{
  int flags = fcntl (fd, F_GETFL);

  if (flags < 0)
    return vm_error_errno (error, errno, "cannot read the flags of descriptor %d", fd);
  flags = nonblocking ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
  if (fcntl (fd, F_SETFL, flags) < 0)
    return vm_error_errno (error, errno, "cannot set the flags of descriptor %d", fd);
  return TRUE;
}

int
vm_fd_memfd (const char *name, const void *data, gsize length, GError **error)
{
  vm_autofd fd = memfd_create (name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

  if (fd < 0) {
    vm_error_errno (error, errno, "cannot make a memory file for '%s'", name);
    return -1;
  }
  if (!vm_fd_write_all (fd, data, length, error))
    return -1;
  if (lseek (fd, 0, SEEK_SET) < 0 ||
      fcntl (fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0) {
    vm_error_errno (error, errno, "cannot seal the memory file for '%s'", name);
    return -1;
  }
  return vm_fd_steal (&fd);
}

enum { READ_STEP = 16384 };

/* How much is likely to come: of a file its size, so that the bytes are read to where they stay. */
static guint
expected_size (int fd, gsize max)
{
  struct stat st;

  if (fstat (fd, &st) < 0 || !S_ISREG (st.st_mode) || st.st_size <= 0)
    return 0;
  return (guint)MIN ((gsize)st.st_size, MIN (max, G_MAXINT));
}

char *
vm_fd_read_all (int fd, gsize max, gsize *ret_length, GError **error)
{
  guint expected = expected_size (fd, max);
  g_autoptr (GByteArray) bytes = g_byte_array_sized_new (expected + READ_STEP + 1);

  for (;;) {
    guint have = bytes->len, room = MAX (expected - MIN (have, expected), READ_STEP);
    ssize_t n;

    g_byte_array_set_size (bytes, have + room);
    n = read (fd, bytes->data + have, room);
    g_byte_array_set_size (bytes, have + (n > 0 ? (guint)n : 0));
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0) {
      vm_error_errno (error, errno, "cannot read");
      return NULL;
    }
    if (n == 0)
      break;
    if (bytes->len > max) {
      vm_error (error, VM_ERROR_INVALID, "larger than the %" G_GSIZE_FORMAT " bytes allowed", max);
      return NULL;
    }
  }
  if (ret_length != NULL)
    *ret_length = bytes->len;
  g_byte_array_append (bytes, (const guint8 *)"", 1);
  return (char *)g_byte_array_free (g_steal_pointer (&bytes), FALSE);
}

gboolean
vm_fd_write_all (int fd, const void *data, gsize length, GError **error)
{
  const char *at = data;

  while (length > 0) {
    ssize_t n = write (fd, at, length);

    if (n < 0 && errno == EAGAIN) {
      struct pollfd p = {.fd = fd, .events = POLLOUT};

      (void)poll (&p, 1, -1);
      continue;
    }
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return vm_error_errno (error, errno, "cannot write");
    at += n;
    length -= (gsize)n;
  }
  return TRUE;
}

gboolean
vm_fd_socketpair (int type, int ret_fds[2], GError **error)
{
  if (socketpair (AF_UNIX, type | SOCK_CLOEXEC, 0, ret_fds) < 0)
    return vm_error_errno (error, errno, "cannot make a socket pair");
  return TRUE;
}

static gboolean
unix_address (int dir_fd, const char *name, struct sockaddr_un *ret_address, GError **error)
{
  int n;

  memset (ret_address, 0, sizeof *ret_address);
  ret_address->sun_family = AF_UNIX;
  n = snprintf (ret_address->sun_path, sizeof ret_address->sun_path, "/proc/self/fd/%d/%s", dir_fd, name);
  if (n < 0 || (gsize)n >= sizeof ret_address->sun_path)
    return vm_error (error, VM_ERROR_INVALID, "the socket name '%s' is too long", name);
  return TRUE;
}

int
vm_fd_listen_unix (int dir_fd, const char *name, int type, GError **error)
{
  vm_autofd fd = socket (AF_UNIX, type | SOCK_CLOEXEC, 0);
  struct sockaddr_un address;
  mode_t mask;
  int r;

  if (fd < 0) {
    vm_error_errno (error, errno, "cannot make a socket for '%s'", name);
    return -1;
  }
  if (!unix_address (dir_fd, name, &address, error))
    return -1;
  (void)unlinkat (dir_fd, name, 0); /* a socket that an earlier process left behind */
  mask = umask (0177);
  r = bind (fd, (struct sockaddr *)&address, sizeof address);
  (void)umask (mask);
  if (r < 0 || listen (fd, LISTEN_BACKLOG) < 0) {
    vm_error_errno (error, errno, "cannot listen on '%s'", name);
    return -1;
  }
  return vm_fd_steal (&fd);
}

int
vm_fd_connect_unix (int dir_fd, const char *name, int type, GError **error)
{
  vm_autofd fd = socket (AF_UNIX, type | SOCK_CLOEXEC, 0);
  struct sockaddr_un address;

  if (fd < 0) {
    vm_error_errno (error, errno, "cannot make a socket for '%s'", name);
    return -1;
  }
  if (!unix_address (dir_fd, name, &address, error))
    return -1;
  if (connect (fd, (struct sockaddr *)&address, sizeof address) < 0) {
    vm_error_errno (error, errno, "cannot connect to '%s'", name);
    return -1;
  }
  return vm_fd_steal (&fd);
}

gboolean
vm_fd_peer_uid (int fd, uid_t *ret_uid, GError **error)
{
  struct ucred cred;
  socklen_t length = sizeof cred;

  if (getsockopt (fd, SOL_SOCKET, SO_PEERCRED, &cred, &length) < 0)
    return vm_error_errno (error, errno, "cannot read who is at the other end of a socket");
  *ret_uid = cred.uid;
  return TRUE;
}

gssize
vm_fd_send (int fd, const void *data, gsize length, const int *fds, guint n_fds)
{
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE (FDS_PER_MESSAGE * sizeof (int))];
  } control = {0};
  struct iovec iov = {.iov_base = (void *)(guintptr)data, .iov_len = length};
  struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

  g_return_val_if_fail (n_fds <= FDS_PER_MESSAGE, -1);
  if (n_fds > 0) {
    struct cmsghdr *c;

    message.msg_control = control.space;
    message.msg_controllen = CMSG_SPACE (n_fds * sizeof (int));
    c = CMSG_FIRSTHDR (&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN (n_fds * sizeof (int));
    memcpy (CMSG_DATA (c), fds, n_fds * sizeof (int));
  }
  for (;;) {
    ssize_t n = sendmsg (fd, &message, MSG_NOSIGNAL);

    if (n >= 0 || errno != EINTR)
      return n;
  }
}

static void
take_descriptors (struct msghdr *message, GArray *fds)
{
  for (struct cmsghdr *c = CMSG_FIRSTHDR (message); c != NULL; c = CMSG_NXTHDR (message, c)) {
    gsize n = (c->cmsg_len - CMSG_LEN (0)) / sizeof (int);

    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
      continue;
    for (gsize i = 0; i < n; i++) {
      int fd;

      memcpy (&fd, CMSG_DATA (c) + i * sizeof fd, sizeof fd);
      if (fds != NULL)
        g_array_append_val (fds, fd);
      else
        (void)close (fd);
    }
  }
}

gssize
vm_fd_recv (int fd, void *data, gsize length, GArray *fds)
{
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE (FDS_PER_MESSAGE * sizeof (int))];
  } control = {0};
  struct iovec iov = {.iov_base = data, .iov_len = length};
  struct msghdr message = {
      .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
  ssize_t n;

  do
    n = recvmsg (fd, &message, MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  if (n >= 0)
    take_descriptors (&message, fds);
  return n;
}
