/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/tail.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"

enum { BLOCK = 65536 };

struct VmTail {
  int dir_fd;  /* owned */
  int fd;      /* owned; the current file, -1: there is none yet */
  int inotify; /* owned */
  char *name;  /* owned */
  gboolean begun;
};

static int
open_log (VmTail *tail, const char *name, struct stat *st)
{
  vm_autofd fd = openat (tail->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

  if (fd < 0 || fstat (fd, st) < 0 || !S_ISREG (st->st_mode))
    return -1;
  return vm_fd_steal (&fd);
}

VmTail *
vm_tail_open (int dir_fd, const char *name, GError **error)
{
  g_autoptr (VmTail) tail = g_new0 (VmTail, 1);
  g_autofree char *path = NULL;

  tail->fd = tail->inotify = -1;
  tail->name = g_strdup (name);
  tail->dir_fd = fcntl (dir_fd, F_DUPFD_CLOEXEC, 3);
  path = g_strdup_printf ("/proc/self/fd/%d", tail->dir_fd);
  if (tail->dir_fd >= 0)
    tail->inotify = inotify_init1 (IN_CLOEXEC | IN_NONBLOCK);
  if (tail->inotify < 0 ||
      inotify_add_watch (tail->inotify, path, IN_MODIFY | IN_CREATE | IN_MOVED_FROM | IN_DELETE_SELF) < 0) {
    vm_error_errno (error, errno, "cannot watch the log '%s'", name);
    return NULL;
  }
  return g_steal_pointer (&tail);
}

void
vm_tail_free (VmTail *tail)
{
  if (tail == NULL)
    return;
  vm_fd_clear (&tail->dir_fd);
  vm_fd_clear (&tail->fd);
  vm_fd_clear (&tail->inotify);
  g_free (tail->name);
  g_free (tail);
}

int
vm_tail_fd (VmTail *tail)
{
  return tail->inotify;
}

/* net.log is cut to nothing where others get another file. */
static void
read_rest (int fd, GByteArray *out)
{
  g_autofree guint8 *block = g_malloc (BLOCK);
  struct stat st;
  ssize_t n;

  if (fd >= 0 && fstat (fd, &st) == 0 && st.st_size < lseek (fd, 0, SEEK_CUR))
    (void)lseek (fd, 0, SEEK_SET);
  while (fd >= 0 && ((n = read (fd, block, BLOCK)) > 0 || (n < 0 && errno == EINTR)))
    if (n > 0)
      g_byte_array_append (out, block, (guint)n);
}

/* TRUE: another file has the name now. What was written to the old one before has been read by then: the
 * writer closes it first. */
static gboolean
move_on (VmTail *tail, GByteArray *out)
{
  struct stat now, old;
  vm_autofd fd = open_log (tail, tail->name, &now);

  if (fd < 0 ||
      (tail->fd >= 0 && fstat (tail->fd, &old) == 0 && old.st_ino == now.st_ino && old.st_dev == now.st_dev))
    return FALSE;
  read_rest (tail->fd, out);
  vm_fd_clear (&tail->fd);
  tail->fd = vm_fd_steal (&fd);
  return TRUE;
}

static void
read_older (VmTail *tail, GByteArray *out)
{
  g_autofree char *name = g_strconcat (tail->name, ".1", NULL);
  struct stat older, now;
  vm_autofd fd = open_log (tail, name, &older);

  /* Rotated just now: then it is the file that is open already. */
  if (fd < 0 || (tail->fd >= 0 && fstat (tail->fd, &now) == 0 && now.st_ino == older.st_ino))
    return;
  read_rest (fd, out);
}

void
vm_tail_read (VmTail *tail, GByteArray *out)
{
  char events[4096];

  while (read (tail->inotify, events, sizeof events) > 0)
    ;
  if (!tail->begun) {
    struct stat st;

    tail->begun = TRUE;
    tail->fd = open_log (tail, tail->name, &st);
    read_older (tail, out);
  }
  do
    read_rest (tail->fd, out);
  while (move_on (tail, out));
}

gsize
vm_tail_cut (const guint8 *bytes, gsize length, guint lines)
{
  gsize at = length > 0 && bytes[length - 1] == '\n' ? length - 1 : length;

  if (lines == 0)
    return length;
  while (at > 0 && (bytes[at - 1] != '\n' || --lines > 0))
    at--;
  return at;
}
