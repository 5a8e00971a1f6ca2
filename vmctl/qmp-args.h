/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The arguments of a QMP command as people type them. */
#pragma once

#include <glib.h>
#include <json-c/json.h>

/* Words KEY=VALUE, or one word that is a JSON object. A VALUE that is JSON (a number, true, null, an object,
 * a quoted string) is taken as such, all else is a string; KEY may be dotted ("a.b=1" is {"a": {"b": 1}}).
 * (transfer full); NULL with `error` unset: there are no words. */
json_object *vm_qmp_arguments (char **words, GError **error);
