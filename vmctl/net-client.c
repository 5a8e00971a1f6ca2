/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/net-client.h"

#include <stdio.h>
#include <string.h>

#include "vmctl/base/error.h"
#include "vmctl/base/json.h"
#include "vmctl/client.h"
#include "vmctl/config.h"
#include "vmctl/net-change.h"
#include "vmctl/net-words.h"
#include "vmctl/show.h"
#include "vmctl/table.h"

static void
print_line (const char *label, const char *value)
{
  g_autofree char *shown = vm_show_safe (value, -1);

  printf ("%-12s%s\n", label, shown);
}

static void
print_ports (json_object *state)
{
  json_object *ports = vm_json_array (state, "host-ports");
  g_autoptr (GString) out = g_string_new (NULL);

  for (gsize i = 0; ports != NULL && i < json_object_array_length (ports); i++)
    g_string_append_printf (out, "%s%d", out->len > 0 ? ", " : "",
                            json_object_get_int (json_object_array_get_idx (ports, i)));
  if (out->len > 0)
    print_line ("host ports", out->str);
}

static void
print_rules (json_object *state)
{
  static const char *const headers[] = {"VERDICT", "ITEM", "BY", NULL};
  g_autoptr (VmTable) table = vm_table_new (headers);
  json_object *rules = vm_json_array (state, "rules");

  if (rules == NULL || json_object_array_length (rules) == 0)
    return;
  for (gsize i = 0; i < json_object_array_length (rules); i++) {
    json_object *rule = json_object_array_get_idx (rules, i);

    vm_table_add (table,
                  (const char *const[]){vm_json_str (rule, "verdict", "?"), vm_json_str (rule, "item", "?"),
                                        vm_json_str (rule, "by", "?"), NULL});
  }
  printf ("\n");
  vm_table_print (table);
}

static void
print_state (json_object *state)
{
  const char *fixed = vm_json_str (state, "fixed", NULL);

  print_line ("network", vm_json_str (state, "words", "?"));
  print_ports (state);
  if (fixed != NULL)
    print_line ("", fixed);
  print_rules (state);
}

/* The record of one that has ended says how it was. */
static json_object *
state_of_record (const VmRecord *record)
{
  VmNetState state = {.net = VM_NET_NONE, .rules = record->net_rules};

  (void)vm_net_from_name (record->net != NULL ? record->net : "none", &state.net);
  return vm_net_state_to_json (&state);
}

gboolean
vm_net_show (VmContext *context, const VmRecord *record, gboolean json, GError **error)
{
  g_autoptr (json_object) state = NULL;
  g_autoptr (VmClient) client = NULL;

  if (record->state == VM_STATE_ENDED)
    state = state_of_record (record);
  else if ((client = vm_client_connect (&context->dirs, record->id, error)) != NULL)
    state = vm_client_call (client, "query-net", NULL, error);
  if (state == NULL)
    return FALSE;
  if (json)
    vm_show_json (g_steal_pointer (&state));
  else
    print_state (state);
  return TRUE;
}

/* The supervisor knows the groups that come with vmctl; those of the configuration are known here. */
static gboolean
expand (VmContext *context, char ***items, GError **error)
{
  g_auto (GStrv) groups = NULL;
  char **all;

  if (!vm_config_net_groups (&context->dirs, VMCTL_SYSCONFDIR "/config", &groups, error))
    return FALSE;
  all = vm_net_expand (*items, groups, error);
  if (all == NULL)
    return FALSE;
  g_strfreev (*items);
  *items = all;
  return TRUE;
}

static json_object *
make_set (VmContext *context, char **words, GError **error)
{
  g_auto (VmNetSaid) said = {0};
  g_autofree char *text = NULL;
  json_object *arguments;

  for (char **word = words; *word != NULL; word++)
    if (!vm_net_said_add (&said, *word, "net set", error))
      return NULL;
  if (!expand (context, &said.items, error))
    return NULL;
  text = vm_net_said_to_words (&said);
  arguments = json_object_new_object ();
  vm_json_add_str (arguments, "set", text);
  return arguments;
}

static json_object *
make_lists (VmContext *context, const char *what, char **words, GError **error)
{
  g_auto (VmNetSaid) said = {0};
  json_object *arguments, *list;

  for (char **word = words; *word != NULL; word++)
    if (!vm_net_said_add_item (&said, g_str_equal (what, "deny"), *word, error)) {
      g_prefix_error (error, "net %s: ", what);
      return NULL;
    }
  if (!expand (context, &said.items, error))
    return NULL;
  list = json_object_new_array ();
  for (char **item = said.items; *item != NULL; item++)
    json_object_array_add (list, json_object_new_string (strchr (*item, ':') + 1));
  arguments = json_object_new_object ();
  vm_json_add (arguments, what, list);
  return arguments;
}

gboolean
vm_net_apply (VmContext *context, const VmRecord *record, const char *what, char **words, gboolean json,
              GError **error)
{
  json_object *arguments =
      g_str_equal (what, "set") ? make_set (context, words, error) : make_lists (context, what, words, error);
  g_autoptr (VmClient) client = NULL;
  g_autoptr (json_object) state = NULL;

  if (arguments == NULL)
    return FALSE;
  client = vm_client_connect (&context->dirs, record->id, error);
  if (client == NULL) {
    json_object_put (arguments);
    return FALSE;
  }
  state = vm_client_call (client, "net-change", arguments, error);
  if (state == NULL)
    return FALSE;
  if (json) {
    vm_show_json (g_steal_pointer (&state));
  } else {
    g_autofree char *shown = vm_show_safe (vm_json_str (state, "words", ""), -1);

    printf ("%s\n", shown);
  }
  return TRUE;
}
