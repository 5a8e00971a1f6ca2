/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What else is mounted: of the disk of an image's root /boot, /boot/efi, another partition; of disks that
 * were plugged whatever somebody has made of them. A snapshot has the whole disks, so these have to stand
 * still as well. Those that cannot be frozen (vfat) are made read-only instead, which fails while somebody
 * has a file open for writing. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "meta/agent/freeze.h"
#include "meta/agent/util.h"

enum { MOUNTS_MAX = 4 << 20 };

/* The disk that it is, or is a partition of. */
static int
disk_of (dev_t device, char *name, size_t size)
{
  char path[64], link[512], *at;
  ssize_t n;

  snprintf (path, sizeof path, "/sys/dev/block/%u:%u", major (device), minor (device));
  n = readlink (path, link, sizeof link - 1);
  if (n < 0)
    return -errno;
  link[n] = '\0';
  at = strstr (link, "/block/");
  if (!at)
    return -ENODEV;
  snprintf (name, size, "%.*s", (int)strcspn (at + 7, "/"), at + 7);
  return 0;
}

static bool
is_same_disk (dev_t a, dev_t b)
{
  char disk[64], other[64];

  return disk_of (a, disk, sizeof disk) == 0 && disk_of (b, other, sizeof other) == 0 &&
         strcmp (disk, other) == 0;
}

/* Its place among the first `n`; `n` itself: it is not there. */
static int
place_of (const FreezeOther *others, int n, dev_t device)
{
  int i = 0;

  while (i < n && others[i].device != device)
    i++;
  return i;
}

/* A line of mountinfo. */
typedef struct {
  int id;
  dev_t device;
  const char *point, *source;
  bool read_only; /* its file system */
} Mount;

/* "TYPE SOURCE OPTIONS" */
static bool
parse_source (char *text, Mount *ret)
{
  char *save = NULL, *source, *options;

  (void)strtok_r (text, " ", &save);
  source = strtok_r (NULL, " ", &save);
  options = strtok_r (NULL, " ", &save);
  if (!source)
    return false;
  if (!options) { /* the source is nothing */
    options = source;
    source = options + strlen (options);
  }
  unescape_mount (source);
  ret->source = source;
  ret->read_only = strcmp (options, "ro") == 0 || strncmp (options, "ro,", 3) == 0;
  return true;
}

static bool
parse (char *line, Mount *ret)
{
  char *save = NULL, *field, *rest = strstr (line, " - ");
  unsigned a = 0, b = 0;

  if (!rest)
    return false;
  *rest = '\0';
  field = strtok_r (line, " ", &save);
  for (unsigned i = 0; field && i < 4; i++) {
    if ((i == 0 && sscanf (field, "%d", &ret->id) != 1) || (i == 2 && sscanf (field, "%u:%u", &a, &b) != 2))
      return false;
    field = strtok_r (NULL, " ", &save);
  }
  if (!field)
    return false;
  unescape_mount (field);
  ret->device = makedev (a, b);
  ret->point = field;
  return parse_source (rest + 3, ret);
}

/* Some file systems (btrfs) have a number of their own in place of their device's. */
static bool
is_on_disk (const Mount *mount)
{
  char name[64];
  struct stat st;

  if (major (mount->device) != 0)
    return disk_of (mount->device, name, sizeof name) == 0;
  return strncmp (mount->source, "/dev/", 5) == 0 && stat (mount->source, &st) == 0 && S_ISBLK (st.st_mode);
}

static int
mount_of (int fd)
{
  char path[64], line[128];
  int id = -1;
  FILE *f;

  snprintf (path, sizeof path, "/proc/self/fdinfo/%d", fd);
  f = fopen (path, "re");
  while (f && id < 0 && fgets (line, sizeof line, f))
    if (sscanf (line, "mnt_id: %d", &id) != 1)
      id = -1;
  if (f)
    fclose (f);
  return id;
}

/* -1: something else lies on it there. */
static int
open_at (const Mount *mount)
{
  int fd = open (mount->point, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

  if (fd >= 0 && mount_of (fd) != mount->id)
    close_fd (&fd);
  return fd;
}

/* One mount more. The count, or -errno. */
static int
take (FreezeOther *others, int n, const Mount *mount)
{
  int i = place_of (others, n, mount->device);

  if (i == FREEZE_OTHERS_MAX)
    return -E2BIG;
  if (i == n)
    others[n++] = (FreezeOther){.device = mount->device, .fd = -1, .state = FREEZE_NOT};
  if (others[i].fd < 0)
    others[i].fd = open_at (mount);
  return n;
}

static int
find (dev_t root, bool all, FreezeOther *others)
{
  int fd = open ("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC), n = 0;
  size_t size;
  char *text = fd < 0 ? NULL : read_open_file (fd, MOUNTS_MAX, &size), *save = NULL;

  close_fd (&fd);
  if (!text)
    return -errno;
  for (char *line = strtok_r (text, "\n", &save); line && n >= 0; line = strtok_r (NULL, "\n", &save)) {
    Mount mount = {0};

    if (parse (line, &mount) && !mount.read_only && mount.device != root &&
        (all ? is_on_disk (&mount) : is_same_disk (mount.device, root)))
      n = take (others, n, &mount);
  }
  free (text);
  for (int i = 0; i < n; i++)
    if (others[i].fd < 0) /* nothing leads to it */
      return -EBUSY;
  return n;
}

int
freeze_others_find (int root_fd, bool all, FreezeOther *others)
{
  struct stat st;

  return fstat (root_fd, &st) < 0 ? -errno : find (st.st_dev, all, others);
}

int
freeze_others_flush (const FreezeOther *others, unsigned n)
{
  for (unsigned i = 0; i < n; i++)
    if (syncfs (others[i].fd) < 0)
      return -errno;
  return 0;
}

static int
set_read_only (int fd, bool yes)
{
  int fs = fspick (fd, "", FSPICK_EMPTY_PATH | FSPICK_CLOEXEC), r = 0;

  if (fs < 0 || fsconfig (fs, FSCONFIG_SET_FLAG, yes ? "ro" : "rw", NULL, 0) < 0 ||
      fsconfig (fs, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0) < 0)
    r = -errno;
  close_fd (&fs);
  return r;
}

/* What is about to be done is noted first: whoever thaws may come at any moment. */
static int
stop_one (FreezeOther *other)
{
  other->state = FREEZE_FROZEN;
  if (ioctl (other->fd, FIFREEZE, 0) == 0)
    return 0;
  other->state = errno == EOPNOTSUPP ? FREEZE_READ_ONLY : FREEZE_NOT;
  return other->state == FREEZE_NOT ? -errno : set_read_only (other->fd, true);
}

/* The last that was mounted first: it may be in a file of one before it, to which it has to be written. */
int
freeze_others_stop (FreezeOther *others, unsigned n)
{
  int r = 0;

  for (unsigned i = n; r == 0 && i > 0; i--)
    r = stop_one (&others[i - 1]);
  return r;
}

static int
thaw_one (const FreezeOther *other)
{
  if (other->state == FREEZE_READ_ONLY)
    return set_read_only (other->fd, false);
  return other->state == FREEZE_FROZEN && ioctl (other->fd, FITHAW, 0) < 0 ? -errno : 0;
}

int
freeze_others_thaw (const FreezeOther *others, unsigned n)
{
  int r = 0;

  for (unsigned i = 0; i < n; i++) {
    int one = thaw_one (&others[i]);

    r = r < 0 ? r : one;
  }
  return r;
}
