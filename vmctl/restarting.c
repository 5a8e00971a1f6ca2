/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/restarting.h"

#include <stdio.h>

#include "vmctl/base/error.h"
#include "vmctl/base/escape.h"
#include "vmctl/base/json.h"
#include "vmctl/client.h"
#include "vmctl/show.h"
#include "vmctl/store.h"

enum { CALL_MS = 60000 };

typedef struct {
  gboolean starts, runs; /* since it was asked */
  json_object *disks;    /* borrowed */
  gsize come;            /* of them */
} Wait;

static gboolean
is_one_of (json_object *disks, const char *id)
{
  for (gsize i = 0; disks != NULL && i < json_object_array_length (disks); i++)
    if (g_strcmp0 (vm_json_str (json_object_array_get_idx (disks, i), "id", NULL), id) == 0)
      return TRUE;
  return FALSE;
}

static gboolean
is_over (const Wait *wait)
{
  return wait->runs && (wait->disks == NULL || wait->come >= json_object_array_length (wait->disks));
}

static void
got_event (const char *name, json_object *event_data, json_object *message, gpointer data)
{
  Wait *wait = data;
  const char *state = vm_json_str (event_data, "state", "");

  if (g_str_equal (name, "DEVICE_PLUGGED"))
    wait->come += wait->starts && is_one_of (wait->disks, vm_json_str (event_data, "id", NULL));
  if (!g_str_equal (name, "SANDBOX_STATE"))
    return;
  wait->starts |= g_str_equal (state, vm_state_name (VM_STATE_STARTING));
  wait->runs |= wait->starts && g_str_equal (state, vm_state_name (VM_STATE_RUNNING));
}

static gboolean
one (const VmDirs *dirs, const VmRecord *record, const VmRestarting *how, GError **error)
{
  g_autoptr (VmClient) client = vm_client_connect (dirs, record->id, error);
  json_object *arguments = json_object_new_object ();
  g_autoptr (json_object) ret = NULL;
  Wait wait = {.disks = how->disks};

  if (client == NULL) {
    json_object_put (arguments);
    return FALSE;
  }
  client->event = got_event;
  client->data = &wait;
  if (how->powerdown_ms > 0)
    vm_json_add_int (arguments, "timeout-ms", how->powerdown_ms);
  if (how->snapshot != NULL)
    vm_json_add_str (arguments, "name", how->snapshot);
  if (how->disks != NULL)
    vm_json_add_bool (arguments, "plugged", TRUE);
  ret = qmp_client_call (client->qmp, how->command, arguments, NULL, 0, how->snapshot != NULL ? 0 : CALL_MS,
                         error); /* a snapshot is copied first */
  if (ret == NULL) {
    g_prefix_error (error, "sandbox '%s' (%s): ", record->name, record->id);
    return FALSE;
  }
  while (!is_over (&wait) && !client->closed)
    g_main_context_iteration (NULL, TRUE);
  return is_over (&wait) ||
         vm_error (error, VM_ERROR_CHILD, "sandbox '%s' (%s) does not run again: %s", record->name,
                   record->id, client->ended ? client->text : "its supervisor died");
}

static void
report (const VmDirs *dirs, const VmRecord *record, json_object *array)
{
  g_autoptr (VmRecord) now = vm_store_find (dirs, record->id, TRUE, NULL);
  g_autofree char *name = vm_escape_terminal (record->name, -1, 100);

  if (array != NULL)
    json_object_array_add (array, vm_record_to_json (now != NULL ? now : record));
  else
    printf ("sandbox '%s' (%s) runs again\n", name, record->id);
}

static void
free_record (gpointer data)
{
  vm_record_free (data);
}

gboolean
vm_restarting_run (const VmDirs *dirs, char **words, const VmRestarting *how, GError **error)
{
  static const char *const here[] = {".", NULL};
  g_autoptr (GPtrArray) records = g_ptr_array_new_with_free_func (free_record);
  g_autoptr (json_object) array = how->json ? json_object_new_array () : NULL;

  for (const char *const *word = *words != NULL ? (const char *const *)words : here; *word != NULL; word++) {
    VmRecord *record = vm_store_find (dirs, *word, FALSE, error);

    if (record == NULL)
      return FALSE;
    g_ptr_array_add (records, record);
  }
  for (guint i = 0; i < records->len; i++) {
    if (!one (dirs, g_ptr_array_index (records, i), how, error))
      return FALSE;
    report (dirs, g_ptr_array_index (records, i), array);
  }
  if (array != NULL)
    vm_show_json (json_object_get (array));
  return TRUE;
}
