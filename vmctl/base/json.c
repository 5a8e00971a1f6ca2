/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/base/json.h"

#include <math.h>
#include <string.h>

#include "vmctl/base/error.h"
#include "vmctl/base/escape.h"

/* json-c hands out C strings; "evil.com\u0000.github.com" would be read as "evil.com". Keys have the same
 * trap, but no length: a NUL in a key can only be seen in the text, as \u0000 or as the byte, so the text is
 * searched for those. */
static gboolean
values_are_sound (json_object *value, GError **error)
{
  switch (json_object_get_type (value)) {
  case json_type_string:
    if (strlen (json_object_get_string (value)) != (gsize)json_object_get_string_len (value))
      return vm_error (error, VM_ERROR_INVALID, "JSON string with an embedded NUL");
    return TRUE;
  case json_type_double:
    if (!isfinite (json_object_get_double (value)))
      return vm_error (error, VM_ERROR_INVALID, "JSON number that is not finite");
    return TRUE;
  case json_type_array:
    for (gsize i = 0; i < json_object_array_length (value); i++)
      if (!values_are_sound (json_object_array_get_idx (value, i), error))
        return FALSE;
    return TRUE;
  case json_type_object: {
    json_object_object_foreach (value, key, member)
    {
      (void)key;
      if (!values_are_sound (member, error))
        return FALSE;
    }
    return TRUE;
  }
  case json_type_null:
  case json_type_boolean:
  case json_type_int:
  default:
    return TRUE;
  }
}

/* TRUE if the text has an escaped NUL: \u0000 after an even number of backslashes. */
static gboolean
has_escaped_nul (const char *text, gsize length)
{
  const char *end = text + length;

  for (const char *p = text; (p = memchr (p, '\\', (gsize)(end - p))) != NULL; p += 2) {
    if (end - p >= 6 && memcmp (p, "\\u0000", 6) == 0)
      return TRUE;
    if (end - p < 2)
      return FALSE;
  }
  return FALSE;
}

json_object *
vm_json_parse (const char *text, gsize length, GError **error)
{
  struct json_tokener *tokener;
  g_autoptr (json_object) value = NULL;
  enum json_tokener_error why;
  gsize used;

  if (length > (1 << 30) || memchr (text, '\0', length) != NULL || has_escaped_nul (text, length)) {
    vm_error (error, VM_ERROR_INVALID, "JSON with an embedded NUL, or larger than 1 GiB");
    return NULL;
  }
  /* json-c's own check lets overlong forms and surrogates through. */
  if (!g_utf8_validate (text, (gssize)length, NULL)) {
    vm_error (error, VM_ERROR_INVALID, "JSON that is not UTF-8");
    return NULL;
  }
  tokener = json_tokener_new_ex (VM_JSON_DEPTH);
  json_tokener_set_flags (tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
  value = json_tokener_parse_ex (tokener, text, (int)length);
  why = json_tokener_get_error (tokener);
  /* A bare number at the end of the text only ends when told so. */
  if (why == json_tokener_continue)
    value = json_tokener_parse_ex (tokener, "", 1), why = json_tokener_get_error (tokener);
  used = MIN (json_tokener_get_parse_end (tokener), length);
  json_tokener_free (tokener);
  if (why != json_tokener_success) {
    vm_error (error, VM_ERROR_INVALID, "bad JSON at byte %" G_GSIZE_FORMAT ": %s", used,
              json_tokener_error_desc (why));
    return NULL;
  }
  if (!values_are_sound (value, error))
    return NULL;
  return g_steal_pointer (&value);
}

json_object *
vm_json_parse_object (const char *text, gsize length, GError **error)
{
  GError *why = NULL;
  g_autoptr (json_object) value = vm_json_parse (text, length, &why);

  if (why == NULL && !json_object_is_type (value, json_type_object))
    vm_error (&why, VM_ERROR_INVALID, "not a JSON object");
  if (why == NULL)
    return g_steal_pointer (&value);
  g_propagate_error (error, why);
  return NULL;
}

json_object *
vm_json_new_text (const char *text)
{
  g_autofree char *shown = NULL;

  if (g_utf8_validate (text, -1, NULL))
    return json_object_new_string (text);
  shown = vm_escape_terminal (text, -1, -1);
  return json_object_new_string (shown);
}

static json_object *
member (json_object *object, const char *key, enum json_type type)
{
  json_object *value;

  if (object == NULL || !json_object_is_type (object, json_type_object) ||
      !json_object_object_get_ex (object, key, &value) || !json_object_is_type (value, type))
    return NULL;
  return value;
}

const char *
vm_json_str (json_object *object, const char *key, const char *fallback)
{
  json_object *value = member (object, key, json_type_string);

  return value != NULL ? json_object_get_string (value) : fallback;
}

gint64
vm_json_int (json_object *object, const char *key, gint64 fallback)
{
  json_object *value = member (object, key, json_type_int);

  return value != NULL ? json_object_get_int64 (value) : fallback;
}

gboolean
vm_json_bool (json_object *object, const char *key, gboolean fallback)
{
  json_object *value = member (object, key, json_type_boolean);

  return value != NULL ? json_object_get_boolean (value) != 0 : fallback;
}

json_object *
vm_json_object (json_object *object, const char *key)
{
  return member (object, key, json_type_object);
}

json_object *
vm_json_array (json_object *object, const char *key)
{
  return member (object, key, json_type_array);
}

gboolean
vm_json_need_str (json_object *object, const char *key, const char **ret, GError **error)
{
  json_object *value = member (object, key, json_type_string);

  if (value == NULL)
    return vm_error (error, VM_ERROR_INVALID, "'%s' is missing or not a string", key);
  *ret = json_object_get_string (value);
  return TRUE;
}

gboolean
vm_json_need_int (json_object *object, const char *key, gint64 *ret, GError **error)
{
  json_object *value = member (object, key, json_type_int);

  if (value == NULL)
    return vm_error (error, VM_ERROR_INVALID, "'%s' is missing or not a whole number", key);
  *ret = json_object_get_int64 (value);
  return TRUE;
}

void
vm_json_add (json_object *object, const char *key, json_object *take_child)
{
  json_object_object_add (object, key, take_child);
}

void
vm_json_add_str (json_object *object, const char *key, const char *value)
{
  if (value != NULL)
    json_object_object_add (object, key, vm_json_new_text (value));
}

void
vm_json_add_int (json_object *object, const char *key, gint64 value)
{
  json_object_object_add (object, key, json_object_new_int64 (value));
}

void
vm_json_add_bool (json_object *object, const char *key, gboolean value)
{
  json_object_object_add (object, key, json_object_new_boolean (value));
}

void
vm_json_add_strv (json_object *object, const char *key, const char *const *value)
{
  json_object *array = json_object_new_array ();

  for (; value != NULL && *value != NULL; value++)
    json_object_array_add (array, vm_json_new_text (*value));
  json_object_object_add (object, key, array);
}

char **
vm_json_dup_strv (json_object *array)
{
  g_autoptr (GPtrArray) out = g_ptr_array_new_null_terminated (8, g_free, TRUE);

  for (gsize i = 0; array != NULL && i < json_object_array_length (array); i++) {
    json_object *value = json_object_array_get_idx (array, i);

    if (json_object_is_type (value, json_type_string))
      g_ptr_array_add (out, g_strdup (json_object_get_string (value)));
  }
  g_ptr_array_set_free_func (out, NULL);
  return (char **)g_ptr_array_free (g_steal_pointer (&out), FALSE);
}

char *
vm_json_line (json_object *object)
{
  return g_strdup (
      json_object_to_json_string_ext (object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
}

char *
vm_json_pretty (json_object *object)
{
  return g_strconcat (json_object_to_json_string_ext (object, JSON_C_TO_STRING_PRETTY |
                                                                  JSON_C_TO_STRING_SPACED |
                                                                  JSON_C_TO_STRING_NOSLASHESCAPE),
                      "\n", NULL);
}
