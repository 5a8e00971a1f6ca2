/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Why something failed, for people. Always a whole text: it is cut, never lost. */
typedef struct {
  char text[512];
} Why;

/* Sets the text (": reason" is added for error > 0) and returns -error (-EIO for 0). */
int why_set (Why *why, int error, const char *format, ...) __attribute__ ((format (printf, 3, 4)));

/* A line on the console (PID 1) or stderr: for what the host cannot be told over the link. */
void say (const char *format, ...) __attribute__ ((format (printf, 1, 2)));

uint64_t now_us (void); /* CLOCK_MONOTONIC */
int64_t now_ms (void);

int act_as (uid_t uid, gid_t gid); /* the effective ids, of whom root is the real or saved one; -errno */
void close_fd (int *fd);           /* closes what is >= 0 and sets -1; errno is kept */
int write_all (int fd, const void *data, size_t n);
/* A whole regular file, at most `max` bytes, with a NUL behind it. (caller frees) NULL and errno on failure.
 */
char *read_open_file (int fd, size_t max, size_t *ret_size);
char *read_file_at (int dir_fd, const char *name, size_t max, size_t *ret_size);
/* A path of /proc/self/mounts, where blanks and backslashes are \ooo: decoded in its place. */
void unescape_mount (char *path);
/* The first line of a small file, such as sysfs has; cut to fit. 0 or -errno, and then it is empty. */
int read_line (const char *path, char *ret, size_t size);
int parse_number (const char *text, uint64_t max, uint64_t *ret); /* decimal, nothing else. 0 or -EINVAL */
