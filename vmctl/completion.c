/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/completion.h"

#include <string.h>

#define REPEATS "..."

char *
vm_completion_kind (const VmVerb *verb, gboolean *repeats)
{
  *repeats = verb->complete != NULL && g_str_has_suffix (verb->complete, REPEATS);
  if (verb->complete == NULL)
    return NULL;
  return g_strndup (verb->complete, strlen (verb->complete) - (*repeats ? strlen (REPEATS) : 0));
}

gboolean
vm_completion_is_path (const char *kind)
{
  return g_strcmp0 (kind, "dir") == 0 || g_strcmp0 (kind, "file") == 0;
}

char *
vm_completion_quote (const char *text)
{
  GString *out = g_string_new (text);

  (void)g_string_replace (out, "'", "'\\''", 0);
  return g_string_free (out, FALSE);
}
