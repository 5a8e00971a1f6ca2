/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the keeper is asked: words separated by NUL, and descriptors that come along. libc only. */
#pragma once

#include <sys/types.h>

enum { KEEPER_REQUEST_MAX = 9000, KEEPER_WORDS_MAX = 5, KEEPER_FDS_MAX = 4 };

typedef struct {
  const char *words[KEEPER_WORDS_MAX]; /* in `text`; "" where there are no more */
  int fds[KEEPER_FDS_MAX], n_fds;      /* owned, close-on-exec */
  char text[KEEPER_REQUEST_MAX + 1];
} KeeperRequest;

/* One that is there, without waiting; as recv(2). What was sent beyond the sizes above is lost; the kernel
 * closes descriptors for which there is no room. Above 0 it is to be cleared. */
ssize_t keeper_request_receive (int socket, KeeperRequest *ret);
void keeper_request_clear (KeeperRequest *request);
