/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Descriptors that the keeper's options name, and that come and go with requests. libc only. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

enum { KEEPER_FDS_MAX = 4 };

/* 3 to 1 << 20, in decimal; it becomes close-on-exec. 1, or -1: there is no such descriptor. */
int keeper_fd_option (const char *text, int *ret);

/* A message on a SOCK_SEQPACKET socket, with a descriptor (-1: none), without waiting. 0; -1 with errno. */
int keeper_send (int socket, const char *text, int passed_fd);
/* One that is there, up to `size` bytes, as recv(2) without waiting. What comes along is close-on-exec, and
 * the caller's: *ret_n of them. */
ssize_t keeper_receive (int socket, void *bytes, size_t size, int fds[KEEPER_FDS_MAX], int *ret_n);
void keeper_close_all (int *fds, int n);
