/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"

struct VmLog {
  int dir_fd;  /* owned */
  int fd;      /* owned; -1 while it cannot be opened */
  char *name;  /* owned */
  char *older; /* owned */
  gsize limit, size;
};

static void
open_file (VmLog *log)
{
  struct stat st;

  log->fd = openat (log->dir_fd, log->name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  log->size = log->fd >= 0 && fstat (log->fd, &st) == 0 ? (gsize)st.st_size : 0;
}

VmLog *
vm_log_open (int dir_fd, const char *name, gsize limit, GError **error)
{
  g_autoptr (VmLog) log = g_new0 (VmLog, 1);

  log->fd = -1;
  log->limit = limit;
  log->name = g_strdup (name);
  log->older = g_strconcat (name, ".1", NULL);
  log->dir_fd = fcntl (dir_fd, F_DUPFD_CLOEXEC, 3);
  if (log->dir_fd >= 0)
    open_file (log);
  if (log->fd < 0) {
    vm_error_errno (error, errno, "cannot write the log '%s'", name);
    return NULL;
  }
  return g_steal_pointer (&log);
}

void
vm_log_free (VmLog *log)
{
  if (log == NULL)
    return;
  vm_fd_clear (&log->fd);
  vm_fd_clear (&log->dir_fd);
  g_free (log->name);
  g_free (log->older);
  g_free (log);
}

static void
rotate (VmLog *log)
{
  vm_fd_clear (&log->fd);
  if (renameat (log->dir_fd, log->name, log->dir_fd, log->older) < 0)
    (void)unlinkat (log->dir_fd, log->name, 0); /* the bound matters more than the old lines */
  open_file (log);
}

void
vm_log_write (VmLog *log, const void *data, gsize length)
{
  const char *at = data;

  if (length > log->limit) {
    at += length - log->limit;
    length = log->limit;
  }
  if (log->fd < 0)
    open_file (log); /* what was in the way may be gone */
  if (log->size + length > log->limit)
    rotate (log);
  while (log->fd >= 0 && length > 0) {
    ssize_t n = write (log->fd, at, length);

    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return; /* a full disk must not stop the sandbox */
    at += n;
    length -= (gsize)n;
    log->size += (gsize)n;
  }
}

void
vm_log_line (VmLog *log, const char *format, ...)
{
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  g_autofree char *when = g_date_time_format (now, "%Y-%m-%dT%H:%M:%S");
  g_autofree char *text = NULL, *line = NULL;
  va_list ap;

  va_start (ap, format);
  text = g_strdup_vprintf (format, ap);
  va_end (ap);
  line = g_strdup_printf ("%s.%03dZ %s\n", when, g_date_time_get_microsecond (now) / 1000, text);
  vm_log_write (log, line, strlen (line));
}

static gboolean
read_tail (int dir_fd, const char *name, gsize max, GByteArray *out, GError **error)
{
  vm_autofd fd = openat (dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  g_autofree char *data = NULL;
  struct stat st;
  gsize length;

  if (fd < 0 && errno == ENOENT)
    return TRUE;
  if (fd < 0 || fstat (fd, &st) < 0 || !S_ISREG (st.st_mode))
    return vm_error_errno (error, fd < 0 ? errno : EINVAL, "cannot read the log '%s'", name);
  if ((gsize)st.st_size > max)
    (void)lseek (fd, st.st_size - (off_t)max, SEEK_SET);
  data = vm_fd_read_all (fd, max + VM_LOG_LIMIT, &length, error);
  if (data == NULL)
    return FALSE;
  g_byte_array_prepend (out, (const guint8 *)data, (guint)length);
  return TRUE;
}

GBytes *
vm_log_tail (int dir_fd, const char *name, gsize max, GError **error)
{
  g_autoptr (GByteArray) out = g_byte_array_new ();
  g_autofree char *older = g_strconcat (name, ".1", NULL);

  if (!read_tail (dir_fd, name, max, out, error))
    return NULL;
  if (out->len < max && !read_tail (dir_fd, older, max - out->len, out, error))
    return NULL;
  if (out->len > max)
    g_byte_array_remove_range (out, 0, (guint)(out->len - max));
  return g_byte_array_free_to_bytes (g_steal_pointer (&out));
}
