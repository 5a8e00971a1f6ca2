/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/hostsocket.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"

/* The sender of the next byte, as the kernel says it. */
static struct ucred
receive_who (int fd)
{
  static const int on = 1;
  struct ucred who = {0};
  char byte, control[CMSG_SPACE (sizeof who)];
  struct iovec iov = {.iov_base = &byte, .iov_len = 1};
  struct msghdr message = {
      .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr *header;

  g_assert_cmpint (setsockopt (fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on), ==, 0);
  g_assert_cmpint (recvmsg (fd, &message, 0), ==, 1);
  header = CMSG_FIRSTHDR (&message);
  g_assert_nonnull (header);
  g_assert_cmpint (header->cmsg_type, ==, SCM_CREDENTIALS);
  memcpy (&who, CMSG_DATA (header), sizeof who);
  return who;
}

/* A server that asks who it is after it has accepted, and after the first words have come. */
static void
test_credentials (void)
{
  g_autofree char *path = g_dir_make_tmp ("vmctl-hostsocket-XXXXXX", NULL),
                  *sock = g_strconcat (path, "/s", NULL);
  const char *const none[] = {NULL};
  g_autoptr (GError) error = NULL;
  vm_autofd dir = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), server = -1, client = -1;
  vm_autofd listener = vm_fd_listen_unix (dir, "s", SOCK_STREAM, NULL);
  gboolean is_busy;
  struct ucred who;

  client = vm_host_socket_connect (sock, none, &is_busy, &error);
  g_assert_no_error (error);
  server = accept4 (listener, NULL, NULL, SOCK_CLOEXEC);
  g_assert_cmpint (write (client, "x", 1), ==, 1);
  who = receive_who (server);
  g_assert_cmpint (who.pid, ==, getpid ());
  g_assert_cmpint (who.uid, ==, getuid ());
  g_assert_true (vm_file_remove_tree (AT_FDCWD, path, NULL));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/vmctl/hostsocket/credentials", test_credentials);
  return g_test_run ();
}
