/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/net/dnstcp.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "vmctl/net/bytes.h"
#include "vmctl/net/make.h"

enum {
  DNS_PORT = 53,
  IP = 14,
  IP_SUM = IP + 10,
  IP_SOURCE = IP + 12,
  IP_DESTINATION = IP + 16,
  TCP = IP + 20,
  TCP_SOURCE = TCP,
  TCP_DESTINATION = TCP + 2,
  TCP_SEQUENCE = TCP + 4,
  TCP_ACKNOWLEDGED = TCP + 8,
  TCP_HEADER = TCP + 12,
  TCP_FLAGS = TCP + 13,
  TCP_SUM = TCP + 16,
};

typedef enum {
  FREE,
  OPEN,
  ENDED, /* what still comes of it is of no interest */
} State;

typedef struct {
  NetDnsTcp *dns;
  State state;
  uint16_t guest_port;
  unsigned connection;
  int64_t used_ms;
  /* Sequence numbers: the sandbox's first, up to where libslirp has it, and where its FIN ends; */
  uint32_t first, taken, fin;
  /* libslirp's: up to where the sandbox was sent it, has it, and libslirp was given answers. */
  uint32_t sent, acked, given;
  unsigned asked; /* questions without an answer */
  bool has_fin;   /* the sandbox has said, or will have, all */
  bool broken;    /* to be reset */
  size_t unread;
  uint8_t *bytes; /* owned; NULL until there is a connection */
} Slot;

struct NetDnsTcp {
  Slirp *slirp;
  NetShared *shared;
  NetResolver *resolver;
  NetDnsTcpSend to_guest;
  void *data;
  int64_t used_ms; /* by any of them; 0: never */
  Slot slots[NET_DNSTCP_SLOTS];
  uint8_t frame[NET_FRAME_MAX];
  uint8_t answer[2 + NET_DNS_MAX];
};

static void *
allocate (size_t size)
{
  void *memory = calloc (1, size);

  if (memory == NULL)
    abort (); /* the keeper starts another */
  return memory;
}

/* Frames */

/* Two bytes, and a checksum over them, which stays as wrong as it was (RFC 1624). */
static void
change16 (uint8_t *p, unsigned value, uint8_t *sum)
{
  uint32_t n = (uint16_t)~net_read16 (sum) + (uint32_t)(uint16_t)~net_read16 (p) + value;

  while (n >> 16)
    n = (n & 0xffff) + (n >> 16);
  net_write16 (sum, (uint16_t)~n);
  net_write16 (p, value);
}

/* TCP's checksum covers the addresses as well. */
static void
change_end (uint8_t *bytes, size_t address_at, uint32_t address, size_t port_at, uint16_t port)
{
  for (size_t i = 0; i < 2; i++) {
    uint8_t *half = bytes + address_at + 2 * i;
    unsigned value = i == 0 ? address >> 16 : address & 0xffff;
    uint8_t before[2];

    memcpy (before, half, 2);
    change16 (half, value, bytes + IP_SUM);
    change16 (before, value, bytes + TCP_SUM);
  }
  change16 (bytes + port_at, port, bytes + TCP_SUM);
}

static bool
is_before (uint32_t a, uint32_t b)
{
  return (int32_t)(a - b) < 0;
}

static uint16_t
port_of (const Slot *slot)
{
  return (uint16_t)(NET_DNSTCP_PORT + (slot - slot->dns->slots));
}

/* Slots */

static Slot *
find (NetDnsTcp *dns, uint16_t guest_port)
{
  for (Slot *slot = dns->slots; slot < dns->slots + NET_DNSTCP_SLOTS; slot++)
    if (slot->state != FREE && slot->guest_port == guest_port)
      return slot;
  return NULL;
}

/* libslirp forgets the connection: an acceptable reset is from where it has come to. */
static void
reset_slirp (const Slot *slot)
{
  uint8_t frame[NET_MADE_TCP];
  const NetEnds ends = {.guest_mac = slot->dns->shared->guest_mac,
                        .source = NET_GUEST,
                        .source_port = slot->guest_port,
                        .destination = NET_DNSTCP_ADDRESS,
                        .destination_port = port_of (slot)};
  const NetSegment segment = {.sequence = slot->taken, .flags = NET_RST};

  slirp_input (slot->dns->slirp, frame, (int)net_make_tcp (&ends, &segment, frame, 0));
}

static void
tell_guest (const Slot *slot, uint8_t flags)
{
  uint8_t frame[NET_MADE_TCP];
  const NetEnds ends = {.guest_mac = slot->dns->shared->guest_mac,
                        .to_guest = true,
                        .source = NET_NAMESERVER,
                        .source_port = DNS_PORT,
                        .destination = NET_GUEST,
                        .destination_port = slot->guest_port};
  const NetSegment segment = {
      .sequence = slot->sent, .acknowledged = slot->taken, .flags = flags, .window = UINT16_MAX};

  slot->dns->to_guest (slot->dns->data, frame, net_make_tcp (&ends, &segment, frame, 0));
}

/* `flags`: what the sandbox is told; 0: nothing. */
static void
end (Slot *slot, uint8_t flags)
{
  if (slot->state != OPEN)
    return;
  slot->state = ENDED; /* first: libslirp may say something */
  reset_slirp (slot);
  if (flags != 0)
    tell_guest (slot, flags);
}

static void
end_if_done (Slot *slot)
{
  if (slot->state != OPEN)
    return;
  if (slot->broken)
    end (slot, NET_RST | NET_ACK);
  else if (slot->has_fin && slot->taken == slot->fin && slot->asked == 0 && slot->acked == slot->given)
    end (slot, NET_FIN | NET_ACK);
}

/* Free ones first, then ended ones, then the one that was silent for longest. */
static bool
is_better (const Slot *slot, const Slot *than)
{
  static const int rank[] = {[FREE] = 0, [ENDED] = 1, [OPEN] = 2};

  return slot->state != than->state ? rank[slot->state] < rank[than->state] : slot->used_ms < than->used_ms;
}

static Slot *
take_slot (NetDnsTcp *dns, const NetFrame *frame)
{
  static unsigned connections; /* never the same number twice, whatever was freed */
  Slot *slot = find (dns, frame->source_port);

  if (slot != NULL) {
    end (slot, 0); /* the sandbox has forgotten it */
  } else {
    slot = &dns->slots[0];
    for (Slot *other = dns->slots + 1; other < dns->slots + NET_DNSTCP_SLOTS; other++)
      if (is_better (other, slot))
        slot = other;
    end (slot, NET_RST | NET_ACK);
  }
  *slot = (Slot){.dns = dns, .state = OPEN, .guest_port = frame->source_port, .bytes = slot->bytes};
  if (slot->bytes == NULL)
    slot->bytes = allocate (NET_DNSTCP_UNREAD_MAX);
  slot->connection = ++connections;
  slot->first = slot->taken = frame->sequence;
  return slot;
}

/* What libslirp has from the sandbox; within slirp_input(), so it must not be called again from here. */
static ssize_t
take_bytes (const void *bytes, size_t length, void *data)
{
  Slot *slot = data;

  if (length > NET_DNSTCP_UNREAD_MAX - slot->unread) {
    slot->broken = true;
    return (ssize_t)length;
  }
  memcpy (slot->bytes + slot->unread, bytes, length);
  slot->unread += length;
  return (ssize_t)length;
}

/* Every question that has come completely. */
static void
ask (Slot *slot)
{
  const NetAsker asker = {.tcp = true, .connection = slot->connection};
  size_t at = 0;

  while (slot->unread - at >= 2 && !slot->broken) {
    size_t length = net_read16 (slot->bytes + at);

    if (length == 0 || length > NET_DNSTCP_UNREAD_MAX - 2)
      slot->broken = true;
    if (slot->broken || slot->unread - at - 2 < length)
      break;
    slot->asked++;
    net_resolver_ask (slot->dns->resolver, &asker, slot->bytes + at + 2, length);
    at += 2 + length;
  }
  slot->unread -= at;
  memmove (slot->bytes, slot->bytes + at, slot->unread);
}

/* The copy in dns->frame goes to libslirp, and what it made of it is seen to. */
static void
give (Slot *slot, const NetFrame *frame)
{
  NetDnsTcp *dns = slot->dns;

  slot->used_ms = dns->used_ms = dns->shared->now_ms;
  if (frame->flags & NET_FIN) {
    slot->has_fin = true;
    slot->fin = frame->sequence + frame->payload + 1;
  }
  if (frame->flags & NET_ACK && is_before (slot->acked, frame->acknowledged) &&
      !is_before (slot->sent, frame->acknowledged))
    slot->acked = frame->acknowledged;
  memcpy (dns->frame, frame->bytes, frame->length);
  change_end (dns->frame, IP_DESTINATION, NET_DNSTCP_ADDRESS, TCP_DESTINATION, port_of (slot));
  slirp_input (dns->slirp, dns->frame, (int)frame->length);
  ask (slot);
  end_if_done (slot);
}

void
net_dnstcp_outgoing (NetDnsTcp *dns, const NetFrame *frame)
{
  Slot *slot = find (dns, frame->source_port);
  bool begins = (frame->flags & (NET_SYN | NET_ACK | NET_RST)) == NET_SYN;
  uint8_t refusal[NET_REFUSAL_MAX];
  size_t n;

  if (begins && (slot == NULL || slot->state != OPEN || slot->first != frame->sequence))
    slot = take_slot (dns, frame);
  if (slot == NULL) {
    n = net_frame_refuse (frame, refusal);
    if (n > 0)
      dns->to_guest (dns->data, refusal, n);
  } else if (frame->flags & NET_RST) {
    end (slot, 0);
  } else if (slot->state == OPEN) {
    give (slot, frame);
  }
}

/* libslirp's word on where the connection has come to. */
static void
note (Slot *slot, const uint8_t *bytes, size_t length)
{
  size_t header = (size_t)(bytes[TCP_HEADER] >> 4) * 4;
  bool begins = (bytes[TCP_FLAGS] & NET_SYN) != 0;
  uint32_t sequence = net_read32 (bytes + TCP_SEQUENCE), until = sequence + begins;

  if (TCP + header <= length)
    until += (uint32_t)(length - TCP - header);
  if (bytes[TCP_FLAGS] & NET_ACK)
    slot->taken = net_read32 (bytes + TCP_ACKNOWLEDGED);
  if (begins)
    slot->acked = sequence;
  if (begins)
    slot->given = until;
  if (begins || is_before (slot->sent, until))
    slot->sent = until;
}

bool
net_dnstcp_incoming (NetDnsTcp *dns, uint8_t *bytes, size_t length)
{
  enum { IPV4 = 0x0800, PROTOCOL = 9, PROTOCOL_TCP = 6 };
  unsigned slot;

  if (length < TCP + 20 || net_read16 (bytes + 12) != IPV4 || bytes[IP] != 0x45 ||
      bytes[IP + PROTOCOL] != PROTOCOL_TCP || net_read32 (bytes + IP_SOURCE) != NET_DNSTCP_ADDRESS)
    return true;
  slot = net_read16 (bytes + TCP_SOURCE) - (unsigned)NET_DNSTCP_PORT;
  if (slot >= NET_DNSTCP_SLOTS || dns->slots[slot].state != OPEN ||
      dns->slots[slot].guest_port != net_read16 (bytes + TCP_DESTINATION))
    return false;
  note (&dns->slots[slot], bytes, length);
  change_end (bytes, IP_SOURCE, NET_NAMESERVER, TCP_SOURCE, DNS_PORT);
  return true;
}

static void
give_answer (Slot *slot, const uint8_t *message, size_t length)
{
  struct in_addr address = {htonl (NET_DNSTCP_ADDRESS)};
  uint8_t *framed = slot->dns->answer;

  slot->asked--;
  if (slirp_socket_can_recv (slot->dns->slirp, address, port_of (slot)) < 2 + length) {
    slot->broken = true; /* it asks, and does not read */
    end_if_done (slot);
    return;
  }
  net_write16 (framed, (unsigned)length);
  memcpy (framed + 2, message, length);
  slot->given += 2 + (uint32_t)length;
  slirp_socket_recv (slot->dns->slirp, address, port_of (slot), framed, (int)(2 + length));
}

void
net_dnstcp_reply (NetDnsTcp *dns, const NetAsker *asker, const uint8_t *message, size_t length)
{
  for (Slot *slot = dns->slots; slot < dns->slots + NET_DNSTCP_SLOTS; slot++)
    if (slot->state == OPEN && slot->connection == asker->connection)
      give_answer (slot, message, length);
}

/* Asked each turn of the loop. */
bool
net_dnstcp_busy (const NetDnsTcp *dns)
{
  if (dns->used_ms == 0 || dns->shared->now_ms - dns->used_ms >= NET_DNSTCP_BUSY_MS)
    return false;
  for (const Slot *slot = dns->slots; slot < dns->slots + NET_DNSTCP_SLOTS; slot++)
    if (slot->state == OPEN && dns->shared->now_ms - slot->used_ms < NET_DNSTCP_BUSY_MS)
      return true;
  return false;
}

NetDnsTcp *
net_dnstcp_new (Slirp *slirp, NetShared *shared, NetResolver *resolver, NetDnsTcpSend to_guest, void *data)
{
  NetDnsTcp *dns = allocate (sizeof *dns);
  struct in_addr address = {htonl (NET_DNSTCP_ADDRESS)};

  dns->slirp = slirp;
  dns->shared = shared;
  dns->resolver = resolver;
  dns->to_guest = to_guest;
  dns->data = data;
  for (Slot *slot = dns->slots; slot < dns->slots + NET_DNSTCP_SLOTS; slot++) {
    slot->dns = dns;
    if (slirp_add_guestfwd (slirp, take_bytes, slot, &address, port_of (slot)) != 0)
      abort (); /* it is no address of libslirp's, and no port is there twice */
  }
  return dns;
}

void
net_dnstcp_free (NetDnsTcp *dns)
{
  if (dns == NULL)
    return;
  for (Slot *slot = dns->slots; slot < dns->slots + NET_DNSTCP_SLOTS; slot++)
    free (slot->bytes);
  free (dns);
}
