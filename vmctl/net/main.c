/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl-net: the network of one sandbox.
 *
 *   vmctl-net --packet FD --control FD --log FD [--user UID:GID]
 *
 * How it works
 *
 * The frames of the sandbox come on --packet. Each is parsed (frame.c) and goes where it belongs (guard.c):
 *
 *   questions to 10.0.2.3          resolver.c answers; by TCP: dnstcp.c
 *   TCP                            flows*.c judges and inspects; libslirp (stack.c) makes connections
 *   UDP, pings                     flows.c judges; udp.c, ping.c relay
 *   ARP, DHCP, pings of 10.0.2.2   libslirp
 *
 * What may not pass is answered at once with a reset or an ICMP error. The policy comes by --control, which
 * says what was refused, too; until one has come no frame is taken. What was allowed and refused goes to
 * --log.
 *
 * It is started by the keeper and killed by it. It has nothing but these descriptors, and gives up everything
 * else (isolate.c) before it says hello. libc and libslirp only. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <slirp/libslirp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmctl/net/isolate.h"
#include "vmctl/net/switch.h"

typedef struct {
  int packet, control, log;
  long uid, gid; /* -1: as it is */
} Options;

static int
fail (const char *what)
{
  fprintf (stderr, "vmctl-net: %s: %s\n", what, strerror (errno));
  return 1;
}

static int
parse_fd (const char *text)
{
  char *end;
  long value = strtol (text, &end, 10);

  return *text == '\0' || *end != '\0' || value < 0 || value > 1 << 20 ? -1 : (int)value;
}

static bool
parse_user (Options *options, const char *text)
{
  char *end;

  options->uid = strtol (text, &end, 10);
  if (end == text || *end != ':')
    return false;
  text = end + 1;
  options->gid = strtol (text, &end, 10);
  return end != text && *end == '\0' && options->uid > 0 && options->gid > 0;
}

static bool
parse_arguments (Options *options, int argc, char **argv)
{
  int i;

  for (i = 1; i + 1 < argc; i += 2) {
    if (strcmp (argv[i], "--packet") == 0)
      options->packet = parse_fd (argv[i + 1]);
    else if (strcmp (argv[i], "--control") == 0)
      options->control = parse_fd (argv[i + 1]);
    else if (strcmp (argv[i], "--log") == 0)
      options->log = parse_fd (argv[i + 1]);
    else if (strcmp (argv[i], "--user") != 0 || !parse_user (options, argv[i + 1]))
      return false;
  }
  return i == argc && options->packet > 2 && options->control > 2 && options->log > 2;
}

/* Whatever else was left open is none of ours. */
static int
close_others (const Options *options)
{
  for (int fd = 3; fd < 64; fd++)
    if (fd != options->packet && fd != options->control && fd != options->log)
      (void)close (fd);
  return (int)syscall (SYS_close_range, 64U, ~0U, 0U);
}

static bool
isolate (const Options *options)
{
  const char *what;
  pid_t keeper = getppid ();

  if (net_isolate ((uid_t)options->uid, (gid_t)options->gid, &what) < 0) {
    (void)fail (what);
    return false;
  }
  return getppid () == keeper;
}

int
main (int argc, char **argv)
{
  Options options = {.packet = -1, .control = -1, .log = -1, .uid = -1, .gid = -1};

  if (argc == 2 && strcmp (argv[1], "--version") == 0) /* for vmctl doctor */
    return printf ("libslirp %s\n", slirp_version_string ()) < 0;
  if (!parse_arguments (&options, argc, argv)) {
    fprintf (stderr, "vmctl-net: a part of vmctl, not for use by hand\n");
    return 2;
  }
  (void)signal (SIGPIPE, SIG_IGN);
  if (close_others (&options) < 0 || fcntl (options.packet, F_SETFL, O_RDWR | O_NONBLOCK) < 0)
    return fail ("cannot use the descriptors");
  if (!isolate (&options))
    return 1;
  net_switch_serve (options.packet, options.control, options.log);
  return fail ("cannot wait for frames");
}
