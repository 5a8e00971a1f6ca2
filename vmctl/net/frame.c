/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/net/frame.h"

#include <string.h>

#include "vmctl/net/bytes.h"
#include "vmctl/net/policy.h"

enum {
  ETHER = 14,
  IP = 20,
  TYPE_IPV4 = 0x0800,
  TYPE_ARP = 0x0806,
  ARP_LENGTH = 28,
  ICMP_ECHO_REQUEST = 8,
  PROTOCOL_ICMP = 1,
  PROTOCOL_TCP = 6,
  PROTOCOL_UDP = 17,
  DONT_FRAGMENT = 0x4000,
};

uint16_t
net_checksum (const uint8_t *bytes, size_t length, uint32_t sum)
{
  for (; length > 1; bytes += 2, length -= 2)
    sum += net_read16 (bytes);
  if (length == 1)
    sum += (uint32_t)*bytes << 8;
  while (sum >> 16)
    sum = (sum & 0xffff) + (sum >> 16);
  return (uint16_t)~sum;
}

static bool
parse_arp (NetFrame *f, const char **ret_why)
{
  static const uint8_t ethernet_ipv4[] = {0, 1, 8, 0, 6, 4};
  const uint8_t *arp = f->bytes + ETHER;

  *ret_why = "malformed ARP";
  if (f->length < ETHER + ARP_LENGTH || memcmp (arp, ethernet_ipv4, sizeof ethernet_ipv4) != 0 ||
      (net_read16 (arp + 6) != 1 && net_read16 (arp + 6) != 2))
    return false;
  f->length = ETHER + ARP_LENGTH;
  f->kind = NET_ARP;
  f->source = net_read32 (arp + 14);
  f->destination = net_read32 (arp + 24);
  return true;
}

static bool
parse_tcp (NetFrame *f, const uint8_t *tcp, size_t length)
{
  size_t header;

  if (length < 20)
    return false;
  header = (size_t)(tcp[12] >> 4) * 4;
  if (header < 20 || header > length)
    return false;
  f->kind = NET_TCP;
  f->sequence = net_read32 (tcp + 4);
  f->acknowledged = net_read32 (tcp + 8);
  f->flags = tcp[13];
  f->window = net_read16 (tcp + 14);
  f->payload = (uint32_t)(length - header);
  return true;
}

static bool
parse_udp (NetFrame *f, const uint8_t *udp, size_t length)
{
  if (length < 8 || net_read16 (udp + 4) < 8 || net_read16 (udp + 4) > length)
    return false;
  f->kind = NET_UDP;
  f->payload = net_read16 (udp + 4) - 8U;
  return true;
}

static bool
parse_transport (NetFrame *f, const char **ret_why)
{
  const uint8_t *p = f->bytes + ETHER + IP;
  size_t length = f->length - ETHER - IP;
  bool sound;

  if (f->protocol == PROTOCOL_ICMP) {
    *ret_why = "ICMP that is no echo request";
    f->kind = NET_ICMP;
    return length >= 8 && p[0] == ICMP_ECHO_REQUEST && p[1] == 0;
  }
  if (f->protocol != PROTOCOL_TCP && f->protocol != PROTOCOL_UDP)
    return true;
  *ret_why = "malformed TCP or UDP";
  sound = f->protocol == PROTOCOL_TCP ? parse_tcp (f, p, length) : parse_udp (f, p, length);
  if (!sound)
    return false;
  f->source_port = net_read16 (p);
  f->destination_port = net_read16 (p + 2);
  return f->source_port != 0 && f->destination_port != 0;
}

static bool
parse_ipv4 (NetFrame *f, const char **ret_why)
{
  const uint8_t *ip = f->bytes + ETHER;
  size_t total;

  *ret_why = "malformed IPv4";
  if (f->length < ETHER + IP || ip[0] >> 4 != 4)
    return false;
  total = net_read16 (ip + 2);
  if (total < IP || total > f->length - ETHER)
    return false;
  *ret_why = "IPv4 options";
  if ((ip[0] & 15) != IP / 4)
    return false;
  *ret_why = "wrong IPv4 checksum";
  if (net_checksum (ip, IP, 0) != 0)
    return false;
  *ret_why = "an IPv4 fragment";
  if ((net_read16 (ip + 6) & ~DONT_FRAGMENT) != 0)
    return false;
  f->length = ETHER + total;
  f->protocol = ip[9];
  f->source = net_read32 (ip + 12);
  f->destination = net_read32 (ip + 16);
  f->kind = NET_OTHER;
  return parse_transport (f, ret_why);
}

bool
net_frame_parse (const void *bytes, size_t length, NetFrame *ret, const char **ret_why)
{
  memset (ret, 0, sizeof *ret);
  ret->bytes = bytes;
  ret->length = length;
  *ret_why = "a frame of no size that there is";
  if (length < ETHER || length > NET_FRAME_MAX)
    return false;
  switch (net_read16 (ret->bytes + 12)) {
  case TYPE_ARP:
    return parse_arp (ret, ret_why);
  case TYPE_IPV4:
    return parse_ipv4 (ret, ret_why);
  default:
    *ret_why = "neither IPv4 nor ARP";
    return false;
  }
}

/* From where the frame went to where it came from; `from` is the answer's IP address. */
static void
write_headers (const NetFrame *f, uint8_t *out, uint32_t from, uint8_t protocol, size_t length)
{
  uint8_t *ip = out + ETHER;

  memset (out, 0, ETHER + IP);
  memcpy (out, f->bytes + 6, 6);
  memcpy (out + 6, f->bytes, 6);
  net_write16 (out + 12, TYPE_IPV4);
  ip[0] = 4 << 4 | IP / 4;
  net_write16 (ip + 2, (unsigned)(IP + length));
  net_write16 (ip + 6, DONT_FRAGMENT);
  ip[8] = 64;
  ip[9] = protocol;
  net_write32 (ip + 12, from);
  net_write32 (ip + 16, f->source);
  net_write16 (ip + 10, net_checksum (ip, IP, 0));
}

/* RFC 9293, 3.10.7.1: what a host without such a connection says. */
static size_t
reset (const NetFrame *f, uint8_t *out)
{
  uint8_t *tcp = out + ETHER + IP;
  uint32_t next = f->sequence + f->payload + ((f->flags & NET_SYN) != 0) + ((f->flags & NET_FIN) != 0);

  write_headers (f, out, f->destination, PROTOCOL_TCP, 20);
  memset (tcp, 0, 20);
  net_write16 (tcp, f->destination_port);
  net_write16 (tcp + 2, f->source_port);
  tcp[12] = 20 / 4 << 4;
  if (f->flags & NET_ACK) {
    net_write32 (tcp + 4, f->acknowledged);
    tcp[13] = NET_RST;
  } else {
    net_write32 (tcp + 8, next);
    tcp[13] = NET_RST | NET_ACK;
  }
  /* the pseudo-header: addresses, protocol, length */
  net_write16 (tcp + 16, net_checksum (tcp, 20,
                                       (f->destination >> 16) + (f->destination & 0xffff) +
                                           (f->source >> 16) + (f->source & 0xffff) + PROTOCOL_TCP + 20));
  return ETHER + IP + 20;
}

/* Destination unreachable, with the head of what it is about. */
static size_t
unreachable (const NetFrame *f, uint8_t *out)
{
  enum { UNREACHABLE = 3, HOST = 1, PROTOCOL = 2, PORT = 3 };
  uint8_t *icmp = out + ETHER + IP;
  size_t quoted = f->length - ETHER < IP + 8 ? f->length - ETHER : IP + 8;

  write_headers (f, out, NET_GATEWAY, PROTOCOL_ICMP, 8 + quoted);
  memset (icmp, 0, 8);
  icmp[0] = UNREACHABLE;
  icmp[1] = f->kind == NET_UDP ? PORT : f->kind == NET_ICMP ? HOST : PROTOCOL;
  memcpy (icmp + 8, f->bytes + ETHER, quoted);
  net_write16 (icmp + 2, net_checksum (icmp, 8 + quoted, 0));
  return ETHER + IP + 8 + quoted;
}

/* RFC 1122, 3.2.2: never an ICMP error about what went to many. */
static bool
is_to_many (const NetFrame *f)
{
  return (f->bytes[0] & 1) != 0 || f->destination >= 0xe0000000 || f->destination == NET_NETWORK + 255;
}

size_t
net_frame_refuse (const NetFrame *frame, uint8_t *out)
{
  if (frame->kind == NET_ARP || is_to_many (frame))
    return 0;
  if (frame->kind != NET_TCP)
    return unreachable (frame, out);
  return frame->flags & NET_RST ? 0 : reset (frame, out);
}

size_t
net_frame_answer_arp (const NetFrame *frame, uint8_t *out)
{
  enum { REQUEST = 1, REPLY = 2, SENDER = 8, TARGET = 18 };
  const uint8_t mac[] = {0x52, 0x55, 10, 0, 2, (uint8_t)frame->destination}; /* as libslirp's are */
  const uint8_t *asked = frame->bytes + ETHER;
  uint8_t *arp = out + ETHER;
  uint32_t host = frame->destination - NET_NETWORK;

  if (frame->kind != NET_ARP || net_read16 (asked + 6) != REQUEST || frame->source != NET_GUEST ||
      host == 0 || host >= 255 || frame->destination == NET_GATEWAY || frame->destination == NET_NAMESERVER ||
      frame->destination == NET_GUEST)
    return 0;
  memcpy (out, frame->bytes + 6, 6);
  memcpy (out + 6, mac, 6);
  net_write16 (out + 12, TYPE_ARP);
  memcpy (arp, asked, 6);
  net_write16 (arp + 6, REPLY);
  memcpy (arp + SENDER, mac, 6);
  net_write32 (arp + SENDER + 6, frame->destination);
  memcpy (arp + TARGET, asked + SENDER, 10); /* hardware and IP address of who asked */
  return ETHER + ARP_LENGTH;
}
