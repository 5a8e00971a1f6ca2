/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/net-change.h"

#include <string.h>

#include "vmctl/base/error.h"
#include "vmctl/base/json.h"
#include "vmctl/net-rule.h"
#include "vmctl/net-words.h"

#define HOST_PORT "hostport "

void
vm_net_state_clear (VmNetState *state)
{
  g_strfreev (state->rules);
  *state = (VmNetState){0};
}

/* Strings of JSON have a length of their own; what comes behind a NUL byte would not be seen. */
static const char *
string_of (json_object *value)
{
  const char *text = json_object_is_type (value, json_type_string) ? json_object_get_string (value) : NULL;

  return text != NULL && strlen (text) == (gsize)json_object_get_string_len (value) ? text : NULL;
}

static gboolean
take_list (VmNetSaid *said, json_object *arguments, const char *key, GError **error)
{
  json_object *list = vm_json_array (arguments, key);

  if (list == NULL && json_object_object_get_ex (arguments, key, NULL))
    return vm_error (error, VM_ERROR_USAGE, "'%s' is not a list", key);
  for (gsize i = 0; list != NULL && i < json_object_array_length (list); i++) {
    const char *item = string_of (json_object_array_get_idx (list, i));

    if (item == NULL)
      return vm_error (error, VM_ERROR_USAGE, "'%s' has what is no item: a string without NUL bytes is one",
                       key);
    if (!vm_net_said_add_item (said, g_str_equal (key, "deny"), item, error))
      return FALSE;
  }
  return TRUE;
}

/* "allow name a.b any 0-0 @x" and "deny name a.b any 0-0 deny:@x" say the opposite of each other. */
static gboolean
opposes (const char *line, const char *other)
{
  const char *text, *other_text;
  VmNetRule a, b;

  if (!vm_net_rule_read (line, &a, &text) || !vm_net_rule_read (other, &b, &other_text) || a.deny == b.deny)
    return FALSE;
  text += a.deny ? strlen ("deny:") : 0;
  other_text += b.deny ? strlen ("deny:") : 0;
  return g_str_equal (text, other_text) && vm_net_rule_covers (&a, &b) && vm_net_rule_covers (&b, &a);
}

static gboolean
is_opposed (const char *line, char **rules)
{
  for (; *rules != NULL; rules++)
    if (opposes (line, *rules))
      return TRUE;
  return FALSE;
}

static gboolean
join (const VmNetState *now, char **added, VmNetState *ret, GError **error)
{
  g_autoptr (GPtrArray) all = g_ptr_array_new_null_terminated (8, NULL, TRUE);

  for (char **rule = now->rules; *rule != NULL; rule++)
    if (!is_opposed (*rule, added))
      g_ptr_array_add (all, *rule);
  for (char **rule = added; *rule != NULL; rule++)
    if (!g_ptr_array_find_with_equal_func (all, *rule, g_str_equal, NULL))
      g_ptr_array_add (all, *rule);
  if (all->len > VM_NET_RULES_MAX)
    return vm_error (error, VM_ERROR_USAGE, "more than %d rules; name networks or *.NAME instead",
                     VM_NET_RULES_MAX);
  ret->net = now->net;
  ret->rules = g_strdupv ((char **)all->pdata);
  return TRUE;
}

static gboolean
set (const VmNetState *now, const char *words, VmNetState *ret, GError **error)
{
  g_auto (VmNetSaid) said = {0};
  g_autoptr (GPtrArray) all = g_ptr_array_new_null_terminated (8, NULL, TRUE);
  g_auto (GStrv) rules = NULL;

  if (!vm_net_said_add (&said, words, "net set", error))
    return FALSE;
  if (said.mode == VM_NET_NONE || said.mode == VM_NET_HOST)
    return vm_error (error, VM_ERROR_USAGE,
                     "net set: a sandbox that runs cannot get '%s'; to let it reach nothing write 'allow:'",
                     words);
  rules = vm_net_resolve (said.items, NULL, error);
  if (rules == NULL)
    return FALSE;
  for (char **rule = now->rules; *rule != NULL; rule++)
    if (g_str_has_prefix (*rule, HOST_PORT))
      g_ptr_array_add (all, *rule);
  for (char **rule = rules; *rule != NULL; rule++)
    g_ptr_array_add (all, *rule);
  ret->net = said.mode;
  ret->rules = g_strdupv ((char **)all->pdata);
  return TRUE;
}

gboolean
vm_net_change (const VmNetState *now, json_object *arguments, VmNetState *ret, GError **error)
{
  g_auto (VmNetSaid) said = {0};
  g_auto (GStrv) rules = NULL;
  json_object *words = NULL;

  *ret = (VmNetState){0};
  if (arguments != NULL && json_object_object_get_ex (arguments, "set", &words)) {
    const char *text = string_of (words);

    return text != NULL ? set (now, text, ret, error)
                        : vm_error (error, VM_ERROR_USAGE, "'set' is not a string without NUL bytes");
  }
  if (!take_list (&said, arguments, "allow", error) || !take_list (&said, arguments, "deny", error))
    return FALSE;
  if (said.items == NULL)
    return vm_error (error, VM_ERROR_USAGE, "there is nothing to allow or deny; name an item");
  rules = vm_net_resolve (said.items, NULL, error);
  return rules != NULL && join (now, rules, ret, error);
}

static json_object *
rule_to_json (const char *line)
{
  json_object *object = json_object_new_object ();
  g_autofree char *item = NULL;
  const char *text;
  VmNetRule rule;

  if (vm_net_rule_read (line, &rule, &text)) {
    item = vm_net_rule_item (&rule);
    vm_json_add_str (object, "verdict", rule.deny ? "deny" : "allow");
    vm_json_add_str (object, "item", item);
    vm_json_add_str (object, "by", text + (rule.deny ? strlen ("deny:") : 0));
  }
  return object;
}

json_object *
vm_net_state_to_json (const VmNetState *state)
{
  json_object *object = json_object_new_object (), *rules = json_object_new_array (),
              *ports = json_object_new_array ();
  g_autofree char *words = vm_net_to_words (state->net, state->rules);

  vm_json_add_str (object, "net", vm_net_name (state->net));
  vm_json_add_str (object, "words", words);
  for (char **rule = state->rules; *rule != NULL; rule++)
    if (g_str_has_prefix (*rule, HOST_PORT))
      json_object_array_add (ports,
                             json_object_new_int64 (g_ascii_strtoll (*rule + strlen (HOST_PORT), NULL, 10)));
    else
      json_object_array_add (rules, rule_to_json (*rule));
  vm_json_add (object, "rules", rules);
  vm_json_add (object, "host-ports", ports);
  return object;
}
