/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "meta/netif.h"

#include <errno.h>
#include <net/if.h>
#include <net/route.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static void
name_it (struct ifreq *request, const char *name)
{
  (void)snprintf (request->ifr_name, sizeof request->ifr_name, "%s", name);
}

static int
set_up (int fd, const char *name)
{
  struct ifreq request = {0};

  name_it (&request, name);
  if (ioctl (fd, SIOCGIFFLAGS, &request) < 0)
    return -errno;
  request.ifr_flags |= IFF_UP | IFF_RUNNING;
  return ioctl (fd, SIOCSIFFLAGS, &request) < 0 ? -errno : 0;
}

static int
set_address (int fd, const char *name, unsigned long what, struct in_addr address)
{
  struct ifreq request = {0};
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = address};

  name_it (&request, name);
  memcpy (&request.ifr_addr, &in, sizeof in);
  return ioctl (fd, what, &request) < 0 ? -errno : 0;
}

static int
set_mtu (int fd, const char *name, int mtu)
{
  struct ifreq request = {0};

  name_it (&request, name);
  request.ifr_mtu = mtu;
  return ioctl (fd, SIOCSIFMTU, &request) < 0 ? -errno : 0;
}

/* `name` NULL: by the interface that has the gateway. */
static int
add_default_route (int fd, struct in_addr gateway, const char *name, unsigned metric)
{
  struct sockaddr_in any = {.sin_family = AF_INET}, via = {.sin_family = AF_INET, .sin_addr = gateway};
  struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY,
                          .rt_dev = (char *)(size_t)name,
                          .rt_metric = (short)(metric + 1)}; /* the kernel takes one off */

  memcpy (&route.rt_dst, &any, sizeof any);
  memcpy (&route.rt_genmask, &any, sizeof any);
  memcpy (&route.rt_gateway, &via, sizeof via);
  return ioctl (fd, SIOCADDRT, &route) < 0 ? -errno : 0;
}

int
netif_up (const char *name)
{
  int fd = socket (AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), r;

  if (fd < 0)
    return -errno;
  r = set_up (fd, name);
  (void)close (fd);
  return r;
}

int
netif_down (const char *name)
{
  int fd = socket (AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), r;
  struct in_addr none = {0};
  struct ifreq request = {0};

  if (fd < 0)
    return -errno;
  name_it (&request, name);
  r = set_address (fd, name, SIOCSIFADDR, none);
  if (r == 0 && ioctl (fd, SIOCSIFFLAGS, &request) < 0) /* no flag at all: not up */
    r = -errno;
  (void)close (fd);
  return r;
}

int
netif_configure (const char *name, struct in_addr address, struct in_addr mask, const struct in_addr *gateway,
                 int mtu)
{
  int fd = socket (AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), r;

  if (fd < 0)
    return -errno;
  r = mtu > 0 ? set_mtu (fd, name, mtu) : 0;
  if (r == 0 && (r = set_address (fd, name, SIOCSIFADDR, address)) == 0 &&
      (r = set_address (fd, name, SIOCSIFNETMASK, mask)) == 0 && (r = set_up (fd, name)) == 0 && gateway)
    r = add_default_route (fd, *gateway, NULL, 0);
  (void)close (fd);
  return r;
}

int
netif_add_route (const char *name, struct in_addr gateway, unsigned metric)
{
  int fd = socket (AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), r;

  if (fd < 0)
    return -errno;
  r = add_default_route (fd, gateway, name, metric);
  (void)close (fd);
  return r;
}
