/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "meta/agent/net.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "meta/agent/util.h"
#include "meta/netif.h"

enum { METRIC_MORE = 100 };

void
net_loopback_up (void)
{
  (void)netif_up ("lo");
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
find_ethernet (int fd, char name[NET_CARD_MAX])
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

/* "52:54:00:12:34:56" */
static int
parse_mac (const char *text, uint8_t ret[6])
{
  unsigned byte[6];
  int used = 0;

  if (sscanf (text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &byte[0], &byte[1], &byte[2], &byte[3], &byte[4], &byte[5],
              &used) != 6 ||
      text[used] != '\0')
    return -EINVAL;
  for (unsigned i = 0; i < 6; i++)
    ret[i] = (uint8_t)byte[i];
  return 0;
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

int
net_find_card (char ret[NET_CARD_MAX])
{
  int fd = socket (AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), r;

  if (fd < 0)
    return -errno;
  r = find_ethernet (fd, ret);
  close_fd (&fd);
  return r;
}

int
net_set_mac (const char *card, const char *mac)
{
  struct ifreq request = {0};
  int fd, r = 0;

  snprintf (request.ifr_name, sizeof request.ifr_name, "%.*s", IFNAMSIZ - 1, card);
  request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
  if (parse_mac (mac, (uint8_t *)request.ifr_hwaddr.sa_data) < 0)
    return -EINVAL;
  fd = socket (AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || ioctl (fd, SIOCSIFHWADDR, &request) < 0)
    r = -errno;
  close_fd (&fd);
  return r;
}

void
net_without_ipv6 (const char *card)
{
  char path[64 + IF_NAMESIZE];
  int fd;

  snprintf (path, sizeof path, "/proc/sys/net/ipv6/conf/%s/disable_ipv6", card);
  fd = open (path, O_WRONLY | O_CLOEXEC); /* a kernel without IPv6 has none */
  if (fd >= 0)
    (void)!write (fd, "1", 1);
  close_fd (&fd);
}

/* "/sys/class/net/eth0/device" is a link to ".../virtio3". */
int
net_remove (const char *card)
{
  char path[PATH_MAX], device[PATH_MAX];
  const char *last;
  ssize_t n;
  int r, fd;

  snprintf (path, sizeof path, "/sys/class/net/%s/device", card);
  n = readlink (path, device, sizeof device - 1);
  if (n < 0)
    return -errno;
  device[n] = '\0';
  last = strrchr (device, '/');
  last = last ? last + 1 : device;
  strncat (path, "/driver/unbind", sizeof path - strlen (path) - 1);
  fd = open (path, O_WRONLY | O_CLOEXEC);
  if (fd < 0)
    return -errno;
  r = write (fd, last, strlen (last)) < 0 ? -errno : 0;
  close_fd (&fd);
  return r;
}

int
net_configure (const char *card, const char *address, const char *gateway)
{
  struct in_addr host, mask, via;
  int r = parse_address (address, &host, &mask);

  if (r == 0 && gateway && inet_pton (AF_INET, gateway, &via) != 1)
    r = -EINVAL;
  return r < 0 ? r : netif_configure (card, host, mask, gateway ? &via : NULL, 0);
}

int
net_configure_more (const char *card, const char *address, const char *gateway)
{
  struct in_addr host, mask, via;
  int r = parse_address (address, &host, &mask);

  if (r == 0 && inet_pton (AF_INET, gateway, &via) != 1)
    r = -EINVAL;
  if (r == 0)
    r = netif_configure (card, host, mask, NULL, 0);
  return r < 0 ? r : netif_add_route (card, via, METRIC_MORE + if_nametoindex (card));
}
