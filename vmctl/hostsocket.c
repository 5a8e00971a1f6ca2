/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/hostsocket.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <linux/openat2.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/path.h"

enum { LINKS_MAX = 40 };

/* The first component of `path` that is a symbolic link, with all that is above it. NULL: there is none, or
 * not so much of the path. (transfer full) */
static char *
first_link (const char *path)
{
  struct stat st;

  for (const char *slash = path; slash != NULL;) {
    g_autofree char *prefix = NULL;

    slash = strchr (slash + 1, '/');
    prefix = slash != NULL ? g_strndup (path, (gsize)(slash - path)) : g_strdup (path);
    if (lstat (prefix, &st) < 0)
      return NULL;
    if (S_ISLNK (st.st_mode))
      return g_steal_pointer (&prefix);
  }
  return NULL;
}

/* Nothing above `link` is one, so ".." in it can be taken as text. */
static char *
follow (const char *link, const char *rest, GError **error)
{
  char text[4096];
  ssize_t n = readlink (link, text, sizeof text);
  g_autofree char *dir = g_path_get_dirname (link), *path = NULL;

  if (n < 0 || n == sizeof text) {
    vm_error_errno (error, n < 0 ? errno : ENAMETOOLONG, "cannot read the link '%s'", link);
    return NULL;
  }
  text[n] = '\0';
  path = g_strconcat (text, rest, NULL);
  return g_canonicalize_filename (path, dir);
}

/* The path without a link in it. (transfer full) */
static char *
resolve (const char *path, const char *const *writable, GError **error)
{
  g_autofree char *at = g_canonicalize_filename (path, "/");

  for (guint i = 0; i < LINKS_MAX; i++) {
    g_autofree char *link = first_link (at), *next = NULL;

    if (link == NULL)
      return g_steal_pointer (&at);
    for (const char *const *dir = writable; dir != NULL && *dir != NULL; dir++)
      if (vm_path_is_within (link, *dir)) {
        vm_error (error, VM_ERROR_HOST, "'%s' is a symbolic link that the sandbox can change", link);
        return NULL;
      }
    next = follow (link, at + strlen (link), error);
    if (next == NULL)
      return NULL;
    g_free (at);
    at = g_steal_pointer (&next);
  }
  vm_error_errno (error, ELOOP, "cannot resolve '%s'", path);
  return NULL;
}

/* O_PATH: opening it does nothing to what it is. What was no link a moment ago must not be one now. */
static int
open_socket (const char *path, GError **error)
{
  struct open_how how = {.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS};
  vm_autofd fd = (int)syscall (SYS_openat2, AT_FDCWD, path, &how, sizeof how);
  struct stat st;

  if (fd < 0 && errno == ENOSYS) /* a seccomp filter hides it */
    fd = open (path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0 || fstat (fd, &st) < 0) {
    vm_error_errno (error, errno, "cannot open '%s'", path);
    return -1;
  }
  if (!S_ISSOCK (st.st_mode)) {
    vm_error (error, VM_ERROR_HOST, "'%s' is not a socket", path);
    return -1;
  }
  return vm_fd_steal (&fd);
}

/* Who sends is said with all that is sent, also while the server has not asked for it yet: PulseAudio
 * accepts, asks, and turns away whose first words came in between. Its own library says it by itself. */
static void
say_who_we_are (int fd)
{
  const int on = 1;

  (void)setsockopt (fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on); /* without it most servers are content */
}

int
vm_host_socket_connect (const char *path, const char *const *writable, gboolean *ret_busy, GError **error)
{
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  g_autofree char *real = resolve (path, writable, error);
  vm_autofd node = real != NULL ? open_socket (real, error) : -1;
  vm_autofd fd = -1;

  *ret_busy = FALSE;
  if (node < 0)
    return -1;
  fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  g_snprintf (address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d", node);
  if (fd < 0 || connect (fd, (struct sockaddr *)&address, sizeof address) < 0) {
    *ret_busy = fd >= 0 && errno == EAGAIN;
    vm_error_errno (error, errno, "cannot connect to '%s'", path);
    return -1;
  }
  say_who_we_are (fd);
  return vm_fd_steal (&fd);
}
