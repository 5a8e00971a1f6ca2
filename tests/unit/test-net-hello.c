/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl/net/hello.c: whom the first bytes of a connection are for. */
#include <glib.h>
#include <string.h>

#include "vmctl/net/hello.h"

static void
put (GByteArray *out, guint size, guint value)
{
  for (guint i = 0; i < size; i++) {
    guint8 byte = (guint8)(value >> 8 * (size - 1 - i));

    g_byte_array_append (out, &byte, 1);
  }
}

static void
put_text (GByteArray *out, const char *text, gsize length)
{
  g_byte_array_append (out, (const guint8 *)text, (guint)length);
}

static void
put_extension (GByteArray *out, guint type, const char *data, gsize length)
{
  put (out, 2, type);
  put (out, 2, (guint)length);
  put_text (out, data, length);
}

static void
put_server_name (GByteArray *out, const char *name, gsize length)
{
  put (out, 2, 0);
  put (out, 2, (guint)length + 5);
  put (out, 2, (guint)length + 3);
  put (out, 1, 0);
  put (out, 2, (guint)length);
  put_text (out, name, length);
}

/* A ClientHello message with these extensions (freed); NULL: without any. */
static GByteArray *
make_message (GByteArray *extensions)
{
  GByteArray *body = g_byte_array_new (), *out = g_byte_array_new ();

  put (body, 2, 0x0303);
  for (guint i = 0; i < 32; i++)
    put (body, 1, i);
  put (body, 1, 32);
  for (guint i = 0; i < 32; i++)
    put (body, 1, i);
  put (body, 2, 4);
  put (body, 4, 0x13011302);
  put (body, 2, 0x0100);
  if (extensions != NULL) {
    put (body, 2, extensions->len);
    g_byte_array_append (body, extensions->data, extensions->len);
    g_byte_array_unref (extensions);
  }
  put (out, 1, 1);
  put (out, 3, body->len);
  g_byte_array_append (out, body->data, body->len);
  g_byte_array_unref (body);
  return out;
}

/* In records of `size` bytes. Frees the message. */
static GByteArray *
make_records (GByteArray *message, guint size)
{
  GByteArray *out = g_byte_array_new ();

  for (guint at = 0; at < message->len; at += size) {
    guint n = MIN (size, message->len - at);

    put (out, 1, 22);
    put (out, 2, 0x0301);
    put (out, 2, n);
    g_byte_array_append (out, message->data + at, n);
  }
  g_byte_array_unref (message);
  return out;
}

static GByteArray *
make_named (const char *name, gsize length, guint size)
{
  GByteArray *extensions = g_byte_array_new ();

  put_extension (extensions, 0x002b, "\x02\x03\x04", 3);
  put_server_name (extensions, name, length);
  put_extension (extensions, 0x0010, "\x00\x03\x02h2", 5);
  return make_records (make_message (extensions), size);
}

/* Frees the bytes. Read from a copy of their size, so that a sanitizer sees a byte too many being read. */
static NetHelloKind
read_bytes (GByteArray *bytes, NetHello *ret)
{
  guint n = bytes->len;
  g_autofree guint8 *copy = g_memdup2 (bytes->data, n);

  g_byte_array_unref (bytes);
  return net_hello_read (copy, n, ret);
}

static NetHelloKind
read_text (const char *text, gsize length, NetHello *ret)
{
  GByteArray *bytes = g_byte_array_new ();

  put_text (bytes, text, length);
  return read_bytes (bytes, ret);
}

static void
test_tls_name (void)
{
  static const struct {
    const char *said, *name;
  } table[] = {{"github.com", "github.com"}, {"GitHub.COM.", "github.com"}, {"10.0.0.1", ""}, {"::1", ""}};
  NetHello hello;

  for (gsize i = 0; i < G_N_ELEMENTS (table); i++) {
    g_assert_cmpint (read_bytes (make_named (table[i].said, strlen (table[i].said), 16384), &hello), ==,
                     NET_HELLO_TLS);
    g_assert_cmpstr (hello.name, ==, table[i].name);
    g_assert_false (hello.encrypted);
  }
}

static void
test_tls_bad_name (void)
{
  static const struct {
    const char *said;
    gsize length;
  } table[] = {{"evil.com\0.github.com", 20}, {"github..com", 11},       {"", 0},
               {"github.com ", 11},           {"g\xc3\xadthub.com", 11}, {".github.com", 11},
               {"*.github.com", 12},          {"github.com..", 12}};
  NetHello hello;

  for (gsize i = 0; i < G_N_ELEMENTS (table); i++) {
    g_assert_cmpint (read_bytes (make_named (table[i].said, table[i].length, 16384), &hello), ==,
                     NET_HELLO_MALFORMED);
    g_assert_cmpstr (hello.name, ==, "");
  }
}

/* Over records of every size, and cut at every byte: never another answer than more, until it is whole. */
static void
test_tls_split (void)
{
  for (guint size = 1; size < 40; size += 3) {
    g_autoptr (GByteArray) bytes = make_named ("registry.npmjs.org", 18, size);
    NetHello hello;

    for (guint n = 0; n < bytes->len; n++) {
      g_autofree guint8 *copy = g_memdup2 (bytes->data, n);

      g_assert_cmpint (net_hello_read (copy, n, &hello), ==, NET_HELLO_MORE);
    }
    g_assert_cmpint (net_hello_read (bytes->data, bytes->len, &hello), ==, NET_HELLO_TLS);
    g_assert_cmpstr (hello.name, ==, "registry.npmjs.org");
  }
}

static void
test_tls_nameless (void)
{
  NetHello hello;

  g_assert_cmpint (read_bytes (make_records (make_message (NULL), 16384), &hello), ==, NET_HELLO_TLS);
  g_assert_cmpstr (hello.name, ==, "");
  g_assert_cmpint (read_bytes (make_records (make_message (g_byte_array_new ()), 16384), &hello), ==,
                   NET_HELLO_TLS);
  g_assert_cmpstr (hello.name, ==, "");
  /* SSL 2's form of a ClientHello */
  g_assert_cmpint (read_text ("\x80\x2e\x01\x03\x01", 5, &hello), ==, NET_HELLO_TLS);
  g_assert_cmpint (read_text ("\x80\x2e\x01", 3, &hello), ==, NET_HELLO_MORE);
}

static void
test_tls_encrypted (void)
{
  static const guint types[] = {0xfe0d, 0xffce};
  NetHello hello;

  for (gsize i = 0; i < G_N_ELEMENTS (types); i++) {
    GByteArray *extensions = g_byte_array_new ();

    put_server_name (extensions, "github.com", 10);
    put_extension (extensions, types[i], "\x00\x00\x01\x00\x01\x07", 6);
    g_assert_cmpint (read_bytes (make_records (make_message (extensions), 16384), &hello), ==, NET_HELLO_TLS);
    g_assert_true (hello.encrypted);
  }
}

static void
test_tls_twice (void)
{
  GByteArray *extensions = g_byte_array_new ();
  NetHello hello;

  put_server_name (extensions, "github.com", 10);
  put_server_name (extensions, "evil.com", 8);
  g_assert_cmpint (read_bytes (make_records (make_message (extensions), 16384), &hello), ==,
                   NET_HELLO_MALFORMED);
  extensions = g_byte_array_new ();
  put_extension (extensions, 0, "\x00\x0c\x00\x00\x03\x61.b\x00\x00\x03\x63.d", 14);
  g_assert_cmpint (read_bytes (make_records (make_message (extensions), 16384), &hello), ==,
                   NET_HELLO_MALFORMED);
}

/* Every byte changed: no crash, and never the name of somebody else without saying so. */
static void
test_tls_lengths (void)
{
  g_autoptr (GByteArray) bytes = make_named ("github.com", 10, 16384);

  for (guint i = 0; i < bytes->len; i++)
    for (guint value = 0; value < 256; value++) {
      g_autofree guint8 *copy = g_memdup2 (bytes->data, bytes->len);
      NetHello hello;

      copy[i] = (guint8)value;
      (void)net_hello_read (copy, bytes->len, &hello);
      g_assert_cmpuint (strlen (hello.name), <=, NET_NAME_MAX);
    }
}

static void
test_tls_malformed (void)
{
  GByteArray *large = g_byte_array_new (), *bytes;
  NetHello hello;

  g_assert_cmpint (read_text ("\x16\x03\x01\x00\x00", 5, &hello), ==, NET_HELLO_MALFORMED);
  g_assert_cmpint (read_text ("\x16\x03\x01\x40\x01", 5, &hello), ==, NET_HELLO_MALFORMED);
  g_assert_cmpint (read_text ("\x16\x03\x01\x00\x05\x02", 6, &hello), ==, NET_HELLO_MALFORMED);
  /* what Go's and OpenSSL's servers go on from; and protocols that only begin like it */
  g_assert_cmpint (read_text ("\x16\x04", 2, &hello), ==, NET_HELLO_MORE);
  g_assert_cmpint (read_text ("\x16\x04\x01\x00\x80\x01", 6, &hello), ==, NET_HELLO_MALFORMED);
  g_assert_cmpint (read_text ("\x15\x03\x01\x00\x02\x01\x5a", 7, &hello), ==, NET_HELLO_MALFORMED);
  g_assert_cmpint (read_text ("\x14\x03\x03\x00\x01\x01", 6, &hello), ==, NET_HELLO_MALFORMED);
  g_assert_cmpint (read_text ("\x16\x01\x00\x00\x01\x00\x00\x00", 8, &hello), ==, NET_HELLO_OTHER);
  g_assert_cmpint (read_text ("\x15\x00\x00\x00\x02\x00", 6, &hello), ==, NET_HELLO_OTHER);
  g_assert_cmpint (read_text ("\x16\x10", 2, &hello), ==, NET_HELLO_OTHER);
  bytes = make_named ("github.com", 10, 60); /* another kind of record in between */
  bytes->data[65] = 21;
  g_assert_cmpint (read_bytes (bytes, &hello), ==, NET_HELLO_MALFORMED);
  for (guint i = 0; i < 17000; i++)
    put (large, 1, 0);
  bytes = g_byte_array_new ();
  put_extension (bytes, 21, (const char *)large->data, large->len);
  g_byte_array_unref (large);
  g_assert_cmpint (read_bytes (make_records (make_message (bytes), 16384), &hello), ==, NET_HELLO_MALFORMED);
}

#define R "GET / HTTP/1.1\r\n"

static void
test_http (void)
{
  static const struct {
    const char *text;
    NetHelloKind kind;
    const char *name;
  } table[] = {
      {R "Host: github.com\r\n\r\n", NET_HELLO_HTTP, "github.com"},
      {R "HOST:\t GitHub.com.:8080 \r\n\r\n", NET_HELLO_HTTP, "github.com"},
      {R "Accept: */*\nhost: github.com\n\n", NET_HELLO_HTTP, "github.com"},
      {"\r\n\r\n" R "Host: github.com\r\n\r\n", NET_HELLO_HTTP, "github.com"},
      /* what Python's http.server takes */
      {" " R "Host: evil.com\r\n\r\n", NET_HELLO_HTTP, "evil.com"},
      {"\x85\x0b\n\xa0" R "Host: evil.com\r\n\r\n", NET_HELLO_HTTP, "evil.com"},
      {"GET\x0b/\x1c\xa0HTTP/1.1\r\nHost: evil.com\r\n\r\n", NET_HELLO_HTTP, "evil.com"},
      {"GET / HTTP/1.1\x0c\r\nHost: evil.com\r\n\r\n", NET_HELLO_HTTP, "evil.com"},
      {"PROPFIND /a HTTP/1.0\r\nHost: github.com\r\n\r\n", NET_HELLO_HTTP, "github.com"},
      {R "Host: 10.0.0.1:80\r\n\r\n", NET_HELLO_HTTP, ""},
      {R "Host: [::1]:80\r\n\r\n", NET_HELLO_HTTP, ""},
      {R "Host:\r\n\r\n", NET_HELLO_HTTP, ""},
      {"GET / HTTP/1.0\r\n\r\n", NET_HELLO_HTTP, ""},
      {"GET /\r\n", NET_HELLO_HTTP, ""},
      {"GET http://github.com/ HTTP/1.1\r\nHost: github.com\r\n\r\n", NET_HELLO_HTTP, "github.com"},
      {"GET http://github.com/ HTTP/1.0\r\n\r\n", NET_HELLO_HTTP, "github.com"},
      {"CONNECT evil.com:443 HTTP/1.1\r\nHost: evil.com:443\r\n\r\n", NET_HELLO_HTTP, "evil.com"},
      {"OPTIONS * HTTP/1.1\r\nHost: github.com\r\n\r\n", NET_HELLO_HTTP, "github.com"},
      /* two readers could disagree about these */
      {R "Host: github.com\r\nHost: evil.com\r\n\r\n", NET_HELLO_MALFORMED, NULL},
      {R "Host: github.com\r\n evil.com\r\n\r\n", NET_HELLO_MALFORMED, NULL},
      {R " Host: github.com\r\n\r\n", NET_HELLO_MALFORMED, NULL},
      {R "Host : github.com\r\n\r\n", NET_HELLO_MALFORMED, NULL},
      {R "Host: github.com@evil.com\r\n\r\n", NET_HELLO_MALFORMED, NULL},
      {R "Host: github.com:80:80\r\n\r\n", NET_HELLO_MALFORMED, NULL},
      {R "Host: github.com, evil.com\r\n\r\n", NET_HELLO_MALFORMED, NULL},
      {R "Host: github.com\r\nX: a\rHost: evil.com\r\n\r\n", NET_HELLO_MALFORMED, NULL},
      {R "no colon\r\n\r\n", NET_HELLO_MALFORMED, NULL},
      {"GET http://evil.com/ HTTP/1.1\r\nHost: github.com\r\n\r\n", NET_HELLO_MALFORMED, NULL},
      {"GET http://a@github.com/ HTTP/1.1\r\nHost: github.com\r\n\r\n", NET_HELLO_MALFORMED, NULL},
      {"CONNECT evil.com:443 HTTP/1.1\r\nHost: github.com\r\n\r\n", NET_HELLO_MALFORMED, NULL},
      {"GET / HTTP/2.0\r\nHost: github.com\r\n\r\n", NET_HELLO_MALFORMED, NULL},
      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", NET_HELLO_MALFORMED, NULL},
      {"GET /a b HTTP/1.1\r\nHost: github.com\r\n\r\n", NET_HELLO_MALFORMED, NULL},
      {"FOO /a b HTTP/1.1\r\nHost: github.com\r\n\r\n", NET_HELLO_MALFORMED, NULL},
      {"FOO /\x01 HTTP/1.1\r\nHost: github.com\r\n\r\n", NET_HELLO_MALFORMED, NULL},
      /* what is none */
      {"EHLO github.com\r\n", NET_HELLO_OTHER, NULL},
      {"NICK me\r\n", NET_HELLO_OTHER, NULL},
      {"QUIT\r\n", NET_HELLO_OTHER, NULL},
      {"{\"method\": 1}", NET_HELLO_OTHER, NULL},
      {"\x03\x00\x00\x13", NET_HELLO_OTHER, NULL},
      {"SSH-2.0-OpenSSH_9.2\r\n", NET_HELLO_SSH, NULL},
      {"SSH-2.0-", NET_HELLO_SSH, NULL},
      {"SSH-1.5-old\r\n", NET_HELLO_OTHER, NULL},
      /* what may still become something */
      {"", NET_HELLO_MORE, NULL},
      {"SSH-2", NET_HELLO_MORE, NULL},
      {"\r\n", NET_HELLO_MORE, NULL},
      {"G", NET_HELLO_MORE, NULL},
      {"PROPFIND /a HTTP/1.1\r", NET_HELLO_MORE, NULL},
      {R "Host: github.com\r\n", NET_HELLO_MORE, NULL},
      {R "Host: github.com\r\n\r", NET_HELLO_MORE, NULL},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (table); i++) {
    g_autofree char *text = g_strescape (table[i].text, NULL);
    NetHello hello;

    g_test_message ("%s", text);
    g_assert_cmpint (read_text (table[i].text, strlen (table[i].text), &hello), ==, table[i].kind);
    if (table[i].name != NULL)
      g_assert_cmpstr (hello.name, ==, table[i].name);
  }
}

static void
test_http_bytes (void)
{
  NetHello hello;

  g_assert_cmpint (read_text ("003fgit-upload-pack /a\0host=b\0", 30, &hello), ==, NET_HELLO_OTHER);
  g_assert_cmpint (read_text ("GET /\0 HTTP/1.1\r\n\r\n", 19, &hello), ==, NET_HELLO_MALFORMED);
  g_assert_cmpint (read_text (R "Host: evil.com\0.github.com\r\n\r\n", 46, &hello), ==, NET_HELLO_MALFORMED);
}

static void
test_http_split (void)
{
  static const char text[] = "POST /a HTTP/1.1\r\nA: b\r\nHost: github.com\r\n\r\nbody";
  const gsize head = strstr (text, "body") - text;
  NetHello hello;

  for (gsize n = 0; n < head; n++)
    g_assert_cmpint (read_text (text, n, &hello), ==, NET_HELLO_MORE);
  g_assert_cmpint (read_text (text, head, &hello), ==, NET_HELLO_HTTP);
  g_assert_cmpstr (hello.name, ==, "github.com");
}

static void
test_http_large (void)
{
  g_autoptr (GString) text = g_string_new (R "A: ");
  NetHello hello;

  while (text->len < NET_HELLO_MAX)
    g_string_append_c (text, 'x');
  g_assert_cmpint (read_text (text->str, NET_HELLO_MAX - 1, &hello), ==, NET_HELLO_MORE);
  g_assert_cmpint (read_text (text->str, NET_HELLO_MAX, &hello), ==, NET_HELLO_MALFORMED);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/net/hello/tls/name", test_tls_name);
  g_test_add_func ("/net/hello/tls/bad-name", test_tls_bad_name);
  g_test_add_func ("/net/hello/tls/split", test_tls_split);
  g_test_add_func ("/net/hello/tls/nameless", test_tls_nameless);
  g_test_add_func ("/net/hello/tls/encrypted", test_tls_encrypted);
  g_test_add_func ("/net/hello/tls/twice", test_tls_twice);
  g_test_add_func ("/net/hello/tls/lengths", test_tls_lengths);
  g_test_add_func ("/net/hello/tls/malformed", test_tls_malformed);
  g_test_add_func ("/net/hello/http", test_http);
  g_test_add_func ("/net/hello/http/bytes", test_http_bytes);
  g_test_add_func ("/net/hello/http/split", test_http_split);
  g_test_add_func ("/net/hello/http/large", test_http_large);
  return g_test_run ();
}
