/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "meta/dgram.h"

#include <errno.h>

enum { CREDIT_STEP = FRAME_WINDOW / 4 };

void
dgram_init (Dgram *dgram, uint32_t channel, RelaySide side, RelaySend send, void *data)
{
  *dgram = (Dgram){
      .channel = channel,
      .in = side == RELAY_AGENT ? FRAME_STDIN : FRAME_STDOUT,
      .out = side == RELAY_AGENT ? FRAME_STDOUT : FRAME_STDIN,
      .send = send,
      .data = data,
      .window = FRAME_WINDOW,
      .credit = FRAME_WINDOW,
  };
}

static void
give_back (Dgram *dgram, uint32_t n)
{
  uint8_t payload[4];

  dgram->due += n;
  if (dgram->due < CREDIT_STEP || dgram->closed)
    return;
  frame_put_u32 (payload, dgram->due);
  dgram->window += dgram->due;
  dgram->due = 0;
  dgram->send (dgram->data, FRAME_CREDIT, dgram->channel, dgram->in, payload, sizeof payload);
}

static int
take_data (Dgram *dgram, const FrameHeader *header)
{
  if (header->stream != dgram->in || header->length == 0 || header->length > dgram->window)
    return -EPROTO;
  dgram->window -= header->length;
  give_back (dgram, header->length);
  return !dgram->closed;
}

static int
take_credit (Dgram *dgram, const FrameHeader *header, const uint8_t *payload)
{
  uint32_t n = header->length == 4 ? frame_get_u32 (payload) : 0;

  if (header->stream != dgram->out || n == 0 || n > FRAME_WINDOW - dgram->credit)
    return -EPROTO;
  dgram->credit += n;
  return 0;
}

int
dgram_frame (Dgram *dgram, const FrameHeader *header, const uint8_t *payload)
{
  if (dgram->peer_closed)
    return -EPROTO;
  switch (header->type) {
  case FRAME_DATA:
    return take_data (dgram, header);
  case FRAME_CREDIT:
    return take_credit (dgram, header, payload);
  case FRAME_CLOSE:
    if (header->stream != 0 || header->length != 0)
      return -EPROTO;
    dgram->peer_closed = true;
    dgram_shut (dgram);
    return 0;
  default:
    return -EPROTO;
  }
}

bool
dgram_give (Dgram *dgram, const uint8_t *bytes, size_t n)
{
  if (dgram->closed || n == 0 || n > dgram->credit || n > FRAME_PAYLOAD_MAX)
    return false;
  dgram->credit -= (uint32_t)n;
  dgram->send (dgram->data, FRAME_DATA, dgram->channel, dgram->out, bytes, n);
  return true;
}

void
dgram_shut (Dgram *dgram)
{
  if (dgram->closed)
    return;
  dgram->closed = true;
  dgram->send (dgram->data, FRAME_CLOSE, dgram->channel, 0, NULL, 0);
}

bool
dgram_is_over (const Dgram *dgram)
{
  return dgram->closed && dgram->peer_closed;
}
