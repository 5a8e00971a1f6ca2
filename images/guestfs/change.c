/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/guestfs/change.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "vmctl/base/error.h"

#define HOSTNAME "/etc/hostname"
enum { SAID_MAX = 256 << 10 };

static gboolean
upload (ImageAppliance *a, const ImageStep *step, GError **error)
{
  struct stat st;

  if (stat (step->value, &st) < 0)
    return vm_error_errno (error, errno, "cannot read the file for '%s'", step->path);
  if (guestfs_upload (a->g, step->value, step->path) < 0 ||
      guestfs_chmod (a->g, (int)(st.st_mode & 0777), step->path) < 0)
    return image_appliance_fail (a, error, "cannot write '%s'", step->path);
  return TRUE;
}

static gboolean
write_text (ImageAppliance *a, const char *path, const char *text, GError **error)
{
  return guestfs_write (a->g, path, text, strlen (text)) == 0 ||
         image_appliance_fail (a, error, "cannot write '%s'", path);
}

static gboolean
set_hostname (ImageAppliance *a, const char *name, GError **error)
{
  g_autofree char *line = g_strconcat (name, "\n", NULL);

  if (guestfs_mkdir_p (a->g, "/etc") < 0)
    return image_appliance_fail (a, error, "cannot make '/etc'");
  return write_text (a, HOSTNAME, line, error);
}

static gboolean
run_command (ImageAppliance *a, const char *command, GString *said, GError **error)
{
  g_autoptr (gchar) output = guestfs_sh (a->g, command);

  if (output == NULL)
    return image_appliance_fail (a, error, "'%s' has failed", command);
  g_string_append_len (said, output, (gssize)MIN (strlen (output), (gsize)SAID_MAX));
  return TRUE;
}

gboolean
image_change_do (ImageAppliance *a, const ImageStep *step, GString *said, GError **error)
{
  switch (step->kind) {
  case IMAGE_STEP_DELETE:
    return guestfs_rm_rf (a->g, step->path) == 0 ||
           image_appliance_fail (a, error, "cannot delete '%s'", step->path);
  case IMAGE_STEP_HOSTNAME:
    return set_hostname (a, step->value, error);
  case IMAGE_STEP_MKDIR:
    return guestfs_mkdir_p (a->g, step->path) == 0 ||
           image_appliance_fail (a, error, "cannot make '%s'", step->path);
  case IMAGE_STEP_RUN_COMMAND:
    return run_command (a, step->value, said, error);
  case IMAGE_STEP_UPLOAD:
    return upload (a, step, error);
  case IMAGE_STEP_WRITE:
    return write_text (a, step->path, step->value, error);
  }
  return FALSE;
}
