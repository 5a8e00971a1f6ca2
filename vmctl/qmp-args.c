/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/qmp-args.h"

#include <string.h>

#include "vmctl/base/error.h"
#include "vmctl/base/json.h"

static json_object *
parse_value (const char *text)
{
  json_object *value = vm_json_parse (text, strlen (text), NULL);

  /* A JSON null is a NULL pointer for json-c; vm_json_parse cannot tell it from an error. */
  return value != NULL || g_str_equal (text, "null") ? value : json_object_new_string (text);
}

/* The object in which the last part of a dotted key lives. */
static json_object *
descend (json_object *object, char **parts, const char *key, GError **error)
{
  for (; parts[1] != NULL; parts++) {
    json_object *inner = NULL;

    if (!json_object_object_get_ex (object, *parts, &inner)) {
      inner = json_object_new_object ();
      vm_json_add (object, *parts, inner);
    } else if (!json_object_is_type (inner, json_type_object)) {
      vm_error (error, VM_ERROR_USAGE, "'%s': '%s' has a value already and cannot hold others", key, *parts);
      return NULL;
    }
    object = inner;
  }
  return object;
}

static gboolean
add_word (json_object *object, const char *word, GError **error)
{
  const char *equals = strchr (word, '=');
  g_autofree char *key = equals != NULL ? g_strndup (word, (gsize)(equals - word)) : NULL;
  g_auto (GStrv) parts = key != NULL ? g_strsplit (key, ".", -1) : NULL;
  const char *last;

  if (key == NULL)
    return vm_error (error, VM_ERROR_USAGE, "'%s' is neither KEY=VALUE nor a JSON object", word);
  if (!g_utf8_validate (word, -1, NULL))
    return vm_error (error, VM_ERROR_USAGE, "an argument is not UTF-8");
  for (char **part = parts; *part != NULL; part++)
    if (**part == '\0')
      return vm_error (error, VM_ERROR_USAGE, "'%s': a part of the key is empty", word);
  if (*key == '\0')
    return vm_error (error, VM_ERROR_USAGE, "'%s': the key is empty", word);
  object = descend (object, parts, key, error);
  if (object == NULL)
    return FALSE;
  last = parts[g_strv_length (parts) - 1];
  if (json_object_object_get_ex (object, last, NULL))
    return vm_error (error, VM_ERROR_USAGE, "'%s' is given twice", key);
  vm_json_add (object, last, parse_value (equals + 1));
  return TRUE;
}

static json_object *
parse_object (const char *text, GError **error)
{
  g_autoptr (json_object) object = vm_json_parse (text, strlen (text), error);

  if (object == NULL) {
    g_prefix_error (error, "the arguments are not JSON: ");
    return NULL;
  }
  if (!json_object_is_type (object, json_type_object)) {
    vm_error (error, VM_ERROR_USAGE, "the arguments must be a JSON object");
    return NULL;
  }
  return g_steal_pointer (&object);
}

json_object *
vm_qmp_arguments (char **words, GError **error)
{
  g_autoptr (json_object) object = NULL;

  if (*words == NULL)
    return NULL;
  if (words[1] == NULL && words[0][strspn (words[0], " \t\n")] == '{')
    return parse_object (words[0], error);
  object = json_object_new_object ();
  for (; *words != NULL; words++)
    if (!add_word (object, *words, error))
      return NULL;
  return g_steal_pointer (&object);
}
