/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a QEMU can do, from its own query-qmp-schema: commands, arguments, events; and whether a command's
 * arguments fit. Features are probed here, never by version. */
#pragma once

#include <glib.h>
#include <json-c/json.h>

typedef struct QmpSchema QmpSchema;

/* `schema` is the "return" of query-qmp-schema; borrowed (a reference is kept). NULL and VM_ERROR_INVALID if
 * it is none. */
QmpSchema *qmp_schema_new (json_object *schema, GError **error);
void qmp_schema_free (QmpSchema *schema); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC (QmpSchema, qmp_schema_free)

gboolean qmp_schema_has_command (QmpSchema *schema, const char *command);
gboolean qmp_schema_has_event (QmpSchema *schema, const char *event);
/* `path` names a member of the arguments: "device", or "backend.data.addr.host" through objects (also those
 * of any variant), arrays (their elements) and alternates. */
gboolean qmp_schema_has_argument (QmpSchema *schema, const char *command, const char *path);

/* Whether QEMU would take these arguments (NULL: none) as far as the schema can tell: no unknown member, no
 * mandatory one missing, the right JSON types, enumeration values, variants. `error` is QMP_ERROR in QEMU's
 * words: COMMAND_NOT_FOUND or GENERIC. device_add takes any further member: they are the device's properties,
 * which the schema does not list. */
gboolean qmp_schema_check (QmpSchema *schema, const char *command, json_object *arguments, GError **error);
