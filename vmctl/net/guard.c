/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/net/guard.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { DHCP_SERVER = 67, DHCP_CLIENT = 68, DNS = 53, BROADCAST = 0xffffffffU };

static bool
is_dhcp (const NetFrame *f)
{
  return f->kind == NET_UDP && f->source_port == DHCP_CLIENT && f->destination_port == DHCP_SERVER &&
         (f->source == 0 || f->source == NET_GUEST) &&
         (f->destination == BROADCAST || f->destination == NET_GATEWAY);
}

NetRoute
net_guard_route (const NetFrame *f, const char **ret_why)
{
  *ret_why = "a source address that is not the sandbox's";
  if (f->kind == NET_ARP)
    return f->source == NET_GUEST || f->source == 0 ? NET_ROUTE_SLIRP : NET_ROUTE_DROP;
  if (is_dhcp (f))
    return NET_ROUTE_SLIRP;
  if (f->source != NET_GUEST)
    return NET_ROUTE_DROP;
  *ret_why = "a protocol other than TCP, UDP and ICMP";
  if (f->kind == NET_OTHER)
    return NET_ROUTE_REFUSE;
  *ret_why = "this host";
  if (f->destination == NET_NAMESERVER)
    return f->kind != NET_ICMP && f->destination_port == DNS ? NET_ROUTE_NAMES : NET_ROUTE_REFUSE;
  return f->destination == NET_GATEWAY && f->kind == NET_ICMP ? NET_ROUTE_SLIRP : NET_ROUTE_FLOWS;
}

/* Whether the kernel takes any address for its own (net.ipv4.ip_nonlocal_bind): then a route has to tell. */
static bool
bind_works (int fd, uint32_t address)
{
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl (address)};

  return bind (fd, (struct sockaddr *)&in, sizeof in) == 0;
}

static bool
routes_to_itself (uint32_t address)
{
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons (9), .sin_addr.s_addr = htonl (address)};
  socklen_t length = sizeof in;
  int fd = socket (AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  bool same = fd < 0 || (connect (fd, (struct sockaddr *)&in, sizeof in) == 0 &&
                         getsockname (fd, (struct sockaddr *)&in, &length) == 0 &&
                         ntohl (in.sin_addr.s_addr) == address);

  if (fd >= 0)
    (void)close (fd);
  return same;
}

/* A sandbox that uses all descriptors up must not cut its own connections by that: one is kept for here. */
static bool
can_bind (uint32_t address)
{
  static int spare = -1;
  int fd;
  bool works;

  if (spare >= 0)
    (void)close (spare);
  fd = socket (AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  works = fd < 0 || bind_works (fd, address);
  if (fd >= 0)
    (void)close (fd);
  spare = fcntl (STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
  return works;
}

static bool
ask_kernel (uint32_t address)
{
  const uint32_t nobodys = 0xc0000201; /* 192.0.2.1, for documentation */

  if (!can_bind (address))
    return false;
  return !can_bind (nobodys) || routes_to_itself (address);
}

bool
net_guard_is_local (uint32_t address)
{
  enum { SLOTS = 64 };
  static struct {
    uint32_t address;
    bool local;
    time_t second;
  } cache[SLOTS];
  unsigned slot = (address ^ address >> 8 ^ address >> 16) % SLOTS;
  struct timespec now;

  (void)clock_gettime (CLOCK_MONOTONIC_COARSE, &now);
  if (cache[slot].address != address || cache[slot].second != now.tv_sec || now.tv_sec == 0) {
    cache[slot].local = ask_kernel (address);
    cache[slot].address = address;
    cache[slot].second = now.tv_sec;
  }
  return cache[slot].local;
}
