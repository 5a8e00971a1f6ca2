/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "net-fake.h"

#include <arpa/inet.h>
#include <string.h>

#include "vmctl/net/make.h"

enum { FIRST_FD = 2000 /* none that is open, so that to shut it down does nothing */ };

static NetFake *the_fake;

static void
add (GPtrArray *frames, const uint8_t *bytes, gsize length)
{
  g_ptr_array_add (frames, g_bytes_new (bytes, length));
}

static char *
key (uint16_t guest_port, uint32_t address, uint16_t port)
{
  return g_strdup_printf ("%u %08x %u", guest_port, address, port);
}

static void
parse (const uint8_t *bytes, gsize length, NetFrame *ret)
{
  const char *why;

  if (!net_frame_parse (bytes, length, ret, &why))
    g_error ("a frame that was made is malformed: %s", why);
}

/* What libslirp does: a socket for a SYN; a reset ends it; data are acknowledged. */
static void
to_slirp (void *data, const uint8_t *bytes, size_t length)
{
  NetFake *fake = data;
  g_autofree char *name = NULL;
  NetFrame f;

  add (fake->to_slirp, bytes, length);
  parse (bytes, length, &f);
  name = key (f.source_port, f.destination, f.destination_port);
  if (f.flags == NET_SYN && !fake->no_sockets && !g_hash_table_contains (fake->fds, name)) {
    net_flows_opened (fake->flows, (int)fake->next_fd);
    g_hash_table_insert (fake->fds, g_steal_pointer (&name), GUINT_TO_POINTER (fake->next_fd++));
    if (fake->next_fd == 4096)
      fake->next_fd = FIRST_FD;
  } else if (f.flags & NET_RST) {
    net_fake_closed (fake, f.source_port, f.destination, f.destination_port);
  } else if (f.payload > 0 && fake->acknowledges) {
    net_fake_slirp_tcp (fake, &(NetFakeTcp){f.source_port, f.destination, f.destination_port, 5001,
                                            f.sequence + f.payload, NET_ACK, NULL, 0});
  }
}

static void
to_guest (void *data, const uint8_t *bytes, size_t length)
{
  add (((NetFake *)data)->to_guest, bytes, length);
}

static bool
is_local (uint32_t address)
{
  return address == the_fake->local;
}

static const NetFlowsHost host = {.to_slirp = to_slirp, .to_guest = to_guest, .is_local = is_local};

void
net_fake_policy (NetFake *fake, const char *policy)
{
  g_autofree char *text = g_strconcat ("vmctl-net-policy 2\n", policy, NULL);

  net_policy_clear (&fake->shared.policy);
  g_assert_true (net_policy_parse (text, strlen (text), &fake->shared.policy, NULL));
  net_flows_policy_changed (fake->flows);
}

NetFake *
net_fake_new (const char *policy)
{
  NetFake *fake = g_new0 (NetFake, 1);

  the_fake = fake;
  fake->shared.learned = net_learned_new ();
  fake->shared.log.fd = -1;
  fake->shared.now_ms = 1000000;
  memcpy (fake->shared.guest_mac, "\x02\0\0\0\0\1", 6);
  fake->to_slirp = g_ptr_array_new_with_free_func ((GDestroyNotify)g_bytes_unref);
  fake->to_guest = g_ptr_array_new_with_free_func ((GDestroyNotify)g_bytes_unref);
  fake->next_fd = FIRST_FD;
  fake->fds = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  fake->flows = net_flows_new (&fake->shared, &host, fake);
  net_fake_policy (fake, policy);
  return fake;
}

void
net_fake_free (NetFake *fake)
{
  net_flows_free (fake->flows);
  net_policy_clear (&fake->shared.policy);
  net_learned_free (fake->shared.learned);
  g_ptr_array_unref (fake->to_slirp);
  g_ptr_array_unref (fake->to_guest);
  g_hash_table_unref (fake->fds);
  g_free (fake);
}

void
net_fake_learn (NetFake *fake, const char *name, uint32_t address)
{
  net_learned_add (fake->shared.learned, name, address, 300, fake->shared.now_ms);
}

uint32_t
net_fake_ip (const char *text)
{
  struct in_addr address;

  g_assert_cmpint (inet_pton (AF_INET, text, &address), ==, 1);
  return ntohl (address.s_addr);
}

static gsize
make (NetFake *fake, const NetFakeTcp *segment, gboolean to_the_guest, uint8_t *out)
{
  const NetEnds ends = {.guest_mac = fake->shared.guest_mac,
                        .to_guest = to_the_guest,
                        .source = to_the_guest ? segment->address : NET_GUEST,
                        .destination = to_the_guest ? NET_GUEST : segment->address,
                        .source_port = to_the_guest ? segment->port : segment->guest_port,
                        .destination_port = to_the_guest ? segment->guest_port : segment->port};
  const NetSegment tcp = {segment->sequence, segment->acknowledged, segment->flags, 60000};

  if (segment->length > 0)
    memcpy (out + NET_MADE_TCP, segment->data, segment->length);
  return net_make_tcp (&ends, &tcp, out, segment->length);
}

void
net_fake_guest_tcp (NetFake *fake, const NetFakeTcp *segment)
{
  g_autofree uint8_t *out = g_malloc (NET_FRAME_MAX);
  gsize length = make (fake, segment, FALSE, out);
  g_autofree uint8_t *copy = g_memdup2 (out, length);
  NetFrame frame;

  parse (copy, length, &frame);
  net_flows_outgoing (fake->flows, &frame);
}

void
net_fake_slirp_tcp (NetFake *fake, const NetFakeTcp *segment)
{
  g_autofree uint8_t *out = g_malloc (NET_FRAME_MAX);
  gsize length = make (fake, segment, TRUE, out);
  g_autofree uint8_t *copy = g_memdup2 (out, length);

  net_flows_incoming (fake->flows, copy, length);
}

void
net_fake_guest_udp (NetFake *fake, uint16_t guest_port, uint32_t address, uint16_t port, const void *data,
                    gsize length)
{
  g_autofree uint8_t *out = g_malloc (NET_MADE_UDP + length);
  const NetEnds ends = {fake->shared.guest_mac, false, NET_GUEST, address, guest_port, port};
  NetFrame frame;

  memcpy (out + NET_MADE_UDP, data, length);
  parse (out, net_make_udp (&ends, out, length), &frame);
  net_flows_outgoing (fake->flows, &frame);
}

void
net_fake_connect (NetFake *fake, uint16_t guest_port, uint32_t address, uint16_t port)
{
  net_fake_guest_tcp (fake, &(NetFakeTcp){guest_port, address, port, 1000, 0, NET_SYN, NULL, 0});
  net_fake_expect (fake->to_slirp, NET_SYN, NULL, 0);
  net_fake_slirp_tcp (fake, &(NetFakeTcp){guest_port, address, port, 5000, 1001, NET_SYN | NET_ACK, NULL, 0});
  net_fake_expect (fake->to_guest, NET_SYN | NET_ACK, NULL, 0);
  net_fake_guest_tcp (fake, &(NetFakeTcp){guest_port, address, port, 1001, 5001, NET_ACK, NULL, 0});
  net_fake_expect (fake->to_slirp, NET_ACK, NULL, 0);
}

void
net_fake_closed (NetFake *fake, uint16_t guest_port, uint32_t address, uint16_t port)
{
  g_autofree char *name = key (guest_port, address, port);
  int fd = (int)GPOINTER_TO_UINT (g_hash_table_lookup (fake->fds, name));

  if (fd == 0)
    return;
  g_hash_table_remove (fake->fds, name);
  net_flows_closed (fake->flows, fd);
}

gboolean
net_fake_take (GPtrArray *frames, NetFrame *ret)
{
  static GBytes *last;
  gsize length;
  const uint8_t *bytes;

  if (frames->len == 0)
    return FALSE;
  g_clear_pointer (&last, g_bytes_unref);
  last = g_bytes_ref (frames->pdata[0]);
  g_ptr_array_remove_index (frames, 0);
  bytes = g_bytes_get_data (last, &length);
  if (bytes[12] != 8 || bytes[23] == 1) { /* ICMP errors are not what a sandbox may send */
    *ret = (NetFrame){.bytes = bytes, .length = length, .kind = NET_ICMP};
    return TRUE;
  }
  parse (bytes, length, ret);
  return TRUE;
}

void
net_fake_expect (GPtrArray *frames, guint flags, const void *data, gsize length)
{
  NetFrame f;

  g_assert_true (net_fake_take (frames, &f));
  g_assert_cmpint (f.kind, ==, NET_TCP);
  g_assert_cmphex (f.flags, ==, flags);
  g_assert_cmpmem (f.bytes + f.length - f.payload, f.payload, data, length);
}

void
net_fake_expect_nothing (NetFake *fake)
{
  g_assert_cmpuint (fake->to_slirp->len, ==, 0);
  g_assert_cmpuint (fake->to_guest->len, ==, 0);
}
