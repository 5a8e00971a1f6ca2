/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "meta/frame.h"

#include <errno.h>
#include <string.h>

void
frame_put_u16 (uint8_t *out, uint16_t value)
{
  out[0] = value & 0xff;
  out[1] = value >> 8;
}

void
frame_put_u32 (uint8_t *out, uint32_t value)
{
  frame_put_u16 (out, value & 0xffff);
  frame_put_u16 (out + 2, value >> 16);
}

void
frame_put_u64 (uint8_t *out, uint64_t value)
{
  frame_put_u32 (out, value & 0xffffffff);
  frame_put_u32 (out + 4, value >> 32);
}

uint16_t
frame_get_u16 (const uint8_t *in)
{
  return (uint16_t)(in[0] | in[1] << 8);
}

uint32_t
frame_get_u32 (const uint8_t *in)
{
  return frame_get_u16 (in) | (uint32_t)frame_get_u16 (in + 2) << 16;
}

uint64_t
frame_get_u64 (const uint8_t *in)
{
  return frame_get_u32 (in) | (uint64_t)frame_get_u32 (in + 4) << 32;
}

void
frame_header_encode (uint8_t out[FRAME_HEADER_SIZE], const FrameHeader *header)
{
  frame_put_u32 (out, header->length);
  frame_put_u32 (out + 4, header->channel);
  out[8] = header->type;
  out[9] = header->stream;
  frame_put_u16 (out + 10, 0);
}

int
frame_header_decode (const uint8_t in[FRAME_HEADER_SIZE], FrameHeader *ret_header)
{
  FrameHeader header = {
      .length = frame_get_u32 (in),
      .channel = frame_get_u32 (in + 4),
      .type = in[8],
      .stream = in[9],
  };
  if (header.length > FRAME_PAYLOAD_MAX || header.type < FRAME_HELLO || header.type > FRAME_TYPE_MAX ||
      header.stream >= FRAME_STREAMS || frame_get_u16 (in + 10) != 0)
    return -EPROTO;
  *ret_header = header;
  return 0;
}

void
frame_reader_init (FrameReader *reader, uint8_t *buffer)
{
  *reader = (FrameReader){.buffer = buffer};
}

/* What is left over is less than one frame whenever the caller has taken every frame, so moving it costs at
 * most half the buffer and leaves at least the other half. */
uint8_t *
frame_reader_space (FrameReader *reader, size_t *ret_room)
{
  if (reader->start > 0) {
    memmove (reader->buffer, reader->buffer + reader->start, reader->end - reader->start);
    reader->end -= reader->start;
    reader->start = 0;
  }
  *ret_room = FRAME_READER_SIZE - reader->end;
  return reader->buffer + reader->end;
}

void
frame_reader_filled (FrameReader *reader, size_t n)
{
  reader->end += n;
}

int
frame_reader_next (FrameReader *reader, FrameHeader *ret_header, const uint8_t **ret_payload)
{
  const uint8_t *at = reader->buffer + reader->start;
  size_t have = reader->end - reader->start;
  FrameHeader header;
  int r;

  if (have < FRAME_HEADER_SIZE)
    return 0;
  r = frame_header_decode (at, &header);
  if (r < 0)
    return r;
  if (have - FRAME_HEADER_SIZE < header.length)
    return 0;
  reader->start += FRAME_HEADER_SIZE + header.length;
  *ret_header = header;
  *ret_payload = at + FRAME_HEADER_SIZE;
  return 1;
}

/* The first byte of the preamble occurs in it only once, so after a mismatch the only possible restart is at
 * the byte that did not match. */
size_t
frame_preamble_find (unsigned *state, const uint8_t *data, size_t n, int *ret_found)
{
  static const char preamble[FRAME_PREAMBLE_SIZE + 1] = FRAME_PREAMBLE;

  for (size_t i = 0; i < n; i++) {
    if (data[i] == (uint8_t)preamble[*state])
      (*state)++;
    else
      *state = data[i] == (uint8_t)preamble[0] ? 1 : 0;
    if (*state == FRAME_PREAMBLE_SIZE) {
      *state = 0;
      *ret_found = 1;
      return i + 1;
    }
  }
  *ret_found = 0;
  return n;
}

void
frame_field_encode (uint8_t out[FRAME_FIELD_HEADER], FrameTag tag, uint32_t length)
{
  frame_put_u32 (out, (uint32_t)tag);
  frame_put_u32 (out + 4, length);
}

int
frame_field_next (const uint8_t *data, size_t n, size_t *at, FrameTag *ret_tag, const uint8_t **ret_value,
                  uint32_t *ret_length)
{
  size_t left = n - *at;
  uint32_t tag, length;

  if (left == 0)
    return 0;
  if (left < FRAME_FIELD_HEADER)
    return -EPROTO;
  tag = frame_get_u32 (data + *at); /* the three zero bytes behind the tag are checked with it */
  length = frame_get_u32 (data + *at + 4);
  if (tag < FRAME_TAG_ARG || tag > FRAME_TAG_MAX || length > left - FRAME_FIELD_HEADER)
    return -EPROTO;
  *ret_tag = (FrameTag)tag;
  *ret_value = data + *at + FRAME_FIELD_HEADER;
  *ret_length = length;
  *at += FRAME_FIELD_HEADER + length;
  return 1;
}

int
frame_exit_code (uint8_t kind, uint32_t value)
{
  if (kind == FRAME_EXIT_STATUS)
    return value <= 255 ? (int)value : 255;
  if (kind == FRAME_EXIT_SIGNAL)
    return value <= 127 ? 128 + (int)value : 255;
  return kind == FRAME_EXIT_ERRNO && value == ENOENT ? 127 : 126;
}
