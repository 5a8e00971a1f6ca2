/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The supervisor's part of a sandbox's network: what vmctl-net is given, and what became of it. */
#include "vmctl/supervisor-private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"

enum { RESOLV_CONF_MAX = 65536, RESOLVERS_MAX = 3 };

/* Its own names are asked for by the helper, from this host: a resolver on the loopback or in the local
 * network answers, though the sandbox cannot reach it. */
static void
add_resolvers (GString *out)
{
  vm_autofd fd = open ("/etc/resolv.conf", O_RDONLY | O_CLOEXEC);
  g_autofree char *text = fd >= 0 ? vm_fd_read_all (fd, RESOLV_CONF_MAX, NULL, NULL) : NULL;
  g_auto (GStrv) lines = g_strsplit (text != NULL ? text : "", "\n", -1);
  guint n = 0;

  for (char **line = lines; *line != NULL && n < RESOLVERS_MAX; line++) {
    g_auto (GStrv) words = g_strsplit_set (*line, " \t\r", -1);
    struct in_addr address;
    char **value = words + 1;

    if (g_strcmp0 (words[0], "nameserver") != 0)
      continue;
    while (*value != NULL && **value == '\0')
      value++;
    if (*value == NULL || inet_pton (AF_INET, *value, &address) != 1)
      continue;
    g_string_append_printf (out, "nameserver %s\n", *value);
    n++;
  }
  if (n == 0) /* resolv.conf(5) */
    g_string_append (out, "nameserver 127.0.0.1\n");
}

static gboolean
bind_policy (VmArgv *argv)
{
  GString *text = g_string_new ("vmctl-net-policy 1\nmode public\n");
  g_autoptr (GBytes) bytes = NULL;

  add_resolvers (text);
  bytes = g_string_free_to_bytes (text);
  vm_argv_bind_bytes (argv, "policy", bytes);
  return TRUE;
}

static gboolean
bind_log (VmSupervisor *sup, VmArgv *argv, GError **error)
{
  int fd = openat (sup->state_fd, "net.log", O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);

  if (fd < 0)
    return vm_error_errno (error, errno, "cannot open net.log");
  vm_argv_bind (argv, "net-log", fd);
  return TRUE;
}

/* A frame is a datagram; room for a good many. */
static gboolean
bind_frames (VmArgv *argv, GError **error)
{
  const int room = 4 << 20;
  int ends[2];

  if (!vm_fd_socketpair (SOCK_DGRAM, ends, error))
    return FALSE;
  for (guint i = 0; i < G_N_ELEMENTS (ends); i++) /* as much of it as the kernel gives */
    (void)setsockopt (ends[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  vm_argv_bind (argv, "packet", ends[0]);
  vm_argv_bind (argv, "nic", ends[1]);
  return TRUE;
}

gboolean
vm_supervisor_bind_net (VmSupervisor *sup, VmArgv *argv, GError **error)
{
  if (!vm_driver_has_helper (sup->plan, sup->driver->net))
    return TRUE;
  if (sup->driver->net == VM_KEEPER_NET_FRAMES && !bind_frames (argv, error))
    return FALSE;
  return bind_policy (argv) && bind_log (sup, argv, error);
}

void
vm_supervisor_net_said (VmSupervisor *sup, const char *text)
{
  const char *how = strchr (text, ' ');
  g_autofree char *warning = NULL;

  vm_log_line (sup->log, "the keeper says: %s", text);
  if (how == NULL)
    return;
  if (g_str_has_prefix (text, "restarted "))
    warning = g_strdup_printf ("the network's helper ended (%s) and was started again; connections that "
                               "were open are cut",
                               how + 1);
  else
    warning = g_strdup_printf ("the network's helper ended (%s): the sandbox has no network any more; see "
                               "vmctl logs --supervisor %s",
                               how + 1, sup->plan->id);
  vm_supervisor_warn (sup, warning);
}
