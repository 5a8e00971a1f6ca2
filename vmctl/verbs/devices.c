/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl devices: what was plugged into a sandbox. */
#include <stddef.h>
#include <stdio.h>

#include "vmctl/base/file.h"
#include "vmctl/base/json.h"
#include "vmctl/client.h"
#include "vmctl/show.h"
#include "vmctl/store.h"
#include "vmctl/table.h"
#include "vmctl/verbs.h"

typedef struct {
  gboolean json;
} DevicesOptions;

static const VmOption options[] = {
    {"json", 0, VM_OPTION_FLAG, offsetof (DevicesOptions, json), NULL, "print an array of devices as JSON",
     NULL},
    {NULL},
};

/* What of the host's it is. (transfer full) */
static char *
outside (json_object *d)
{
  const char *path = vm_json_str (d, "source", vm_json_str (d, "socket", NULL));

  if (path != NULL)
    return g_strconcat (path, vm_json_bool (d, "gone", FALSE) ? " (gone)" : "", NULL);
  if (vm_json_int (d, "host-port", 0) != 0)
    return g_strdup_printf ("%s:%" G_GINT64_FORMAT, vm_json_str (d, "address", ""),
                            vm_json_int (d, "host-port", 0));
  if (vm_json_int (d, "size", 0) != 0)
    return vm_size_format ((guint64)vm_json_int (d, "size", 0));
  if (vm_json_int (d, "count", 0) != 0)
    return g_strdup_printf ("%" G_GINT64_FORMAT, vm_json_int (d, "count", 0));
  if (vm_json_int (d, "bus", 0) != 0)
    return g_strdup_printf ("%" G_GINT64_FORMAT ".%" G_GINT64_FORMAT, vm_json_int (d, "bus", 0),
                            vm_json_int (d, "device", 0));
  return g_strdup_printf ("%04x:%04x", (guint)vm_json_int (d, "vendor", 0),
                          (guint)vm_json_int (d, "product", 0));
}

/* What it is inside. (transfer full) */
static char *
inside (json_object *d)
{
  const char *what = vm_json_str (d, "target", vm_json_str (d, "inside", ""));

  if (vm_json_int (d, "guest-port", 0) != 0)
    return g_strdup_printf ("%" G_GINT64_FORMAT "%s", vm_json_int (d, "guest-port", 0),
                            vm_json_bool (d, "udp", FALSE) ? "/udp" : "");
  return g_strconcat (what, vm_json_bool (d, "read-only", FALSE) ? " (read-only)" : "", NULL);
}

static void
print_table (json_object *devices)
{
  static const char *const headers[] = {"ID", "KIND", "HOST", "INSIDE", NULL};
  g_autoptr (VmTable) table = vm_table_new (headers);

  for (gsize i = 0; i < json_object_array_length (devices); i++) {
    json_object *d = json_object_array_get_idx (devices, i);
    g_autofree char *host = outside (d), *guest = inside (d);

    vm_table_add (table, (const char *const[]){vm_json_str (d, "id", ""), vm_json_str (d, "kind", ""), host,
                                               guest, NULL});
  }
  if (json_object_array_length (devices) > 0)
    vm_table_print (table);
  else
    fprintf (stderr, "vmctl: nothing was plugged; to do so: vmctl plug\n");
}

static int
devices_run (VmContext *context, gpointer data, char **args, char **command, GError **error)
{
  const DevicesOptions *o = data;
  g_autoptr (VmRecord) record = vm_store_find (&context->dirs, args[0] != NULL ? args[0] : ".", FALSE, error);
  g_autoptr (VmClient) client = NULL;
  g_autoptr (json_object) devices = NULL;

  if (record == NULL || (client = vm_client_connect (&context->dirs, record->id, error)) == NULL ||
      (devices = vm_client_call (client, "query-devices", NULL, error)) == NULL)
    return -1;
  if (o->json)
    vm_show_json (json_object_get (devices));
  else if (json_object_is_type (devices, json_type_array))
    print_table (devices);
  return 0;
}

const VmVerb vm_verb_devices = {
    .name = "devices",
    .usage = "[OPTIONS] [SANDBOX]",
    .summary = "show what was plugged into a sandbox",
    .details = "Without SANDBOX: the one of this directory.",
    .options = options,
    .options_size = sizeof (DevicesOptions),
    .max_args = 1,
    .complete = "sandbox",
    .run = devices_run,
};
