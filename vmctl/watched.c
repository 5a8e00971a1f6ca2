/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/watched.h"

#include <sys/stat.h>

#include "vmctl/base/escape.h"

static void
warn (VmRecord *record, const char *path, const char *what, GPtrArray *problems)
{
  g_autofree char *shown = vm_escape_terminal (path, -1, -1);
  g_autofree char *text = g_strdup_printf (
      "'%s' %s while the sandbox ran: look at it before you use it on this host", shown, what);

  if (vm_record_warn (record, text) && problems != NULL)
    g_ptr_array_add (problems, g_strdup_printf ("%s: %s", record->id, text));
}

void
vm_watched_warn (const VmPlan *plan, VmRecord *record, GPtrArray *problems)
{
  struct stat st;

  for (char **p = plan->watched; *p != NULL; p++)
    if (lstat (*p, &st) == 0)
      warn (record, *p, "appeared", problems);
  for (char **p = plan->linked; p[0] != NULL && p[1] != NULL; p += 2) {
    g_autofree char *link = g_file_read_link (p[0], NULL);

    if (g_strcmp0 (link, p[1]) != 0)
      warn (record, p[0], "changed", problems);
  }
}
