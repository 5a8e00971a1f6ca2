/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/net/make.h"

#include <string.h>

#include "vmctl/net/bytes.h"

enum { ETHER = 14, IP = 20, TYPE_IPV4 = 0x0800, ICMP = 1, TCP = 6, UDP = 17, DONT_FRAGMENT = 0x4000 };

/* As libslirp's of the gateway. */
static const uint8_t our_mac[] = {0x52, 0x55, 10, 0, 2, 2};

static void
write_headers (const NetEnds *ends, uint8_t protocol, size_t length, uint8_t *out)
{
  uint8_t *ip = out + ETHER;

  memset (out, 0, ETHER + IP);
  memcpy (out, ends->to_guest ? ends->guest_mac : our_mac, 6);
  memcpy (out + 6, ends->to_guest ? our_mac : ends->guest_mac, 6);
  net_write16 (out + 12, TYPE_IPV4);
  ip[0] = 4 << 4 | IP / 4;
  net_write16 (ip + 2, (unsigned)(IP + length));
  net_write16 (ip + 6, DONT_FRAGMENT);
  ip[8] = 64;
  ip[9] = protocol;
  net_write32 (ip + 12, ends->source);
  net_write32 (ip + 16, ends->destination);
  net_write16 (ip + 10, net_checksum (ip, IP, 0));
}

/* Of TCP and UDP in the frame `out`, whose checksum field is 0. */
static uint16_t
transport_sum (const uint8_t *out, uint8_t protocol, size_t length)
{
  const uint8_t *a = out + ETHER + 12;
  uint32_t pseudo = (uint32_t)net_read16 (a) + net_read16 (a + 2) + net_read16 (a + 4) + net_read16 (a + 6) +
                    protocol + (uint32_t)length;

  return net_checksum (out + ETHER + IP, length, pseudo);
}

size_t
net_make_tcp (const NetEnds *ends, const NetSegment *segment, uint8_t *out, size_t payload)
{
  uint8_t *tcp = out + ETHER + IP;

  write_headers (ends, TCP, 20 + payload, out);
  memset (tcp, 0, 20);
  net_write16 (tcp, ends->source_port);
  net_write16 (tcp + 2, ends->destination_port);
  net_write32 (tcp + 4, segment->sequence);
  net_write32 (tcp + 8, segment->acknowledged);
  tcp[12] = 20 / 4 << 4;
  tcp[13] = segment->flags;
  net_write16 (tcp + 14, segment->window);
  net_write16 (tcp + 16, transport_sum (out, TCP, 20 + payload));
  return NET_MADE_TCP + payload;
}

size_t
net_make_udp (const NetEnds *ends, uint8_t *out, size_t payload)
{
  uint8_t *udp = out + ETHER + IP;
  uint16_t sum;

  write_headers (ends, UDP, 8 + payload, out);
  net_write16 (udp, ends->source_port);
  net_write16 (udp + 2, ends->destination_port);
  net_write16 (udp + 4, (unsigned)(8 + payload));
  net_write16 (udp + 6, 0);
  sum = transport_sum (out, UDP, 8 + payload);
  net_write16 (udp + 6, sum != 0 ? sum : 0xffff); /* 0: there is none */
  return NET_MADE_UDP + payload;
}

size_t
net_make_echo (const NetEnds *ends, uint16_t identifier, uint16_t sequence, uint8_t *out, size_t payload)
{
  uint8_t *icmp = out + ETHER + IP;

  write_headers (ends, ICMP, 8 + payload, out);
  memset (icmp, 0, 4); /* type and code of an echo reply */
  net_write16 (icmp + 4, identifier);
  net_write16 (icmp + 6, sequence);
  net_write16 (icmp + 2, net_checksum (icmp, 8 + payload, 0));
  return NET_MADE_ECHO + payload;
}

static void
set_mss (uint8_t *options, size_t length, uint16_t mss)
{
  enum { END = 0, NOTHING = 1, MSS = 2 };

  for (size_t at = 0; at + 1 < length && options[at] != END;) {
    size_t n = options[at] == NOTHING ? 1 : options[at + 1];

    if (n == 0 || n > length - at)
      return;
    if (options[at] == MSS && n == 4)
      net_write16 (options + at + 2, mss);
    at += n;
  }
}

size_t
net_make_syn (const NetFrame *syn, uint16_t mss, uint8_t *out)
{
  size_t length = syn->length - syn->payload, segment = length - ETHER - IP;
  uint8_t *ip = out + ETHER, *tcp = ip + IP;

  memcpy (out, syn->bytes, length);
  if (mss != 0)
    set_mss (tcp + 20, segment - 20, mss);
  net_write16 (ip + 2, (unsigned)(IP + segment));
  net_write16 (ip + 10, 0);
  net_write16 (ip + 10, net_checksum (ip, IP, 0));
  net_write16 (tcp + 16, 0);
  net_write16 (tcp + 16, transport_sum (out, TCP, segment));
  return length;
}
