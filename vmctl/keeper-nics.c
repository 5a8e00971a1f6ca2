/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/keeper-nics.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int
find (const KeeperNics *nics, const char *name)
{
  for (int i = 0; *name != '\0' && i < KEEPER_NICS_MAX; i++)
    if (strcmp (nics->names[i], name) == 0)
      return i;
  return -1;
}

static int
find_free (const KeeperNics *nics)
{
  for (int i = 0; i < KEEPER_NICS_MAX; i++)
    if (*nics->names[i] == '\0')
      return i;
  return -1;
}

static int
fail (int error)
{
  errno = error;
  return -1;
}

static int
is_sound (const char *name)
{
  size_t n = strlen (name);

  return n > 0 && n <= KEEPER_NIC_NAME_MAX && strspn (name, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

static void
let_go (KeeperNics *nics, int i)
{
  const KeeperNet *net = &nics->nets[i];
  const int fds[] = {net->packet, net->control, net->control_peer, net->log};

  for (size_t k = 0; k < sizeof fds / sizeof *fds; k++)
    if (fds[k] >= 0)
      (void)close (fds[k]);
  *nics->names[i] = '\0';
}

static int
copy (int fd)
{
  return fcntl (fd, F_DUPFD_CLOEXEC, 3);
}

int
keeper_nics_add (KeeperNics *nics, const KeeperNet *like, const char *name, const int fds[KEEPER_NIC_FDS])
{
  int i = find_free (nics);
  KeeperNet net = KEEPER_NET_INIT;

  if (!is_sound (name) || like->program == NULL)
    return fail (EINVAL);
  if (find (nics, name) >= 0)
    return fail (EEXIST);
  if (i < 0)
    return fail (ENOSPC);
  net.program = like->program;
  net.user = like->user;
  net.packet = copy (fds[0]);
  net.control = copy (fds[1]);
  net.control_peer = copy (fds[2]);
  net.log = copy (fds[3]);
  nics->nets[i] = net;
  (void)snprintf (nics->names[i], sizeof nics->names[i], "%s", name);
  if (net.packet >= 0 && net.control >= 0 && net.control_peer >= 0 && net.log >= 0)
    keeper_net_start (&nics->nets[i]);
  if (nics->nets[i].pid != 0)
    return 0;
  let_go (nics, i);
  return fail (EAGAIN);
}

int
keeper_nics_remove (KeeperNics *nics, const char *name)
{
  int i = find (nics, name);

  if (i < 0)
    return fail (ENOENT);
  keeper_net_stop (&nics->nets[i]);
  let_go (nics, i);
  return 0;
}

int
keeper_nics_control (const KeeperNics *nics, const char *name)
{
  int i = find (nics, name);

  return i >= 0 ? nics->nets[i].control_peer : -1;
}

int
keeper_nics_ended (KeeperNics *nics, pid_t pid, int status, char *text, size_t size)
{
  char what[64];

  for (int i = 0; i < KEEPER_NICS_MAX; i++)
    if (*nics->names[i] != '\0' && keeper_net_ended (&nics->nets[i], pid, status, what, sizeof what)) {
      (void)snprintf (text, size, "nic %s %s", nics->names[i], what + strlen ("net "));
      return 1;
    }
  return 0;
}

void
keeper_nics_stop (KeeperNics *nics)
{
  for (int i = 0; i < KEEPER_NICS_MAX; i++)
    if (*nics->names[i] != '\0')
      keeper_net_stop (&nics->nets[i]);
}
