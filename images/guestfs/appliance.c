/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/guestfs/appliance.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "images/guestfs/jail.h"
#include "vmctl/base/argv.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"

enum { MEMORY_MIB = 768, HEARD_MAX = 1500, CHUNK = 2 << 20 }; /* a message has at most 4 MiB */

void
image_appliance_free_strings (char ***list)
{
  for (char **one = *list; one != NULL && *one != NULL; one++)
    free (*one);
  free (*list);
}

gboolean
image_appliance_fail (ImageAppliance *appliance, GError **error, const char *format, ...)
{
  const char *said = guestfs_last_error (appliance->g);
  g_autofree char *what = NULL;
  va_list ap;

  va_start (ap, format);
  what = g_strdup_vprintf (format, ap);
  va_end (ap);
  return vm_error (error, VM_ERROR_FAILED, "%s: %s", what, said != NULL ? said : "not known why");
}

static void
hear (guestfs_h *g, void *data, uint64_t event, int handle, int flags, const char *text, size_t length,
      const uint64_t *array, size_t array_length)
{
  GString *heard = data;

  g_string_append_len (heard, text, (gssize)length);
  if (heard->len > HEARD_MAX)
    g_string_erase (heard, 0, (gssize)(heard->len - HEARD_MAX));
}

/* Nothing of what the environment says: no other backend, hypervisor, appliance or place. */
static gboolean
configure (ImageAppliance *a)
{
  guestfs_h *g = a->g;

  guestfs_set_error_handler (g, NULL, NULL);
  return guestfs_set_event_callback (g, hear, GUESTFS_EVENT_APPLIANCE, 0, a->heard) >= 0 &&
         guestfs_set_backend (g, "direct") == 0 && guestfs_set_path (g, IMAGE_JAIL_APPLIANCE) == 0 &&
         guestfs_set_hv (g, a->qemu) == 0 && guestfs_set_tmpdir (g, IMAGE_JAIL_TMP) == 0 &&
         guestfs_set_cachedir (g, IMAGE_JAIL_TMP) == 0 && guestfs_set_memsize (g, MEMORY_MIB) == 0 &&
         guestfs_set_network (g, 0) == 0 && guestfs_set_recovery_proc (g, 0) == 0;
}

gboolean
image_appliance_init (ImageAppliance *a, GError **error)
{
  a->heard = g_string_new (NULL);
  a->g = guestfs_create_flags (GUESTFS_CREATE_NO_ENVIRONMENT);
  if (a->g == NULL)
    return vm_error (error, VM_ERROR_HOST, "libguestfs cannot be used");
  return configure (a) || image_appliance_fail (a, error, "libguestfs cannot be set up");
}

void
image_appliance_clear (ImageAppliance *a)
{
  if (a->g != NULL)
    guestfs_close (a->g);
  a->g = NULL;
  if (a->heard != NULL)
    g_string_free (a->heard, TRUE);
  a->heard = NULL;
}

gboolean
image_appliance_add (ImageAppliance *a, const char *backing, const char *overlay, GError **error)
{
  g_autoptr (VmArgv) argv = vm_argv_new ();

  vm_argv_add_many (argv, a->qemu_img, "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", backing, overlay,
                    NULL);
  if (!vm_argv_run (argv, NULL, error))
    return FALSE;
  if (guestfs_add_drive_opts (a->g, overlay, GUESTFS_ADD_DRIVE_OPTS_FORMAT, "qcow2",
                              GUESTFS_ADD_DRIVE_OPTS_CACHEMODE, "unsafe", -1) < 0)
    return image_appliance_fail (a, error, "cannot use the disk");
  a->disks++;
  return TRUE;
}

gboolean
image_appliance_launch (ImageAppliance *a, GError **error)
{
  a->say ("starting the appliance", -1, a->data);
  if (guestfs_launch (a->g) == 0)
    return TRUE;
  return vm_error (error, VM_ERROR_HOST, "libguestfs's appliance does not start; its last words: %s",
                   a->heard->len > 0 ? g_strstrip (a->heard->str) : guestfs_last_error (a->g));
}

char *
image_appliance_device (guint disk, int partition)
{
  return partition == 0 ? g_strdup_printf ("/dev/sd%c", 'a' + disk)
                        : g_strdup_printf ("/dev/sd%c%d", 'a' + disk, partition);
}

char *
image_appliance_resolve (ImageAppliance *a, const char *path, GError **error)
{
  g_autoptr (gchar) found = NULL;
  int there = guestfs_exists (a->g, path);

  if (there > 0)
    found = guestfs_realpath (a->g, path);
  if (there == 0)
    vm_error (error, VM_ERROR_NOT_FOUND, "there is no '%s' in the image", path);
  else if (found == NULL)
    image_appliance_fail (a, error, "cannot look at '%s'", path);
  return found != NULL ? g_strdup (found) : NULL;
}

static int
is_file (ImageAppliance *a, const char *path)
{
  return guestfs_is_file_opts (a->g, path, GUESTFS_IS_FILE_OPTS_FOLLOWSYMLINKS, 1, -1);
}

char *
image_appliance_read (ImageAppliance *a, const char *path, gsize max)
{
  g_autoptr (gchar) data = NULL;
  gsize length = 0;

  if (is_file (a, path) <= 0) /* a FIFO would be waited for */
    return NULL;
  data = guestfs_pread (a->g, path, (int)MIN (max, (gsize)CHUNK), 0, &length);
  return data != NULL ? g_strndup (data, length) : NULL;
}

gboolean
image_appliance_download (ImageAppliance *a, const char *path, int fd, GError **error)
{
  int64_t at = 0;

  if (is_file (a, path) <= 0)
    return vm_error (error, VM_ERROR_USAGE, "'%s' is no regular file", path);
  for (;;) {
    gsize length = 0;
    g_autoptr (gchar) data = guestfs_pread (a->g, path, CHUNK, at, &length);

    if (data == NULL)
      return image_appliance_fail (a, error, "cannot read '%s'", path);
    if (length == 0)
      return TRUE;
    if (!vm_fd_write_all (fd, data, length, error))
      return FALSE;
    at += (int64_t)length;
  }
}
