/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/net-words.h"

#include <string.h>

#include "vmctl/base/error.h"
#include "vmctl/base/escape.h"
#include "vmctl/net-groups.h"
#include "vmctl/net-rule.h"

static const char *const names[] = {NULL, "none", "public", "list", "host"};

const char *
vm_net_name (VmNet net)
{
  g_assert ((gsize)net < G_N_ELEMENTS (names));
  return names[net];
}

gboolean
vm_net_from_name (const char *name, VmNet *ret)
{
  for (gsize i = VM_NET_NONE; i < G_N_ELEMENTS (names); i++)
    if (g_str_equal (name, names[i])) {
      *ret = (VmNet)i;
      return TRUE;
    }
  return FALSE;
}

void
vm_net_said_clear (VmNetSaid *said)
{
  g_strfreev (said->items);
  *said = (VmNetSaid){0};
}

static gboolean
check_item (const char *item, gboolean deny, GError **error)
{
  g_autofree char *shown = NULL;
  VmNetRule rule;
  VmNet mode;

  if (vm_net_from_name (item, &mode))
    return vm_error (error, VM_ERROR_USAGE, "'%s' is a network and no item of a list; write --net %s", item,
                     item);
  if (*item != '@')
    return vm_net_rule_parse (item, deny, &rule, error);
  if (vm_net_group_is_name (item + 1))
    return TRUE;
  shown = vm_escape_terminal (item, -1, -1);
  return vm_error (error, VM_ERROR_USAGE,
                   "'%s' is no group; write '@' and its name alone: it has its ports with it", shown);
}

gboolean
vm_net_said_add_item (VmNetSaid *said, gboolean deny, const char *item, GError **error)
{
  guint n = said->items != NULL ? g_strv_length (said->items) : 0;

  if (!check_item (item, deny, error))
    return FALSE;
  if (n == VM_NET_RULES_MAX)
    return vm_error (error, VM_ERROR_USAGE, "more than %d items; name networks or *.NAME instead",
                     VM_NET_RULES_MAX);
  said->items = g_renew (char *, said->items, n + 2);
  said->items[n] = g_strconcat (deny ? "deny:" : "allow:", item, NULL);
  said->items[n + 1] = NULL;
  if (said->mode == VM_NET_DEFAULT || (!deny && !said->says_public))
    said->mode = deny ? VM_NET_PUBLIC : VM_NET_LIST;
  return TRUE;
}

static gboolean
take_mode (VmNetSaid *said, const char *word, gboolean *ret_known, GError **error)
{
  VmNet mode = VM_NET_DEFAULT;

  *ret_known = vm_net_from_name (word, &mode) && mode != VM_NET_LIST;
  if (!*ret_known)
    return TRUE;
  if (said->mode != mode && ((said->mode == VM_NET_NONE || said->mode == VM_NET_HOST) ||
                             (said->mode != VM_NET_DEFAULT && mode != VM_NET_PUBLIC)))
    return vm_error (error, VM_ERROR_USAGE, "'none' and 'host' stand alone; leave '%s' or the others out",
                     word);
  said->mode = mode;
  said->says_public |= mode == VM_NET_PUBLIC;
  return TRUE;
}

typedef enum { LIST_NONE, LIST_ALLOW, LIST_DENY } List;

/* "allow:" alone is an empty list. */
static gboolean
begin_list (VmNetSaid *said, List list, const char *rest, gboolean is_last, GError **error)
{
  if (*rest != '\0')
    return vm_net_said_add_item (said, list == LIST_DENY, rest, error);
  if (list == LIST_DENY || !is_last)
    return vm_error (error, VM_ERROR_USAGE, "an item is empty; take the comma away, or write it");
  if (!said->says_public)
    said->mode = VM_NET_LIST;
  return TRUE;
}

static gboolean
take_word (VmNetSaid *said, const char *word, gboolean is_last, List *list, GError **error)
{
  gboolean known;

  if (said->mode != VM_NET_NONE && said->mode != VM_NET_HOST) {
    if (g_str_has_prefix (word, "allow:"))
      return begin_list (said, *list = LIST_ALLOW, word + strlen ("allow:"), is_last, error);
    if (g_str_has_prefix (word, "deny:"))
      return begin_list (said, *list = LIST_DENY, word + strlen ("deny:"), is_last, error);
  }
  if (!take_mode (said, word, &known, error))
    return FALSE;
  if (known)
    return TRUE;
  if (said->mode == VM_NET_NONE || said->mode == VM_NET_HOST)
    return vm_error (error, VM_ERROR_USAGE, "'%s' stands alone; leave it or the others out",
                     vm_net_name (said->mode));
  if (*list == LIST_NONE) {
    g_autofree char *shown = vm_escape_terminal (word, -1, -1);

    return vm_error (error, VM_ERROR_USAGE,
                     "'%s' is not a network; write 'none', 'public', 'host', allow:LIST or deny:LIST", shown);
  }
  if (*word == '\0')
    return vm_error (error, VM_ERROR_USAGE, "an item is empty; take the comma away, or write it");
  return vm_net_said_add_item (said, *list == LIST_DENY, word, error);
}

gboolean
vm_net_said_add (VmNetSaid *said, const char *text, const char *what, GError **error)
{
  g_auto (GStrv) words = g_strsplit (text, ",", -1);
  g_auto (VmNetSaid)
      all = {.mode = said->mode, .says_public = said->says_public, .items = g_strdupv (said->items)};
  List list = LIST_NONE;

  if (*words == NULL)
    return vm_error (error, VM_ERROR_USAGE,
                     "%s: '' is not a network; write 'none', 'public', 'host', allow:LIST or deny:LIST",
                     what);
  for (char **word = words; *word != NULL; word++)
    if (!take_word (&all, *word, word[1] == NULL, &list, error)) {
      g_prefix_error (error, "%s: ", what);
      return FALSE;
    }
  vm_net_said_clear (said);
  *said = all;
  all = (VmNetSaid){0};
  return TRUE;
}

/* Rules */

/* `text` NULL: the item itself. */
static gboolean
add_rule (GPtrArray *out, gboolean deny, const char *item, const char *text, GError **error)
{
  g_autofree char *plain = NULL, *told = NULL, *line = NULL;
  VmNetRule rule;

  if (!vm_net_rule_parse (item, deny, &rule, error))
    return FALSE;
  plain = vm_net_rule_item (&rule);
  told = g_strconcat (deny ? "deny:" : "", text != NULL ? text : plain, NULL);
  line = vm_net_rule_line (&rule, told);
  if (g_ptr_array_find_with_equal_func (out, line, g_str_equal, NULL))
    return TRUE;
  if (out->len == VM_NET_RULES_MAX)
    return vm_error (error, VM_ERROR_USAGE, "more than %d rules; name networks or *.NAME instead",
                     VM_NET_RULES_MAX);
  g_ptr_array_add (out, g_steal_pointer (&line));
  return TRUE;
}

static gboolean
add_group (GPtrArray *out, gboolean deny, const char *word, char **groups, GError **error)
{
  g_auto (GStrv) items = vm_net_group_items (groups, word + 1, error);

  for (char **item = items; items != NULL && *item != NULL; item++)
    if (!add_rule (out, deny, *item, word, error)) {
      g_prefix_error (error, "group '%s': ", word);
      return FALSE;
    }
  return items != NULL;
}

char **
vm_net_resolve (char **items, char **groups, GError **error)
{
  g_autoptr (GPtrArray) out = g_ptr_array_new_null_terminated (8, g_free, TRUE);

  for (; items != NULL && *items != NULL; items++) {
    gboolean deny = g_str_has_prefix (*items, "deny:");
    const char *item = strchr (*items, ':') + 1;

    if (!(*item == '@' ? add_group (out, deny, item, groups, error)
                       : add_rule (out, deny, item, NULL, error)))
      return NULL;
  }
  return (char **)g_ptr_array_free (g_steal_pointer (&out), FALSE);
}

static gboolean
is_configured (char **groups, const char *name)
{
  gsize length = strlen (name);

  for (; groups != NULL && *groups != NULL; groups++)
    if (strncmp (*groups, name, length) == 0 && (*groups)[length] == '=')
      return TRUE;
  return FALSE;
}

char **
vm_net_expand (char **items, char **groups, GError **error)
{
  g_autoptr (GPtrArray) out = g_ptr_array_new_null_terminated (8, g_free, TRUE);

  for (; items != NULL && *items != NULL; items++) {
    gboolean deny = g_str_has_prefix (*items, "deny:");
    const char *item = strchr (*items, ':') + 1;
    g_auto (GStrv) members = *item == '@' ? vm_net_group_items (groups, item + 1, error) : NULL;

    if (*item == '@' && members == NULL)
      return NULL;
    if (members == NULL || !is_configured (groups, item + 1)) {
      g_ptr_array_add (out, g_strdup (*items));
      continue;
    }
    for (char **member = members; *member != NULL; member++)
      g_ptr_array_add (out, g_strconcat (deny ? "deny:" : "allow:", *member, NULL));
  }
  return (char **)g_ptr_array_free (g_steal_pointer (&out), FALSE);
}

char *
vm_net_said_to_words (const VmNetSaid *said)
{
  GString *out = g_string_new (NULL);

  if (said->mode == VM_NET_NONE || said->mode == VM_NET_HOST || said->says_public)
    g_string_append (out, vm_net_name (said->mode));
  for (char **item = said->items; item != NULL && *item != NULL; item++)
    g_string_append_printf (out, "%s%s", out->len > 0 ? "," : "", *item);
  if (said->mode == VM_NET_LIST && (said->items == NULL || strstr (out->str, "allow:") == NULL))
    g_string_append_printf (out, "%sallow:", out->len > 0 ? "," : "");
  return g_string_free (out, FALSE);
}

char *
vm_net_host_port (const char *text, const char *what, GError **error)
{
  guint64 port;

  if (g_ascii_string_to_unsigned (text, 10, 1, G_MAXUINT16, &port, NULL))
    return g_strdup_printf ("hostport %u", (guint)port);
  vm_error (error, VM_ERROR_USAGE, "%s: '%s' is no port of this host; write a number from 1 to 65535", what,
            text);
  return NULL;
}

/* A group that has many rules is said once. */
static void
add_words (GString *out, char **rules, gboolean deny)
{
  g_autoptr (GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);
  const char *text;
  VmNetRule rule;

  for (; rules != NULL && *rules != NULL; rules++) {
    if (!vm_net_rule_read (*rules, &rule, &text) || rule.deny != deny)
      continue;
    text += deny && g_str_has_prefix (text, "deny:") ? strlen ("deny:") : 0;
    if (!g_hash_table_add (seen, (gpointer)text))
      continue;
    g_string_append_printf (out, "%s%s",
                            g_hash_table_size (seen) > 1 ? ","
                            : deny                       ? "deny:"
                                                         : "allow:",
                            text);
  }
}

char *
vm_net_to_words (VmNet net, char **rules)
{
  g_autoptr (GString) allow = g_string_new (NULL), deny = g_string_new (NULL);
  GString *out = g_string_new (NULL);

  if (net == VM_NET_NONE || net == VM_NET_HOST) {
    g_string_append (out, vm_net_name (net));
    return g_string_free (out, FALSE);
  }
  add_words (allow, rules, FALSE);
  add_words (deny, rules, TRUE);
  if (net != VM_NET_LIST)
    g_string_append (out, "public");
  else if (allow->len == 0)
    g_string_append (out, "allow:");
  g_string_append_printf (out, "%s%s", out->len > 0 && allow->len > 0 ? "," : "", allow->str);
  g_string_append_printf (out, "%s%s", out->len > 0 && deny->len > 0 ? "," : "", deny->str);
  return g_string_free (out, FALSE);
}

char *
vm_net_name_to_words (const char *name, char **rules)
{
  VmNet net = VM_NET_NONE;

  return name == NULL || vm_net_from_name (name, &net) ? vm_net_to_words (net, rules) : g_strdup (name);
}
