/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The system's store is made by root, and read by everybody: what is private in a user's has other modes
 * there. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "images/store-parts.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"

static gboolean
is_system (const char *store)
{
  return g_str_equal (store, IMAGE_STORE_SYSTEM);
}

guint
image_store_disk_mode (const char *store)
{
  return is_system (store) ? 0444 : 0400;
}

/* What has its mode keeps its times, by which a disk is known. */
static gboolean
let_read (int fd, const char *name, GError **error)
{
  struct stat st;
  mode_t mode;

  if (fstat (fd, &st) < 0)
    return vm_error_errno (error, errno, "cannot look at '%s'", name);
  mode = (st.st_mode & 07777) | (S_ISDIR (st.st_mode) ? 0555 : 0444);
  return (st.st_mode & 07777) == mode || fchmod (fd, mode) == 0 ||
         vm_error_errno (error, errno, "cannot let everybody read '%s'", name);
}

static gboolean
let_read_all (int dir_fd, const char *name, GError **error)
{
  g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d", dir_fd);
  g_autoptr (GDir) dir = NULL;
  const char *entry;

  if (!let_read (dir_fd, name, error) || (dir = g_dir_open (path, 0, error)) == NULL)
    return FALSE;
  while ((entry = g_dir_read_name (dir)) != NULL) {
    vm_autofd fd = openat (dir_fd, entry, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st;

    if (fd < 0 && errno == ELOOP)
      continue; /* a link has no mode */
    if (fd < 0 || fstat (fd, &st) < 0)
      return vm_error_errno (error, errno, "cannot open '%s/%s'", name, entry);
    if (!(S_ISDIR (st.st_mode) ? let_read_all : let_read) (fd, entry, error))
      return FALSE;
  }
  return TRUE;
}

gboolean
image_store_publish (const char *store, int dir_fd, GError **error)
{
  return !is_system (store) || let_read_all (dir_fd, store, error);
}

gboolean
image_store_let_enter (const char *store, int store_fd, GError **error)
{
  vm_autofd data = -1, names = -1;

  if (!is_system (store))
    return TRUE;
  data = openat (store_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  names = openat (store_fd, IMAGE_STORE_NAMES, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (data < 0 || names < 0)
    return vm_error_errno (error, errno, "cannot open '%s'", store);
  return let_read (data, store, error) && let_read (store_fd, store, error) &&
         let_read (names, IMAGE_STORE_NAMES, error);
}
