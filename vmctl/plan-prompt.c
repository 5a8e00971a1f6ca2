/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a program that takes a text is told about where it runs. All of it is read off the plan. */
#include <string.h>

#include "vmctl/plan-parts.h"

#include "vmctl/net-words.h"

static const char *
kind_of (const VmPlan *plan)
{
  switch (plan->isolation) {
  case VM_ISOLATION_VM:
    return "a virtual machine";
  case VM_ISOLATION_CONTAINER:
    return "a container";
  case VM_ISOLATION_NAMESPACE:
    return "namespaces on the host's kernel";
  case VM_ISOLATION_NONE:
    break;
  }
  return "no isolation at all, for tests";
}

static void
add_paths (GString *out, const VmPlan *plan, VmMountKind kind, const char *why)
{
  gboolean first = TRUE;

  for (guint i = 0; i < plan->mounts->len; i++) {
    const VmMount *m = g_ptr_array_index (plan->mounts, i);

    if (m->kind != kind || (why != NULL && !g_str_has_prefix (m->why, why)))
      continue;
    g_string_append_printf (out, "%s%s", first ? "" : ", ", m->target);
    first = FALSE;
  }
}

static void
add_protected (GString *out, const VmPlan *plan)
{
  g_autoptr (GString) all = g_string_new (NULL);

  add_paths (all, plan, VM_MOUNT_PROTECT, NULL);
  if (all->len > 0)
    g_string_append (all, ", ");
  add_paths (all, plan, VM_MOUNT_ABSENT, NULL);
  for (char **path = plan->watched; *path != NULL; path++)
    g_string_append_printf (all, "%s%s", all->len > 0 ? ", " : "", *path);
  g_string_append_printf (out,
                          "These in it are not to be written, because the host would run or trust them; "
                          "the user is warned if one appears: %s.\n",
                          all->str);
}

static char *
describe_net (const VmPlan *plan)
{
  g_autofree char *words = vm_net_to_words (plan->net, plan->net_rules);

  if (plan->net == VM_NET_NONE)
    return g_strdup ("none");
  if (plan->net == VM_NET_HOST)
    return g_strdup ("the user's own");
  if (plan->net == VM_NET_PUBLIC && *plan->net_rules == NULL)
    return g_strdup ("the public internet only; not this host, not private addresses");
  return g_strdup_printf (
      "limited by a list of the user's (%.400s); what it does not have is refused at once", words);
}

static char *
make_text (const VmPlan *plan)
{
  g_autofree char *net = describe_net (plan);
  GString *out = g_string_new (NULL);
  g_autofree char *grants = g_strjoinv (", ", plan->grants);

  g_string_append_printf (out, "You run in a sandbox made by vmctl (driver %s: %s).\n", plan->driver,
                          kind_of (plan));
  g_string_append_printf (out, "The project %s is the user's own and can be written. ", plan->project);
  add_protected (out, plan);
  if (plan->image.filesystem != NULL)
    g_string_append_printf (out,
                            "The system is not the host's: it is the image '%s'. Of the host there is what "
                            "these grants let in: ",
                            plan->image.name);
  else
    g_string_append (
        out, "Of the host there are its programs and libraries, read-only, and what these grants let in: ");
  g_string_append_printf (out,
                          "%s. The user's other files, processes and programs are not visible, and this is "
                          "no error.\n",
                          *grants != '\0' ? grants : "none");
  g_string_append (out, "Kept after the end: the project, ");
  add_paths (out, plan, VM_MOUNT_RW, "home");
  g_string_append (out, " (for this project alone)");
  if (g_strv_contains ((const char *const *)plan->grants, "claude"))
    g_string_append (out, ", and your sessions and login; changes of your settings are not kept");
  g_string_append (out,
                   ". All else, also in the home, in /tmp and what is installed into the system, is gone at "
                   "the end.\n");
  g_string_append_printf (out, "Network: %s. ", net);
  g_string_append (out, plan->root_allowed && plan->isolation == VM_ISOLATION_VM
                            ? "sudo works, and makes you root in the sandbox only.\n"
                            : "sudo does not work here.\n");
  return g_string_free (out, FALSE);
}

void
vm_plan_add_prompt (VmPlan *plan, const char *option)
{
  g_autoptr (GPtrArray) words = g_ptr_array_new_null_terminated (8, g_free, TRUE);

  g_ptr_array_add (words, g_strdup (plan->command[0]));
  g_ptr_array_add (words, g_strdup (option));
  g_ptr_array_add (words, make_text (plan));
  for (char **word = plan->command + 1; *word != NULL; word++)
    g_ptr_array_add (words, g_strdup (*word));
  g_strfreev (plan->command);
  plan->command = g_strdupv ((char **)words->pdata);
}

void
vm_plan_add_tmux (VmPlan *plan)
{
  static const char *const tmux[] = {"tmux", "new-session", "-s", "vmctl", NULL};
  g_autoptr (GPtrArray) words = g_ptr_array_new_null_terminated (8, g_free, TRUE);

  for (const char *const *word = tmux; *word != NULL; word++)
    g_ptr_array_add (words, g_strdup (*word));
  /* tmux would give a single word to a shell. */
  if (plan->command != NULL && plan->command[1] == NULL)
    g_ptr_array_add (words, g_strdup ("/usr/bin/env"));
  for (char **word = plan->command; word != NULL && *word != NULL; word++)
    g_ptr_array_add (words, g_strdup (*word));
  g_strfreev (plan->command);
  plan->command = g_strdupv ((char **)words->pdata);
}
