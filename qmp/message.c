/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How the reader works: `bytes` holds what was fed and not yet handed out. `at` is the next byte to scan,
 * `start` the first byte of the message that is being scanned; blanks before a message are dropped at once,
 * so start == at means that none has begun. Each byte is scanned once, whatever the pieces. What was handed
 * out is cut off the front when it is the larger half, so moving costs no more than reading did. */
#include "qmp/message.h"

#include <string.h>

#include "qmp/scanner.h"
#include "vmctl/base/json.h"

enum { KEEP_CAPACITY = 1 << 20 };

struct QmpReader {
  GByteArray *bytes;
  gsize start;
  gsize at;
  gsize largest;       /* of `bytes` since it was allocated */
  gboolean line_blank; /* only blanks since the last newline */
  gboolean skipping;   /* up to the next newline */
  gboolean too_long;
  QmpScan scan;
};

/* clang-format off */
G_DEFINE_QUARK (qmp-error, qmp_error)
/* clang-format on */

static const char *const class_names[] = {
    [QMP_ERROR_GENERIC] = "GenericError",
    [QMP_ERROR_COMMAND_NOT_FOUND] = "CommandNotFound",
    [QMP_ERROR_DEVICE_NOT_ACTIVE] = "DeviceNotActive",
    [QMP_ERROR_DEVICE_NOT_FOUND] = "DeviceNotFound",
    [QMP_ERROR_KVM_MISSING_CAP] = "KVMMissingCap",
};

const char *
qmp_error_class (const GError *error)
{
  if (error == NULL || error->domain != QMP_ERROR || (guint)error->code >= G_N_ELEMENTS (class_names))
    return NULL;
  return class_names[error->code];
}

QmpErrorCode
qmp_error_code (const char *class_name)
{
  for (guint i = 0; i < G_N_ELEMENTS (class_names); i++)
    if (g_strcmp0 (class_name, class_names[i]) == 0)
      return (QmpErrorCode)i;
  return QMP_ERROR_GENERIC;
}

QmpReader *
qmp_reader_new (void)
{
  QmpReader *reader = g_new0 (QmpReader, 1);

  reader->bytes = g_byte_array_new ();
  reader->line_blank = TRUE;
  return reader;
}

void
qmp_reader_free (QmpReader *reader)
{
  if (reader == NULL)
    return;
  g_byte_array_unref (reader->bytes);
  g_free (reader);
}

/* Cuts off what is done with. All input has been scanned, so what is left is the beginning of one message,
 * and it moves at most once. */
static void
compact (QmpReader *reader)
{
  if (reader->start == reader->bytes->len && reader->largest > KEEP_CAPACITY) {
    g_byte_array_unref (reader->bytes);
    reader->bytes = g_byte_array_new ();
    reader->largest = 0;
  } else {
    g_byte_array_remove_range (reader->bytes, 0, (guint)reader->start);
  }
  reader->at -= reader->start;
  reader->start = 0;
}

void
qmp_reader_feed (QmpReader *reader, const void *data, gsize length)
{
  if (reader->too_long || length == 0)
    return;
  g_byte_array_append (reader->bytes, data, (guint)length);
  reader->largest = MAX (reader->largest, reader->bytes->len);
}

gboolean
qmp_reader_is_partial (QmpReader *reader)
{
  return reader->at > reader->start;
}

static void
restart_at (QmpReader *reader, gsize position)
{
  reader->start = reader->at = position;
  memset (&reader->scan, 0, G_STRUCT_OFFSET (QmpScan, is_object));
}

static void
note_line (QmpReader *reader, char byte)
{
  if (byte == '\n')
    reader->line_blank = TRUE;
  else if (byte != ' ' && byte != '\t' && byte != '\r')
    reader->line_blank = FALSE;
}

static QmpRead
finish_message (QmpReader *reader, json_object **ret, GError **error)
{
  const char *text = (const char *)reader->bytes->data + reader->start;
  g_autoptr (GError) why = NULL;
  json_object *message = vm_json_parse (text, reader->at - reader->start, &why);

  restart_at (reader, reader->at);
  if (why == NULL) {
    *ret = message;
    return QMP_READ_MESSAGE;
  }
  g_set_error_literal (error, QMP_ERROR, QMP_ERROR_PROTOCOL, why->message);
  return QMP_READ_BAD;
}

/* The byte at `at` cannot be: says so, and finds where to go on. */
static QmpRead
refuse (QmpReader *reader, char byte, GError **error)
{
  gsize offset = reader->at - reader->start;

  if (reader->scan.values > QMP_SCAN_VALUES_MAX)
    g_set_error (error, QMP_ERROR, QMP_ERROR_PROTOCOL, "more than %d JSON values", QMP_SCAN_VALUES_MAX);
  else if (reader->scan.depth == VM_JSON_DEPTH && (byte == '{' || byte == '['))
    g_set_error (error, QMP_ERROR, QMP_ERROR_PROTOCOL, "JSON nested deeper than %d", VM_JSON_DEPTH);
  else
    g_set_error (error, QMP_ERROR, QMP_ERROR_PROTOCOL, "unexpected byte 0x%02x at %" G_GSIZE_FORMAT,
                 (guchar)byte, offset);
  if (byte == '{' && reader->line_blank) {
    restart_at (reader, reader->at);
  } else {
    reader->skipping = (guchar)byte != 0xff && byte != '\n';
    note_line (reader, byte);
    restart_at (reader, reader->at + 1);
  }
  return QMP_READ_BAD;
}

static void
skip (QmpReader *reader)
{
  const guint8 *from = reader->bytes->data + reader->at;
  const guint8 *newline = memchr (from, '\n', reader->bytes->len - reader->at);

  reader->skipping = newline == NULL;
  reader->line_blank = newline != NULL;
  restart_at (reader, newline != NULL ? reader->at + (gsize)(newline - from) + 1 : reader->bytes->len);
}

/* TRUE if the byte decided something; *result is what. */
static gboolean
scan_byte (QmpReader *reader, QmpRead *result, json_object **ret, GError **error)
{
  char byte = (char)reader->bytes->data[reader->at];

  if (!qmp_reader_is_partial (reader) && strchr (" \t\r\n", byte) != NULL && byte != '\0') {
    note_line (reader, byte);
    reader->start = ++reader->at;
    return FALSE;
  }
  if (reader->at - reader->start >= QMP_LINE_MAX) {
    reader->too_long = TRUE;
    return FALSE;
  }
  switch (qmp_scan (&reader->scan, byte)) {
  case QMP_SCAN_DONE:
    note_line (reader, byte);
    reader->at++;
    *result = finish_message (reader, ret, error);
    return TRUE;
  case QMP_SCAN_DONE_BEFORE:
    *result = finish_message (reader, ret, error);
    return TRUE;
  case QMP_SCAN_BAD:
    *result = refuse (reader, byte, error);
    return TRUE;
  case QMP_SCAN_MORE:
  default:
    note_line (reader, byte);
    reader->at++;
    return FALSE;
  }
}

QmpRead
qmp_reader_next (QmpReader *reader, json_object **ret, GError **error)
{
  QmpRead result = QMP_READ_NONE;

  *ret = NULL;
  while (!reader->too_long && reader->at < reader->bytes->len) {
    if (reader->skipping)
      skip (reader);
    else if (scan_byte (reader, &result, ret, error))
      return result;
  }
  if (reader->too_long) {
    g_byte_array_set_size (reader->bytes, 0);
    reader->start = reader->at = 0;
    g_set_error (error, QMP_ERROR, QMP_ERROR_PROTOCOL, "a message of more than %d bytes", QMP_LINE_MAX);
    return QMP_READ_TOO_LONG;
  }
  compact (reader);
  return QMP_READ_NONE;
}

QmpKind
qmp_message_kind (json_object *message)
{
  if (!json_object_is_type (message, json_type_object))
    return QMP_KIND_UNKNOWN;
  if (json_object_object_get_ex (message, "QMP", NULL))
    return QMP_KIND_GREETING;
  if (json_object_object_get_ex (message, "error", NULL))
    return QMP_KIND_ERROR;
  if (json_object_object_get_ex (message, "return", NULL))
    return QMP_KIND_RETURN;
  if (vm_json_str (message, "event", NULL) != NULL)
    return QMP_KIND_EVENT;
  if (json_object_object_get_ex (message, "execute", NULL))
    return QMP_KIND_COMMAND;
  return QMP_KIND_UNKNOWN;
}

static gboolean refuse_command (GError **error, const char *format, ...) G_GNUC_PRINTF (2, 3);

static gboolean
refuse_command (GError **error, const char *format, ...)
{
  g_autofree char *desc = NULL;
  va_list ap;

  va_start (ap, format);
  desc = g_strdup_vprintf (format, ap);
  va_end (ap);
  g_set_error_literal (error, QMP_ERROR, QMP_ERROR_GENERIC, desc);
  return FALSE;
}

/* The checks of QEMU's qapi/qmp-dispatch.c, in its order and words. */
gboolean
qmp_message_check_command (json_object *message, GError **error)
{
  if (!json_object_is_type (message, json_type_object))
    return refuse_command (error, "QMP input must be a JSON object");
  json_object_object_foreach (message, key, value)
  {
    if (strcmp (key, "execute") == 0) {
      if (!json_object_is_type (value, json_type_string))
        return refuse_command (error, "QMP input member 'execute' must be a string");
    } else if (strcmp (key, "arguments") == 0) {
      if (!json_object_is_type (value, json_type_object))
        return refuse_command (error, "QMP input member 'arguments' must be an object");
    } else if (strcmp (key, "id") != 0) {
      return refuse_command (error, "QMP input member '%s' is unexpected", key);
    }
  }
  if (vm_json_str (message, "execute", NULL) == NULL)
    return refuse_command (error, "QMP input lacks member 'execute'");
  return TRUE;
}

gboolean
qmp_message_check_capabilities (json_object *message, GError **error)
{
  json_object *arguments = vm_json_object (message, "arguments");

  if (arguments == NULL)
    return TRUE;
  json_object_object_foreach (arguments, key, value)
  {
    if (strcmp (key, "enable") != 0)
      return refuse_command (error, "Parameter '%s' is unexpected", key);
    if (!json_object_is_type (value, json_type_array))
      return refuse_command (error, "Invalid parameter type for 'enable', expected: array");
    if (json_object_array_length (value) > 0)
      return refuse_command (error, "Parameter 'enable' names a capability that is not available");
  }
  return TRUE;
}

json_object *
qmp_message_greeting (json_object *take_version)
{
  json_object *message = json_object_new_object ();
  json_object *greeting = json_object_new_object ();

  vm_json_add (greeting, "version", take_version);
  vm_json_add (greeting, "capabilities", json_object_new_array ());
  vm_json_add (message, "QMP", greeting);
  return message;
}

json_object *
qmp_message_command (const char *name, json_object *take_arguments)
{
  json_object *message = json_object_new_object ();

  vm_json_add_str (message, "execute", name);
  if (take_arguments != NULL)
    vm_json_add (message, "arguments", take_arguments);
  return message;
}

json_object *
qmp_message_return (json_object *take_ret)
{
  json_object *message = json_object_new_object ();

  vm_json_add (message, "return", take_ret != NULL ? take_ret : json_object_new_object ());
  return message;
}

json_object *
qmp_message_error (const char *class_name, const char *desc)
{
  json_object *message = json_object_new_object ();
  json_object *error = json_object_new_object ();

  vm_json_add_str (error, "class", class_name != NULL ? class_name : class_names[QMP_ERROR_GENERIC]);
  vm_json_add_str (error, "desc", desc);
  vm_json_add (message, "error", error);
  return message;
}

json_object *
qmp_message_event (const char *name, json_object *take_data)
{
  json_object *message = json_object_new_object ();
  json_object *timestamp = json_object_new_object ();
  gint64 now = g_get_real_time ();

  vm_json_add_int (timestamp, "seconds", now / G_USEC_PER_SEC);
  vm_json_add_int (timestamp, "microseconds", now % G_USEC_PER_SEC);
  vm_json_add (message, "timestamp", timestamp);
  vm_json_add_str (message, "event", name);
  if (take_data != NULL)
    vm_json_add (message, "data", take_data);
  return message;
}

GError *
qmp_message_to_error (json_object *message)
{
  json_object *error = vm_json_object (message, "error");

  return g_error_new_literal (QMP_ERROR, (int)qmp_error_code (vm_json_str (error, "class", NULL)),
                              vm_json_str (error, "desc", "an error without a description"));
}

GBytes *
qmp_message_to_bytes (json_object *message)
{
  g_autofree char *line = vm_json_line (message);
  char *text = g_strconcat (line, "\r\n", NULL);

  return g_bytes_new_take (text, strlen (text));
}
