/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Descriptors: an owner that closes, and the few ways in which vmctl makes them. Every descriptor made here
 * is close-on-exec; VmArgv (vmctl/base/argv.h) is the only thing that passes one to a child. */
#pragma once

#include <glib.h>
#include <sys/types.h>

/* Closes *fd if it is not negative, keeps errno, and sets it to -1. */
void vm_fd_clear (int *fd);

static inline int
vm_fd_steal (int *fd)
{
  int taken = *fd;

  *fd = -1;
  return taken;
}

#define vm_autofd __attribute__ ((cleanup (vm_fd_clear))) int

gboolean vm_fd_set_nonblocking (int fd, gboolean nonblocking, GError **error);

/* A sealed (write, grow, shrink, seal) memfd with these bytes, offset 0. -1 on error. `name` is for /proc
 * only. */
int vm_fd_memfd (const char *name, const void *data, gsize length, GError **error);

/* Reads a descriptor to its end; more than `max` bytes is an error. (transfer full), NUL after the data. */
char *vm_fd_read_all (int fd, gsize max, gsize *ret_length, GError **error);

/* Writes everything, blocking or polling as needed. */
gboolean vm_fd_write_all (int fd, const void *data, gsize length, GError **error);

/* A connected AF_UNIX pair of the given type (SOCK_STREAM, SOCK_SEQPACKET). */
gboolean vm_fd_socketpair (int type, int ret_fds[2], GError **error);

/* A listening AF_UNIX socket at `name` below the directory descriptor `dir_fd`, mode 0600. Works for any
 * length of the directory's path (the address goes through /proc/self/fd). An old socket file at `name` is
 * replaced. */
int vm_fd_listen_unix (int dir_fd, const char *name, int type, GError **error);

/* Connects to such a socket; -1 on error. */
int vm_fd_connect_unix (int dir_fd, const char *name, int type, GError **error);

/* The uid at the other end of a connected AF_UNIX socket. */
gboolean vm_fd_peer_uid (int fd, uid_t *ret_uid, GError **error);

/* One sendmsg with up to 16 descriptors (borrowed). Returns bytes sent, or -1 with errno set (EAGAIN
 * included). */
gssize vm_fd_send (int fd, const void *data, gsize length, const int *fds, guint n_fds);

/* One recvmsg. Received descriptors are close-on-exec, appended to `fds` (element type int, owned by the
 * array's user). Returns bytes, 0 at EOF, -1 with errno set. More than 16 descriptors in one message: the
 * surplus is closed by the kernel. */
gssize vm_fd_recv (int fd, void *data, gsize length, GArray *fds);
