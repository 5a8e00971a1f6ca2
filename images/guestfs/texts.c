/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/guestfs/texts.h"

#include <string.h>

#include "vmctl/base/json.h"

enum { USERS_MAX = 1000, UID_FIRST = 1000, UID_NOBODY = 65534 };

static gboolean
is_person (guint64 uid)
{
  return uid == 0 || (uid >= UID_FIRST && uid != UID_NOBODY);
}

json_object *
image_guestfs_users (const char *passwd)
{
  json_object *array = json_object_new_array ();
  g_auto (GStrv) lines = g_strsplit (passwd, "\n", -1);

  for (char **line = lines; *line != NULL && json_object_array_length (array) < USERS_MAX; line++) {
    g_auto (GStrv) f = g_strsplit (*line, ":", -1);
    guint64 uid, gid;
    json_object *object;

    if (g_strv_length (f) != 7 || !g_ascii_string_to_unsigned (f[2], 10, 0, G_MAXUINT32, &uid, NULL) ||
        !g_ascii_string_to_unsigned (f[3], 10, 0, G_MAXUINT32, &gid, NULL) || !is_person (uid))
      continue;
    object = json_object_new_object ();
    vm_json_add (object, "name", vm_json_new_text (f[0]));
    vm_json_add_int (object, "uid", (gint64)uid);
    vm_json_add_int (object, "gid", (gint64)gid);
    vm_json_add (object, "home", vm_json_new_text (f[5]));
    vm_json_add (object, "shell", vm_json_new_text (f[6]));
    json_object_array_add (array, object);
  }
  return array;
}

char *
image_guestfs_os_name (const char *os_release)
{
  static const char key[] = "PRETTY_NAME=";
  g_auto (GStrv) lines = g_strsplit (os_release, "\n", -1);

  for (char **line = lines; *line != NULL; line++) {
    char *value = *line + strlen (key);
    gsize length;

    if (!g_str_has_prefix (*line, key))
      continue;
    length = strlen (value);
    if (length >= 2 && (*value == '"' || *value == '\'') && value[length - 1] == *value)
      return g_strndup (value + 1, length - 2);
    return length > 0 ? g_strdup (value) : NULL;
  }
  return NULL;
}

guint
image_guestfs_count (const char *text, const char *beginning)
{
  const char *line = text, *end;
  guint n = 0;

  for (; (end = strchr (line, '\n')) != NULL; line = end + 1)
    n += g_str_has_prefix (line, beginning);
  return n + g_str_has_prefix (line, beginning);
}
