/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl/net/guard.c: whose business a frame is. */
#include <glib.h>

#include "vmctl/net/guard.h"

enum { OTHER = 0x08080808, BROADCAST = -1 };

static NetRoute
route (NetKind kind, uint32_t source, uint32_t destination, uint16_t source_port, uint16_t port)
{
  const NetFrame frame = {.kind = kind,
                          .source = source,
                          .destination = destination,
                          .source_port = source_port,
                          .destination_port = port};
  const char *why;

  return net_guard_route (&frame, &why);
}

static void
test_routes (void)
{
  static const struct {
    NetKind kind;
    uint32_t source, destination;
    uint16_t source_port, port;
    NetRoute route;
  } table[] = {
      {NET_ARP, NET_GUEST, NET_GATEWAY, 0, 0, NET_ROUTE_SLIRP},
      {NET_ARP, 0, NET_GUEST, 0, 0, NET_ROUTE_SLIRP},
      {NET_ARP, NET_GATEWAY, NET_GUEST, 0, 0, NET_ROUTE_DROP},
      {NET_UDP, 0, (uint32_t)BROADCAST, 68, 67, NET_ROUTE_SLIRP},
      {NET_UDP, NET_GUEST, NET_GATEWAY, 68, 67, NET_ROUTE_SLIRP},
      {NET_UDP, NET_GUEST, NET_GATEWAY, 68, 69, NET_ROUTE_FLOWS}, /* TFTP */
      {NET_UDP, 0, OTHER, 68, 67, NET_ROUTE_DROP},
      {NET_UDP, NET_GUEST, OTHER, 68, 67, NET_ROUTE_FLOWS},
      {NET_TCP, NET_GATEWAY, OTHER, 1, 80, NET_ROUTE_DROP},
      {NET_TCP, OTHER, OTHER, 1, 80, NET_ROUTE_DROP},
      {NET_UDP, NET_GUEST, NET_NAMESERVER, 1, 53, NET_ROUTE_NAMES},
      {NET_TCP, NET_GUEST, NET_NAMESERVER, 1, 53, NET_ROUTE_NAMES},
      {NET_TCP, NET_GUEST, NET_NAMESERVER, 1, 80, NET_ROUTE_REFUSE},
      {NET_UDP, NET_GUEST, NET_NAMESERVER, 68, 67, NET_ROUTE_REFUSE},
      {NET_ICMP, NET_GUEST, NET_NAMESERVER, 0, 0, NET_ROUTE_REFUSE},
      {NET_ICMP, NET_GUEST, NET_GATEWAY, 0, 0, NET_ROUTE_SLIRP},
      {NET_TCP, NET_GUEST, NET_GATEWAY, 1, 53, NET_ROUTE_FLOWS},
      {NET_ICMP, NET_GUEST, OTHER, 0, 0, NET_ROUTE_FLOWS},
      {NET_OTHER, NET_GUEST, OTHER, 0, 0, NET_ROUTE_REFUSE},
      {NET_OTHER, NET_GUEST, NET_NAMESERVER, 0, 53, NET_ROUTE_REFUSE},
      {NET_OTHER, OTHER, OTHER, 0, 0, NET_ROUTE_DROP},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (table); i++) {
    g_test_message ("%" G_GSIZE_FORMAT, i);
    g_assert_cmpint (
        route (table[i].kind, table[i].source, table[i].destination, table[i].source_port, table[i].port), ==,
        table[i].route);
  }
}

static void
test_local (void)
{
  g_assert_true (net_guard_is_local (0x7f000001));
  g_assert_true (net_guard_is_local (0x7f000001));
  g_assert_false (net_guard_is_local (0xc0000209)); /* 192.0.2.9 */
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/net/guard/routes", test_routes);
  g_test_add_func ("/net/guard/local", test_local);
  return g_test_run ();
}
