/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Descriptors that the keeper's options name, and those that travel with its requests and answers. libc only.
 */
#pragma once

#include <sys/types.h>

/* 3 to 1 << 20, in decimal; it becomes close-on-exec. 1, or -1: there is no such descriptor. */
int keeper_fd_option (const char *text, int *ret);

/* One message with one descriptor (borrowed; -1: none), without waiting. 0, or -1 with errno. */
int keeper_fd_send (int socket, const char *text, int passed);
/* One message, without waiting; as recv(). *ret_passed: the first descriptor that came along, owned, or -1;
 * the kernel closes the others. */
ssize_t keeper_fd_receive (int socket, char *data, size_t size, int *ret_passed);
