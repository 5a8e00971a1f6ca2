/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/flatten.h"

#include <stdlib.h>
#include <string.h>

#include "images/build.h"
#include "images/disk-parts.h"
#include "images/qcow2-head.h"
#include "images/store.h"
#include "vmctl/base/error.h"

/* In the jail. Both without what their heads say of other files. */
#define BASE "/base"
#define OVER_BASE                                                                                            \
  "json:{\"driver\":\"qcow2\",\"file\":{\"driver\":\"file\",\"filename\":\"" IMAGE_CAGE_IN "\"},"            \
  "\"backing\":{\"driver\":\"qcow2\",\"file\":{\"driver\":\"file\",\"filename\":\"" BASE                     \
  "\"},\"backing\":null}}"

gboolean
image_flatten (const ImageTools *tools, const char *overlay, const char *base, guint64 size,
               const char *to_dir, const char *to_name, ImageProgress progress, gpointer data, GError **error)
{
  g_autofree char *program = image_cage_program ("qemu-img", "qemu-utils", error);
  g_autoptr (VmArgv) argv = program != NULL ? image_cage_new (tools, error) : NULL;

  if (argv == NULL)
    return FALSE;
  image_cage_bind (argv, overlay, IMAGE_CAGE_IN, FALSE);
  image_cage_bind (argv, base, BASE, FALSE);
  image_cage_bind (argv, to_dir, IMAGE_CAGE_OUT, TRUE);
  image_cage_enter (argv, image_disk_file_max (size));
  vm_argv_add_many (argv, program, "convert", "-p", "-O", "qcow2", OVER_BASE, NULL);
  vm_argv_addf (argv, IMAGE_CAGE_OUT "/%s", to_name);
  return image_build_run_as (argv, "putting image and disk together", progress, data, error);
}

static gboolean
is_disk_of (const ImageInfo *info, const char *path)
{
  g_autofree char *disk = image_info_disk (info);
  char *real = NULL;
  gboolean is;

  if (g_str_equal (disk, path))
    return TRUE;
  real = realpath (disk, NULL); /* of ours, not of theirs */
  is = g_strcmp0 (real, path) == 0;
  free (real);
  return is;
}

ImageInfo *
image_flatten_find_base (const char *data_dir, const char *backing, GError **error)
{
  g_autoptr (GPtrArray) all = image_store_list (data_dir, NULL, error);

  for (guint i = 0; all != NULL && i < all->len; i++)
    if (is_disk_of (g_ptr_array_index (all, i), backing))
      return g_ptr_array_steal_index (all, i);
  if (all != NULL)
    image_qcow2_refuse_backing (backing, error);
  return NULL;
}
