/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "meta/agent/agent.h"
#include "meta/agent/change.h"
#include "meta/agent/freeze.h"
#include "meta/agent/mounts.h"
#include "meta/agent/net.h"
#include "meta/agent/ops.h"
#include "meta/format.h"

enum { WAIT_MS = 8000, STEP_US = 5000, VALUE_MAX = 64, CPUS_MAX = 256, MIB = 1 << 20 };

#define CPUS "/sys/devices/system/cpu"
#define MEMORY "/sys/devices/system/memory"
#define PORTS "/sys/class/virtio-ports"
#define PORT_LINKS "/dev/virtio-ports"

typedef struct {
  Agent *agent;
  char *text;
  size_t size;
} Doing;

/* Small files of the kernel's */

static int
put (const char *path, const char *value)
{
  int fd = open (path, O_WRONLY | O_CLOEXEC), r = 0;

  if (fd < 0 || write (fd, value, strlen (value)) < 0)
    r = -errno;
  close_fd (&fd);
  return r;
}

/* The entry of `dir` that begins with `prefix` and whose file `file` has this value, waited for, since what
 * was plugged may not have been seen yet. 0 or -errno. */
static int
find_once (const char *dir, const char *prefix, const char *file, const char *wanted, char name[NAME_MAX + 1])
{
  DIR *d = opendir (dir);
  struct dirent *entry;
  int r = -ENOENT;

  while (d && r < 0 && (entry = readdir (d))) {
    char path[PATH_MAX], value[VALUE_MAX];

    if (strncmp (entry->d_name, prefix, strlen (prefix)) != 0)
      continue;
    snprintf (path, sizeof path, "%s/%s/%s", dir, entry->d_name, file);
    if (read_line (path, value, sizeof value) < 0 || strcmp (value, wanted) != 0)
      continue;
    snprintf (name, NAME_MAX + 1, "%s", entry->d_name);
    r = 0;
  }
  if (d)
    closedir (d);
  return r;
}

static int
find (const char *dir, const char *prefix, const char *file, const char *wanted, char name[NAME_MAX + 1])
{
  int64_t end = now_ms () + WAIT_MS;
  int r;

  while ((r = find_once (dir, prefix, file, wanted, name)) < 0 && now_ms () < end)
    usleep (STEP_US);
  return r;
}

/* Directories */

static int
do_bind (Doing *doing, const char *name, const char *target, const char *mode)
{
  const Meta *meta = &doing->agent->meta;
  Tree tree = {.root = open ("/", O_PATH | O_DIRECTORY | O_CLOEXEC),
               .uid = meta->uid,
               .gid = meta->gid,
               .home = meta->home};
  int share = open (META_RW_SHARE, O_PATH | O_DIRECTORY | O_CLOEXEC), r;

  if (tree.root < 0 || share < 0)
    r = -errno;
  else
    r = ops_bind (&(Ops){.tree = &tree, .share_fd = share}, name, target, mode);
  close_fd (&share);
  close_fd (&tree.root);
  return r;
}

/* Lazily: somebody may be in it. EINVAL: nothing is mounted there. */
static int
do_unbind (Doing *doing, const char *target)
{
  (void)doing;
  if (umount2 (target, MNT_DETACH) == 0 || errno == EINVAL || errno == ENOENT)
    return 0;
  return -errno;
}

/* Devices */

static int
give_to_user (const Doing *doing, const char *device)
{
  const Meta *meta = &doing->agent->meta;

  return chown (device, meta->uid, meta->gid) < 0 || chmod (device, 0600) < 0 ? -errno : 0;
}

static int
do_disk (Doing *doing, const char *serial)
{
  char name[NAME_MAX + 1], path[PATH_MAX];
  int r = find ("/sys/block", "vd", "serial", serial, name);

  if (r < 0)
    return r;
  snprintf (path, sizeof path, "/dev/%s", name);
  if ((r = give_to_user (doing, path)) < 0)
    return r;
  snprintf (doing->text, doing->size, "%s", path);
  return 0;
}

static int
port_link (const char *name, char *path, size_t size)
{
  int n = snprintf (path, size, PORT_LINKS "/%s", name);

  return *name == '\0' || *name == '.' || strchr (name, '/') || n < 0 || (size_t)n >= size ? -EINVAL : 0;
}

static int
do_port (Doing *doing, const char *name)
{
  char port[NAME_MAX + 1], device[PATH_MAX], link[PATH_MAX], text[PATH_MAX];
  int r = port_link (name, link, sizeof link);

  if (r < 0 || (r = find (PORTS, "vport", "name", name, port)) < 0)
    return r;
  snprintf (device, sizeof device, "/dev/%s", port);
  if ((r = give_to_user (doing, device)) < 0)
    return r;
  (void)mkdir (PORT_LINKS, 0755);
  (void)unlink (link);
  snprintf (text, sizeof text, "../%s", port);
  if (symlink (text, link) < 0)
    return -errno;
  snprintf (doing->text, doing->size, "%s", link);
  return 0;
}

static int
do_unport (Doing *doing, const char *name)
{
  char link[PATH_MAX];
  int r = port_link (name, link, sizeof link);

  (void)doing;
  return r == 0 && unlink (link) < 0 && errno != ENOENT ? -errno : r;
}

static int
do_nic (Doing *doing, const char *mac, const char *address, const char *gateway)
{
  char card[NAME_MAX + 1];
  int r = find ("/sys/class/net", "", "address", mac, card);

  if (r < 0)
    return r;
  net_without_ipv6 (card);
  if ((r = net_configure_more (card, address, gateway)) == 0)
    snprintf (doing->text, doing->size, "%s", card);
  return r;
}

/* Processors: cpu0 is always in use, and often has no file to say so. */

static unsigned
count_cpus (void)
{
  long n = sysconf (_SC_NPROCESSORS_ONLN);

  return n > 0 ? (unsigned)n : 1;
}

/* One that is not there, or is as it should be, does not matter. */
static void
switch_cpu (unsigned n, bool on)
{
  char path[96];

  snprintf (path, sizeof path, CPUS "/cpu%u/online", n);
  (void)put (path, on ? "1" : "0");
}

static unsigned
use_cpus (unsigned wanted)
{
  for (unsigned i = 1; i < CPUS_MAX && count_cpus () < wanted; i++)
    switch_cpu (i, true);
  for (unsigned i = CPUS_MAX; i > 1 && count_cpus () > wanted; i--)
    switch_cpu (i - 1, false);
  return count_cpus ();
}

static int
do_cpus (Doing *doing, const char *text)
{
  int64_t end = now_ms () + WAIT_MS;
  uint64_t wanted;
  unsigned n;

  if (parse_number (text, CPUS_MAX, &wanted) < 0 || wanted == 0)
    return -EINVAL;
  while ((n = use_cpus ((unsigned)wanted)) < wanted && now_ms () < end)
    usleep (STEP_US);
  snprintf (doing->text, doing->size, "%u", n);
  return n < wanted ? -EAGAIN : n > wanted ? -EBUSY : 0;
}

/* Memory: blocks of one size, in use or not. */

static uint64_t
block_mib (void)
{
  char value[VALUE_MAX];
  unsigned long long bytes = 0;

  if (read_line (MEMORY "/block_size_bytes", value, sizeof value) < 0 || sscanf (value, "%llx", &bytes) != 1)
    return 0;
  return bytes / MIB;
}

/* How many blocks are in use; those that are not are put to use, if wanted. Movable, so that they can be
 * taken away again. */
static uint64_t
walk_blocks (bool use)
{
  DIR *d = opendir (MEMORY);
  struct dirent *entry;
  uint64_t n = 0;

  while (d && (entry = readdir (d))) {
    char path[PATH_MAX], value[VALUE_MAX];

    if (strncmp (entry->d_name, "memory", 6) != 0)
      continue;
    snprintf (path, sizeof path, MEMORY "/%s/state", entry->d_name);
    if (read_line (path, value, sizeof value) < 0)
      continue;
    n += strcmp (value, "online") == 0 || (use && put (path, "online_movable") == 0);
  }
  if (d)
    closedir (d);
  return n;
}

static int
do_memory (Doing *doing, const char *text)
{
  uint64_t wanted, block = block_mib (), n = 0;
  int64_t end = now_ms () + WAIT_MS;

  if (block == 0)
    return -ENOSYS;
  if (parse_number (text, UINT32_MAX, &wanted) < 0 || wanted == 0)
    return -EINVAL;
  while ((n = walk_blocks (true) * block) < wanted && now_ms () < end)
    usleep (STEP_US);
  snprintf (doing->text, doing->size, "%llu", (unsigned long long)n);
  return n < wanted ? -EAGAIN : 0;
}

static int
do_balloon (const Doing *doing)
{
  return balloon_load (doing->agent);
}

/* Snapshots */

static int
do_freeze (const Doing *doing, size_t n, const char *ms, const char *which)
{
  if (n != 2 && (n != 3 || strcmp (which, "all") != 0))
    return -EINVAL;
  return freeze_do (doing->agent, ms, n == 3);
}

static int
do_one (Doing *doing, const char *op, size_t n, const char *a, const char *b, const char *c)
{
  static const struct {
    const char *name;
    int (*run) (Doing *doing, const char *word);
  } simple[] = {{"unbind", do_unbind}, {"disk", do_disk}, {"port", do_port},
                {"unport", do_unport}, {"cpus", do_cpus}, {"memory", do_memory}};

  if (strcmp (op, "bind") == 0)
    return n == 4 ? do_bind (doing, a, b, c) : -EINVAL;
  if (strcmp (op, "nic") == 0)
    return n == 4 ? do_nic (doing, a, b, c) : -EINVAL;
  if (strcmp (op, "balloon") == 0)
    return n == 1 ? do_balloon (doing) : -EINVAL;
  if (strcmp (op, "freeze") == 0)
    return do_freeze (doing, n, a, b);
  if (strcmp (op, "thaw") == 0)
    return n == 1 ? freeze_thaw (doing->agent, doing->text, doing->size) : -EINVAL;
  for (size_t i = 0; i < sizeof simple / sizeof *simple; i++)
    if (strcmp (op, simple[i].name) == 0)
      return n == 2 ? simple[i].run (doing, a) : -EINVAL;
  return -ENOSYS;
}

int
change_do (Agent *agent, char *const *words, size_t n, char *text, size_t size)
{
  Doing doing = {.agent = agent, .text = text, .size = size};
  int r;

  if (!agent->vm)
    return EPERM;
  r = do_one (&doing, words[0], n, n > 1 ? words[1] : "", n > 2 ? words[2] : "", n > 3 ? words[3] : "");
  return r < 0 ? -r : 0;
}
