/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Frames of the helper's own making, in either direction, with their checksums. Pure, libc only. */
#pragma once

#include "vmctl/net/frame.h"

enum {
  NET_MADE_TCP = 14 + 20 + 20, /* bytes before the payload */
  NET_MADE_UDP = 14 + 20 + 8,
  NET_MADE_ECHO = 14 + 20 + 8,
  NET_MADE_SYN_MAX = 14 + 20 + 60,
  NET_UDP_PAYLOAD_MAX = NET_MTU - 20 - 8,
};

/* Everything in host order. */
typedef struct {
  const uint8_t *guest_mac; /* 6 bytes */
  bool to_guest;
  uint32_t source, destination;
  uint16_t source_port, destination_port;
} NetEnds;

typedef struct {
  uint32_t sequence, acknowledged;
  uint8_t flags;
  uint16_t window;
} NetSegment;

/* Each: the payload is in `out` already, behind as many bytes as above says; at most NET_MTU with the
 * headers. Returns the frame's length. */
size_t net_make_tcp (const NetEnds *ends, const NetSegment *segment, uint8_t *out, size_t payload);
size_t net_make_udp (const NetEnds *ends, uint8_t *out, size_t payload);
/* An echo reply (the ports of `ends` do not matter). */
size_t
net_make_echo (const NetEnds *ends, uint16_t identifier, uint16_t sequence, uint8_t *out, size_t payload);

/* A SYN without its payload: a copy of its headers with the options, in which the largest segment, if it is
 * said, is `mss`; 0: as it was. Returns its length; `out` has room for NET_MADE_SYN_MAX bytes. */
size_t net_make_syn (const NetFrame *syn, uint16_t mss, uint8_t *out);
