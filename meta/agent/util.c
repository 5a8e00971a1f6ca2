/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "meta/agent/util.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int
why_set (Why *why, int error, const char *format, ...)
{
  va_list args;
  size_t used;

  va_start (args, format);
  vsnprintf (why->text, sizeof why->text, format, args);
  va_end (args);
  used = strlen (why->text);
  if (error > 0)
    snprintf (why->text + used, sizeof why->text - used, ": %s", strerror (error));
  return error > 0 ? -error : -EIO;
}

void
say (const char *format, ...)
{
  char text[600];
  va_list args;
  int used, more;

  used = snprintf (text, sizeof text, "vmctl: ");
  va_start (args, format);
  more = vsnprintf (text + used, sizeof text - (size_t)used - 1, format, args);
  va_end (args);
  used = more < 0 ? used : used + more;
  if ((size_t)used > sizeof text - 2)
    used = sizeof text - 2;
  text[used++] = '\n';
  (void)!write (STDERR_FILENO, text, (size_t)used); /* a full console loses it: waiting would be worse */
}

uint64_t
now_us (void)
{
  struct timespec t;

  clock_gettime (CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

int64_t
now_ms (void)
{
  return (int64_t)(now_us () / 1000);
}

int
act_as (uid_t uid, gid_t gid)
{
  if (seteuid (0) < 0 || setegid (gid) < 0 || seteuid (uid) < 0)
    return -errno;
  return 0;
}

void
close_fd (int *fd)
{
  int saved = errno;

  if (*fd >= 0)
    close (*fd);
  *fd = -1;
  errno = saved;
}

int
write_all (int fd, const void *data, size_t n)
{
  const char *at = data;

  while (n > 0) {
    ssize_t r = write (fd, at, n);
    if (r < 0 && errno == EINTR)
      continue;
    if (r < 0)
      return -errno;
    at += r;
    n -= (size_t)r;
  }
  return 0;
}

char *
read_open_file (int fd, size_t max, size_t *ret_size)
{
  struct stat st;
  size_t size = 0;
  char *data;

  if (fstat (fd, &st) < 0)
    return NULL;
  if (!S_ISREG (st.st_mode) || (uint64_t)st.st_size > max) {
    errno = S_ISREG (st.st_mode) ? EFBIG : EINVAL;
    return NULL;
  }
  if (st.st_size > 0)
    max = (size_t)st.st_size;
  else if (max > 65536)
    max = 65536; /* empty, or one of /proc, which all say 0 */
  data = malloc (max + 1);
  while (data && size < max) {
    ssize_t r = read (fd, data + size, max - size);
    if (r < 0 && errno == EINTR)
      continue;
    if (r < 0) {
      free (data);
      return NULL;
    }
    if (r == 0)
      break;
    size += (size_t)r;
  }
  if (data)
    data[size] = '\0';
  *ret_size = size;
  return data;
}

char *
read_file_at (int dir_fd, const char *name, size_t max, size_t *ret_size)
{
  int fd = openat (dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  char *data;

  if (fd < 0)
    return NULL;
  data = read_open_file (fd, max, ret_size);
  close_fd (&fd);
  return data;
}

int
read_line (const char *path, char *ret, size_t size)
{
  int fd = open (path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : read (fd, ret, size - 1);
  int r = n < 0 ? -errno : 0;

  close_fd (&fd);
  ret[n > 0 ? n : 0] = '\0';
  ret[strcspn (ret, "\n")] = '\0';
  return r;
}

int
parse_number (const char *text, uint64_t max, uint64_t *ret)
{
  uint64_t value = 0;

  if (*text == '\0')
    return -EINVAL;
  for (; *text; text++) {
    if (*text < '0' || *text > '9' || value > (max - (uint64_t)(*text - '0')) / 10)
      return -EINVAL;
    value = value * 10 + (uint64_t)(*text - '0');
  }
  *ret = value;
  return 0;
}

static bool
is_octal (const char *digits)
{
  return digits[0] >= '0' && digits[0] <= '3' && digits[1] >= '0' && digits[1] <= '7' && digits[2] >= '0' &&
         digits[2] <= '7';
}

void
unescape_mount (char *path)
{
  char *out = path;

  for (const char *in = path; *in != '\0';)
    if (*in == '\\' && is_octal (in + 1)) {
      *out++ = (char)((in[1] - '0') << 6 | (in[2] - '0') << 3 | (in[3] - '0'));
      in += 4;
    } else {
      *out++ = *in++;
    }
  *out = '\0';
}
