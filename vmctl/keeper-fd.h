/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Descriptors: those that the keeper's options name, that go with answers, and that are let go. libc only. */
#pragma once

/* 3 to 1 << 20, in decimal; it becomes close-on-exec. 1, or -1: there is no such descriptor. */
int keeper_fd_option (const char *text, int *ret);

/* A message on a SOCK_SEQPACKET socket, with a descriptor (-1: none), without waiting. 0; -1 with errno. */
int keeper_fd_send (int socket, const char *text, int passed_fd);

/* Closes it (-1: nothing), keeps errno, and returns -1. */
int keeper_fd_let_go (int fd);
