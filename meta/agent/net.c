/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "meta/agent/net.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "meta/agent/util.h"

static int
set_up (int fd, const char *name)
{
  struct ifreq request = {0};

  snprintf (request.ifr_name, sizeof request.ifr_name, "%s", name);
  if (ioctl (fd, SIOCGIFFLAGS, &request) < 0)
    return -errno;
  request.ifr_flags |= IFF_UP | IFF_RUNNING;
  return ioctl (fd, SIOCSIFFLAGS, &request) < 0 ? -errno : 0;
}

void
net_loopback_up (void)
{
  int fd = socket (AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

  if (fd >= 0)
    (void)set_up (fd, "lo");
  close_fd (&fd);
}

static bool
is_ethernet (int fd, const char *name)
{
  struct ifreq request = {0};

  snprintf (request.ifr_name, sizeof request.ifr_name, "%.*s", IFNAMSIZ - 1, name);
  return ioctl (fd, SIOCGIFHWADDR, &request) == 0 && request.ifr_hwaddr.sa_family == ARPHRD_ETHER;
}

/* The one with the lowest index is the one that was there first. */
static int
find_ethernet (int fd, char name[IF_NAMESIZE])
{
  DIR *dir = opendir ("/sys/class/net");
  struct dirent *entry;
  unsigned best = 0;

  while (dir && (entry = readdir (dir))) {
    unsigned index = entry->d_name[0] == '.' ? 0 : if_nametoindex (entry->d_name);
    if (index == 0 || (best != 0 && index > best) || !is_ethernet (fd, entry->d_name))
      continue;
    best = index;
    snprintf (name, IF_NAMESIZE, "%.*s", IF_NAMESIZE - 1, entry->d_name);
  }
  if (dir)
    closedir (dir);
  return best ? 0 : -ENODEV;
}

static int
parse_address (const char *text, struct in_addr *ret_address, struct in_addr *ret_mask)
{
  const char *slash = strchr (text, '/');
  char address[INET_ADDRSTRLEN];
  uint64_t bits;

  if (!slash || (size_t)(slash - text) >= sizeof address || parse_number (slash + 1, 32, &bits) < 0)
    return -EINVAL;
  snprintf (address, sizeof address, "%.*s", (int)(slash - text), text);
  if (inet_pton (AF_INET, address, ret_address) != 1)
    return -EINVAL;
  ret_mask->s_addr = bits == 0 ? 0 : htonl (~(uint32_t)0 << (32 - bits));
  return 0;
}

static int
set_address (int fd, const char *name, unsigned long what, struct in_addr address)
{
  struct ifreq request = {0};
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = address};

  snprintf (request.ifr_name, sizeof request.ifr_name, "%s", name);
  memcpy (&request.ifr_addr, &in, sizeof in);
  return ioctl (fd, what, &request) < 0 ? -errno : 0;
}

static int
add_default_route (int fd, const char *gateway)
{
  struct sockaddr_in any = {.sin_family = AF_INET}, via = {.sin_family = AF_INET};
  struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};

  if (inet_pton (AF_INET, gateway, &via.sin_addr) != 1)
    return -EINVAL;
  memcpy (&route.rt_dst, &any, sizeof any);
  memcpy (&route.rt_genmask, &any, sizeof any);
  memcpy (&route.rt_gateway, &via, sizeof via);
  return ioctl (fd, SIOCADDRT, &route) < 0 ? -errno : 0;
}

int
net_configure (const char *address, const char *gateway)
{
  int fd = socket (AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), r;
  struct in_addr host, mask;
  char name[IF_NAMESIZE];

  if (fd < 0)
    return -errno;
  if ((r = parse_address (address, &host, &mask)) == 0 && (r = find_ethernet (fd, name)) == 0 &&
      (r = set_address (fd, name, SIOCSIFADDR, host)) == 0 &&
      (r = set_address (fd, name, SIOCSIFNETMASK, mask)) == 0 && (r = set_up (fd, name)) == 0 && gateway)
    r = add_default_route (fd, gateway);
  close_fd (&fd);
  return r;
}
