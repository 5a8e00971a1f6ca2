/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What kind it is, and the TLS part; HTTP is in hello-http.c. */
#include "vmctl/net/hello-parts.h"

#include <string.h>

#include "vmctl/net/bytes.h"

enum {
  RECORD_CHANGE = 20,
  RECORD_ALERT = 21,
  RECORD_HANDSHAKE = 22,
  RECORD_HEADER = 5,
  RECORD_MAX = 1 << 14,
  CLIENT_HELLO = 1,
  EXTENSION_SERVER_NAME = 0,
  EXTENSION_ECH = 0xfe0d,
  EXTENSION_ESNI = 0xffce, /* a draft of it that was in use */
};

typedef struct {
  const uint8_t *bytes;
  size_t left;
} Reader;

static bool
take (Reader *reader, size_t n, Reader *ret)
{
  if (n > reader->left)
    return false;
  *ret = (Reader){reader->bytes, n};
  reader->bytes += n;
  reader->left -= n;
  return true;
}

static bool
take_number (Reader *reader, unsigned size, size_t *ret)
{
  Reader number;

  if (!take (reader, size, &number))
    return false;
  *ret = 0;
  for (unsigned i = 0; i < size; i++)
    *ret = *ret << 8 | number.bytes[i];
  return true;
}

/* A vector: its length in `size` bytes, and what it holds. */
static bool
take_vector (Reader *reader, unsigned size, Reader *ret)
{
  size_t length;

  return take_number (reader, size, &length) && take (reader, length, ret);
}

/* An address in place of a name is something that some programs send; it names nobody. */
static bool
is_address (const uint8_t *text, size_t length)
{
  if (memchr (text, ':', length) != NULL || (length > 0 && text[0] == '['))
    return true;
  for (size_t i = 0; i < length; i++)
    if (text[i] != '.' && (text[i] < '0' || text[i] > '9'))
      return false;
  return length > 0;
}

bool
net_hello_take_name (const uint8_t *text, size_t length, NetHello *ret)
{
  if (net_name_canonical ((const char *)text, length, ret->name))
    return true;
  ret->name[0] = '\0';
  return is_address (text, length);
}

/* RFC 6066: a list of one, in practice; more, or another type, is not what a server could agree with us
 * about. */
static bool
take_server_name (Reader extension, NetHello *ret)
{
  Reader list, name;
  size_t type;

  return take_vector (&extension, 2, &list) && extension.left == 0 && take_number (&list, 1, &type) &&
         type == 0 && take_vector (&list, 2, &name) && list.left == 0 &&
         net_hello_take_name (name.bytes, name.left, ret);
}

static bool
take_extensions (Reader list, NetHello *ret)
{
  bool named = false;

  while (list.left > 0) {
    Reader extension;
    size_t type;

    if (!take_number (&list, 2, &type) || !take_vector (&list, 2, &extension))
      return false;
    if (type == EXTENSION_ECH || type == EXTENSION_ESNI)
      ret->encrypted = true;
    if (type != EXTENSION_SERVER_NAME)
      continue;
    if (named || !take_server_name (extension, ret))
      return false;
    named = true;
  }
  return true;
}

/* RFC 8446, 4.1.2 */
static bool
take_client_hello (Reader body, NetHello *ret)
{
  Reader skipped, extensions;

  if (!take (&body, 2 + 32, &skipped) || skipped.bytes[0] != 3 || !take_vector (&body, 1, &skipped) ||
      skipped.left > 32 || !take_vector (&body, 2, &skipped) || !take_vector (&body, 1, &skipped))
    return false;
  if (body.left == 0)
    return true; /* before there were extensions */
  return take_vector (&body, 2, &extensions) && body.left == 0 && take_extensions (extensions, ret);
}

static NetHelloKind
read_handshake (const uint8_t *bytes, size_t length, NetHello *ret)
{
  Reader message = {bytes, length}, body;
  size_t type, size;

  if (take_number (&message, 1, &type) && type != CLIENT_HELLO)
    return NET_HELLO_MALFORMED;
  if (length < 4)
    return NET_HELLO_MORE;
  (void)take_number (&message, 3, &size);
  if (size > NET_HELLO_MAX - 4 - RECORD_HEADER)
    return NET_HELLO_MALFORMED;
  if (!take (&message, size, &body))
    return NET_HELLO_MORE;
  return take_client_hello (body, ret) ? NET_HELLO_TLS : NET_HELLO_MALFORMED;
}

/* The records' fragments, put together: a hello may be cut anywhere. */
static NetHelloKind
read_tls (const uint8_t *bytes, size_t length, NetHello *ret)
{
  uint8_t message[NET_HELLO_MAX];
  size_t used = 0;
  NetHelloKind kind;

  for (size_t at = 0; at < length;) {
    size_t left = length - at, size, here;

    if (bytes[at] != RECORD_HANDSHAKE || (left > 1 && bytes[at + 1] != 3))
      return NET_HELLO_MALFORMED;
    if (left < RECORD_HEADER)
      break;
    size = net_read16 (bytes + at + 3);
    if (size == 0 || size > RECORD_MAX)
      return NET_HELLO_MALFORMED;
    at += RECORD_HEADER;
    here = size < length - at ? size : length - at;
    memcpy (message + used, bytes + at, here); /* no more than `length` altogether */
    used += here;
    at += here;
    kind = read_handshake (message, used, ret);
    if (kind != NET_HELLO_MORE)
      return kind;
  }
  return length >= NET_HELLO_MAX ? NET_HELLO_MALFORMED : NET_HELLO_MORE;
}

/* Records that forgiving servers take or skip before they see a hello: of a version that there is not, an
 * alert, a change of ciphers. */
static bool
may_be_record (const uint8_t *bytes, size_t length)
{
  return bytes[0] >= RECORD_CHANGE && bytes[0] <= RECORD_HANDSHAKE && (length < 2 || bytes[1] < 0x10);
}

static NetHelloKind
read_odd_record (const uint8_t *bytes, size_t length)
{
  size_t size;
  bool odd;

  if (length <= RECORD_HEADER)
    return NET_HELLO_MORE;
  size = net_read16 (bytes + 3);
  odd = bytes[0] == RECORD_HANDSHAKE ? bytes[RECORD_HEADER] == CLIENT_HELLO
        : bytes[0] == RECORD_ALERT   ? size == 2 && (bytes[RECORD_HEADER] == 1 || bytes[RECORD_HEADER] == 2)
                                     : size == 1 && bytes[RECORD_HEADER] == 1;
  return odd ? NET_HELLO_MALFORMED : NET_HELLO_OTHER;
}

/* Of SSL 2's form, which servers still take from old clients; it has no place for a name. */
static bool
is_old_hello (const uint8_t *bytes, size_t length)
{
  return length >= 4 && (bytes[0] & 0x80) != 0 && bytes[2] == CLIENT_HELLO && bytes[3] <= 3;
}

static bool
may_be_old_hello (const uint8_t *bytes, size_t length)
{
  return (bytes[0] & 0x80) != 0 && length < 4 && (length < 3 || bytes[2] == CLIENT_HELLO);
}

static bool
begins (const char *with, const uint8_t *bytes, size_t length)
{
  size_t n = strlen (with);

  return memcmp (bytes, with, length < n ? length : n) == 0;
}

NetHelloKind
net_hello_read (const uint8_t *bytes, size_t length, NetHello *ret)
{
  static const char ssh[] = "SSH-2.0-";

  memset (ret, 0, sizeof *ret);
  if (length == 0)
    return NET_HELLO_MORE;
  if (length > NET_HELLO_MAX)
    length = NET_HELLO_MAX;
  if (bytes[0] == RECORD_HANDSHAKE && (length < 2 || bytes[1] == 3))
    return read_tls (bytes, length, ret);
  if (may_be_record (bytes, length))
    return read_odd_record (bytes, length);
  if (is_old_hello (bytes, length))
    return NET_HELLO_TLS;
  if (may_be_old_hello (bytes, length))
    return NET_HELLO_MORE;
  if (begins (ssh, bytes, length))
    return length < strlen (ssh) ? NET_HELLO_MORE : NET_HELLO_SSH;
  return net_hello_read_http (bytes, length, ret);
}
