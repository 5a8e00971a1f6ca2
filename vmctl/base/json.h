/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* json-c, with its two traps shut: depth (32 is too little for QEMU) and strings cut at an embedded NUL. */
#pragma once

#include <glib.h>
#include <json-c/json.h>

G_DEFINE_AUTOPTR_CLEANUP_FUNC (json_object, json_object_put)

enum { VM_JSON_DEPTH = 256 };

/* Parses exactly one JSON value: strict, UTF-8 checked, at most VM_JSON_DEPTH deep, nothing but white space
 * after it, no string or key with an embedded NUL, no NaN or infinity. (Strict as json-c is: it takes control
 * bytes inside strings.) Of a key given twice the last one counts. (transfer full) NULL and VM_ERROR_INVALID
 * otherwise; NULL without an error is the value `null`. */
json_object *vm_json_parse (const char *text, gsize length, GError **error);
/* The same for text that must be an object: NULL always comes with an error. */
json_object *vm_json_parse_object (const char *text, gsize length, GError **error);

/* A string value: `text` where it is UTF-8, else with its bytes escaped as vm_escape_terminal does. */
json_object *vm_json_new_text (const char *text);

/* Lookups by key in `object` (may be NULL: not found). The first form is for optional members: the default
 * comes back where the member is absent or of another type. Strings are borrowed from the object. */
const char *vm_json_str (json_object *object, const char *key, const char *fallback);
gint64 vm_json_int (json_object *object, const char *key, gint64 fallback);
gboolean vm_json_bool (json_object *object, const char *key, gboolean fallback);
json_object *
vm_json_object (json_object *object, const char *key);             /* borrowed; NULL if absent or no object */
json_object *vm_json_array (json_object *object, const char *key); /* borrowed; NULL if absent or no array */

/* Required members: FALSE and an error that names the key. */
gboolean vm_json_need_str (json_object *object, const char *key, const char **ret, GError **error);
gboolean vm_json_need_int (json_object *object, const char *key, gint64 *ret, GError **error);

/* Adders that read well; a NULL string adds nothing. `add` takes the child. */
void vm_json_add (json_object *object, const char *key, json_object *take_child);
void vm_json_add_str (json_object *object, const char *key, const char *value);
void vm_json_add_int (json_object *object, const char *key, gint64 value);
void vm_json_add_bool (json_object *object, const char *key, gboolean value);
void vm_json_add_strv (json_object *object, const char *key, const char *const *value);

/* A new NULL-terminated copy of an array of strings (other members are skipped). (transfer full) */
char **vm_json_dup_strv (json_object *array);

/* One line, no spaces. (transfer full) */
char *vm_json_line (json_object *object);
/* Indented, for people and files, with a newline at the end. (transfer full) */
char *vm_json_pretty (json_object *object);
