/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "images/build.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"

gboolean
image_output_open (ImageOutput *out, const char *path, GError **error)
{
  g_autofree char *dir = g_path_get_dirname (path);
  g_autofree char *temp = g_build_filename (dir, IMAGE_PART_PREFIX "XXXXXX", NULL);

  *out = (ImageOutput){.fd = mkostemp (temp, O_CLOEXEC)}; /* 0600 */
  if (out->fd < 0)
    return vm_error_errno (error, errno, "cannot make a file in '%s'", dir);
  out->path = g_strdup (path);
  out->temp = g_steal_pointer (&temp);
  return TRUE;
}

gboolean
image_output_write (ImageOutput *out, const void *data, gsize length, GError **error)
{
  if (!vm_fd_write_all (out->fd, data, length, error)) {
    g_prefix_error (error, "'%s': ", out->path);
    return FALSE;
  }
  out->size += length;
  return TRUE;
}

gboolean
image_output_truncate (ImageOutput *out, GError **error)
{
  if (ftruncate (out->fd, 0) < 0 || lseek (out->fd, 0, SEEK_SET) < 0)
    return vm_error_errno (error, errno, "cannot write '%s'", out->path);
  out->size = 0;
  return TRUE;
}

gboolean
image_output_commit (ImageOutput *out, GError **error)
{
  if (fsync (out->fd) < 0 || rename (out->temp, out->path) < 0)
    return vm_error_errno (error, errno, "cannot write '%s'", out->path);
  g_clear_pointer (&out->temp, g_free);
  return TRUE;
}

void
image_output_clear (ImageOutput *out)
{
  if (out->temp != NULL)
    (void)unlink (out->temp);
  if (out->path != NULL)
    vm_fd_clear (&out->fd);
  g_clear_pointer (&out->temp, g_free);
  g_clear_pointer (&out->path, g_free);
}
