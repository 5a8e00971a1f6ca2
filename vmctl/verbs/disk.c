/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl disk: what machines have written to images, and what was kept of that (images/disk.h). */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "images/disk.h"
#include "images/interrupt.h"
#include "images/store.h"
#include "vmctl/action.h"
#include "vmctl/base/error.h"
#include "vmctl/base/file.h"
#include "vmctl/base/json.h"
#include "vmctl/disk-diff.h"
#include "vmctl/image-show.h"
#include "vmctl/image-tools.h"
#include "vmctl/progress.h"
#include "vmctl/show.h"
#include "vmctl/table.h"
#include "vmctl/verbs.h"

typedef struct {
  char *name;
  gboolean force, json, null, quiet;
} DiskOptions;

static const VmOption options[] = {
    {"force", 'f', VM_OPTION_FLAG, offsetof (DiskOptions, force), NULL,
     "commit: move a name that another image has", NULL, "commit"},
    {"json", 0, VM_OPTION_FLAG, offsetof (DiskOptions, json), NULL, "print it as JSON", NULL},
    {"name", 0, VM_OPTION_STRING, offsetof (DiskOptions, name), "NAME",
     "commit: what to call the image (default: as the disk)", NULL, "commit"},
    {"null", 'z', VM_OPTION_FLAG, offsetof (DiskOptions, null), NULL,
     "diff: names as they are, and a NUL after each", NULL, "diff"},
    {"quiet", 'q', VM_OPTION_FLAG, offsetof (DiskOptions, quiet), NULL, "no progress", NULL},
    {NULL},
};

/* Each is called with the words after its own name, as many as its row allows. */

static void
add_row (VmTable *table, VmContext *context, const ImageDisk *disk)
{
  g_autoptr (ImageInfo) base = image_store_find (context->dirs.data, disk->image, NULL);
  g_autofree char *bytes = vm_size_format (disk->bytes), *size = vm_size_format (disk->size);
  g_autofree char *age = vm_show_duration (g_get_real_time () - disk->created);
  const char *state = disk->problem != NULL ? disk->problem
                      : base == NULL        ? "its image is missing"
                      : disk->busy          ? "in use"
                                            : "";

  vm_table_add (table, (const char *const[]){disk->name, disk->image_name, bytes,
                                             disk->size != 0 ? size : "?", age, state, NULL});
}

static int
list (VmContext *context, gconstpointer data, char **args, GError **error)
{
  const DiskOptions *o = data;
  static const char *const headers[] = {"NAME", "IMAGE", "SIZE", "DISK", "AGE", "STATE", NULL};
  g_autoptr (GPtrArray) problems = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) all = image_disk_list (context->dirs.data, problems);
  g_autoptr (json_object) array = json_object_new_array ();
  g_autoptr (VmTable) table = vm_table_new (headers);

  vm_show_problems (problems);
  for (guint i = 0; i < all->len; i++) {
    json_object_array_add (array, image_disk_to_json (g_ptr_array_index (all, i)));
    add_row (table, context, g_ptr_array_index (all, i));
  }
  if (o->json)
    vm_show_json (g_steal_pointer (&array));
  else
    vm_table_print (table);
  return 0;
}

/* Its image; NULL and NOT_FOUND: it is missing. (transfer full) */
static ImageInfo *
find_base (VmContext *context, const ImageDisk *disk, GError **error)
{
  ImageInfo *base = image_store_find (context->dirs.data, disk->image, error);

  if (base == NULL)
    g_prefix_error (error, "the image of the kept disk '%s': ", disk->name);
  return base;
}

static gboolean
reset_one (VmContext *context, const char *name, GError **error)
{
  g_autoptr (ImageDisk) disk = image_disk_find (context->dirs.data, name, error);
  g_autoptr (ImageInfo) base = disk != NULL ? find_base (context, disk, error) : NULL;

  return base != NULL && image_disk_reset (disk, base->size, error);
}

static int
reset (VmContext *context, gconstpointer data, char **args, GError **error)
{
  for (; *args != NULL; args++)
    if (!reset_one (context, *args, error))
      return -1;
  return 0;
}

static int
rm (VmContext *context, gconstpointer data, char **args, GError **error)
{
  for (; *args != NULL; args++)
    if (!image_disk_remove (context->dirs.data, *args, error))
      return -1;
  return 0;
}

static int
resize (VmContext *context, gconstpointer data, char **args, GError **error)
{
  g_autoptr (ImageDisk) disk = image_disk_find (context->dirs.data, args[0], error);
  g_auto (VmImageTools) tools = {NULL};
  guint64 size;

  return disk != NULL && vm_image_tools_find (&context->dirs, &tools, error) &&
                 vm_size_parse (args[1], 1, "disk resize", &size, error) &&
                 image_disk_resize (&tools.paths, disk, size, error)
             ? 0
             : -1;
}

static int
run_commit (const ImageDiskCommit *what, const DiskOptions *o, GError **error)
{
  g_autoptr (ImageInfo) info = NULL;
  VmProgress progress;
  gboolean ok;

  image_interrupt_catch ();
  vm_progress_begin (&progress, o->quiet);
  ok = image_disk_commit (what, vm_progress_step, &progress, &info, error);
  vm_progress_end (&progress);
  if (!ok)
    return -1;
  vm_image_print_id (info, o->json);
  return 0;
}

static int
commit (VmContext *context, gconstpointer data, char **args, GError **error)
{
  const DiskOptions *o = data;
  g_autoptr (ImageDisk) disk = image_disk_find (context->dirs.data, args[0], error);
  g_autoptr (ImageInfo) base = disk != NULL ? find_base (context, disk, error) : NULL;
  g_auto (VmImageTools) tools = {NULL};

  if (base == NULL || !vm_image_tools_find (&context->dirs, &tools, error))
    return -1;
  return run_commit (&(ImageDiskCommit){.data_dir = context->dirs.data,
                                        .tools = tools.paths,
                                        .disk = disk,
                                        .base = base,
                                        .name = o->name != NULL ? o->name : disk->name,
                                        .force = o->force},
                     o, error);
}

static int
diff (VmContext *context, gconstpointer data, char **args, GError **error)
{
  const DiskOptions *o = data;
  g_autoptr (ImageDisk) disk = image_disk_find (context->dirs.data, args[0], error);
  g_autoptr (ImageInfo) base = disk != NULL ? find_base (context, disk, error) : NULL;
  g_auto (VmImageGuestfs) guestfs = {.program = NULL};
  g_autofree char *records = NULL;
  VmProgress progress;
  gsize length = 0;

  if (base == NULL || !vm_image_guestfs_find (&context->dirs, &guestfs, error))
    return -1;
  image_interrupt_catch ();
  vm_progress_begin (&progress, o->quiet);
  records = image_guestfs_disk_diff (&guestfs.paths, disk, base, &length, vm_progress_step, &progress, error);
  vm_progress_end (&progress);
  return records != NULL && vm_disk_diff_print (records, length, o->json, o->null, error) ? 0 : -1;
}

static const VmAction actions[] = {
    {"list", "", 0, 0, list},
    {"diff", "NAME", 1, 1, diff},
    {"resize", "NAME SIZE", 2, 2, resize},
    {"commit", "NAME", 1, 1, commit},
    {"reset", "NAME...", 1, 64, reset},
    {"rm", "NAME...", 1, 64, rm},
    {NULL},
};

static int
disk (VmContext *context, gpointer data, char **args, char **command, GError **error)
{
  return vm_action_run (actions, "disk", context, data, args, error);
}

const VmVerb vm_verb_disk = {
    .name = "disk",
    .usage = "[OPTIONS] [ACTION] [WORD...]",
    .summary = "the disks that were kept of images",
    .details =
        "list; diff NAME; resize NAME SIZE; commit NAME; reset NAME...; rm NAME.... What a machine writes to "
        "its image "
        "is thrown away with it, unless 'vmctl up --keep NAME' keeps "
        "it in a disk of that name, with which the next one goes on. The image itself is never changed, "
        "and stays in the store as long as such a disk needs it.",
    .options = options,
    .options_size = sizeof (DiskOptions),
    .action = "list",
    .max_args = 65,
    .complete = "disk-verb...",
    .run = disk,
};
