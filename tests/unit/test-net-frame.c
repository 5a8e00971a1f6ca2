/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl/net/frame.c: every frame is parsed completely or thrown away. */
#include <glib.h>
#include <string.h>

#include "vmctl/net/frame.h"
#include "vmctl/net/make.h"
#include "vmctl/net/policy.h"

enum { ETHER = 14, IP = 20, TCP = 6, UDP = 17, ICMP = 1 };

typedef struct {
  uint8_t bytes[2000];
  gsize length;
} Raw;

static void
put (Raw *raw, gsize at, guint size, guint32 value)
{
  for (guint i = 0; i < size; i++)
    raw->bytes[at + i] = (uint8_t)(value >> 8 * (size - 1 - i));
}

static guint32
take (const uint8_t *bytes, gsize at, guint size)
{
  guint32 value = 0;

  for (guint i = 0; i < size; i++)
    value = value << 8 | bytes[at + i];
  return value;
}

static void
seal_ip (Raw *raw)
{
  put (raw, ETHER + 10, 2, 0);
  put (raw, ETHER + 10, 2, net_checksum (raw->bytes + ETHER, IP, 0));
}

static void
make_ip (Raw *raw, guint protocol, guint32 destination, gsize payload)
{
  memset (raw, 0, sizeof *raw);
  memcpy (raw->bytes, "\x52\x55\x0a\x00\x02\x02\x02\x00\x00\x00\x00\x01\x08", 13);
  raw->length = ETHER + IP + payload;
  put (raw, ETHER, 1, 0x45);
  put (raw, ETHER + 2, 2, (guint32)(IP + payload));
  put (raw, ETHER + 6, 2, 0x4000);
  put (raw, ETHER + 8, 1, 64);
  put (raw, ETHER + 9, 1, protocol);
  put (raw, ETHER + 12, 4, NET_GUEST);
  put (raw, ETHER + 16, 4, destination);
  seal_ip (raw);
}

static void
make_tcp (Raw *raw, guint flags, gsize data)
{
  make_ip (raw, TCP, 0x08080808, 20 + data);
  put (raw, 34, 2, 40000);
  put (raw, 36, 2, 443);
  put (raw, 38, 4, 1000);
  put (raw, 42, 4, 5000);
  put (raw, 46, 1, 0x50);
  put (raw, 47, 1, flags);
}

static void
make_udp (Raw *raw, gsize data)
{
  make_ip (raw, UDP, 0x08080808, 8 + data);
  put (raw, 34, 2, 40000);
  put (raw, 36, 2, 53);
  put (raw, 38, 2, (guint32)(8 + data));
}

static void
make_ping (Raw *raw)
{
  make_ip (raw, ICMP, 0x08080808, 8);
  put (raw, 34, 1, 8);
}

static void
make_arp (Raw *raw, guint32 target)
{
  memset (raw, 0, sizeof *raw);
  memcpy (raw->bytes, "\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01\x08\x06", 14);
  memcpy (raw->bytes + ETHER, "\x00\x01\x08\x00\x06\x04\x00\x01\x02\x00\x00\x00\x00\x01", 14);
  put (raw, ETHER + 14, 4, NET_GUEST);
  put (raw, ETHER + 24, 4, target);
  raw->length = 60; /* padded, as on a wire */
}

/* In a copy of its exact size, so that a sanitizer sees a byte too many being read. */
static gboolean
parse (const Raw *raw, NetFrame *frame, const char **why)
{
  g_autofree uint8_t *copy = g_memdup2 (raw->bytes, raw->length);
  gboolean sound = net_frame_parse (copy, raw->length, frame, why);

  frame->bytes = raw->bytes;
  return sound;
}

static void
assert_bad (const Raw *raw, const char *expected)
{
  NetFrame f;
  const char *why = NULL;

  g_assert_false (parse (raw, &f, &why));
  g_assert_cmpstr (why, ==, expected);
}

static void
test_good (void)
{
  Raw raw;
  NetFrame f;
  const char *why;

  make_tcp (&raw, NET_SYN, 5);
  raw.length += 3; /* padding */
  g_assert_true (parse (&raw, &f, &why));
  g_assert_cmpint (f.kind, ==, NET_TCP);
  g_assert_cmpuint (f.length, ==, ETHER + IP + 25);
  g_assert_cmphex (f.source, ==, NET_GUEST);
  g_assert_cmphex (f.destination, ==, 0x08080808);
  g_assert_cmpuint (f.source_port, ==, 40000);
  g_assert_cmpuint (f.destination_port, ==, 443);
  g_assert_cmpuint (f.payload, ==, 5);
  make_udp (&raw, 100);
  g_assert_true (parse (&raw, &f, &why));
  g_assert_cmpint (f.kind, ==, NET_UDP);
  make_ping (&raw);
  g_assert_true (parse (&raw, &f, &why));
  g_assert_cmpint (f.kind, ==, NET_ICMP);
  make_arp (&raw, NET_GATEWAY);
  g_assert_true (parse (&raw, &f, &why));
  g_assert_cmpint (f.kind, ==, NET_ARP);
  g_assert_cmphex (f.destination, ==, NET_GATEWAY);
  make_ip (&raw, 132, 0x08080808, 12);
  g_assert_true (parse (&raw, &f, &why));
  g_assert_cmpint (f.kind, ==, NET_OTHER);
}

/* Every frame cut at every byte is thrown away, but for padding. */
static void
test_cut (void)
{
  Raw raws[5];

  make_tcp (&raws[0], NET_SYN, 10);
  make_udp (&raws[1], 10);
  make_ping (&raws[2]);
  make_arp (&raws[3], NET_GATEWAY);
  raws[3].length = ETHER + 28;
  make_ip (&raws[4], 132, 0x08080808, 10);
  for (gsize i = 0; i < G_N_ELEMENTS (raws); i++) {
    gsize whole = raws[i].length;

    for (raws[i].length = 0; raws[i].length < whole; raws[i].length++) {
      NetFrame f;
      const char *why;

      g_assert_false (parse (&raws[i], &f, &why));
    }
  }
}

static void
test_malformed_ip (void)
{
  Raw raw;
  static const guint fragments[] = {0x2000, 0x0001, 0x1fff, 0x8000, 0x6000};

  for (gsize i = 0; i < G_N_ELEMENTS (fragments); i++) {
    make_tcp (&raw, NET_SYN, 0);
    put (&raw, ETHER + 6, 2, fragments[i]);
    seal_ip (&raw);
    assert_bad (&raw, "an IPv4 fragment");
  }
  make_tcp (&raw, NET_SYN, 40);
  put (&raw, ETHER, 1, 0x46);
  assert_bad (&raw, "IPv4 options");
  put (&raw, ETHER, 1, 0x44);
  assert_bad (&raw, "IPv4 options");
  put (&raw, ETHER, 1, 0x65);
  assert_bad (&raw, "malformed IPv4");
  make_tcp (&raw, NET_SYN, 0);
  put (&raw, ETHER + 8, 1, 63);
  assert_bad (&raw, "wrong IPv4 checksum");
  make_tcp (&raw, NET_SYN, 0);
  put (&raw, ETHER + 2, 2, IP + 21); /* longer than the frame */
  seal_ip (&raw);
  assert_bad (&raw, "malformed IPv4");
  put (&raw, ETHER + 2, 2, 19);
  seal_ip (&raw);
  assert_bad (&raw, "malformed IPv4");
}

static void
test_malformed_transport (void)
{
  Raw raw;

  make_tcp (&raw, NET_SYN, 0);
  put (&raw, 46, 1, 0x40); /* a header of 16 bytes */
  assert_bad (&raw, "malformed TCP or UDP");
  put (&raw, 46, 1, 0x60); /* longer than the segment */
  assert_bad (&raw, "malformed TCP or UDP");
  make_tcp (&raw, NET_SYN, 0);
  put (&raw, 36, 2, 0);
  assert_bad (&raw, "malformed TCP or UDP");
  make_udp (&raw, 4);
  put (&raw, 38, 2, 7);
  assert_bad (&raw, "malformed TCP or UDP");
  put (&raw, 38, 2, 13);
  assert_bad (&raw, "malformed TCP or UDP");
  make_udp (&raw, 4);
  put (&raw, 34, 2, 0);
  assert_bad (&raw, "malformed TCP or UDP");
  make_ping (&raw);
  put (&raw, 34, 1, 0);
  assert_bad (&raw, "ICMP that is no echo request");
  put (&raw, 34, 1, 8);
  put (&raw, 35, 1, 1);
  assert_bad (&raw, "ICMP that is no echo request");
}

static void
test_other_types (void)
{
  static const guint types[] = {0x86dd, 0x8100, 0x88a8, 0x8847, 0x05dc, 0};
  Raw raw;

  for (gsize i = 0; i < G_N_ELEMENTS (types); i++) {
    make_tcp (&raw, NET_SYN, 0);
    put (&raw, 12, 2, types[i]);
    assert_bad (&raw, "neither IPv4 nor ARP");
  }
  make_arp (&raw, NET_GATEWAY);
  put (&raw, ETHER + 4, 1, 8);
  assert_bad (&raw, "malformed ARP");
  make_arp (&raw, NET_GATEWAY);
  put (&raw, ETHER + 6, 2, 3);
  assert_bad (&raw, "malformed ARP");
}

static void
test_too_long (void)
{
  g_autofree uint8_t *bytes = g_malloc0 (NET_FRAME_MAX + 1);
  NetFrame f;
  const char *why;

  g_assert_false (net_frame_parse (bytes, NET_FRAME_MAX + 1, &f, &why));
  g_assert_cmpstr (why, ==, "a frame of no size that there is");
}

/* Random bytes below sound headers: nothing but an answer is expected, and with sanitizers no complaint. */
static void
test_random (void)
{
  Raw raw;
  NetFrame f;
  const char *why;
  uint8_t out[NET_REFUSAL_MAX];

  for (guint i = 0; i < 200000; i++) {
    make_tcp (&raw, NET_SYN, 30);
    for (guint n = 1 + (guint)g_test_rand_int () % 4; n > 0; n--)
      raw.bytes[(guint)g_test_rand_int () % raw.length] = (uint8_t)g_test_rand_int ();
    if (i % 2 == 0)
      seal_ip (&raw);
    raw.length -= (guint)g_test_rand_int () % 3;
    if (!parse (&raw, &f, &why))
      continue;
    g_assert_cmpuint (f.length, <=, raw.length);
    g_assert_cmpuint (net_frame_refuse (&f, out), <=, NET_REFUSAL_MAX);
  }
}

/* Refusals */

static guint16
tcp_sum (const uint8_t *frame)
{
  guint32 pseudo =
      take (frame, 26, 2) + take (frame, 28, 2) + take (frame, 30, 2) + take (frame, 32, 2) + TCP + 20;

  return net_checksum (frame + 34, 20, pseudo);
}

static void
assert_answers (const Raw *raw, const uint8_t *out, guint32 from)
{
  g_assert_cmpmem (out, 6, raw->bytes + 6, 6);
  g_assert_cmpmem (out + 6, 6, raw->bytes, 6);
  g_assert_cmpuint (net_checksum (out + ETHER, IP, 0), ==, 0);
  g_assert_cmphex (take (out, 26, 4), ==, from);
  g_assert_cmphex (take (out, 30, 4), ==, NET_GUEST);
}

static gsize
refuse (const Raw *raw, uint8_t *out)
{
  NetFrame f;
  const char *why;

  g_assert_true (parse (raw, &f, &why));
  return net_frame_refuse (&f, out);
}

static void
test_reset (void)
{
  Raw raw;
  uint8_t out[NET_REFUSAL_MAX];

  make_tcp (&raw, NET_SYN, 0);
  g_assert_cmpuint (refuse (&raw, out), ==, 54);
  assert_answers (&raw, out, 0x08080808);
  g_assert_cmpuint (tcp_sum (out), ==, 0);
  g_assert_cmpuint (take (out, 34, 2), ==, 443);
  g_assert_cmpuint (take (out, 36, 2), ==, 40000);
  g_assert_cmpuint (take (out, 38, 4), ==, 0);
  g_assert_cmpuint (take (out, 42, 4), ==, 1001);
  g_assert_cmphex (out[47], ==, NET_RST | NET_ACK);

  make_tcp (&raw, NET_ACK, 7);
  g_assert_cmpuint (refuse (&raw, out), ==, 54);
  g_assert_cmpuint (take (out, 38, 4), ==, 5000);
  g_assert_cmphex (out[47], ==, NET_RST);
  g_assert_cmpuint (tcp_sum (out), ==, 0);

  make_tcp (&raw, NET_FIN, 7);
  g_assert_cmpuint (refuse (&raw, out), ==, 54);
  g_assert_cmpuint (take (out, 42, 4), ==, 1008);

  make_tcp (&raw, NET_RST, 0); /* never two that answer each other */
  g_assert_cmpuint (refuse (&raw, out), ==, 0);
}

static void
test_unreachable (void)
{
  Raw raws[3];
  static const guint codes[] = {3, 1, 2};
  uint8_t out[NET_REFUSAL_MAX];

  make_udp (&raws[0], 100);
  make_ping (&raws[1]);
  make_ip (&raws[2], 132, 0x08080808, 12);
  for (gsize i = 0; i < G_N_ELEMENTS (raws); i++) {
    g_assert_cmpuint (refuse (&raws[i], out), ==, 34 + 8 + 28);
    assert_answers (&raws[i], out, NET_GATEWAY);
    g_assert_cmpuint (out[34], ==, 3);
    g_assert_cmpuint (out[35], ==, codes[i]);
    g_assert_cmpuint (net_checksum (out + 34, 8 + 28, 0), ==, 0);
    g_assert_cmpmem (out + 42, 28, raws[i].bytes + ETHER, 28);
  }
  make_ip (&raws[0], 132, 0x08080808, 0);
  g_assert_cmpuint (refuse (&raws[0], out), ==, 34 + 8 + 20);
}

static void
test_silent (void)
{
  static const guint32 many[] = {0xffffffff, 0xe00000fb, 0x0a0002ff};
  Raw raw;
  uint8_t out[NET_REFUSAL_MAX];

  for (gsize i = 0; i < G_N_ELEMENTS (many); i++) {
    make_udp (&raw, 4);
    put (&raw, ETHER + 16, 4, many[i]);
    seal_ip (&raw);
    g_assert_cmpuint (refuse (&raw, out), ==, 0);
  }
  make_udp (&raw, 4);
  raw.bytes[0] = 0xff;
  g_assert_cmpuint (refuse (&raw, out), ==, 0);
  make_arp (&raw, NET_GATEWAY);
  g_assert_cmpuint (refuse (&raw, out), ==, 0);
}

static void
test_arp (void)
{
  static const guint32 silent[] = {NET_GATEWAY, NET_NAMESERVER, NET_GUEST,
                                   NET_NETWORK, 0x0a0002ff,     0x08080808};
  Raw raw;
  NetFrame f;
  const char *why;
  uint8_t out[NET_REFUSAL_MAX];

  make_arp (&raw, NET_NETWORK + 4);
  g_assert_true (parse (&raw, &f, &why));
  g_assert_cmpuint (net_frame_answer_arp (&f, out), ==, ETHER + 28);
  g_assert_cmpuint (take (out, ETHER + 6, 2), ==, 2);
  g_assert_cmphex (take (out, ETHER + 14, 4), ==, NET_NETWORK + 4);
  g_assert_cmphex (take (out, ETHER + 24, 4), ==, NET_GUEST);
  g_assert_cmpmem (out, 6, raw.bytes + 6, 6);
  for (gsize i = 0; i < G_N_ELEMENTS (silent); i++) {
    make_arp (&raw, silent[i]);
    g_assert_true (parse (&raw, &f, &why));
    g_assert_cmpuint (net_frame_answer_arp (&f, out), ==, 0);
  }
}

/* Made frames */

static guint16
whole_tcp_sum (const uint8_t *frame, gsize length)
{
  guint32 pseudo = take (frame, 26, 2) + take (frame, 28, 2) + take (frame, 30, 2) + take (frame, 32, 2) +
                   TCP + (guint32)(length - 34);

  return net_checksum (frame + 34, length - 34, pseudo);
}

/* The data go, the options stay, the largest segment is another one where it is said; what is malformed
 * ends the search. */
static void
test_syn (void)
{
  static const struct {
    const char *before, *after;
  } table[] = {
      {"\x02\x04\x55\x28\x01\x03\x03\x07", "\x02\x04\xff\xc8\x01\x03\x03\x07"},
      {"\x01\x01\x01\x01\x02\x04\x55\x28", "\x01\x01\x01\x01\x02\x04\xff\xc8"},
      {"\x03\x03\x07\x00\x02\x04\x55\x28", "\x03\x03\x07\x00\x02\x04\x55\x28"},
      {"\x02\x00\x55\x28\x02\x04\x55\x28", "\x02\x00\x55\x28\x02\x04\x55\x28"},
      {"\x03\x09\x07\x01\x02\x04\x55\x28", "\x03\x09\x07\x01\x02\x04\x55\x28"},
      {"\x01\x01\x01\x01\x01\x01\x01\x02", "\x01\x01\x01\x01\x01\x01\x01\x02"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (table); i++) {
    uint8_t out[NET_MADE_SYN_MAX];
    const char *why;
    NetFrame f;
    Raw raw;

    make_tcp (&raw, NET_SYN, 8 + 5);
    put (&raw, 46, 1, 0x70);
    memcpy (raw.bytes + 54, table[i].before, 8);
    g_assert_true (parse (&raw, &f, &why));
    g_assert_cmpuint (f.payload, ==, 5);
    g_assert_cmpuint (net_make_syn (&f, 65480, out), ==, 62);
    g_assert_cmpmem (out + 54, 8, table[i].after, 8);
    g_assert_cmpuint (net_checksum (out + ETHER, IP, 0), ==, 0);
    g_assert_cmpuint (whole_tcp_sum (out, 62), ==, 0);
    g_assert_cmpuint (take (out, ETHER + 2, 2), ==, 48);
    (void)net_make_syn (&f, 0, out);
    g_assert_cmpmem (out + 54, 8, table[i].before, 8);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/net/frame/good", test_good);
  g_test_add_func ("/net/frame/cut", test_cut);
  g_test_add_func ("/net/frame/malformed-ip", test_malformed_ip);
  g_test_add_func ("/net/frame/malformed-transport", test_malformed_transport);
  g_test_add_func ("/net/frame/other-types", test_other_types);
  g_test_add_func ("/net/frame/too-long", test_too_long);
  g_test_add_func ("/net/frame/random", test_random);
  g_test_add_func ("/net/refuse/reset", test_reset);
  g_test_add_func ("/net/refuse/unreachable", test_unreachable);
  g_test_add_func ("/net/refuse/silent", test_silent);
  g_test_add_func ("/net/refuse/arp", test_arp);
  g_test_add_func ("/net/make/syn", test_syn);
  return g_test_run ();
}
