/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/pausing.h"

#include "vmctl/base/error.h"
#include "vmctl/base/json.h"
#include "vmctl/client.h"
#include "vmctl/store.h"

static void
free_record (gpointer data)
{
  vm_record_free (data);
}

static gboolean
one (const VmDirs *dirs, const VmRecord *record, gboolean paused, GError **error)
{
  g_autoptr (VmClient) client = NULL;
  g_autoptr (json_object) ret = NULL;

  if (record->state == VM_STATE_STARTING || record->state == VM_STATE_STOPPING)
    return vm_error (error, VM_ERROR_BUSY, "sandbox '%s' (%s) is %s; it can be %s while it runs",
                     record->name, record->id, vm_state_name (record->state), paused ? "paused" : "resumed");
  client = vm_client_connect (dirs, record->id, error);
  if (client == NULL)
    return FALSE;
  ret = vm_client_call (client, paused ? "stop" : "cont", NULL, error);
  if (ret == NULL)
    g_prefix_error (error, "sandbox '%s' (%s): ", record->name, record->id);
  return ret != NULL;
}

gboolean
vm_pausing_run (const VmDirs *dirs, char **words, gboolean paused, GError **error)
{
  static const char *const here[] = {".", NULL};
  g_autoptr (GPtrArray) records = g_ptr_array_new_with_free_func (free_record);

  for (const char *const *word = *words != NULL ? (const char *const *)words : here; *word != NULL; word++) {
    VmRecord *record = vm_store_find (dirs, *word, FALSE, error);

    if (record == NULL)
      return FALSE;
    g_ptr_array_add (records, record);
  }
  for (guint i = 0; i < records->len; i++)
    if (!one (dirs, g_ptr_array_index (records, i), paused, error))
      return FALSE;
  return TRUE;
}
