/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/keeper-group.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SUFFIX ".sudo"

enum {
  ID_LENGTH = 8,
  PERIOD_US = 100000,
  CPUS_MAX = 4096,
  DEPTH_MAX = 16,
  ROUNDS = 500,
  ROUND_NS = 10000000
};

static int
complain (const char *what)
{
  fprintf (stderr, "vmctl-keeper: cannot %s the control group: %s\n", what, strerror (errno));
  return -1;
}

int
keeper_group_places (KeeperGroup *g, char **words)
{
  g->is_v1 = strcmp (words[0], "v1") == 0;
  if (!g->is_v1 && strcmp (words[0], "unified") != 0)
    return -1;
  for (int i = 0; i < KEEPER_GROUP_PARTS; i++) {
    if (*words[1 + i] != '/' && strcmp (words[1 + i], "-") != 0)
      return -1;
    g->parents[i] = *words[1 + i] == '/' ? words[1 + i] : NULL;
  }
  return 0;
}

static int
is_id (const char *text, size_t length)
{
  return length == ID_LENGTH && strspn (text, "abcdefghijklmnopqrstuvwxyz0123456789") >= ID_LENGTH;
}

/* A number and what ends it. */
static int
take_number (const char **at, char end, unsigned long long most, unsigned long long *ret)
{
  char *rest;

  if (**at < '0' || **at > '9')
    return -1;
  errno = 0;
  *ret = strtoull (*at, &rest, 10);
  if (errno != 0 || *rest != end || *ret > most)
    return -1;
  *at = rest + 1;
  return 0;
}

int
keeper_group_want (KeeperGroup *g, const char *value)
{
  const char *at = strchr (value, ':');
  unsigned long long cpus, processes;
  int places = 0;

  for (int i = 0; i < KEEPER_GROUP_PARTS; i++)
    places += g->parents[i] != NULL;
  if (places == 0 || at == NULL || !is_id (value, (size_t)(at - value)))
    return -1;
  at++;
  if (take_number (&at, ':', LLONG_MAX, &g->memory) < 0 || take_number (&at, ':', CPUS_MAX, &cpus) < 0 ||
      take_number (&at, '\0', INT_MAX, &processes) < 0)
    return -1;
  g->cpus = (unsigned)cpus;
  g->processes = (unsigned)processes;
  (void)snprintf (g->name, sizeof g->name, "vmctl-%.8s" SUFFIX, value);
  return 0;
}

static int
put (int dir, const char *name, const char *value)
{
  int fd = openat (dir, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW), err;
  ssize_t n;

  if (fd < 0)
    return -1;
  n = write (fd, value, strlen (value));
  err = errno;
  (void)close (fd);
  errno = err;
  return n < 0 ? -1 : 0;
}

static int
put_number (int dir, const char *name, unsigned long long value)
{
  char text[32];

  (void)snprintf (text, sizeof text, "%llu", value);
  return put (dir, name, text);
}

/* The end of one */

static void
kill_members (int dir)
{
  int fd = openat (dir, "cgroup.procs", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  FILE *file = fd >= 0 ? fdopen (fd, "r") : NULL;
  int pid;

  while (file != NULL && fscanf (file, "%d", &pid) == 1)
    if (pid > 1 && pid != getpid ())
      (void)kill (pid, SIGKILL);
  if (file != NULL)
    (void)fclose (file);
}

/* One round through the tree, deepest first. 1: it is gone. */
static int
remove_round (int parent, const char *name, int depth)
{
  int fd = openat (parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  DIR *dir = fd >= 0 ? fdopendir (fd) : NULL;
  struct dirent *entry;

  if (dir == NULL)
    return errno == ENOENT;
  (void)put (fd, "pids.max", "0"); /* from now on they get fewer; not every hierarchy has it */
  kill_members (fd);
  (void)put (fd, "freezer.state", "THAWED"); /* what is frozen does not die */
  while (depth < DEPTH_MAX && (entry = readdir (dir)) != NULL)
    if (entry->d_type == DT_DIR && *entry->d_name != '.')
      (void)remove_round (fd, entry->d_name, depth + 1);
  (void)closedir (dir);
  return unlinkat (parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT;
}

static void
remove_one (int parent, const char *name)
{
  static const struct timespec a_little = {.tv_nsec = ROUND_NS};

  /* The kernel lets go of the dead when it likes, and has nothing to wait for. */
  for (int i = 0; i < ROUNDS && !remove_round (parent, name, 0); i++)
    (void)nanosleep (&a_little, NULL);
}

static int
is_made_by_a_keeper (const char *name)
{
  size_t length = strlen (name);

  return strncmp (name, "vmctl-", 6) == 0 && length == 6 + ID_LENGTH + strlen (SUFFIX) &&
         is_id (name + 6, ID_LENGTH) && strcmp (name + 6 + ID_LENGTH, SUFFIX) == 0;
}

/* Those whose keeper was killed: nobody else may remove them. */
static void
sweep (const char *path)
{
  DIR *dir = opendir (path);
  struct dirent *entry;

  while (dir != NULL && (entry = readdir (dir)) != NULL) {
    int fd;

    if (!is_made_by_a_keeper (entry->d_name))
      continue;
    fd = openat (dirfd (dir), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0 && flock (fd, LOCK_EX | LOCK_NB) == 0)
      remove_one (dirfd (dir), entry->d_name);
    if (fd >= 0)
      (void)close (fd);
  }
  if (dir != NULL)
    (void)closedir (dir);
}

/* The beginning */

/* Everybody may read what is counted there, whatever the umask. Until the lock is on the very directory that
 * is there: a sweep may have come between. */
static int
make_locked (int parent, const char *name)
{
  for (;;) {
    struct stat here, there;
    int fd;

    if (mkdirat (parent, name, 0755) < 0 && errno != EEXIST)
      return -1;
    fd = openat (parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno != ENOENT)
      return -1;
    if (fd >= 0 && flock (fd, LOCK_EX) == 0 && fchmod (fd, 0755) == 0 && fstat (fd, &here) == 0 &&
        fstatat (parent, name, &there, AT_SYMLINK_NOFOLLOW) == 0 && here.st_ino == there.st_ino)
      return fd;
    if (fd >= 0)
      (void)close (fd);
  }
}

/* What the parent has but does not hand down yet; where that is forbidden the limits' files will be missing.
 */
static void
hand_down (int parent)
{
  static const char *const words[] = {"+memory", "+cpu", "+pids"};

  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    (void)put (parent, "cgroup.subtree_control", words[i]);
}

/* Swap counts too, where the kernel counts it. */
static int
limit_memory (const KeeperGroup *g, int dir)
{
  if (g->memory == 0)
    return 0;
  if (g->is_v1)
    return put_number (dir, "memory.limit_in_bytes", g->memory) < 0 ||
                   (put_number (dir, "memory.memsw.limit_in_bytes", g->memory) < 0 && errno != ENOENT)
               ? -1
               : 0;
  return put_number (dir, "memory.max", g->memory) < 0 ||
                 (put (dir, "memory.swap.max", "0") < 0 && errno != ENOENT)
             ? -1
             : 0;
}

static int
limit_cpus (const KeeperGroup *g, int dir)
{
  unsigned long long quota = (unsigned long long)g->cpus * PERIOD_US;
  char both[64];

  if (g->cpus == 0)
    return 0;
  if (g->is_v1)
    return put_number (dir, "cpu.cfs_period_us", PERIOD_US) < 0 ? -1
                                                                : put_number (dir, "cpu.cfs_quota_us", quota);
  (void)snprintf (both, sizeof both, "%llu %d", quota, PERIOD_US);
  return put (dir, "cpu.max", both);
}

static int
limit (const KeeperGroup *g, int part, int dir, uid_t uid, gid_t gid)
{
  switch (part) {
  case KEEPER_GROUP_MEMORY:
    return limit_memory (g, dir);
  case KEEPER_GROUP_CPU:
    return limit_cpus (g, dir);
  case KEEPER_GROUP_PIDS:
    return g->processes != 0 ? put_number (dir, "pids.max", g->processes) : 0;
  default:
    return fchownat (dir, g->is_v1 ? "freezer.state" : "cgroup.freeze", uid, gid, AT_SYMLINK_NOFOLLOW);
  }
}

/* Two parts may share a directory: it is made once. */
static int
make_part (KeeperGroup *g, int part)
{
  int parent, fd;

  for (int i = 0; i < part; i++)
    if (g->parents[i] != NULL && strcmp (g->parents[i], g->parents[part]) == 0)
      return g->dirs[i];
  sweep (g->parents[part]);
  parent = open (g->parents[part], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (parent < 0)
    return -1;
  if (!g->is_v1)
    hand_down (parent);
  fd = make_locked (parent, g->name);
  (void)close (parent);
  return fd;
}

static void
give_scope (uid_t uid, gid_t gid)
{
  char line[PATH_MAX], path[PATH_MAX + 64];
  FILE *file = fopen ("/proc/self/cgroup", "re");

  while (file != NULL && fgets (line, sizeof line, file) != NULL) {
    const char *name = strrchr (line, '/');

    line[strcspn (line, "\n")] = '\0';
    if (strncmp (line, "0::/", 4) != 0 || strncmp (name, "/vmctl-", 7) != 0 ||
        strstr (name, ".scope") == NULL)
      continue;
    (void)snprintf (path, sizeof path, "/sys/fs/cgroup%s/cgroup.freeze", line + 3);
    if (lchown (path, uid, gid) < 0)
      (void)complain ("give away");
  }
  if (file != NULL)
    (void)fclose (file);
}

static void
remove_all (const KeeperGroup *g)
{
  for (int i = 0; *g->name != '\0' && i < KEEPER_GROUP_PARTS; i++) {
    int parent;

    if (g->dirs[i] < 0)
      continue;
    parent = open (g->parents[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0)
      continue;
    remove_one (parent, g->name);
    (void)close (parent);
  }
}

void
keeper_group_remove (KeeperGroup *g)
{
  uid_t uid = (uid_t)setfsuid (0);
  gid_t gid = (gid_t)setfsgid (0);

  remove_all (g);
  (void)setfsgid (gid);
  (void)setfsuid (uid);
}

int
keeper_group_make (KeeperGroup *g, int runtime)
{
  struct stat st;

  if (geteuid () != 0 || fstat (runtime, &st) < 0 || st.st_uid == 0)
    return 0;
  if (*g->name == '\0')
    give_scope (st.st_uid, st.st_gid);
  for (int i = 0; *g->name != '\0' && i < KEEPER_GROUP_PARTS; i++) {
    if (g->parents[i] == NULL)
      continue;
    g->dirs[i] = make_part (g, i);
    if (g->dirs[i] < 0 || limit (g, i, g->dirs[i], st.st_uid, st.st_gid) < 0) {
      (void)complain ("make");
      remove_all (g);
      return -1;
    }
  }
  return 0;
}

/* In v1 the limit with swap is never below the one without: which of them goes first depends. */
static int
change (KeeperGroup *g, unsigned long long memory, unsigned cpus)
{
  int memory_dir = g->dirs[KEEPER_GROUP_MEMORY], cpu_dir = g->dirs[KEEPER_GROUP_CPU];

  errno = ENOENT;
  if ((memory != 0 && memory_dir < 0) || (cpus != 0 && cpu_dir < 0))
    return -1;
  if (memory != 0) {
    g->memory = memory;
    if (g->is_v1)
      (void)put_number (memory_dir, "memory.memsw.limit_in_bytes", memory);
    if (limit_memory (g, memory_dir) < 0)
      return -1;
  }
  if (cpus == 0)
    return 0;
  g->cpus = cpus;
  return limit_cpus (g, cpu_dir);
}

int
keeper_group_limit (KeeperGroup *g, const char *memory, const char *cpus)
{
  char *memory_end, *cpus_end;
  unsigned long long bytes = strtoull (memory, &memory_end, 10);
  unsigned long n = strtoul (cpus, &cpus_end, 10);
  uid_t uid;
  gid_t gid;
  int r, err;

  if (*g->name == '\0' || *memory == '\0' || *cpus == '\0' || *memory_end != '\0' || *cpus_end != '\0' ||
      n > 255)
    return KEEPER_GROUP_BAD;
  uid = (uid_t)setfsuid (0);
  gid = (gid_t)setfsgid (0);
  r = change (g, bytes, (unsigned)n);
  err = errno;
  (void)setfsgid (gid);
  (void)setfsuid (uid);
  errno = err;
  return r;
}

/* As vmctl/group.c has it: `tasks` costs less. */
int
keeper_group_enter (const KeeperGroup *g)
{
  for (int i = 0; *g->name != '\0' && i < KEEPER_GROUP_PARTS; i++)
    if (g->dirs[i] >= 0 && put (g->dirs[i], "tasks", "0") < 0 && put (g->dirs[i], "cgroup.procs", "0") < 0)
      return -1;
  return 0;
}
