/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Descriptors that the keeper's options name. libc only. */
#pragma once

/* 3 to 1 << 20, in decimal; it becomes close-on-exec. 1, or -1: there is no such descriptor. */
int keeper_fd_option (const char *text, int *ret);
