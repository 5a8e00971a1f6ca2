/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/path.h"

#include <string.h>

gboolean
vm_path_is_within (const char *path, const char *dir)
{
  gsize length = strlen (dir);

  if (g_str_equal (dir, "/"))
    return *path == '/';
  return strncmp (path, dir, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

char *
vm_path_relative (const char *from, const char *to)
{
  g_auto (GStrv) a = g_strsplit (from, "/", -1), b = g_strsplit (to, "/", -1);
  g_autoptr (GPtrArray) way = g_ptr_array_new_null_terminated (8, NULL, TRUE);
  guint common = 0;

  while (a[common] != NULL && g_strcmp0 (a[common], b[common]) == 0)
    common++;
  for (char **up = a + common; *up != NULL; up++)
    if (**up != '\0')
      g_ptr_array_add (way, (char *)"..");
  for (char **down = b + common; *down != NULL; down++)
    if (**down != '\0')
      g_ptr_array_add (way, *down);
  return way->len > 0 ? g_strjoinv ("/", (char **)way->pdata) : g_strdup (".");
}

char *
vm_path_to_name (const char *path)
{
  g_autofree char *base = g_path_get_basename (path);
  const char *start = base;

  for (char *p = base; *p != '\0'; p++)
    if (!g_ascii_isalnum (*p) && strchr ("._-", *p) == NULL)
      *p = '-';
  while (*start != '\0' && !g_ascii_isalnum (*start))
    start++;
  return *start != '\0' ? g_strndup (start, 48) : g_strdup ("project");
}
