/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What systemd reads below /run/systemd: the unit of the agent, and the few settings that a sandbox needs. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "meta/agent/setup-parts.h"
#include "meta/format.h"

/* Early, so that what hangs later can be looked into; but after systemd-tmpfiles, which empties /tmp, and
 * with D-Bus, by which programs ask systemd. KillMode: the agent ends its commands itself, and says so to the
 * host. OOMPolicy: one command that is killed for want of memory is not the end of all. Delegate: root's
 * containers make control groups below. */
#define AGENT_UNIT(after, words)                                                                             \
  "[Unit]\n"                                                                                                 \
  "Description=vmctl's agent, and the commands that it runs\n"                                               \
  "DefaultDependencies=no\n"                                                                                 \
  "After=sysinit.target systemd-tmpfiles-setup.service dbus.socket" after "\n"                               \
  "Conflicts=shutdown.target\n"                                                                              \
  "Before=shutdown.target\n"                                                                                 \
  "\n"                                                                                                       \
  "[Service]\n"                                                                                              \
  "ExecStart=" META_SERVICE " --service" words "\n"                                                          \
  "KillMode=mixed\n"                                                                                         \
  "TimeoutStopSec=15\n"                                                                                      \
  "OOMPolicy=continue\n"                                                                                     \
  "TasksMax=infinity\n"                                                                                      \
  "Delegate=yes\n"

/* logind would unmount /run/user/UID, with the sockets in it, when a login on the console ends. */
#define LOGIND_CONF "[Login]\nUserStopDelaySec=infinity\nRemoveIPC=no\n"

#define AGETTY "/sbin/agetty"
#define AGETTY_REST " --noclear --keep-baud 115200,57600,38400,9600 - $TERM\n"
#define CONSOLE_CONF "systemd/system/serial-getty@ttyS0.service.d/vmctl.conf"
#define LOGIN "vmctl/login"

/* In a template, where nobody is anybody yet: the file says who is to be logged in. */
#define LOGIN_CONF                                                                                           \
  "[Unit]\nConditionPathExists=/run/" LOGIN "\n"                                                             \
  "[Service]\nEnvironmentFile=/run/" LOGIN "\nExecStart=\nExecStart=-" AGETTY " $VMCTL_LOGIN" AGETTY_REST

static int
make_dirs (int dir, const char *path)
{
  char text[PATH_MAX];

  snprintf (text, sizeof text, "%s", path);
  for (char *slash = strchr (text, '/'); slash; slash = strchr (slash + 1, '/')) {
    *slash = '\0';
    if (mkdirat (dir, text, 0755) < 0 && errno != EEXIST)
      return -errno;
    *slash = '/';
  }
  return 0;
}

int
units_make_dir (int dir, const char *path)
{
  int r = make_dirs (dir, path);

  return r < 0 || mkdirat (dir, path, 0755) == 0 || errno == EEXIST ? r : -errno;
}

int
units_put (int run, const char *path, const char *text)
{
  int r = make_dirs (run, path), fd;

  if (r < 0)
    return r;
  fd = openat (run, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
  if (fd < 0)
    return -errno;
  r = write_all (fd, text, strlen (text));
  close_fd (&fd);
  return r;
}

int
units_link (int run, const char *path, const char *text)
{
  int r = make_dirs (run, path);

  if (r == 0 && symlinkat (text, run, path) < 0 && errno != EEXIST)
    r = -errno;
  return r;
}

/* In a unit a name of other letters would mean something. */
static bool
is_plain (const char *name)
{
  return strspn (name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") ==
             strlen (name) &&
         *name != '\0' && *name != '-';
}

static bool
has_agetty (int root)
{
  Tree tree = {.root = root};
  int fd = tree_open (&tree, AGETTY, 0);
  bool has = fd >= 0;

  close_fd (&fd);
  return has;
}

/* Whoever is at the serial console is the user already: `vmctl console` is for nobody else. A login shell has
 * not what keeps a command from becoming root, though. */
static int
put_autologin (int run, const Meta *meta, int root)
{
  char text[512];

  if (!meta->root || !is_plain (meta->name) || !has_agetty (root))
    return 0;
  snprintf (text, sizeof text, "[Service]\nExecStart=\nExecStart=-" AGETTY " --autologin %s" AGETTY_REST,
            meta->name);
  return units_put (run, CONSOLE_CONF, text);
}

int
image_units_write_login (int run, const Meta *meta, bool *ret_waits)
{
  char text[512] = "VMCTL_LOGIN=\n";

  *ret_waits = faccessat (run, CONSOLE_CONF, F_OK, 0) == 0;
  if (!*ret_waits)
    return 0;
  if (meta->root && is_plain (meta->name))
    snprintf (text, sizeof text, "VMCTL_LOGIN=--autologin %s\n", meta->name);
  return units_put (run, LOGIN, text);
}

/* The card has its address already; networkd, where it runs, is to leave it that. */
static int
put_network (int run, const Meta *meta)
{
  char text[512];

  if (!meta->address || !meta->gateway)
    return 0;
  snprintf (text, sizeof text,
            "[Match]\nType=ether\nDriver=virtio_net\n\n"
            "[Network]\nAddress=%s\nGateway=%s\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n",
            meta->address, meta->gateway);
  return units_put (run, "systemd/network/05-vmctl.network", text);
}

static int
put_console (int run, const Meta *meta, int root, bool is_template)
{
  if (!is_template)
    return put_autologin (run, meta, root);
  return has_agetty (root) ? units_put (run, CONSOLE_CONF, LOGIN_CONF) : 0;
}

int
image_units_write (int run, const Meta *meta, int root, bool is_template)
{
  const char *unit =
      is_template ? AGENT_UNIT (" multi-user.target", " " META_WORD_TEMPLATE) : AGENT_UNIT ("", "");
  int r;

  if ((r = units_put (run, "systemd/system/vmctl-agent.service", unit)) < 0 ||
      (r = units_put (run, "systemd/logind.conf.d/vmctl.conf", LOGIND_CONF)) < 0 ||
      (r = units_link (run, "systemd/system/basic.target.wants/vmctl-agent.service",
                       "../vmctl-agent.service")) < 0)
    return r;
  r = put_console (run, meta, root, is_template);
  return r < 0 ? r : put_network (run, meta);
}
