/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/subids.h"

#include <pwd.h>
#include <string.h>
#include <unistd.h>

#include "vmctl/base/error.h"

#define USERS "/etc/subuid"
#define GROUPS "/etc/subgid"

static gboolean
is_of (const char *word, const char *name, uid_t uid)
{
  guint64 number;

  return g_strcmp0 (word, name) == 0 ||
         (g_ascii_string_to_unsigned (word, 10, 0, G_MAXUINT32, &number, NULL) && number == uid);
}

char *
image_subids_parse (const char *text, const char *name, uid_t uid)
{
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);

  for (char **line = lines; *line != NULL; line++) {
    g_auto (GStrv) words = g_strsplit (*line, ":", -1);
    guint64 first, count;

    if (g_strv_length (words) == 3 && is_of (words[0], name, uid) &&
        g_ascii_string_to_unsigned (words[1], 10, 1, G_MAXUINT32, &first, NULL) &&
        g_ascii_string_to_unsigned (words[2], 10, IMAGE_SUBIDS, G_MAXUINT32, &count, NULL) &&
        first + count <= G_MAXUINT32)
      return g_strdup_printf ("%" G_GUINT64_FORMAT ":%d", first, IMAGE_SUBIDS);
  }
  return NULL;
}

static char *
find_in (const char *path, const char *name)
{
  g_autofree char *text = NULL;

  return g_file_get_contents (path, &text, NULL, NULL) ? image_subids_parse (text, name, geteuid ()) : NULL;
}

gboolean
image_subids_find (char **ret_users, char **ret_groups, GError **error)
{
  const struct passwd *user = getpwuid (geteuid ());
  const char *name = user != NULL ? user->pw_name : NULL;
  g_autofree char *users = find_in (USERS, name), *groups = find_in (GROUPS, name);

  if (users == NULL || groups == NULL)
    return vm_error (error, VM_ERROR_HOST,
                     "%s gives you no %d ids, which the users of a distribution need; run as root: usermod "
                     "--add-subuids 100000-165535 --add-subgids 100000-165535 %s",
                     users == NULL ? USERS : GROUPS, IMAGE_SUBIDS, name != NULL ? name : "USER");
  *ret_users = g_steal_pointer (&users);
  *ret_groups = g_steal_pointer (&groups);
  return TRUE;
}
