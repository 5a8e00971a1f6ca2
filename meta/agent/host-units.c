/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The host's own systemd, as the first process of its tree.
 *
 * Its units are all there, and can be started; but nothing of the host's is to start by itself.
 * /etc/systemd/system, where services are enabled, is not let in. What packages want started from /usr is
 * what is left (TARGET.wants/UNIT), and generators: these directories are empty in the layer above the tree.
 * The few wishes that stay are what makes a systemd that can be asked and that keeps a journal. The others of
 * systemd's own are of no use in a tree that was made a moment ago (temporary files, accounts, the linker's
 * cache, the hardware's database), and take most of the time of a boot.
 *
 * The symbolic links among the units are copied into that layer, too: each is a question to the host whenever
 * it is read, and systemd reads all of them once for each unit that it is asked about. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "meta/agent/setup-parts.h"

static const char *const wanted[] = {"dbus.socket", "systemd-journald-dev-log.socket",
                                     "systemd-journald.service", "systemd-journald.socket"};

/* Without udev there is no device that the usual unit could wait for. */
#define CONSOLE_UNIT(after)                                                                                  \
  "[Unit]\n"                                                                                                 \
  "Description=Login on the serial console\n" after "ConditionFileIsExecutable=/sbin/agetty\n"               \
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
#define OPAQUE "trusted.overlay.opaque" /* nothing of the layer below is seen in it */

enum { PATH_MAX_BYTES = 1024 };

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

/* A directory of the tree, and where it really is in it: a directory of that path in the layer above lies
 * over it. */
typedef struct {
  DIR *dir; /* NULL: it is not there */
  char path[PATH_MAX_BYTES];
} Place;

static void
open_place (const Tree *lower, const char *path, Place *ret)
{
  int fd = tree_open (lower, path, O_DIRECTORY);
  char self[64], real[PATH_MAX_BYTES];
  ssize_t n;

  *ret = (Place){0};
  snprintf (self, sizeof self, "/proc/self/fd/%d", fd);
  n = fd < 0 ? -1 : readlink (self, real, sizeof real - 1);
  if (n > (ssize_t)strlen (SETUP_LOWER "/")) {
    real[n] = '\0';
    snprintf (ret->path, sizeof ret->path, "%s", real + strlen (SETUP_LOWER "/"));
    ret->dir = opendir (self);
  }
  close_fd (&fd);
}

static void
close_place (Place *place)
{
  if (place->dir)
    closedir (place->dir);
  place->dir = NULL;
}

/* Those of its links that are `wanted`, or all. */
static int
copy_links (const Place *place, int upper, bool all)
{
  struct dirent *entry;
  int r = 0;

  rewinddir (place->dir);
  while (r == 0 && (entry = readdir (place->dir))) {
    char path[PATH_MAX_BYTES + 256], text[PATH_MAX_BYTES];
    ssize_t n;

    if (!all && !is_wanted (entry->d_name))
      continue;
    n = entry->d_type == DT_REG || entry->d_type == DT_DIR
            ? -1
            : readlinkat (dirfd (place->dir), entry->d_name, text, sizeof text - 1);
    if (n < 0)
      continue;
    text[n] = '\0';
    snprintf (path, sizeof path, "%s/%s", place->path, entry->d_name);
    r = units_link (upper, path, text);
  }
  return r;
}

/* A directory that is something else by now, or has been removed, in the layer above. */
static int
unless_replaced (int r)
{
  return r == -ENOTDIR ? 0 : r;
}

static bool
is_opaque (int fd)
{
  char value;

  return fgetxattr (fd, OPAQUE, &value, sizeof value) == sizeof value && value == 'y';
}

/* What is wanted of it is all that is seen. */
static int
empty (const Tree *lower, const char *path, int upper)
{
  Place place;
  int r = 0, fd = -1;

  open_place (lower, path, &place);
  if (place.dir) {
    r = units_make_dir (upper, place.path);
    fd = r < 0 ? -1 : openat (upper, place.path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (r == 0 && fd < 0)
      r = -errno;
    if (r == 0 && !is_opaque (fd))
      r = fsetxattr (fd, OPAQUE, "y", 1, 0) < 0 ? -errno : copy_links (&place, upper, false);
  }
  close_fd (&fd);
  close_place (&place);
  return unless_replaced (r);
}

/* A directory of units, such as /usr/lib/systemd/system. */
static int
hide_wishes (const Tree *lower, const char *path, int upper)
{
  char below[PATH_MAX_BYTES + 256];
  struct dirent *entry;
  Place place;
  int r = 0;

  open_place (lower, path, &place);
  if (place.dir)
    r = unless_replaced (copy_links (&place, upper, true));
  if (place.dir)
    rewinddir (place.dir);
  while (place.dir && r == 0 && (entry = readdir (place.dir))) {
    snprintf (below, sizeof below, "%s/%s", path, entry->d_name);
    if (holds_wishes (entry->d_name))
      r = empty (lower, below, upper);
  }
  close_place (&place);
  return r;
}

/* One of the directories in which systemd looks, such as /usr/lib/systemd. */
static int
hide_in (const Tree *lower, const char *place, int upper)
{
  static const char *const units[] = {"system", "user"};
  static const char *const generators[] = {"system-generators", "system-environment-generators",
                                           "user-generators", "user-environment-generators"};
  char path[PATH_MAX_BYTES];
  int r = 0;

  for (size_t i = 0; i < sizeof units / sizeof *units && r == 0; i++) {
    snprintf (path, sizeof path, "%s/%s", place, units[i]);
    r = hide_wishes (lower, path, upper);
  }
  for (size_t i = 0; i < sizeof generators / sizeof *generators && r == 0; i++) {
    snprintf (path, sizeof path, "%s/%s", place, generators[i]);
    r = empty (lower, path, upper);
  }
  return r;
}

/* Where the init lies: "/usr/lib/systemd". */
static void
own_place (const Meta *meta, char *ret, size_t n)
{
  char *slash;

  snprintf (ret, n, "%s", meta->init);
  slash = strrchr (ret, '/');
  if (slash)
    *slash = '\0';
}

int
host_units_hide (const char *upper_path, const Meta *meta)
{
  static const char *const others[] = {"/usr/lib/systemd", "/usr/local/lib/systemd"};
  Tree lower = {.root = open (SETUP_LOWER, O_PATH | O_DIRECTORY | O_CLOEXEC)};
  int upper = open (upper_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;
  char own[PATH_MAX_BYTES / 2];

  own_place (meta, own, sizeof own);
  r = lower.root < 0 || upper < 0 ? -errno : hide_in (&lower, own, upper);
  for (size_t i = 0; i < sizeof others / sizeof *others && r == 0; i++)
    if (strcmp (others[i], own) != 0)
      r = hide_in (&lower, others[i], upper);
  close_fd (&upper);
  close_fd (&lower.root);
  return r;
}

/* modprobe@drm: logind asks for it, for screens. A template's agent comes after all else, and its console
 * waits for a name. */
int
host_units_write (int run, const Meta *meta, bool is_template)
{
  char own[PATH_MAX_BYTES / 2], target[PATH_MAX_BYTES];
  int r;

  own_place (meta, own, sizeof own);
  snprintf (target, sizeof target, "%s/system/multi-user.target", own);
  if ((r = units_link (run, "systemd/system/default.target", target)) < 0 ||
      (r = units_link (run, "systemd/system/modprobe@drm.service", "/dev/null")) < 0)
    return r;
  if (!meta->root) /* nobody could log in */
    return 0;
  if ((r = units_put (run, "systemd/system/" CONSOLE,
                      is_template ? CONSOLE_UNIT ("") : CONSOLE_UNIT ("After=vmctl-agent.service\n"))) < 0)
    return r;
  return units_link (run, "systemd/system/multi-user.target.wants/" CONSOLE, "../" CONSOLE);
}
