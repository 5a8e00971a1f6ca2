/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The schema is an array of entries that name each other (QEMU's docs/devel/qapi-code-gen.rst, "Client JSON
 * Protocol introspection"). They are kept as they are, with an index by name. */
#include "qmp/schema.h"

#include <string.h>

#include "qmp/client.h"
#include "vmctl/base/error.h"
#include "vmctl/base/json.h"

enum { DEPTH_MAX = 64 }; /* a schema that refers to itself ends here */

struct QmpSchema {
  json_object *entries;
  GHashTable *by_name; /* both borrowed from entries */
};

/* One check: where it is, for messages, and how deep. */
typedef struct {
  QmpSchema *schema;
  GString *path;
  guint depth;
  gboolean open; /* unknown members of the outermost object are fine */
} Check;

static gboolean check_value (Check *check, const char *type, json_object *value, GError **error);

QmpSchema *
qmp_schema_new (json_object *entries, GError **error)
{
  g_autoptr (QmpSchema) schema = g_new0 (QmpSchema, 1);

  schema->by_name = g_hash_table_new (g_str_hash, g_str_equal);
  schema->entries = json_object_get (entries);
  if (!json_object_is_type (entries, json_type_array)) {
    vm_error (error, VM_ERROR_INVALID, "a QMP schema must be an array");
    return NULL;
  }
  for (gsize i = 0; i < json_object_array_length (entries); i++) {
    json_object *entry = json_object_array_get_idx (entries, i);
    const char *name;

    if (!vm_json_need_str (entry, "name", &name, error) ||
        !vm_json_need_str (entry, "meta-type", &(const char *){NULL}, error)) {
      g_prefix_error (error, "entry %" G_GSIZE_FORMAT " of the QMP schema: ", i);
      return NULL;
    }
    g_hash_table_insert (schema->by_name, (gpointer)name, entry);
  }
  return g_steal_pointer (&schema);
}

void
qmp_schema_free (QmpSchema *schema)
{
  if (schema == NULL)
    return;
  g_hash_table_unref (schema->by_name);
  json_object_put (schema->entries);
  g_free (schema);
}

/* The entry of that name if it is of that meta-type. */
static json_object *
lookup (QmpSchema *schema, const char *name, const char *meta)
{
  json_object *entry = name != NULL ? g_hash_table_lookup (schema->by_name, name) : NULL;

  return g_strcmp0 (vm_json_str (entry, "meta-type", NULL), meta) == 0 ? entry : NULL;
}

gboolean
qmp_schema_has_command (QmpSchema *schema, const char *command)
{
  return lookup (schema, command, "command") != NULL;
}

gboolean
qmp_schema_has_event (QmpSchema *schema, const char *event)
{
  return lookup (schema, event, "event") != NULL;
}

static gsize
length_of (json_object *array)
{
  return array != NULL ? json_object_array_length (array) : 0;
}

/* The entry of an array whose `key` is the `length` bytes at `name`. */
static json_object *
find (json_object *array, const char *key, const char *name, gsize length)
{
  for (gsize i = 0; i < length_of (array); i++) {
    json_object *entry = json_object_array_get_idx (array, i);
    const char *value = vm_json_str (entry, key, "");

    if (strlen (value) == length && memcmp (value, name, length) == 0)
      return entry;
  }
  return NULL;
}

static gboolean has_path (QmpSchema *schema, const char *type, const char *path, guint depth);

/* TRUE if a type of any entry of `array` has that path. */
static gboolean
any_has_path (QmpSchema *schema, json_object *array, const char *path, guint depth)
{
  for (gsize i = 0; i < length_of (array); i++)
    if (has_path (schema, vm_json_str (json_object_array_get_idx (array, i), "type", NULL), path, depth))
      return TRUE;
  return FALSE;
}

static gboolean
has_path (QmpSchema *schema, const char *type, const char *path, guint depth)
{
  gsize length = strcspn (path, ".");
  json_object *entry, *member;

  if (depth == DEPTH_MAX)
    return FALSE;
  if ((entry = lookup (schema, type, "array")) != NULL)
    return has_path (schema, vm_json_str (entry, "element-type", NULL), path, depth + 1);
  if ((entry = lookup (schema, type, "alternate")) != NULL)
    return any_has_path (schema, vm_json_array (entry, "members"), path, depth + 1);
  if ((entry = lookup (schema, type, "object")) == NULL)
    return FALSE;
  member = find (vm_json_array (entry, "members"), "name", path, length);
  if (member != NULL && (path[length] == '\0' ||
                         has_path (schema, vm_json_str (member, "type", NULL), path + length + 1, depth + 1)))
    return TRUE;
  return any_has_path (schema, vm_json_array (entry, "variants"), path, depth + 1);
}

gboolean
qmp_schema_has_argument (QmpSchema *schema, const char *command, const char *path)
{
  return has_path (schema, vm_json_str (lookup (schema, command, "command"), "arg-type", NULL), path, 0);
}

static gboolean refuse (GError **error, const char *format, ...) G_GNUC_PRINTF (2, 3);

static gboolean
refuse (GError **error, const char *format, ...)
{
  g_autofree char *message = NULL;
  va_list ap;

  va_start (ap, format);
  message = g_strdup_vprintf (format, ap);
  va_end (ap);
  g_set_error_literal (error, QMP_ERROR, QMP_ERROR_GENERIC, message);
  return FALSE;
}

static gboolean
json_type_fits (const char *json_type, json_object *value)
{
  enum json_type type = json_object_get_type (value);

  switch (type) {
  case json_type_null:
    return strcmp (json_type, "null") == 0;
  case json_type_boolean:
    return strcmp (json_type, "boolean") == 0;
  case json_type_double:
    return strcmp (json_type, "number") == 0;
  case json_type_int:
    return strcmp (json_type, "int") == 0 || strcmp (json_type, "number") == 0;
  case json_type_string:
    return strcmp (json_type, "string") == 0;
  case json_type_object:
    return strcmp (json_type, "object") == 0;
  case json_type_array:
    return strcmp (json_type, "array") == 0;
  default:
    return FALSE;
  }
}

/* The JSON type that values of a type have; "value" for any. */
static const char *
json_type_of (QmpSchema *schema, const char *type)
{
  json_object *entry = type != NULL ? g_hash_table_lookup (schema->by_name, type) : NULL;
  const char *meta = vm_json_str (entry, "meta-type", "");

  if (strcmp (meta, "enum") == 0)
    return "string";
  if (strcmp (meta, "object") == 0 || strcmp (meta, "array") == 0)
    return meta;
  return vm_json_str (entry, "json-type", "value");
}

static gsize enter (Check *check, const char *format, ...) G_GNUC_PRINTF (2, 3);

/* Goes to a member; the value returned leads back. */
static gsize
enter (Check *check, const char *format, ...)
{
  gsize before = check->path->len;
  va_list ap;

  va_start (ap, format);
  g_string_append_vprintf (check->path, format, ap);
  va_end (ap);
  return before;
}

/* One member list against `object`: mandatory ones are there, all that are there fit. Adds the names to
 * `known`. */
static gboolean
check_members (Check *check, json_object *members, json_object *object, GHashTable *known, GError **error)
{
  for (gsize i = 0; i < length_of (members); i++) {
    json_object *member = json_object_array_get_idx (members, i);
    const char *name = vm_json_str (member, "name", "");
    gsize before = enter (check, "%s%s", check->path->len > 0 ? "." : "", name);
    json_object *value = NULL;

    g_hash_table_add (known, (gpointer)name);
    if (json_object_object_get_ex (object, name, &value)) {
      if (!check_value (check, vm_json_str (member, "type", NULL), value, error))
        return FALSE;
    } else if (!json_object_object_get_ex (member, "default", NULL)) {
      return refuse (error, "Parameter '%s' is missing", check->path->str);
    }
    g_string_truncate (check->path, before);
  }
  return TRUE;
}

/* An object type with its variants; a variant's members lie in the same JSON object. */
static gboolean
check_layers (Check *check, json_object *entry, json_object *object, GHashTable *known, GError **error)
{
  const char *tag = vm_json_str (entry, "tag", NULL);
  const char *chosen;
  json_object *variant, *layer;

  if (!check_members (check, vm_json_array (entry, "members"), object, known, error))
    return FALSE;
  chosen = tag != NULL ? vm_json_str (object, tag, NULL) : NULL;
  if (chosen == NULL || check->depth >= DEPTH_MAX)
    return TRUE;
  variant = find (vm_json_array (entry, "variants"), "case", chosen, strlen (chosen));
  layer = lookup (check->schema, vm_json_str (variant, "type", NULL), "object");
  if (layer == NULL)
    return TRUE;
  check->depth++;
  if (!check_layers (check, layer, object, known, error))
    return FALSE;
  check->depth--;
  return TRUE;
}

static gboolean
check_object (Check *check, json_object *entry, json_object *object, GError **error)
{
  g_autoptr (GHashTable) known = g_hash_table_new (g_str_hash, g_str_equal);
  gboolean open = check->open;

  check->open = FALSE;
  if (!check_layers (check, entry, object, known, error))
    return FALSE;
  json_object_object_foreach (object, key, value)
  {
    (void)value;
    if (!open && !g_hash_table_contains (known, key))
      return refuse (error, "Parameter '%s%s%s' is unexpected", check->path->str,
                     check->path->len > 0 ? "." : "", key);
  }
  return TRUE;
}

static gboolean
check_array (Check *check, const char *element, json_object *array, GError **error)
{
  for (gsize i = 0; i < json_object_array_length (array); i++) {
    gsize before = enter (check, "[%" G_GSIZE_FORMAT "]", i);

    if (!check_value (check, element, json_object_array_get_idx (array, i), error))
      return FALSE;
    g_string_truncate (check->path, before);
  }
  return TRUE;
}

static gboolean
check_enum (Check *check, json_object *entry, json_object *value, GError **error)
{
  json_object *values = vm_json_array (entry, "values");
  const char *text = json_object_get_string (value);

  for (gsize i = 0; i < length_of (values); i++)
    if (g_strcmp0 (json_object_get_string (json_object_array_get_idx (values, i)), text) == 0)
      return TRUE;
  return refuse (error, "Parameter '%s' does not accept value '%s'", check->path->str, text);
}

/* The branches of an alternate differ in JSON type, so at most one fits. */
static gboolean
check_alternate (Check *check, json_object *entry, json_object *value, GError **error)
{
  json_object *members = vm_json_array (entry, "members");

  for (gsize i = 0; i < length_of (members); i++) {
    const char *type = vm_json_str (json_object_array_get_idx (members, i), "type", NULL);

    if (json_type_fits (json_type_of (check->schema, type), value))
      return check_value (check, type, value, error);
  }
  return refuse (error, "Invalid parameter type for '%s'", check->path->str);
}

static gboolean
check_typed (Check *check, const char *type, json_object *value, GError **error)
{
  const char *json_type = json_type_of (check->schema, type);
  json_object *entry = type != NULL ? g_hash_table_lookup (check->schema->by_name, type) : NULL;
  const char *meta = vm_json_str (entry, "meta-type", "");

  if (strcmp (meta, "alternate") == 0)
    return check_alternate (check, entry, value, error);
  if (strcmp (json_type, "value") == 0)
    return TRUE;
  if (!json_type_fits (json_type, value))
    return refuse (error, "Invalid parameter type for '%s', expected: %s", check->path->str,
                   strcmp (json_type, "int") == 0 ? "integer" : json_type);
  if (strcmp (meta, "object") == 0)
    return check_object (check, entry, value, error);
  if (strcmp (meta, "array") == 0)
    return check_array (check, vm_json_str (entry, "element-type", NULL), value, error);
  if (strcmp (meta, "enum") == 0)
    return check_enum (check, entry, value, error);
  return TRUE;
}

static gboolean
check_value (Check *check, const char *type, json_object *value, GError **error)
{
  gboolean fits;

  if (check->depth >= DEPTH_MAX)
    return refuse (error, "Parameter '%s' is nested too deeply", check->path->str);
  check->depth++;
  fits = check_typed (check, type, value, error);
  check->depth--;
  return fits;
}

gboolean
qmp_schema_check (QmpSchema *schema, const char *command, json_object *arguments, GError **error)
{
  json_object *entry = lookup (schema, command, "command");
  g_autoptr (GString) path = g_string_new (NULL);
  g_autoptr (json_object) none = json_object_new_object ();
  Check check = {.schema = schema, .path = path, .open = g_strcmp0 (command, "device_add") == 0};

  if (entry == NULL) {
    g_set_error (error, QMP_ERROR, QMP_ERROR_COMMAND_NOT_FOUND, "The command %s has not been found", command);
    return FALSE;
  }
  return check_value (&check, vm_json_str (entry, "arg-type", NULL), arguments != NULL ? arguments : none,
                      error);
}
