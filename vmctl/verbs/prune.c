/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl prune: takes away what nobody needs any more. */
#include <stddef.h>
#include <stdio.h>

#include "vmctl/base/error.h"
#include "vmctl/base/file.h"
#include "vmctl/base/json.h"
#include "vmctl/prune.h"
#include "vmctl/show.h"
#include "vmctl/table.h"
#include "vmctl/verbs.h"

typedef struct {
  gboolean cache, dry_run, json;
  char *keep;
} PruneOptions;

static const VmOption options[] = {
    {"cache", 0, VM_OPTION_FLAG, offsetof (PruneOptions, cache), NULL,
     "also kernels, initramfs, disks and templates that no running sandbox uses", NULL},
    {"dry-run", 'n', VM_OPTION_FLAG, offsetof (PruneOptions, dry_run), NULL, "only show what would go", NULL},
    {"json", 0, VM_OPTION_FLAG, offsetof (PruneOptions, json), NULL, "print it as JSON", NULL},
    {"keep", 'k', VM_OPTION_STRING, offsetof (PruneOptions, keep), "N",
     "keep the newest N ended sandboxes (default 0)", NULL},
    {NULL},
};

static void
print_json (GPtrArray *items, guint64 bytes, gboolean dry_run)
{
  json_object *object = json_object_new_object (), *array = json_object_new_array ();

  for (guint i = 0; i < items->len; i++) {
    const VmPruneItem *item = g_ptr_array_index (items, i);
    json_object *one = json_object_new_object ();

    vm_json_add_str (one, "kind", item->kind);
    vm_json_add (one, "name", vm_json_new_text (item->name));
    vm_json_add_int (one, "bytes", (gint64)item->bytes);
    json_object_array_add (array, one);
  }
  vm_json_add_bool (object, "removed", !dry_run);
  vm_json_add_int (object, "bytes", (gint64)bytes);
  vm_json_add (object, "items", array);
  vm_show_json (object);
}

static void
print_text (GPtrArray *items, guint64 bytes, gboolean dry_run)
{
  static const char *const headers[] = {"SIZE", "KIND", "NAME", NULL};
  g_autoptr (VmTable) table = vm_table_new (headers);
  g_autofree char *total = vm_size_format (bytes);

  for (guint i = 0; i < items->len; i++) {
    const VmPruneItem *item = g_ptr_array_index (items, i);
    g_autofree char *size = vm_size_format (item->bytes);

    vm_table_add (table, (const char *const[]){size, item->kind, item->label, NULL});
  }
  if (items->len > 0)
    vm_table_print (table);
  printf ("%s %s\n", dry_run ? "would free" : "freed", total);
}

static int
prune (VmContext *context, gpointer data, char **args, char **command, GError **error)
{
  const PruneOptions *o = data;
  g_autoptr (GPtrArray) problems = g_ptr_array_new_with_free_func (g_free), items = NULL;
  VmPruneOptions what = {.cache = o->cache};
  guint64 keep = 0, bytes = 0;

  if (o->keep != NULL && !g_ascii_string_to_unsigned (o->keep, 10, 0, G_MAXUINT, &keep, NULL)) {
    vm_error (error, VM_ERROR_USAGE, "--keep: '%s' is not a number", o->keep);
    return -1;
  }
  what.keep = (guint)keep;
  items = vm_prune_find (&context->dirs, &what, problems, error);
  if (items == NULL)
    return -1;
  vm_show_problems (problems);
  for (guint i = 0; i < items->len; i++) {
    const VmPruneItem *item = g_ptr_array_index (items, i);

    if (!o->dry_run && !vm_prune_remove (item, error))
      return -1;
    bytes += item->bytes;
  }
  if (o->json)
    print_json (items, bytes, o->dry_run);
  else
    print_text (items, bytes, o->dry_run);
  return 0;
}

const VmVerb vm_verb_prune = {
    .name = "prune",
    .usage = "[OPTIONS]",
    .summary = "remove ended sandboxes and what crashes left behind",
    .details = "Projects, and what persists of their homes, stay as they are. A cache that was pruned is "
               "made again by the next 'vmctl up'.",
    .options = options,
    .options_size = sizeof (PruneOptions),
    .run = prune,
};
