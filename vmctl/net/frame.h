/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ethernet frames from a sandbox: parsed completely, or thrown away. libslirp sees only what has passed here.
 * And the frames that say no. Pure. libc only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  NET_MTU = 65520,                    /* libslirp's largest */
  NET_FRAME_MAX = 14 + NET_MTU,       /* of a frame that is worth a look */
  NET_REFUSAL_MAX = 14 + 20 + 8 + 28, /* of a frame that says no */
};

typedef enum { NET_ARP, NET_TCP, NET_UDP, NET_ICMP, NET_OTHER } NetKind;

enum { NET_FIN = 1, NET_SYN = 2, NET_RST = 4, NET_PSH = 8, NET_ACK = 16, NET_URG = 32 };

/* Everything in host order. */
typedef struct {
  const uint8_t *bytes; /* borrowed; from the ethernet header on */
  size_t length;        /* without padding */
  NetKind kind;
  uint8_t protocol;                       /* IP's */
  uint32_t source, destination;           /* of ARP: sender's and target's */
  uint16_t source_port, destination_port; /* TCP, UDP */
  uint8_t flags;                          /* TCP */
  uint16_t window;                        /* TCP */
  uint32_t sequence, acknowledged;        /* TCP */
  uint32_t payload;                       /* TCP, UDP: bytes of data */
} NetFrame;

/* False: it is malformed, or of a sort that sandboxes have no business to send (IPv6, fragments, options,
 * ICMP but for echo requests); *ret_why says which. (static) */
bool net_frame_parse (const void *bytes, size_t length, NetFrame *ret, const char **ret_why);

/* The answer to a frame that is refused, so that whoever sent it need not wait: a reset for TCP, an ICMP
 * error for the rest. Returns its length; 0: there is none to send (resets, ARP). `out` has room for
 * NET_REFUSAL_MAX bytes. */
size_t net_frame_refuse (const NetFrame *frame, uint8_t *out);

/* Addresses of the sandbox's network that are nobody's answer too, so that frames to them come and are
 * refused at once. Returns the answer's length; 0: the frame asks for none of these. */
size_t net_frame_answer_arp (const NetFrame *frame, uint8_t *out);

/* RFC 1071, of `length` bytes, on top of `sum`. */
uint16_t net_checksum (const uint8_t *bytes, size_t length, uint32_t sum);
