/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guest of tests/bench/net.py: asks 198.51.100.10:5000 what to do, does it, says how long it took, and
 * asks again. "down N": reads from port 5001 to its end; "up N": writes N bytes to port 5002 and waits for
 * one. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "modules.h"

#define SERVER "198.51.100.10"

static void
die (const char *what)
{
  printf ("net-init: %s: %s\n", what, strerror (errno));
  reboot (RB_POWER_OFF);
}

static void
set_address (struct sockaddr *address, const char *text)
{
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr (text)};

  memcpy (address, &in, sizeof in);
}

static void
configure (void)
{
  struct ifreq request = {.ifr_name = "eth0"};
  struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};
  int fd = socket (AF_INET, SOCK_DGRAM, 0);

  set_address (&request.ifr_addr, "10.0.2.15");
  if (ioctl (fd, SIOCSIFADDR, &request) < 0)
    die ("address");
  set_address (&request.ifr_netmask, "255.255.255.0");
  (void)ioctl (fd, SIOCSIFNETMASK, &request);
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  if (ioctl (fd, SIOCSIFFLAGS, &request) < 0)
    die ("up");
  set_address (&route.rt_dst, "0.0.0.0");
  set_address (&route.rt_genmask, "0.0.0.0");
  set_address (&route.rt_gateway, "10.0.2.2");
  if (ioctl (fd, SIOCADDRT, &route) < 0)
    die ("route");
  (void)close (fd);
}

static int
connected (uint16_t port)
{
  struct sockaddr_in in = {
      .sin_family = AF_INET, .sin_port = htons (port), .sin_addr.s_addr = inet_addr (SERVER)};
  int fd = socket (AF_INET, SOCK_STREAM, 0);

  if (connect (fd, (struct sockaddr *)&in, sizeof in) < 0)
    die ("connect");
  return fd;
}

static double
now (void)
{
  struct timespec t;

  (void)clock_gettime (CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double
transfer (const char *way, long long bytes)
{
  static char block[1 << 20];
  double begin = now ();
  int up = strcmp (way, "up") == 0, fd = connected (up ? 5002 : 5001);

  while (up && bytes > 0) {
    ssize_t n = write (fd, block, bytes < (long long)sizeof block ? (size_t)bytes : sizeof block);

    if (n <= 0)
      die ("write");
    bytes -= n;
  }
  if (up)
    (void)shutdown (fd, SHUT_WR);
  while (read (fd, block, sizeof block) > 0)
    continue;
  (void)close (fd);
  return now () - begin;
}

int
main (void)
{
  FILE *host;
  char way[16];
  long long bytes;
  int fd;

  setbuf (stdout, NULL);
  (void)mkdir ("/proc", 0755);
  (void)mount ("proc", "/proc", "proc", 0, NULL);
  load_modules (die);
  configure ();
  fd = connected (5000);
  host = fdopen (fd, "r");
  if (host == NULL)
    die ("host");
  while (fscanf (host, "%15s %lld", way, &bytes) == 2) {
    if (dprintf (fd, "%.6f\n", transfer (way, bytes)) < 0)
      die ("answer");
  }
  reboot (RB_POWER_OFF);
  return 0;
}
