/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/guestfs/diff.h"

#include <stdlib.h>
#include <string.h>

#include "images/guestfs/list.h"
#include "vmctl/base/error.h"

#define BEFORE "/before"
#define AFTER "/after"

typedef struct {
  ImageAppliance *appliance;
  GString *out;
} Diff;

static gboolean
mount (ImageAppliance *a, guint disk, int partition, const char *where, GError **error)
{
  g_autofree char *device = image_appliance_device (disk, partition);

  return (guestfs_mkmountpoint (a->g, where) == 0 && guestfs_mount_ro (a->g, device, where) == 0) ||
         image_appliance_fail (a, error, "cannot mount the root file system of the %s",
                               disk == 0 ? "image" : "kept disk");
}

static gboolean
compare_content (const char *path, gpointer data, gboolean *ret_same, GError **error)
{
  ImageAppliance *a = ((Diff *)data)->appliance;
  g_autofree char *before = g_build_filename (BEFORE, path, NULL),
                  *after = g_build_filename (AFTER, path, NULL);
  g_autoptr (gchar) one = guestfs_checksum (a->g, "sha256", before);
  g_autoptr (gchar) other = one != NULL ? guestfs_checksum (a->g, "sha256", after) : NULL;

  if (other == NULL)
    return image_appliance_fail (a, error, "cannot read '/%s'", path);
  *ret_same = g_str_equal (one, other);
  return TRUE;
}

static void
add_record (char change, const ImageWalkEntry *entry, gpointer data)
{
  GString *out = ((Diff *)data)->out;

  g_string_append_printf (out, "%c%c/%s", change, image_walk_type (entry->mode), entry->path);
  g_string_append_c (out, '\0');
}

GString *
image_guestfs_diff (ImageAppliance *a, int partition, GError **error)
{
  g_autoptr (GPtrArray) before = NULL, after = NULL;
  g_autoptr (GString) out = g_string_new (NULL);
  Diff diff = {.appliance = a, .out = out};

  if (!mount (a, 0, partition, BEFORE, error) || !mount (a, 1, partition, AFTER, error))
    return NULL;
  a->say ("looking at the files of the image", -1, a->data);
  if ((before = image_list_walk (a, BEFORE, error)) == NULL)
    return NULL;
  a->say ("looking at the files of the disk", -1, a->data);
  if ((after = image_list_walk (a, AFTER, error)) == NULL)
    return NULL;
  a->say ("comparing", -1, a->data);
  return image_walk_diff (before, after, compare_content, add_record, &diff, error) ? g_steal_pointer (&out)
                                                                                    : NULL;
}
