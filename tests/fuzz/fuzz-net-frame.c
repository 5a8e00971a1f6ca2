/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A sandbox that may reach one address for one name, at any port, sends what the input says. However it cuts,
 * overlaps and repeats: libslirp, which takes bytes in order and may lose any frame, never gets the head of a
 * request for another name. The input: what happens, a byte, and its bytes, with their length before them. */
#include <stdlib.h>
#include <string.h>

#include "vmctl/net/bytes.h"
#include "vmctl/net/flows.h"
#include "vmctl/net/hello.h"
#include "vmctl/net/make.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

enum { ADDRESS = 0x08010203, WEB = 80, GUEST_PORT = 40000, FD = 3000, OURS = 5000 };

typedef struct {
  NetShared shared;
  NetFlows *flows;
  bool open, lossy, silent, odd; /* odd: libslirp says anything */
  uint32_t expected;
  size_t n;
  uint8_t stream[NET_HELLO_MAX];
} World;

static void
check_stream (World *world)
{
  NetHello hello;
  NetHelloKind kind = net_hello_read (world->stream, world->n, &hello);

  if (kind == NET_HELLO_MALFORMED && world->n < NET_HELLO_MAX)
    abort ();
  if ((kind == NET_HELLO_TLS || kind == NET_HELLO_HTTP) &&
      (hello.encrypted || strcmp (hello.name, "github.com") != 0))
    abort ();
}

static void
answer (World *world, uint8_t flags)
{
  const NetEnds ends = {world->shared.guest_mac, true, ADDRESS, NET_GUEST, WEB, GUEST_PORT};
  const NetSegment segment = {OURS + ((flags & NET_SYN) == 0), world->expected, flags, 60000};
  uint8_t out[NET_MADE_TCP];

  net_flows_incoming (world->flows, out, net_make_tcp (&ends, &segment, out, 0));
}

static void
take_data (World *world, const NetFrame *f)
{
  uint32_t known = world->expected - f->sequence;
  size_t n;

  if ((f->flags & NET_ACK) == 0 || known >= f->payload)
    return;
  n = f->payload - known;
  world->expected += (uint32_t)n;
  if (n > sizeof world->stream - world->n)
    n = sizeof world->stream - world->n;
  memcpy (world->stream + world->n, f->bytes + f->length - f->payload + known, n);
  world->n += n;
  check_stream (world);
}

static void
to_slirp (void *data, const uint8_t *bytes, size_t length)
{
  World *world = data;
  const char *why;
  NetFrame f;

  if (!net_frame_parse (bytes, length, &f, &why) || f.kind != NET_TCP || f.destination != ADDRESS)
    abort ();
  if (f.source_port != GUEST_PORT || f.destination_port != WEB) {
    if (f.flags & NET_SYN)
      net_flows_opened (world->flows, FD + 1);
    net_flows_closed (world->flows, FD + 1);
    return;
  }
  if (world->lossy)
    return;
  if ((f.flags & NET_SYN) && !world->open) {
    net_flows_opened (world->flows, FD);
    world->open = true;
    world->n = 0;
    world->expected = f.sequence + 1;
  } else if (world->open && (f.flags & NET_RST)) {
    world->open = false;
    net_flows_closed (world->flows, FD);
  } else if (world->open) {
    take_data (world, &f);
    if (!world->silent && world->open)
      answer (world, NET_ACK);
  }
}

static void
to_guest (void *data, const uint8_t *bytes, size_t length)
{
  const World *world = data;

  if (!world->odd && (length < 34 || net_read32 (bytes + 30) != NET_GUEST))
    abort ();
}

static bool
is_local (uint32_t address)
{
  return address == ADDRESS + 1;
}

/* Bytes that say: sequence number (from 1000 on), flags, and then data. */
static void
send_segment (World *world, const uint8_t *data, size_t size)
{
  const NetEnds ends = {world->shared.guest_mac, false, NET_GUEST, ADDRESS, GUEST_PORT, WEB};
  NetSegment segment = {.acknowledged = OURS + 1, .window = 60000};
  uint8_t *out;
  const char *why;
  NetFrame f;

  if (size < 3)
    return;
  segment.sequence = 1000U + net_read16 (data);
  segment.flags = data[2];
  out = malloc (NET_MADE_TCP + size - 3);
  if (out == NULL)
    abort ();
  memcpy (out + NET_MADE_TCP, data + 3, size - 3);
  if (net_frame_parse (out, net_make_tcp (&ends, &segment, out, size - 3), &f, &why))
    net_flows_outgoing (world->flows, &f);
  free (out);
}

/* A frame as it is, but that its checksum is right: what is malformed otherwise shall be found, too. */
static void
send_raw (World *world, const uint8_t *data, size_t size)
{
  uint8_t *out = malloc (size > 0 ? size : 1);
  const char *why;
  NetFrame f;

  if (out == NULL)
    abort ();
  memcpy (out, data, size);
  if (size >= 34) {
    net_write16 (out + 24, 0);
    net_write16 (out + 24, net_checksum (out + 14, 20, 0));
  }
  if (net_frame_parse (out, size, &f, &why) && f.kind != NET_ARP && f.kind != NET_OTHER &&
      f.kind != NET_ICMP && f.kind != NET_UDP && f.source == NET_GUEST)
    net_flows_outgoing (world->flows, &f);
  free (out);
}

static void
step (World *world, uint8_t what, const uint8_t *data, size_t size)
{
  NetPoll poll = {.timeout_ms = -1};

  switch (what % 8) {
  case 0:
  case 1:
    send_segment (world, data, size);
    break;
  case 2:
    send_raw (world, data, size);
    break;
  case 3:
    if (world->open)
      answer (world, NET_SYN | NET_ACK);
    break;
  case 4:
    if (world->open)
      answer (world, NET_ACK);
    break;
  case 5:
    world->lossy = size % 2 != 0;
    world->silent = size % 4 >= 2;
    break;
  case 6:
    world->shared.now_ms += (int64_t)size * 1000;
    net_flows_serve (world->flows, &poll);
    break;
  default:
    world->odd = true;
    net_flows_incoming (world->flows, data, size);
    world->odd = false;
    break;
  }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static const char policy[] = "vmctl-net-policy 2\nmode list\nallow net 8.1.2.3/32 udp 9-9 x\n"
                               "allow name github.com tcp 0-0 github.com\nallow net 8.1.2.2/31 tcp 1-1 x\n";
  static const NetFlowsHost host = {to_slirp, to_guest, is_local};
  static World world;

  memset (&world, 0, sizeof world);
  world.shared.log.fd = -1;
  world.shared.now_ms = 1;
  world.shared.learned = net_learned_new ();
  if (!net_policy_parse (policy, sizeof policy - 1, &world.shared.policy, NULL))
    abort ();
  net_learned_add (world.shared.learned, "github.com", ADDRESS, 300, 1);
  world.flows = net_flows_new (&world.shared, &host, &world);
  while (size >= 3) {
    size_t n = net_read16 (data + 1);

    n = n < size - 3 ? n : size - 3;
    step (&world, data[0], data + 3, n);
    data += 3 + n;
    size -= 3 + n;
  }
  net_flows_free (world.flows);
  net_policy_clear (&world.shared.policy);
  net_learned_free (world.shared.learned);
  return 0;
}
