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

/* What the helper itself offers in the sandbox's network. */
static bool
is_service (const NetFrame *f)
{
  if (f->destination == NET_NAMESERVER)
    return (f->kind == NET_UDP || f->kind == NET_TCP) && f->destination_port == DNS;
  return f->destination == NET_GATEWAY && f->kind == NET_ICMP;
}

static NetVerdict
judge (const NetGuard *guard, const NetFrame *f, const char **ret_why)
{
  const NetTarget target = {.protocol = f->protocol,
                            .address = f->destination,
                            .port = f->destination_port,
                            .is_local = guard->is_local (f->destination)};

  return net_policy_judge (&guard->policy, guard->learned, &target, 0, ret_why) == NET_DENY ? NET_REFUSE
                                                                                            : NET_PASS;
}

NetVerdict
net_guard_outgoing (const NetGuard *guard, const NetFrame *f, const char **ret_why)
{
  *ret_why = "a source address that is not the sandbox's";
  if (f->kind == NET_ARP)
    return f->source == NET_GUEST || f->source == 0 ? NET_PASS : NET_DROP;
  if (is_dhcp (f))
    return NET_PASS;
  if (f->source != NET_GUEST)
    return NET_DROP;
  if (f->kind == NET_OTHER) {
    *ret_why = "a protocol other than TCP, UDP and ICMP";
    return NET_REFUSE;
  }
  if (is_service (f))
    return NET_PASS;
  return judge (guard, f, ret_why);
}

bool
net_guard_incoming (const NetGuard *guard, const void *bytes, size_t length)
{
  enum { ETHER = 14, IPV4 = 0x0800, UDP = 17 };
  const uint8_t *p = bytes;
  uint32_t source;

  if (length < ETHER + 20 + 4 || (p[12] << 8 | p[13]) != IPV4 || p[23] != UDP)
    return true;
  source = (uint32_t)p[26] << 24 | (uint32_t)p[27] << 16 | (uint32_t)p[28] << 8 | p[29];
  if (source == NET_NAMESERVER)
    return true;
  if (source == NET_GATEWAY) /* DHCP; or somebody on this host's loopback */
    return (p[20] & 0x1f) == 0 && p[21] == 0 && (p[34] << 8 | p[35]) == DHCP_SERVER;
  return net_policy_class (source) == NULL && !guard->is_local (source);
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
