/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The end of a control group: everything in it is killed, however it got there. */
#include "vmctl/group.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"

enum { REMOVE_MS = 5000, DEPTH_MAX = 32, PROCS_MAX = 1 << 20, WAIT_MS = 20, TICK_US = 1000 };

/* "vmctl-" and an id, perhaps with what made it: nothing else is ever killed or removed. */
static gboolean
is_ours (const char *dir)
{
  g_autofree char *name = g_path_get_basename (dir);
  const char *id = name + strlen ("vmctl-");

  return g_path_is_absolute (dir) && g_str_has_prefix (name, "vmctl-") &&
         strspn (id, "abcdefghijklmnopqrstuvwxyz0123456789") == 8 &&
         (id[8] == '\0' || g_str_equal (id + 8, ".scope") || g_str_equal (id + 8, ".sudo"));
}

/* What cannot be looked at is tried. */
static gboolean
is_roots (const char *dir)
{
  struct stat st;

  return geteuid () != 0 && lstat (dir, &st) == 0 && st.st_uid == 0;
}

/* Not every hierarchy has every file. */
static void
put_if_there (int dir_fd, const char *name, const char *value)
{
  vm_autofd fd = openat (dir_fd, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);

  if (fd >= 0 && write (fd, value, strlen (value)) < 0)
    return; /* the rounds that follow see what is left */
}

/* SIGKILL for all in this directory; the last of them is in *ret_pidfd. */
static void
kill_members (int dir_fd, int *ret_pidfd)
{
  vm_autofd fd = openat (dir_fd, "cgroup.procs", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  g_autofree char *text = fd >= 0 ? vm_fd_read_all (fd, PROCS_MAX, NULL, NULL) : NULL;
  g_auto (GStrv) lines = text != NULL ? g_strsplit (text, "\n", -1) : NULL;

  for (char **line = lines; line != NULL && *line != NULL; line++) {
    pid_t pid = (pid_t)g_ascii_strtoll (*line, NULL, 10);
    vm_autofd pidfd = pid > 1 && pid != getpid () ? (int)syscall (SYS_pidfd_open, pid, 0) : -1;

    if (pidfd < 0 || syscall (SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) < 0)
      continue;
    vm_fd_clear (ret_pidfd);
    *ret_pidfd = vm_fd_steal (&pidfd);
  }
}

static DIR *
open_again (int fd)
{
  int copy = openat (fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *dir = copy >= 0 ? fdopendir (copy) : NULL;

  if (dir == NULL)
    vm_fd_clear (&copy);
  return dir;
}

/* One round through the tree, deepest first. TRUE: it is gone. */
static gboolean
round_of (int parent_fd, const char *name, guint depth, int *ret_pidfd)
{
  vm_autofd fd = -1;
  struct dirent *entry;
  DIR *dir;

  if (unlinkat (parent_fd, name, AT_REMOVEDIR) == 0) /* nobody is in it: the usual end */
    return TRUE;
  fd = openat (parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0)
    return errno == ENOENT;
  put_if_there (fd, "pids.max", "0"); /* from now on they get fewer */
  put_if_there (fd, "cgroup.kill", "1");
  kill_members (fd, ret_pidfd);
  put_if_there (fd, "freezer.state", "THAWED"); /* what is frozen does not die */
  dir = depth < DEPTH_MAX ? open_again (fd) : NULL;
  while (dir != NULL && (entry = readdir (dir)) != NULL)
    if (entry->d_type == DT_DIR && *entry->d_name != '.')
      (void)round_of (fd, entry->d_name, depth + 1, ret_pidfd);
  if (dir != NULL)
    (void)closedir (dir);
  return unlinkat (parent_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT;
}

/* A process that was killed; where there is none, the kernel is still letting go of the directory, and has
 * nothing to wait for. */
static void
wait_for (int pidfd)
{
  struct pollfd p = {.fd = pidfd, .events = POLLIN};

  if (pidfd >= 0)
    (void)poll (&p, 1, WAIT_MS);
  else
    g_usleep (TICK_US);
}

static gboolean
remove_one (const char *dir, gint64 end, GError **error)
{
  while (TRUE) {
    vm_autofd pidfd = -1;

    if (round_of (AT_FDCWD, dir, 0, &pidfd))
      return TRUE;
    if (g_get_monotonic_time () > end)
      return vm_error_errno (error, errno, "cannot remove the control group '%s'", dir);
    wait_for (pidfd);
  }
}

gboolean
vm_group_remove (const char *const *dirs, GError **error)
{
  gint64 end = g_get_monotonic_time () + (gint64)REMOVE_MS * 1000;
  gboolean ok = TRUE;

  /* Once through all of them before one is waited for: in v1 the processes are in several, and what is frozen
   * in one cannot die in another. */
  for (const char *const *dir = dirs; *dir != NULL; dir++) {
    vm_autofd pidfd = -1;

    if (is_ours (*dir))
      (void)round_of (AT_FDCWD, *dir, 0, &pidfd);
  }
  for (const char *const *dir = dirs; *dir != NULL; dir++)
    if (is_ours (*dir) && !is_roots (*dir))
      ok = remove_one (*dir, end, ok ? error : NULL) && ok;
  return ok;
}
