/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The network of a plan: the rules that vmctl-net gets, with the groups' names looked up. */
#include "vmctl/plan-parts.h"

#include "vmctl/net-text.h"
#include "vmctl/net-words.h"

gboolean
vm_plan_has_card (const VmPlan *plan)
{
  return plan->net == VM_NET_PUBLIC || plan->net == VM_NET_LIST;
}

static void
add_notes (VmPlan *plan)
{
  gboolean allows = FALSE;

  for (char **rule = plan->net_rules; *rule != NULL; rule++)
    allows |= !g_str_has_prefix (*rule, "deny ");
  if (plan->net == VM_NET_LIST && !allows)
    vm_plan_add_note (plan,
                      "--net allows nothing by its list, so the sandbox reaches nothing; allow more with: "
                      "vmctl net allow");
  if (plan->net == VM_NET_HOST)
    vm_plan_add_note (
        plan, "--net host: the sandbox is in this host's own network: it reaches the services of this "
              "host, the local network and cloud metadata, can listen at this host's ports, and "
              "nothing is refused or logged");
}

gboolean
vm_plan_set_net (VmPlan *plan, const VmSpec *spec, GError **error)
{
  g_auto (GStrv) rules = vm_net_resolve (spec->net_items, spec->net_groups, error);
  static const char address[] = "255.255.255.255";
  static const char *const longest[] = {address, address, address, NULL};
  g_autofree char *text = NULL;
  g_autoptr (GPtrArray) all = g_ptr_array_new_null_terminated (8, NULL, TRUE);

  plan->net = spec->net == VM_NET_DEFAULT ? VM_NET_PUBLIC : spec->net;
  if (rules == NULL) {
    g_prefix_error (error, "--net: ");
    return FALSE;
  }
  for (char **rule = spec->net_host_ports; vm_plan_has_card (plan) && rule != NULL && *rule != NULL; rule++)
    g_ptr_array_add (all, *rule);
  for (char **rule = rules; *rule != NULL; rule++)
    g_ptr_array_add (all, *rule);
  g_strfreev (plan->net_rules);
  plan->net_rules = g_strdupv ((char **)all->pdata);
  add_notes (plan);
  text = vm_net_text (plan->net, plan->net_rules, (char **)(gsize)longest, error);
  g_prefix_error (error, "--net: ");
  return text != NULL;
}
