/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The QMP message layer: however the input is cut, the same messages come out; what is read can be written
 * and read again; every message can be judged. The first byte chooses the sizes of the pieces. */
#include <string.h>

#include "qmp/message.h"
#include "vmctl/base/json.h"

int LLVMFuzzerTestOneInput (const guint8 *data, gsize size);

/* A message written out and read back is the same. */
static void
check_round_trip (json_object *message, const char *line)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (json_object) again = vm_json_parse (line, strlen (line), &error);

  g_assert_no_error (error);
  g_assert_true (json_object_equal (message, again));
}

static void
judge (json_object *message)
{
  (void)qmp_message_check_command (message, NULL);
  (void)qmp_message_check_capabilities (message, NULL);
  if (qmp_message_kind (message) == QMP_KIND_ERROR)
    g_error_free (qmp_message_to_error (message));
}

static gboolean
drain (QmpReader *reader, GString *out)
{
  for (;;) {
    g_autoptr (json_object) message = NULL;
    g_autoptr (GError) error = NULL;
    g_autofree char *line = NULL;
    QmpRead kind = qmp_reader_next (reader, &message, &error);

    g_assert_true ((error != NULL) == (kind == QMP_READ_BAD || kind == QMP_READ_TOO_LONG));
    if (kind == QMP_READ_NONE || kind == QMP_READ_TOO_LONG)
      return kind == QMP_READ_NONE;
    if (kind == QMP_READ_BAD) {
      g_string_append_printf (out, "BAD %s\n", error->message);
      continue;
    }
    line = vm_json_line (message);
    g_string_append_printf (out, "%s\n", line);
    check_round_trip (message, line);
    judge (message);
  }
}

static char *
read_all (const guint8 *data, gsize size, guint seed)
{
  g_autoptr (QmpReader) reader = qmp_reader_new ();
  GString *out = g_string_new (NULL);

  for (gsize at = 0; at < size;) {
    gsize piece = seed == 0 ? size : 1 + (seed = seed * 1103515245u + 12345u) / 65536u % 17u;

    piece = MIN (piece, size - at);
    qmp_reader_feed (reader, data + at, piece);
    at += piece;
    if (!drain (reader, out))
      break;
  }
  g_string_append (out, qmp_reader_is_partial (reader) ? "partial" : "whole");
  return g_string_free (out, FALSE);
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  g_autofree char *whole = NULL;
  g_autofree char *pieces = NULL;

  if (size == 0)
    return 0;
  whole = read_all (data + 1, size - 1, 0);
  pieces = read_all (data + 1, size - 1, 1u + data[0]);
  g_assert_cmpstr (whole, ==, pieces);
  return 0;
}
