/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/net-tighten.h"

#include <string.h>

#include "vmctl/net-rule.h"
#include "vmctl/net/classes.h"

typedef struct {
  VmNet mode;
  char **rules; /* of what is set, to compare with */
  GPtrArray *items, *dropped;
} Tightening;

/* `public` leaves closed what a rule for that very range would open. */
static gboolean
is_public (const VmNetRule *rule)
{
  const NetClass *class = net_class_of (rule->network);

  return *rule->name != '\0' || class == NULL || !net_class_holds (class, rule->network, rule->mask);
}

static gboolean
is_allowed (const Tightening *t, const VmNetRule *rule)
{
  VmNetRule one;

  if (t->mode == VM_NET_HOST || (t->mode == VM_NET_PUBLIC && is_public (rule)))
    return TRUE;
  for (char **line = t->rules; *line != NULL; line++)
    if (vm_net_rule_read (*line, &one, NULL) && !one.deny && vm_net_rule_covers (&one, rule))
      return TRUE;
  return FALSE;
}

/* A group stays a group if all of it may be reached. */
static void
keep_allowed (Tightening *t, const char *word, char **rules)
{
  g_autoptr (GPtrArray) kept = g_ptr_array_new_with_free_func (g_free);
  guint n = 0;

  for (; rules[n] != NULL; n++) {
    VmNetRule rule;

    if (vm_net_rule_read (rules[n], &rule, NULL) && is_allowed (t, &rule)) {
      g_autofree char *item = vm_net_rule_item (&rule);

      g_ptr_array_add (kept, g_strconcat ("allow:", item, NULL));
    }
  }
  if (kept->len == n) {
    g_ptr_array_add (t->items, g_strdup (word));
    return;
  }
  g_ptr_array_add (t->dropped, g_strdup (word));
  for (guint i = 0; i < kept->len; i++)
    g_ptr_array_add (t->items, g_strdup (g_ptr_array_index (kept, i)));
}

static gboolean
take_item (Tightening *t, const VmNetSaid *asked, const char *word, char **groups, GError **error)
{
  const char *const one[] = {word, NULL};
  g_auto (GStrv) rules = vm_net_resolve ((char **)(gsize)one, groups, error);

  if (rules == NULL)
    return FALSE;
  if (g_str_has_prefix (word, "deny:"))
    g_ptr_array_add (t->items, g_strdup (word));
  else if (asked->mode == VM_NET_LIST)
    keep_allowed (t, word, rules);
  else /* with `public` it adds */
    g_ptr_array_add (t->dropped, g_strdup (word));
  return TRUE;
}

/* A list of the project's takes the place of what is allowed, otherwise that stays; what is denied stays. */
static void
take_old (Tightening *t, char **items, gboolean list)
{
  for (; items != NULL && *items != NULL; items++)
    if (!list || g_str_has_prefix (*items, "deny:"))
      g_ptr_array_add (t->items, g_strdup (*items));
}

static gboolean
take_items (Tightening *t, VmNetSaid *set, const VmNetSaid *asked, char **groups, GError **error)
{
  gboolean list = asked->mode == VM_NET_LIST;

  take_old (t, set->items, list);
  for (char **word = asked->items; word != NULL && *word != NULL; word++)
    if (!take_item (t, asked, *word, groups, error))
      return FALSE;
  if (asked->says_public && set->mode == VM_NET_LIST)
    g_ptr_array_add (t->dropped, g_strdup ("public"));
  g_strfreev (set->items);
  set->items = g_new0 (char *, t->items->len + 1);
  for (guint i = 0; i < t->items->len; i++)
    set->items[i] = g_strdup (g_ptr_array_index (t->items, i));
  if (list || set->mode == VM_NET_HOST)
    set->mode = asked->mode;
  set->says_public = set->mode == VM_NET_PUBLIC;
  return TRUE;
}

static void
drop_all (const VmNetSaid *asked, GPtrArray *dropped)
{
  if (asked->mode == VM_NET_HOST || asked->says_public)
    g_ptr_array_add (dropped, g_strdup (vm_net_name (asked->mode)));
  for (char **word = asked->items; word != NULL && *word != NULL; word++)
    if (g_str_has_prefix (*word, "allow:"))
      g_ptr_array_add (dropped, g_strdup (*word));
}

gboolean
vm_net_tighten (VmNetSaid *set, const VmNetSaid *asked, char **groups, char ***ret_dropped, GError **error)
{
  g_autoptr (GPtrArray) items = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) dropped = g_ptr_array_new_null_terminated (4, g_free, TRUE);
  g_auto (GStrv) rules = vm_net_resolve (set->items, groups, error);
  Tightening t = {set->mode == VM_NET_DEFAULT ? VM_NET_PUBLIC : set->mode, rules, items, dropped};
  gboolean ok = rules != NULL;

  if (asked->mode == VM_NET_NONE) {
    vm_net_said_clear (set);
    set->mode = VM_NET_NONE;
  } else if (set->mode == VM_NET_NONE || (asked->mode == VM_NET_HOST && set->mode != VM_NET_HOST)) {
    drop_all (asked, dropped);
  } else if (ok && asked->mode != VM_NET_HOST) {
    set->mode = t.mode;
    ok = take_items (&t, set, asked, groups, error);
  }
  if (ok)
    *ret_dropped = (char **)g_ptr_array_free (g_steal_pointer (&dropped), FALSE);
  return ok;
}
