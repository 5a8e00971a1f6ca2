/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/action.h"

#include "vmctl/base/error.h"

static int
refuse (const VmAction *actions, const char *verb, const char *what, GError **error)
{
  g_autoptr (GString) names = g_string_new (NULL);

  for (const VmAction *a = actions; a->name != NULL; a++)
    g_string_append_printf (names, "%s%s", a == actions ? "" : a[1].name == NULL ? " or " : ", ", a->name);
  vm_error (error, VM_ERROR_USAGE, "%s: '%s' is not what can be done; write %s", verb, what, names->str);
  return -1;
}

int
vm_action_run (const VmAction *actions, const char *verb, VmContext *context, gconstpointer options,
               char **args, GError **error)
{
  const char *what = args[0] != NULL ? args[0] : actions->name;
  char **rest = args[0] != NULL ? args + 1 : args;
  guint n = g_strv_length (rest);

  for (const VmAction *a = actions; a->name != NULL; a++) {
    if (!g_str_equal (a->name, what))
      continue;
    if (n >= a->min && n <= a->max)
      return a->run (context, options, rest, error);
    vm_error (error, VM_ERROR_USAGE, "%s %s: write vmctl %s %s %s", verb, what, verb, what, a->words);
    return -1;
  }
  return refuse (actions, verb, what, error);
}
