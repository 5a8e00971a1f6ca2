/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/keeper-net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "meta/netif.h"
#include "vmctl/keeper-fd.h"
#include "vmctl/net/frame.h"
#include "vmctl/net/policy.h"

/* One that has run for so long is worth replacing. So is one that was killed sooner, unless it is the third
 * in a row; one that ended by itself would again. And all together so often. */
enum { GOOD_LIFE_MS = 1000, SHORT_LIVES_MAX = 3, STARTS_MAX = 8 };

static void
complain (const char *what)
{
  fprintf (stderr, "vmctl-keeper: %s: %s\n", what, strerror (errno));
}

int
keeper_net_option (KeeperNet *net, const char *name, const char *value)
{
  if (strcmp (name, "--netns") == 0) {
    net->own_namespace = 1;
    net->tap = strcmp (value, "tap") == 0;
    return net->tap || strcmp (value, "lo") == 0 ? 1 : -1;
  }
  if (strcmp (name, "--packet") == 0)
    return keeper_fd_option (value, &net->packet);
  if (strcmp (name, "--control") == 0)
    return keeper_fd_option (value, &net->control);
  if (strcmp (name, "--control-peer") == 0)
    return keeper_fd_option (value, &net->control_peer);
  if (strcmp (name, "--net-log") == 0)
    return keeper_fd_option (value, &net->log);
  if (strcmp (name, "--net") == 0)
    net->program = value;
  else if (strcmp (name, "--net-user") == 0)
    net->user = value;
  else
    return 0;
  return 1;
}

int
keeper_net_prepare (KeeperNet *net)
{
  if (geteuid () != 0)
    net->user = NULL; /* there is nobody else that it could run as */
  return net->tap ? socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, net->pair) : 0;
}

/* The child */

static void
write_setting (const char *path, const char *value)
{
  int fd = open (path, O_WRONLY | O_CLOEXEC);

  if (fd < 0)
    return;
  (void)!write (fd, value, strlen (value));
  (void)close (fd);
}

/* ping works without rights, for all groups that there are; and the helper speaks IPv4 only. */
static void
write_settings (void)
{
  write_setting ("/proc/sys/net/ipv4/ping_group_range", "0 0");
  write_setting ("/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
  write_setting ("/proc/sys/net/ipv6/conf/tap0/disable_ipv6", "1");
}

static int
make_tap (void)
{
  const struct in_addr address = {htonl (NET_GUEST)}, gateway = {htonl (NET_GATEWAY)},
                       mask = {htonl (0xffffffffU << (32 - NET_PREFIX))};
  struct ifreq request = {.ifr_name = "tap0", .ifr_flags = IFF_TAP | IFF_NO_PI};
  int fd = open ("/dev/net/tun", O_RDWR | O_CLOEXEC), r;

  if (fd < 0 || ioctl (fd, TUNSETIFF, &request) < 0) {
    complain ("cannot make a network interface by /dev/net/tun");
    return -1;
  }
  write_settings ();
  r = netif_configure ("tap0", address, mask, &gateway, NET_MTU);
  if (r == 0)
    return fd;
  errno = -r;
  complain ("cannot set up the network interface");
  return -1;
}

int
keeper_net_enter (KeeperNet *net)
{
  int fd, r;

  if (!net->own_namespace)
    return 0;
  if (unshare (CLONE_NEWNET) < 0) {
    complain ("cannot make a network namespace");
    return -1;
  }
  r = netif_up ("lo");
  if (r < 0) {
    errno = -r;
    complain ("cannot set up the loopback interface");
    return -1;
  }
  if (!net->tap)
    return 0;
  fd = make_tap ();
  if (fd < 0)
    return -1;
  r = keeper_fd_send (net->pair[1], "t", fd);
  (void)close (fd);
  if (r < 0)
    complain ("cannot hand the network interface over");
  return r;
}

/* The keeper */

static int
receive_fd (int socket)
{
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE (sizeof (int))];
  } control = {0};
  char byte;
  struct iovec iov = {.iov_base = &byte, .iov_len = 1};
  struct msghdr message = {
      .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
  struct cmsghdr *c;
  ssize_t n;
  int fd;

  do
    n = recvmsg (socket, &message, MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  c = n == 1 ? CMSG_FIRSTHDR (&message) : NULL;
  if (c == NULL || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN (sizeof (int)))
    return -1;
  memcpy (&fd, CMSG_DATA (c), sizeof fd);
  return fd;
}

static long long
now_ms (void)
{
  struct timespec now;

  (void)clock_gettime (CLOCK_MONOTONIC, &now);
  return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* It inherits three descriptors, no environment, and no privilege that it could use. */
static void
run (const KeeperNet *net, pid_t parent)
{
  char packet[12], control[12], log[12];
  const char *argv[] = {net->program, "--packet", packet,   "--control", control,
                        "--log",      log,        "--user", net->user,   NULL};
  char *const environment[] = {NULL};
  sigset_t none;

  if (net->user == NULL)
    argv[7] = NULL;
  (void)prctl (PR_SET_PDEATHSIG, SIGKILL);
  if (getppid () != parent)
    _exit (127);
  sigemptyset (&none);
  (void)sigprocmask (SIG_SETMASK, &none, NULL);
  (void)snprintf (packet, sizeof packet, "%d", net->packet);
  (void)snprintf (control, sizeof control, "%d", net->control);
  (void)snprintf (log, sizeof log, "%d", net->log);
  if (fcntl (net->packet, F_SETFD, 0) == 0 && fcntl (net->control, F_SETFD, 0) == 0 &&
      fcntl (net->log, F_SETFD, 0) == 0)
    (void)execve (net->program, (char **)(size_t)argv, environment);
  fprintf (stderr, "vmctl-keeper: cannot run '%s': %s\n", net->program, strerror (errno));
  _exit (127);
}

static void
start (KeeperNet *net)
{
  pid_t self = getpid (), pid;

  net->starts++;
  net->started_ms = now_ms ();
  pid = fork ();
  if (pid == 0)
    run (net, self);
  if (pid < 0)
    complain ("cannot make a process for the network");
  net->pid = pid > 0 ? pid : 0;
}

void
keeper_net_start (KeeperNet *net)
{
  if (net->pair[1] >= 0)
    (void)close (net->pair[1]);
  if (net->pair[0] >= 0) {
    net->packet = receive_fd (net->pair[0]);
    (void)close (net->pair[0]);
  }
  net->pair[0] = net->pair[1] = -1;
  if (net->packet >= 0 && net->program != NULL)
    start (net);
}

int
keeper_net_ended (KeeperNet *net, pid_t pid, int status, char *text, size_t size)
{
  int by_signal = WIFSIGNALED (status);
  int again;

  if (net->pid == 0 || pid != net->pid)
    return 0;
  net->pid = 0;
  net->short_lives = now_ms () - net->started_ms >= GOOD_LIFE_MS ? 0 : net->short_lives + 1;
  again = net->short_lives < (by_signal ? SHORT_LIVES_MAX : 1) && net->starts < STARTS_MAX;
  if (again)
    start (net);
  (void)snprintf (text, size, "net %s %s %d", net->pid != 0 ? "restarted" : "down",
                  by_signal ? "signal" : "status", by_signal ? WTERMSIG (status) : WEXITSTATUS (status));
  return 1;
}

void
keeper_net_stop (KeeperNet *net)
{
  if (net->pid == 0)
    return;
  (void)kill (net->pid, SIGKILL);
  (void)waitpid (net->pid, NULL, 0);
  net->pid = 0;
}
