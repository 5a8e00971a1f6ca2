/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ids and names of new sandboxes. */
#include "vmctl/store.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "vmctl/base/error.h"

enum { ID_LENGTH = 8 }; /* as vm_store_is_id() has it */

gboolean
vm_store_new_id (const VmDirs *dirs, char ret_id[9], GError **error)
{
  static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
  g_autofree char *running = NULL, *old = NULL;
  guint8 random[ID_LENGTH];
  char id[ID_LENGTH + 1] = "";

  do {
    g_free (running);
    g_free (old);
    if (getentropy (random, sizeof random) < 0)
      return vm_error_errno (error, errno, "cannot read random bytes");
    for (guint i = 0; i < ID_LENGTH; i++) /* a letter first, so that an id is never taken for a number */
      id[i] = letters[random[i] % (i == 0 ? 26 : 36)];
    running = g_build_filename (dirs->runtime, id, NULL);
    old = g_build_filename (dirs->state, "sandboxes", id, NULL);
  } while (g_file_test (running, G_FILE_TEST_EXISTS) || g_file_test (old, G_FILE_TEST_EXISTS));
  g_strlcpy (ret_id, id, ID_LENGTH + 1);
  return TRUE;
}

char *
vm_store_name_of_project (const char *project)
{
  g_autofree char *base = g_path_get_basename (project);
  GString *name = g_string_new (NULL);

  for (const char *p = base; *p != '\0' && name->len < 32; p++)
    if (g_ascii_isalnum (*p) || (name->len > 0 && strchr ("._-", *p) != NULL))
      g_string_append_c (name, *p);
  if (name->len == 0)
    g_string_append (name, "sandbox");
  return g_string_free (name, FALSE);
}

static gboolean
name_taken (GPtrArray *records, const char *name)
{
  for (guint i = 0; i < records->len; i++)
    if (g_str_equal (((VmRecord *)g_ptr_array_index (records, i))->name, name))
      return TRUE;
  return FALSE;
}

char *
vm_store_new_name (const VmDirs *dirs, const char *wanted, const char *project, GError **error)
{
  g_autoptr (GPtrArray) records = vm_store_list (dirs, FALSE, NULL, error);
  g_autofree char *base = NULL, *name = NULL;

  if (records == NULL)
    return NULL;
  if (wanted != NULL) {
    if (!name_taken (records, wanted))
      return g_strdup (wanted);
    vm_error (error, VM_ERROR_EXISTS,
              "a sandbox named '%s' is running; choose another --name, or: vmctl stop %s", wanted, wanted);
    return NULL;
  }
  base = vm_store_name_of_project (project);
  name = g_strdup (base);
  for (guint i = 2; name_taken (records, name); i++) {
    g_free (name);
    name = g_strdup_printf ("%s-%u", base, i);
  }
  return g_steal_pointer (&name);
}
