/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The message layer that both sides of QMP share: bytes to messages, what a message is, and how to make one.
 *
 * A message is one JSON value. It ends where the value ends; a newline after it is not needed, blanks and
 * newlines around and inside it are fine. Where it is broken, reading goes on at the next line (see
 * qmp_reader_next). */
#pragma once

#include <glib.h>
#include <json-c/json.h>

#include "qmp/client.h" /* QMP_ERROR, QMP_LINE_MAX */

typedef struct QmpReader QmpReader;

typedef enum {
  QMP_READ_NONE,     /* nothing whole is there; feed more */
  QMP_READ_MESSAGE,  /* *ret is the value (transfer full); NULL for the JSON value null */
  QMP_READ_BAD,      /* broken JSON was skipped; `error` (QMP_ERROR_PROTOCOL) says what */
  QMP_READ_TOO_LONG, /* a message of more than QMP_LINE_MAX bytes; every later call says so too */
} QmpRead;

QmpReader *qmp_reader_new (void);
void qmp_reader_free (QmpReader *reader); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC (QmpReader, qmp_reader_free)

/* Copies the bytes. Call qmp_reader_next until NONE after each, so that what is stored stays bounded by
 * QMP_LINE_MAX plus `length`. */
void qmp_reader_feed (QmpReader *reader, const void *data, gsize length);

/* The next message. How the input was cut into pieces makes no difference. After broken JSON the rest of the
 * line is skipped, with two exceptions: a '{' that is wrong where it is but the first on its line begins a
 * new message (the one before it was never finished), and a byte 0xff ends whatever was there. */
QmpRead qmp_reader_next (QmpReader *reader, json_object **ret, GError **error);

/* TRUE in the middle of a message. */
gboolean qmp_reader_is_partial (QmpReader *reader);

typedef enum {
  QMP_KIND_UNKNOWN,  /* also every value that is no object */
  QMP_KIND_GREETING, /* "QMP" */
  QMP_KIND_RETURN,   /* "return" */
  QMP_KIND_ERROR,    /* "error" */
  QMP_KIND_EVENT,    /* "event", a string */
  QMP_KIND_COMMAND,  /* "execute" */
} QmpKind;

/* The first of the kinds above whose member is there. `message` may be NULL. */
QmpKind qmp_message_kind (json_object *message);

/* Whether it is a command as a server may take it, except for its name and arguments; `error` is in QEMU's
 * words. `message` may be NULL. */
gboolean qmp_message_check_command (json_object *message, GError **error);
/* The same for the arguments of qmp_capabilities, where there is no capability to enable. */
gboolean qmp_message_check_capabilities (json_object *message, GError **error);

/* Makers, all (transfer full), all without "id". */
json_object *qmp_message_greeting (json_object *take_version);
/* `take_arguments` NULL: no such member. */
json_object *qmp_message_command (const char *name, json_object *take_arguments);
/* `take_ret` NULL: {}. */
json_object *qmp_message_return (json_object *take_ret);
/* `class_name` NULL: GenericError. */
json_object *qmp_message_error (const char *class_name, const char *desc);
/* With the time of now. `take_data` NULL: no such member. */
json_object *qmp_message_event (const char *name, json_object *take_data);

/* The error that an error message carries. (transfer full) */
GError *qmp_message_to_error (json_object *message);

/* The text with CRLF, as QEMU ends its lines. (transfer full) */
GBytes *qmp_message_to_bytes (json_object *message);
