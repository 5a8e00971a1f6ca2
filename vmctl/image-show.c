/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/image-show.h"

#include <stdio.h>
#include <string.h>

#include "vmctl/base/file.h"
#include "vmctl/base/json.h"
#include "vmctl/show.h"
#include "vmctl/table.h"

static char *
describe_system (const ImageInfo *info)
{
  const char *name = info->os_name != NULL ? info->os_name
                     : info->os_id != NULL ? info->os_id
                     : info->is_host       ? "this host's"
                                           : "unknown";

  return g_strdup_printf ("%s%s%s", name, info->arch != NULL ? ", " : "",
                          info->arch != NULL ? info->arch : "");
}

static char *
describe_kernel (const ImageInfo *info)
{
  if (info->is_host)
    return g_strdup ("the host's");
  return info->kernel != NULL
             ? g_strdup (info->kernel)
             : g_strdup_printf ("the host's: it %s",
                                info->kernel_problem != NULL ? info->kernel_problem : "has none");
}

static char *
describe_names (const ImageInfo *info)
{
  return info->names[0] != NULL ? g_strjoinv (", ", info->names) : g_strdup ("-");
}

void
vm_image_print_list (GPtrArray *all)
{
  static const char *const headers[] = {"NAME",   "ID",   "SIZE",   "DISK",   "AGE",
                                        "SYSTEM", "INIT", "KERNEL", "ORIGIN", NULL};
  g_autoptr (VmTable) table = vm_table_new (headers);

  for (guint i = 0; i < all->len; i++) {
    const ImageInfo *info = g_ptr_array_index (all, i);
    g_autofree char *names = describe_names (info), *id = image_info_short_id (info);
    g_autofree char *size = vm_size_format (info->bytes), *disk = vm_size_format (info->size);
    g_autofree char *age = vm_show_duration (g_get_real_time () - info->created);
    g_autofree char *system = describe_system (info);

    vm_table_add (table,
                  (const char *const[]){names, id, size, info->is_host ? "-" : disk, age, system,
                                        image_init_name (info->init_kind),
                                        info->kernel != NULL ? info->kernel : "host's", info->origin, NULL});
  }
  vm_table_print (table);
}

static void
line (const char *label, const char *text)
{
  g_autofree char *shown = text != NULL ? vm_show_safe (text, -1) : NULL;

  if (shown != NULL)
    printf ("%-12s %s\n", label, shown);
}

static void
line_size (const char *label, guint64 bytes)
{
  g_autofree char *text = vm_size_format (bytes);

  line (label, text);
}

static void
print_partitions (const ImageInfo *info)
{
  json_object *all = vm_json_array (info->inspection, "partitions");

  for (size_t i = 0; all != NULL && i < json_object_array_length (all); i++) {
    json_object *one = json_object_array_get_idx (all, i);
    gint64 number = vm_json_int (one, "number", 0);
    g_autofree char *size = vm_size_format ((guint64)MAX (vm_json_int (one, "size", 0), 0));
    g_autofree char *text = g_strdup_printf ("%" G_GINT64_FORMAT ": %s, %s%s", number,
                                             vm_json_str (one, "type", "not recognised"), size,
                                             number == info->partition ? ", the root" : "");

    line ("partition", number == 0 ? "none, the file system is the whole disk" : text);
  }
}

static void
print_objects (const ImageInfo *info, const char *key, const char *label, const char *first,
               const char *second)
{
  json_object *all = vm_json_array (info->inspection, key);

  for (size_t i = 0; all != NULL && i < json_object_array_length (all); i++) {
    json_object *one = json_object_array_get_idx (all, i);
    g_autofree char *text =
        g_strdup_printf ("%s, %s", vm_json_str (one, first, "?"), vm_json_str (one, second, "?"));

    line (label, text);
  }
}

static void
print_root (const ImageInfo *info)
{
  g_autofree char *total = vm_size_format ((guint64)MAX (vm_json_int (info->inspection, "root-size", 0), 0));
  g_autofree char *free_ = vm_size_format ((guint64)MAX (vm_json_int (info->inspection, "root-free", 0), 0));
  g_autofree char *text = g_strdup_printf ("%s, %s, %s free%s", info->filesystem, total, free_,
                                           vm_json_bool (info->inspection, "needs-recovery", FALSE)
                                               ? "; was not unmounted, and its journal is not read here"
                                               : "");

  line ("root", text);
}

static void
print_disk (const ImageInfo *info)
{
  if (info->is_host) {
    line ("disk", "none");
    line ("root", "this host's tree, read-only; what is written goes to the scratch disk");
    return;
  }
  line_size ("disk", info->size);
  print_partitions (info);
  print_root (info);
}

void
vm_image_print (const ImageInfo *info)
{
  g_autofree char *names = describe_names (info), *system = describe_system (info),
                  *kernel = describe_kernel (info);
  g_autoptr (GDateTime) created = g_date_time_new_from_unix_local (info->created / G_USEC_PER_SEC);
  g_autofree char *when = created != NULL ? g_date_time_format (created, "%F %T") : NULL;
  g_auto (GStrv) kernels = vm_json_dup_strv (vm_json_array (info->inspection, "kernels"));
  g_autofree char *versions = g_strjoinv (", ", kernels);
  g_autofree char *init =
      g_strdup_printf ("%s%s%s", image_init_name (info->init_kind), info->init != NULL ? ", " : "",
                       info->init != NULL ? info->init : "");

  line ("name", names);
  line ("id", info->id);
  line ("directory", info->dir);
  line ("origin", info->origin);
  line ("format", info->format);
  line ("created", when);
  line_size ("size", info->bytes);
  print_disk (info);
  line ("system", system);
  line ("hostname", vm_json_str (info->inspection, "hostname", NULL));
  line ("init", init);
  if (!info->is_host)
    line ("kernels", *versions != '\0' ? versions : "none");
  line ("kernel", kernel);
  line ("agent", vm_json_bool (info->inspection, "agent", FALSE) ? "installed" : "comes from the host");
  print_objects (info, "users", "user", "name", "home");
  print_objects (info, "mounts", "mount", "what", "where");
}

static void
print_filesystem (json_object *one)
{
  g_autofree char *size = vm_size_format ((guint64)MAX (vm_json_int (one, "size", 0), 0));
  g_autofree char *used = vm_size_format ((guint64)MAX (vm_json_int (one, "used", 0), 0));
  const char *label = vm_json_str (one, "label", NULL);
  g_autofree char *text =
      g_strdup_printf ("%s: %s%s%s, %s%s%s%s", vm_json_str (one, "device", "?"),
                       vm_json_str (one, "type", "?"), label != NULL ? " " : "", label != NULL ? label : "",
                       size, json_object_object_get_ex (one, "used", NULL) ? ", used: " : "",
                       json_object_object_get_ex (one, "used", NULL) ? used : "",
                       vm_json_bool (one, "root", FALSE) ? ", the root" : "");

  line ("filesystem", text);
}

static void
print_user (json_object *one)
{
  g_autofree char *text = g_strdup_printf ("%s, %" G_GINT64_FORMAT ":%" G_GINT64_FORMAT ", %s, %s",
                                           vm_json_str (one, "name", "?"), vm_json_int (one, "uid", 0),
                                           vm_json_int (one, "gid", 0), vm_json_str (one, "home", "?"),
                                           vm_json_str (one, "shell", "?"));

  line ("account", text);
}

static void
print_each (json_object *all, void (*print) (json_object *one))
{
  for (size_t i = 0; all != NULL && i < json_object_array_length (all); i++)
    print (json_object_array_get_idx (all, i));
}

void
vm_image_print_deep (json_object *found)
{
  json_object *packages = vm_json_object (found, "packages");
  g_autofree char *count = g_strdup_printf ("%" G_GINT64_FORMAT " (%s)", vm_json_int (packages, "count", 0),
                                            vm_json_str (packages, "format", "?"));

  printf ("\n");
  print_each (vm_json_array (found, "filesystems"), print_filesystem);
  line ("os", vm_json_str (found, "os", NULL));
  line ("version", vm_json_str (found, "version", NULL));
  line ("hostname", vm_json_str (found, "hostname", NULL));
  print_each (vm_json_array (found, "users"), print_user);
  line ("packages", packages != NULL ? count : NULL);
  line ("agent", vm_json_bool (found, "agent", FALSE) ? "installed" : "comes from the host");
}

void
vm_image_print_id (const ImageInfo *info, gboolean json)
{
  if (json)
    vm_show_json (image_info_to_shown_json (info));
  else
    printf ("%s\n", info->id);
}
