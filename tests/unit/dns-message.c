/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dns-message.h"

#include <string.h>

void
dns_put16 (GByteArray *message, guint value)
{
  const guint8 bytes[] = {(guint8)(value >> 8), (guint8)value};

  g_byte_array_append (message, bytes, sizeof bytes);
}

void
dns_put32 (GByteArray *message, guint32 value)
{
  dns_put16 (message, value >> 16);
  dns_put16 (message, value & 0xffff);
}

void
dns_set16 (GByteArray *message, gsize at, guint value)
{
  message->data[at] = (guint8)(value >> 8);
  message->data[at + 1] = (guint8)value;
}

void
dns_put_name (GByteArray *message, const char *name)
{
  guint at = message->len;

  g_byte_array_append (message, (const guint8 *)"", 1);
  for (; *name != '\0'; name++) {
    if (*name == '.') {
      at = message->len;
      g_byte_array_append (message, (const guint8 *)"", 1);
      continue;
    }
    name += *name == '\\';
    g_byte_array_append (message, (const guint8 *)name, 1);
    message->data[at]++;
  }
  if (message->data[at] > 0)
    g_byte_array_append (message, (const guint8 *)"", 1);
}

GByteArray *
dns_new (guint id, guint flags, const char *name, guint type)
{
  GByteArray *message = g_byte_array_new ();

  dns_put16 (message, id);
  dns_put16 (message, flags);
  dns_put16 (message, 1);
  dns_put16 (message, 0);
  dns_put32 (message, 0);
  dns_put_name (message, name);
  dns_put16 (message, type);
  dns_put16 (message, 1);
  return message;
}

void
dns_put_edns (GByteArray *message, guint room)
{
  g_byte_array_append (message, (const guint8 *)"", 1);
  dns_put16 (message, 41);
  dns_put16 (message, room);
  dns_put32 (message, 0);
  dns_put16 (message, 0);
  dns_set16 (message, 10, (guint)(message->data[10] << 8 | message->data[11]) + 1);
}

void
dns_put_record (GByteArray *message, const char *owner, guint type, guint32 ttl, const void *data,
                gsize length)
{
  if (owner != NULL)
    dns_put_name (message, owner);
  else
    dns_put16 (message, 0xc00c);
  dns_put16 (message, type);
  dns_put16 (message, 1);
  dns_put32 (message, ttl);
  dns_put16 (message, (guint)length);
  g_byte_array_append (message, data, (guint)length);
  dns_set16 (message, 6, (guint)(message->data[6] << 8 | message->data[7]) + 1);
}

void
dns_put_a (GByteArray *message, const char *owner, guint32 ttl, guint32 address)
{
  const guint32 data = GUINT32_TO_BE (address);

  dns_put_record (message, owner, 1, ttl, &data, 4);
}

void
dns_put_alias (GByteArray *message, const char *owner, guint type, const char *target)
{
  g_autoptr (GByteArray) data = g_byte_array_new ();

  dns_put_name (data, target);
  dns_put_record (message, owner, type, 60, data->data, data->len);
}

/* Reading */

typedef struct {
  const guint8 *bytes;
  gsize length, at;
} Reader;

static guint
take (Reader *reader, guint n)
{
  guint value = 0;

  g_assert_cmpuint (n, <=, reader->length - reader->at);
  for (; n > 0; n--)
    value = value << 8 | reader->bytes[reader->at++];
  return value;
}

static void
take_name (Reader *reader, GString *out)
{
  Reader there = *reader;
  guint n;

  while ((n = take (reader, 1)) > 0 && n < 64) {
    g_string_append_len (out, (const char *)reader->bytes + reader->at, (gssize)n);
    g_string_append_c (out, '.');
    reader->at += n;
    g_assert_cmpuint (reader->at, <=, reader->length);
  }
  if (n == 0)
    return;
  there.at = (n & 0x3f) << 8 | take (reader, 1);
  g_assert_cmpuint (n & 0xc0, ==, 0xc0);
  g_assert_cmpuint (there.at, <, reader->at - 2);
  take_name (&there, out);
}

static void
take_data (Reader *reader, guint type, GString *out)
{
  gsize end = reader->at + 2 + (guint)(reader->bytes[reader->at] << 8 | reader->bytes[reader->at + 1]);

  (void)take (reader, 2);
  g_assert_cmpuint (end, <=, reader->length);
  if (type == 15)
    g_string_append_printf (out, "%u ", take (reader, 2));
  if (type == 1)
    for (guint i = 0; i < 4; i++)
      g_string_append_printf (out, "%s%u", i > 0 ? "." : "", take (reader, 1));
  if (type == 2 || type == 5 || type == 12 || type == 15)
    take_name (reader, out);
  while (reader->at < end)
    g_string_append_printf (out, "%02x", take (reader, 1));
  g_assert_cmpuint (reader->at, ==, end);
}

static void
take_records (Reader *reader, guint n, GString *out)
{
  for (; n > 0; n--) {
    guint type;

    take_name (reader, out);
    type = take (reader, 2);
    g_assert_cmpuint (take (reader, 2), ==, 1);
    g_string_append_printf (out, " %u %u ", type, take (reader, 4));
    take_data (reader, type, out);
    g_string_append_c (out, '\n');
  }
}

char *
dns_text (const guint8 *bytes, gsize length)
{
  Reader reader = {bytes, length, 0};
  GString *out = g_string_new (NULL);
  guint id = take (&reader, 2), flags = take (&reader, 2), questions = take (&reader, 2);
  guint answers = take (&reader, 2), others = take (&reader, 2), edns = take (&reader, 2);

  g_assert_cmpuint (flags & 0x8080, ==, 0x8080);
  g_string_append_printf (out, "%u %u %s%s", id, flags & 15, flags & DNS_TC ? "cut " : "",
                          edns ? "edns " : "");
  if (questions > 0) {
    take_name (&reader, out);
    g_string_append_printf (out, " %u", take (&reader, 2));
    (void)take (&reader, 2);
  }
  g_string_append_c (out, '\n');
  take_records (&reader, answers, out);
  g_assert_cmpuint (others, ==, 0);
  g_assert_cmpuint (edns, <=, 1);
  if (edns)
    g_assert_cmpuint (take (&reader, 3), ==, 41);
  if (edns)
    (void)take (&reader, 8);
  g_assert_cmpuint (reader.at, ==, length);
  return g_string_free (out, FALSE);
}
