/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The first byte says how the rest is cut into pieces: however it is, the reader, the preamble search and the
 * fields must come to the same result as with all of it at once. */
#include <stdlib.h>
#include <string.h>

#include "meta/frame.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

/* A sum over everything that was read, and how it ended. */
typedef struct {
  uint64_t sum;
  unsigned frames;
  int end;
} Result;

static void
mix (Result *result, const void *data, size_t n)
{
  const uint8_t *bytes = data;

  for (size_t i = 0; i < n; i++)
    result->sum = (result->sum ^ bytes[i]) * 0x100000001b3;
}

static void
walk_fields (Result *result, const uint8_t *data, size_t n)
{
  const uint8_t *value;
  uint32_t length;
  FrameTag tag;
  size_t at = 0;
  int r;

  while ((r = frame_field_next (data, n, &at, &tag, &value, &length)) > 0)
    mix (result, value, length);
  if (r == 0 && at != n)
    abort ();
}

static Result
read_all (const uint8_t *data, size_t size, size_t piece)
{
  static uint8_t buffer[FRAME_READER_SIZE];
  Result result = {0};
  FrameReader reader;
  size_t at = 0;

  frame_reader_init (&reader, buffer);
  while (at < size && result.end == 0) {
    const uint8_t *payload;
    FrameHeader header;
    size_t room, n;
    uint8_t *space = frame_reader_space (&reader, &room);

    if (room == 0)
      abort ();
    n = size - at < piece ? size - at : piece;
    n = n < room ? n : room;
    memcpy (space, data + at, n);
    frame_reader_filled (&reader, n);
    at += n;
    while ((result.end = frame_reader_next (&reader, &header, &payload)) > 0) {
      uint8_t again[FRAME_HEADER_SIZE];
      frame_header_encode (again, &header);
      mix (&result, again, sizeof again);
      mix (&result, payload, header.length);
      walk_fields (&result, payload, header.length);
      result.frames++;
    }
  }
  return result;
}

static size_t
find (const uint8_t *data, size_t size, size_t piece)
{
  unsigned state = 0;
  int found = 0;

  for (size_t at = 0; at < size; at += piece) {
    size_t n = size - at < piece ? size - at : piece;
    size_t used = frame_preamble_find (&state, data + at, n, &found);
    if (used > n || state >= FRAME_PREAMBLE_SIZE)
      abort ();
    if (found)
      return at + used;
  }
  return SIZE_MAX;
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  size_t piece, at;
  Result whole, cut;

  if (size == 0)
    return 0;
  piece = (size_t)data[0] + 1;
  data++;
  size--;
  at = find (data, size, size + 1);
  if (at != find (data, size, piece))
    abort ();
  if (at != SIZE_MAX && memcmp (data + at - FRAME_PREAMBLE_SIZE, FRAME_PREAMBLE, FRAME_PREAMBLE_SIZE) != 0)
    abort ();
  if (at != SIZE_MAX && size > at) {
    data += at;
    size -= at;
  }
  whole = read_all (data, size, size + 1);
  cut = read_all (data, size, piece);
  if (whole.sum != cut.sum || whole.frames != cut.frames || whole.end != cut.end)
    abort ();
  return 0;
}
