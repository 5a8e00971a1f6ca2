/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/disk-diff.h"

#include <stdio.h>
#include <string.h>

#include "vmctl/base/error.h"
#include "vmctl/base/escape.h"
#include "vmctl/base/json.h"
#include "vmctl/show.h"

static gboolean
check (const char *records, gsize length, GError **error)
{
  for (gsize at = 0; at < length; at += strlen (records + at) + 1)
    if (records[at] == '\0' || strchr ("AMD", records[at]) == NULL || records[at + 1] == '\0' ||
        strchr ("fdlbcps?", records[at + 1]) == NULL || records[at + 2] != '/')
      return vm_error (error, VM_ERROR_INVALID, "what vmctl-guestfs says is no list of differences");
  return length == 0 || records[length - 1] == '\0' ||
         vm_error (error, VM_ERROR_INVALID, "the list of differences is cut off");
}

static json_object *
to_json (const char *record)
{
  const char change[] = {record[0], '\0'}, type[] = {record[1], '\0'};
  json_object *object = json_object_new_object ();

  vm_json_add_str (object, "change", change);
  vm_json_add_str (object, "type", type);
  vm_json_add (object, "path", vm_json_new_text (record + 2));
  return object;
}

static void
print_text (const char *record, gboolean null)
{
  g_autofree char *shown = null ? NULL : vm_escape_terminal (record + 2, -1, -1);

  printf ("%c %s%c", record[0], null ? record + 2 : shown, null ? '\0' : '\n');
}

gboolean
vm_disk_diff_print (const char *records, gsize length, gboolean json, gboolean null, GError **error)
{
  json_object *array;

  if (!check (records, length, error))
    return FALSE;
  array = json ? json_object_new_array () : NULL;
  for (gsize at = 0; at < length; at += strlen (records + at) + 1)
    if (json)
      json_object_array_add (array, to_json (records + at));
    else
      print_text (records + at, null);
  if (json)
    vm_show_json (array);
  return TRUE;
}
