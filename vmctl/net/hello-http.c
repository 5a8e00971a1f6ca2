/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The head of an HTTP/1 request (RFC 9112). Servers forgive much; what two of them could read in two ways is
 * malformed here. */
#include "vmctl/net/hello-parts.h"

#include <string.h>
#include <strings.h>

typedef struct {
  const uint8_t *bytes;
  size_t length;
} Text;

enum { METHOD_MAX = 32 };

static bool
is_blank (uint8_t c)
{
  return c == ' ' || c == '\t';
}

/* What forgiving servers take for a blank in a request's first line, or skip before it: Python's, for one,
 * whatever Latin-1 calls a space. */
static bool
is_gap (uint8_t c)
{
  return is_blank (c) || c == '\v' || c == '\f' || (c >= 0x1c && c <= 0x1f) || c == 0x85 || c == 0xa0;
}

static bool
is_token (uint8_t c)
{
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
         (c != '\0' && strchr ("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool
has_controls (Text text)
{
  for (size_t i = 0; i < text.length; i++)
    if ((text.bytes[i] < ' ' && text.bytes[i] != '\t') || text.bytes[i] == 0x7f)
      return true;
  return false;
}

static Text
trim (Text text, bool (*is_space) (uint8_t))
{
  while (text.length > 0 && is_space (text.bytes[0]))
    text = (Text){text.bytes + 1, text.length - 1};
  while (text.length > 0 && is_space (text.bytes[text.length - 1]))
    text.length--;
  return text;
}

/* Cuts one line off, without its end. False: it has none yet. */
static bool
take_line (Text *rest, Text *ret)
{
  const uint8_t *end = memchr (rest->bytes, '\n', rest->length);
  size_t n;

  if (end == NULL)
    return false;
  n = (size_t)(end - rest->bytes);
  *ret = (Text){rest->bytes, n > 0 && end[-1] == '\r' ? n - 1 : n};
  *rest = (Text){end + 1, rest->length - n - 1};
  return true;
}

/* Cuts off what is before the first gap. */
static Text
take_word (Text *rest)
{
  Text word = {rest->bytes, 0};

  while (word.length < rest->length && !is_gap (word.bytes[word.length]))
    word.length++;
  *rest = trim ((Text){rest->bytes + word.length, rest->length - word.length}, is_gap);
  return word;
}

static bool
equals (Text text, const char *word)
{
  return text.length == strlen (word) && strncasecmp ((const char *)text.bytes, word, text.length) == 0;
}

static bool
is_known_method (Text word)
{
  static const char *const methods[] = {"GET",     "HEAD",    "POST",  "PUT",  "DELETE",
                                        "CONNECT", "OPTIONS", "TRACE", "PATCH"};

  for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
    if (word.length == strlen (methods[i]) && memcmp (word.bytes, methods[i], word.length) == 0)
      return true;
  return false;
}

/* The host of "host", "host:80", "[v6]:80". */
static bool
take_host (Text text, NetHello *ret)
{
  const uint8_t *colon = memchr (text.bytes, ':', text.length);

  if (text.length > 0 && text.bytes[0] != '[' && colon != NULL) {
    for (const uint8_t *c = colon + 1; c < text.bytes + text.length; c++)
      if (*c < '0' || *c > '9')
        return false;
    text.length = (size_t)(colon - text.bytes);
  }
  ret->name[0] = '\0';
  return text.length == 0 || net_hello_take_name (text.bytes, text.length, ret);
}

/* The host of a target that names one: "http://host/path", and what CONNECT asks for. *ret_named: it does. */
static bool
take_target (Text method, Text target, NetHello *ret, bool *ret_named)
{
  static const char separator[] = "://";
  size_t at = 0;

  *ret_named = true;
  if (equals (method, "CONNECT"))
    return take_host (target, ret);
  *ret_named = false;
  if (target.length == 0 || target.bytes[0] == '/')
    return true;
  while (at < target.length && target.bytes[at] != ':' && target.bytes[at] != '/')
    at++;
  if (target.length - at < 3 || memcmp (target.bytes + at, separator, 3) != 0)
    return true; /* "*" */
  *ret_named = true;
  target = (Text){target.bytes + at + 3, target.length - at - 3};
  for (at = 0; at < target.length && strchr ("/?#", target.bytes[at]) == NULL;)
    at++;
  target.length = at;
  return memchr (target.bytes, '@', target.length) == NULL && take_host (target, ret);
}

/* The rest of a head, from the second line on; `named`: the target says already whom it is for. */
static NetHelloKind
read_fields (Text rest, bool named, NetHello *ret)
{
  bool has_host = false;
  Text line;

  while (take_line (&rest, &line)) {
    const uint8_t *colon = memchr (line.bytes, ':', line.length);
    NetHello said = {0};
    Text name;

    if (line.length == 0)
      return NET_HELLO_HTTP;
    if (has_controls (line) || colon == NULL)
      return NET_HELLO_MALFORMED;
    name = (Text){line.bytes, (size_t)(colon - line.bytes)};
    for (size_t i = 0; i < name.length; i++)
      if (!is_token (name.bytes[i]))
        return NET_HELLO_MALFORMED;
    if (!equals (name, "Host"))
      continue;
    if (has_host || !take_host (trim ((Text){colon + 1, line.length - name.length - 1}, is_blank), &said) ||
        (named && strcmp (said.name, ret->name) != 0))
      return NET_HELLO_MALFORMED;
    has_host = true;
    *ret = said;
  }
  return NET_HELLO_MORE;
}

/* Splits "TARGET VERSION" at its last gap. */
static Text
take_version (Text *rest)
{
  size_t at = rest->length;
  Text version;

  while (at > 0 && !is_gap (rest->bytes[at - 1]))
    at--;
  version = (Text){rest->bytes + at, rest->length - at};
  if (at > 0)
    *rest = trim ((Text){rest->bytes, at}, is_gap);
  return version;
}

static bool
begins_with (Text text, const char *word)
{
  return text.length >= strlen (word) && strncasecmp ((const char *)text.bytes, word, strlen (word)) == 0;
}

static NetHelloKind
read_request (Text line, Text rest, NetHello *ret)
{
  Text method = take_word (&line), target = line, version = take_version (&target);
  bool known = is_known_method (method), named;

  if (!begins_with (version, "HTTP/")) {
    if (!known)
      return NET_HELLO_OTHER;
    /* HTTP/0.9 has no version, and no host */
    return line.length == 0 || has_controls (line) ? NET_HELLO_MALFORMED : NET_HELLO_HTTP;
  }
  if (!(equals (version, "HTTP/1.0") || equals (version, "HTTP/1.1")) || target.length == 0 ||
      has_controls (target) || memchr (target.bytes, ' ', target.length) != NULL ||
      memchr (target.bytes, '\t', target.length) != NULL || !take_target (method, target, ret, &named))
    return NET_HELLO_MALFORMED;
  return read_fields (rest, named, ret);
}

/* Whether what has come so far of the first line may be a request's. Of what is no known method, a NUL says
 * that it is something else (git's own protocol has some). */
static bool
may_be_request (Text text)
{
  Text rest = text, method = take_word (&rest);

  if (method.length == 0 || method.length > METHOD_MAX)
    return false;
  for (size_t i = 0; i < method.length; i++)
    if (!is_token (method.bytes[i]))
      return false;
  return is_known_method (method) || memchr (rest.bytes, '\0', rest.length) == NULL;
}

NetHelloKind
net_hello_read_http (const uint8_t *bytes, size_t length, NetHello *ret)
{
  Text rest = {bytes, length}, line;
  NetHelloKind kind;

  while (rest.length > 0 && (rest.bytes[0] == '\r' || rest.bytes[0] == '\n' || is_gap (rest.bytes[0])))
    rest = (Text){rest.bytes + 1, rest.length - 1};
  if (take_line (&rest, &line)) {
    kind = may_be_request (line) ? read_request (line, rest, ret) : NET_HELLO_OTHER;
  } else {
    if (rest.length > 0 && rest.bytes[rest.length - 1] == '\r')
      rest.length--;
    kind = rest.length == 0 || may_be_request (rest) ? NET_HELLO_MORE : NET_HELLO_OTHER;
  }
  return kind == NET_HELLO_MORE && length >= NET_HELLO_MAX ? NET_HELLO_MALFORMED : kind;
}
