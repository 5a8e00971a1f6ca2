/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The host's own systemd, as the first process of its tree.
 *
 * Its units are all there, and can be started; but nothing of the host's is to start by itself.
 * /etc/systemd/system, where services are enabled, is not let in. What packages want started from /usr is
 * what is left: each such wish (TARGET.wants/UNIT) is answered by a link to /dev/null of that name below
 * /run, which comes before /usr, and so is each generator. The few wishes that stay are what makes a systemd
 * that can be asked and that keeps a journal. The others of systemd's own are of no use in a tree that was
 * made a moment ago (temporary files, accounts, the linker's cache, the hardware's database), and take most
 * of the time of a boot. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "meta/agent/setup-parts.h"

static const char *const wanted[] = {"dbus.socket", "systemd-journald-dev-log.socket",
                                     "systemd-journald.service", "systemd-journald.socket"};

/* Without udev there is no device that the usual unit could wait for. */
#define CONSOLE_UNIT                                                                                         \
  "[Unit]\n"                                                                                                 \
  "Description=Login on the serial console\n"                                                                \
  "After=vmctl-agent.service\n"                                                                              \
  "ConditionFileIsExecutable=/sbin/agetty\n"                                                                 \
  "\n"                                                                                                       \
  "[Service]\n"                                                                                              \
  "ExecStart=-/sbin/agetty --keep-baud 115200,57600,38400,9600 - $TERM\n"                                    \
  "Type=idle\n"                                                                                              \
  "Restart=always\n"                                                                                         \
  "StandardInput=tty\n"                                                                                      \
  "StandardOutput=tty\n"                                                                                     \
  "TTYPath=/dev/ttyS0\n"                                                                                     \
  "TTYReset=yes\n"                                                                                           \
  "TTYVHangup=yes\n"                                                                                         \
  "IgnoreSIGPIPE=no\n"                                                                                       \
  "SendSIGHUP=yes\n"

#define CONSOLE "serial-getty@ttyS0.service"

enum { PATH_MAX_BYTES = 700 };

static bool
is_wanted (const char *name)
{
  for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
    if (strcmp (name, wanted[i]) == 0)
      return true;
  return false;
}

static bool
has_suffix (const char *text, const char *suffix)
{
  size_t n = strlen (text), m = strlen (suffix);

  return n > m && strcmp (text + n - m, suffix) == 0;
}

static bool
holds_wishes (const char *name)
{
  return has_suffix (name, ".wants") || has_suffix (name, ".requires") || has_suffix (name, ".upholds");
}

/* NULL: it is not there. */
static DIR *
open_dir (const Tree *tree, const char *path)
{
  int fd = tree_open (tree, path, O_DIRECTORY);
  char self[64];
  DIR *dir;

  snprintf (self, sizeof self, "/proc/self/fd/%d", fd);
  dir = fd < 0 ? NULL : opendir (self);
  close_fd (&fd);
  return dir;
}

/* Whatever is in `from` of the tree is nothing in `to` of /run. */
static int
mask_all (const Tree *tree, const char *from, int run, const char *to)
{
  DIR *dir = open_dir (tree, from);
  struct dirent *entry;
  char path[PATH_MAX_BYTES];
  int r = 0;

  while (dir && r == 0 && (entry = readdir (dir))) {
    if (entry->d_name[0] == '.' || is_wanted (entry->d_name))
      continue;
    if ((size_t)snprintf (path, sizeof path, "%s/%s", to, entry->d_name) < sizeof path)
      r = units_link (run, path, "/dev/null");
  }
  if (dir)
    closedir (dir);
  return r;
}

static int
mask_wishes (const Tree *tree, const char *from, int run, const char *to)
{
  DIR *dir = open_dir (tree, from);
  struct dirent *entry;
  char source[PATH_MAX_BYTES], target[PATH_MAX_BYTES];
  int r = 0;

  while (dir && r == 0 && (entry = readdir (dir))) {
    if (!holds_wishes (entry->d_name))
      continue;
    snprintf (source, sizeof source, "%s/%s", from, entry->d_name);
    snprintf (target, sizeof target, "%s/%s", to, entry->d_name);
    r = mask_all (tree, source, run, target);
  }
  if (dir)
    closedir (dir);
  return r;
}

/* One of the directories in which systemd looks, such as /usr/lib/systemd. */
static int
mask_place (const Tree *tree, const char *place, int run)
{
  static const char *const units[] = {"system", "user"};
  static const char *const generators[] = {"system-generators", "system-environment-generators",
                                           "user-generators", "user-environment-generators"};
  char from[PATH_MAX_BYTES / 2], to[64];
  int r = 0;

  for (size_t i = 0; i < sizeof units / sizeof *units && r == 0; i++) {
    snprintf (from, sizeof from, "%s/%s", place, units[i]);
    snprintf (to, sizeof to, "systemd/%s", units[i]);
    r = mask_wishes (tree, from, run, to);
  }
  for (size_t i = 0; i < sizeof generators / sizeof *generators && r == 0; i++) {
    snprintf (from, sizeof from, "%s/%s", place, generators[i]);
    snprintf (to, sizeof to, "systemd/%s", generators[i]);
    r = mask_all (tree, from, run, to);
  }
  return r;
}

static int
mask_places (const Tree *tree, const char *own, int run)
{
  static const char *const others[] = {"/usr/lib/systemd", "/usr/local/lib/systemd"};
  int r = mask_place (tree, own, run);

  for (size_t i = 0; i < sizeof others / sizeof *others && r == 0; i++)
    if (strcmp (others[i], own) != 0)
      r = mask_place (tree, others[i], run);
  return r;
}

/* modprobe@drm: logind asks for it, for screens. */
static int
put_units (int run, const Meta *meta, const char *own)
{
  char target[PATH_MAX_BYTES];
  int r;

  snprintf (target, sizeof target, "%s/system/multi-user.target", own);
  if ((r = units_link (run, "systemd/system/default.target", target)) < 0 ||
      (r = units_link (run, "systemd/system/modprobe@drm.service", "/dev/null")) < 0)
    return r;
  if (!meta->root) /* nobody could log in */
    return 0;
  if ((r = units_put (run, "systemd/system/" CONSOLE, CONSOLE_UNIT)) < 0)
    return r;
  return units_link (run, "systemd/system/multi-user.target.wants/" CONSOLE, "../" CONSOLE);
}

int
host_units_write (int run, const Meta *meta)
{
  Tree lower = {.root = open (SETUP_LOWER, O_PATH | O_DIRECTORY | O_CLOEXEC)};
  char own[PATH_MAX_BYTES / 2];
  int r = lower.root < 0 ? -errno : 0;
  char *slash;

  snprintf (own, sizeof own, "%s", meta->init);
  slash = strrchr (own, '/');
  if (slash)
    *slash = '\0';
  if (r == 0)
    r = mask_places (&lower, own, run);
  close_fd (&lower.root);
  return r < 0 ? r : put_units (run, meta, own);
}
