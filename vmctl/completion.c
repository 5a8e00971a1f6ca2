/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/completion.h"

#include <string.h>

#define REPEATS "..."

char **
vm_completion_kinds (const VmVerb *verb, gboolean *repeats)
{
  gsize n = verb->complete != NULL ? strlen (verb->complete) : 0;
  g_autofree char *kinds = NULL;

  *repeats = n > 0 && g_str_has_suffix (verb->complete, REPEATS);
  kinds = g_strndup (verb->complete, n - (*repeats ? strlen (REPEATS) : 0));
  return n > 0 ? g_strsplit (kinds, " ", -1) : g_new0 (char *, 1);
}

char *
vm_completion_quote (const char *text)
{
  GString *out = g_string_new (text);

  (void)g_string_replace (out, "'", "'\\''", 0);
  return g_string_free (out, FALSE);
}
