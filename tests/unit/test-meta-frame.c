/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include <glib.h>

#include "meta/frame.h"

static void
test_numbers (void)
{
  uint8_t bytes[8];

  frame_put_u16 (bytes, 0x1234);
  g_assert_cmpmem (bytes, 2, "\x34\x12", 2);
  g_assert_cmphex (frame_get_u16 (bytes), ==, 0x1234);
  frame_put_u32 (bytes, 0xfedcba98);
  g_assert_cmpmem (bytes, 4, "\x98\xba\xdc\xfe", 4);
  g_assert_cmphex (frame_get_u32 (bytes), ==, 0xfedcba98);
  frame_put_u64 (bytes, 0xfedcba9876543210);
  g_assert_cmpmem (bytes, 8, "\x10\x32\x54\x76\x98\xba\xdc\xfe", 8);
  g_assert_cmphex (frame_get_u64 (bytes), ==, 0xfedcba9876543210);
}

static void
test_header_layout (void)
{
  FrameHeader header = {.length = 65536, .channel = 0xa0b0c0d0, .type = FRAME_DATA, .stream = FRAME_STDERR};
  FrameHeader back;
  uint8_t bytes[FRAME_HEADER_SIZE];

  frame_header_encode (bytes, &header);
  g_assert_cmpmem (bytes, sizeof bytes, "\x00\x00\x01\x00\xd0\xc0\xb0\xa0\x0d\x02\x00\x00", 12);
  g_assert_cmpint (frame_header_decode (bytes, &back), ==, 0);
  g_assert_cmpuint (back.length, ==, header.length);
  g_assert_cmpuint (back.channel, ==, header.channel);
  g_assert_cmpuint (back.type, ==, header.type);
  g_assert_cmpuint (back.stream, ==, header.stream);
}

static void
test_header_all_types (void)
{
  for (unsigned type = 0; type < 256; type++) {
    uint8_t bytes[FRAME_HEADER_SIZE] = {[8] = (uint8_t)type};
    FrameHeader back;

    g_assert_cmpint (frame_header_decode (bytes, &back), ==,
                     type >= FRAME_HELLO && type <= FRAME_TYPE_MAX ? 0 : -EPROTO);
  }
}

static void
test_header_refusals (void)
{
  static const struct {
    int at;
    uint8_t value;
  } bad[] = {{0, 1} /* 65537 */, {3, 1}, {3, 0xff}, {9, 3}, {9, 255}, {10, 1}, {11, 0x80}};

  for (size_t i = 0; i < G_N_ELEMENTS (bad); i++) {
    FrameHeader header = {.length = 65536, .channel = 7, .type = FRAME_DATA, .stream = 2},
                back = {.channel = 99};
    uint8_t bytes[FRAME_HEADER_SIZE];

    frame_header_encode (bytes, &header);
    bytes[bad[i].at] = bad[i].value;
    g_assert_cmpint (frame_header_decode (bytes, &back), ==, -EPROTO);
    g_assert_cmpuint (back.channel, ==, 99); /* nothing is written on failure */
  }
}

static void
add_frame (GByteArray *to, uint32_t channel, uint8_t type, uint8_t stream, const void *payload, uint32_t n)
{
  FrameHeader header = {.length = n, .channel = channel, .type = type, .stream = stream};
  uint8_t bytes[FRAME_HEADER_SIZE];

  frame_header_encode (bytes, &header);
  g_byte_array_append (to, bytes, sizeof bytes);
  g_byte_array_append (to, payload, n);
}

/* Reads `stream` in pieces of `piece` bytes; what came out, written down again. */
static GByteArray *
read_in_pieces (const GByteArray *stream, size_t piece)
{
  GByteArray *out = g_byte_array_new ();
  uint8_t *buffer = g_malloc (FRAME_READER_SIZE);
  FrameReader reader;
  size_t at = 0;

  frame_reader_init (&reader, buffer);
  while (at < stream->len) {
    FrameHeader header;
    const uint8_t *payload;
    size_t room, n = MIN (piece, stream->len - at);
    uint8_t *space = frame_reader_space (&reader, &room);

    g_assert_cmpuint (room, >, 0);
    n = MIN (n, room);
    memcpy (space, stream->data + at, n);
    frame_reader_filled (&reader, n);
    at += n;
    while (frame_reader_next (&reader, &header, &payload) > 0)
      add_frame (out, header.channel, header.type, header.stream, payload, header.length);
  }
  g_free (buffer);
  return out;
}

static void
test_reader_split (void)
{
  static const size_t pieces[] = {1, 2, 3, 5, 7, 11, 12, 13, 64, 1000, 65535, 65536, 65548, 65549, 131096};
  g_autoptr (GByteArray) stream = g_byte_array_new ();
  g_autofree uint8_t *payload = g_malloc (FRAME_PAYLOAD_MAX);
  static const uint32_t sizes[] = {
      0, 1, 12, 4096, FRAME_PAYLOAD_MAX, 0, FRAME_PAYLOAD_MAX, 3, FRAME_PAYLOAD_MAX - 1};

  for (uint32_t i = 0; i < FRAME_PAYLOAD_MAX; i++)
    payload[i] = (uint8_t)(i * 7 + i / 256);
  for (uint32_t i = 0; i < G_N_ELEMENTS (sizes); i++)
    add_frame (stream, i, (uint8_t)(FRAME_HELLO + i), i % 3, payload, sizes[i]);
  for (size_t i = 0; i < G_N_ELEMENTS (pieces); i++) {
    g_autoptr (GByteArray) back = read_in_pieces (stream, pieces[i]);
    g_assert_cmpmem (back->data, back->len, stream->data, stream->len);
  }
}

static void
test_reader_broken (void)
{
  g_autofree uint8_t *buffer = g_malloc (FRAME_READER_SIZE);
  g_autoptr (GByteArray) stream = g_byte_array_new ();
  FrameReader reader;
  FrameHeader header;
  const uint8_t *payload;
  size_t room;

  add_frame (stream, 3, FRAME_PING, 0, "abc", 3);
  add_frame (stream, 3, FRAME_TYPE_MAX + 1, 0, "abc", 3);
  frame_reader_init (&reader, buffer);
  g_assert_cmpint (frame_reader_next (&reader, &header, &payload), ==, 0);
  memcpy (frame_reader_space (&reader, &room), stream->data, stream->len);
  frame_reader_filled (&reader, stream->len);
  g_assert_cmpint (frame_reader_next (&reader, &header, &payload), ==, 1);
  g_assert_cmpmem (payload, header.length, "abc", 3);
  g_assert_cmpint (frame_reader_next (&reader, &header, &payload), ==, -EPROTO);
  g_assert_cmpint (frame_reader_next (&reader, &header, &payload), ==, -EPROTO); /* it stays broken */
}

/* Where the frames begin in `text`, looked at in pieces of `piece` bytes; -1: nowhere. */
static int
find_preamble (const char *text, size_t n, size_t piece)
{
  unsigned state = 0;
  int found = 0;

  for (size_t at = 0; at < n; at += piece) {
    size_t used = frame_preamble_find (&state, (const uint8_t *)text + at, MIN (piece, n - at), &found);
    if (found)
      return (int)(at + used);
    g_assert_cmpuint (used, ==, MIN (piece, n - at));
  }
  return -1;
}

static void
test_preamble (void)
{
  static const struct {
    const char *text;
    int n, at;
  } table[] = {
      {FRAME_PREAMBLE, 16, 16},
      {FRAME_PREAMBLE "rest", 20, 16},
      {"garbage" FRAME_PREAMBLE, 23, 23},
      {"\177\177\177" FRAME_PREAMBLE, 19, 19},
      {"\177vmctl-agent/1\r" FRAME_PREAMBLE, 31, 31},
      {"\177vmctl-agent/1\n\r\n", 17, -1},
      {"\177vmctl-ag\177vmctl-agent/1\r\nx", 26, 25},
      {"\0\0\177vm\0" FRAME_PREAMBLE FRAME_PREAMBLE, 38, 22},
      {"\177vmctl-agent/1\r", 15, -1},
      {"\177vmctl-agent/2\r\n", 16, -1},
      {"", 0, -1},
  };

  for (size_t i = 0; i < G_N_ELEMENTS (table); i++)
    for (size_t piece = 1; piece <= 40; piece++)
      g_assert_cmpint (find_preamble (table[i].text, (size_t)table[i].n, piece), ==, table[i].at);
}

/* A host's stumbling block: link.c relies on it. */
static void
test_preamble_is_no_frame (void)
{
  FrameHeader header;

  g_assert_cmpint (frame_header_decode ((const uint8_t *)FRAME_PREAMBLE, &header), ==, -EPROTO);
}

static void
add_field (GByteArray *to, uint32_t tag, const char *value, uint32_t length)
{
  uint8_t header[FRAME_FIELD_HEADER];

  frame_field_encode (header, (FrameTag)tag, length);
  g_byte_array_append (to, header, sizeof header);
  g_byte_array_append (to, (const uint8_t *)value, (guint)strlen (value));
}

static void
test_fields (void)
{
  g_autoptr (GByteArray) data = g_byte_array_new ();
  const uint8_t *value;
  uint32_t length;
  FrameTag tag;
  size_t at = 0;

  add_field (data, FRAME_TAG_ARG, "true", 4);
  add_field (data, FRAME_TAG_ROOT, "", 0);
  add_field (data, FRAME_TAG_SHELL, "x", 1);
  g_assert_cmpint (frame_field_next (data->data, data->len, &at, &tag, &value, &length), ==, 1);
  g_assert_cmpint (tag, ==, FRAME_TAG_ARG);
  g_assert_cmpmem (value, length, "true", 4);
  g_assert_cmpint (frame_field_next (data->data, data->len, &at, &tag, &value, &length), ==, 1);
  g_assert_cmpint (tag, ==, FRAME_TAG_ROOT);
  g_assert_cmpuint (length, ==, 0);
  g_assert_cmpint (frame_field_next (data->data, data->len, &at, &tag, &value, &length), ==, 1);
  g_assert_cmpint (tag, ==, FRAME_TAG_SHELL);
  g_assert_cmpint (frame_field_next (data->data, data->len, &at, &tag, &value, &length), ==, 0);
  at = 0;
  g_assert_cmpint (frame_field_next (data->data, 0, &at, &tag, &value, &length), ==, 0);
}

static void
expect_bad_field (uint32_t tag, uint32_t length, guint cut)
{
  g_autoptr (GByteArray) data = g_byte_array_new ();
  const uint8_t *value;
  uint32_t n;
  FrameTag t;
  size_t at = 0;

  add_field (data, tag, "true", length);
  g_assert_cmpint (frame_field_next (data->data, data->len - cut, &at, &t, &value, &n), ==, -EPROTO);
}

static void
test_fields_refusals (void)
{
  expect_bad_field (0, 4, 0);
  expect_bad_field (FRAME_TAG_MAX + 1, 4, 0);
  expect_bad_field (FRAME_TAG_ARG | 0x100, 4, 0); /* the zeroes behind the tag */
  expect_bad_field (FRAME_TAG_ARG | 0x80000000, 4, 0);
  expect_bad_field (FRAME_TAG_ARG, 5, 0); /* longer than what is there */
  expect_bad_field (FRAME_TAG_ARG, 0xffffffff, 0);
  expect_bad_field (FRAME_TAG_ARG, 4, 1);
  expect_bad_field (FRAME_TAG_ARG, 4, 5); /* within the header */
  expect_bad_field (FRAME_TAG_ARG, 4, 11);
}

static void
test_exit_code (void)
{
  g_assert_cmpint (frame_exit_code (FRAME_EXIT_STATUS, 0), ==, 0);
  g_assert_cmpint (frame_exit_code (FRAME_EXIT_STATUS, 42), ==, 42);
  g_assert_cmpint (frame_exit_code (FRAME_EXIT_STATUS, 255), ==, 255);
  g_assert_cmpint (frame_exit_code (FRAME_EXIT_STATUS, 256), ==, 255); /* never 0 for what was not */
  g_assert_cmpint (frame_exit_code (FRAME_EXIT_SIGNAL, 9), ==, 137);
  g_assert_cmpint (frame_exit_code (FRAME_EXIT_SIGNAL, 127), ==, 255);
  g_assert_cmpint (frame_exit_code (FRAME_EXIT_SIGNAL, 0x80000000), ==, 255);
  g_assert_cmpint (frame_exit_code (FRAME_EXIT_ERRNO, ENOENT), ==, 127);
  g_assert_cmpint (frame_exit_code (FRAME_EXIT_ERRNO, EACCES), ==, 126);
  g_assert_cmpint (frame_exit_code (FRAME_EXIT_ERRNO, 0), ==, 126);
  g_assert_cmpint (frame_exit_code (FRAME_EXIT_CWD, ENOENT), ==, 126);
  g_assert_cmpint (frame_exit_code (200, 0), ==, 126);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/meta/frame/numbers", test_numbers);
  g_test_add_func ("/meta/frame/header-layout", test_header_layout);
  g_test_add_func ("/meta/frame/header-all-types", test_header_all_types);
  g_test_add_func ("/meta/frame/header-refusals", test_header_refusals);
  g_test_add_func ("/meta/frame/reader-split", test_reader_split);
  g_test_add_func ("/meta/frame/reader-broken", test_reader_broken);
  g_test_add_func ("/meta/frame/preamble", test_preamble);
  g_test_add_func ("/meta/frame/preamble-is-no-frame", test_preamble_is_no_frame);
  g_test_add_func ("/meta/frame/fields", test_fields);
  g_test_add_func ("/meta/frame/fields-refusals", test_fields_refusals);
  g_test_add_func ("/meta/frame/exit-code", test_exit_code);
  return g_test_run ();
}
