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
