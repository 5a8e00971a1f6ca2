/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/group.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/json.h"

enum { FREEZE_MS = 5000, PERIOD_US = 100000, VALUE_MAX = 4096, TICK_US = 1000, BREATH_TICKS = 50 };

static const char *const kind_names[] = {"none", "unified", "v1", "systemd"};
static const char *const part_names[] = {"memory", "cpu", "pids", "freezer"};

void
vm_groups_clear (VmGroups *groups)
{
  for (gsize i = 0; i < VM_GROUP_PARTS; i++)
    g_free (groups->dirs[i]);
  g_free (groups->command);
  *groups = (VmGroups){0};
}

void
vm_groups_copy (const VmGroups *groups, VmGroups *ret)
{
  *ret = *groups;
  for (gsize i = 0; i < VM_GROUP_PARTS; i++)
    ret->dirs[i] = g_strdup (groups->dirs[i]);
  ret->command = g_strdup (groups->command);
}

json_object *
vm_groups_to_json (const VmGroups *groups)
{
  json_object *object;

  if (groups->kind == VM_GROUP_NONE)
    return NULL;
  object = json_object_new_object ();
  vm_json_add_str (object, "kind", kind_names[groups->kind]);
  for (gsize i = 0; i < VM_GROUP_PARTS; i++)
    vm_json_add_str (object, part_names[i], groups->dirs[i]);
  vm_json_add_str (object, "command", groups->command);
  if (groups->is_system)
    vm_json_add_bool (object, "system", TRUE);
  if (groups->is_roots)
    vm_json_add_bool (object, "roots", TRUE);
  return object;
}

void
vm_groups_from_json (json_object *object, VmGroups *ret)
{
  const char *kind = vm_json_str (object, "kind", "none");

  *ret = (VmGroups){0};
  for (gsize i = 0; i < G_N_ELEMENTS (kind_names); i++)
    if (g_str_equal (kind, kind_names[i]))
      ret->kind = (VmGroupKind)i;
  for (gsize i = 0; i < VM_GROUP_PARTS; i++)
    ret->dirs[i] = g_strdup (vm_json_str (object, part_names[i], NULL));
  ret->command = g_strdup (vm_json_str (object, "command", NULL));
  ret->is_system = vm_json_bool (object, "system", FALSE);
  ret->is_roots = vm_json_bool (object, "roots", FALSE);
}

char **
vm_groups_list (const VmGroups *groups)
{
  GPtrArray *out = g_ptr_array_new_null_terminated (VM_GROUP_PARTS, NULL, TRUE);

  for (gsize i = 0; i < VM_GROUP_PARTS; i++)
    if (groups->dirs[i] != NULL &&
        !g_ptr_array_find_with_equal_func (out, groups->dirs[i], g_str_equal, NULL))
      g_ptr_array_add (out, g_strdup (groups->dirs[i]));
  return (char **)g_ptr_array_free (out, FALSE);
}

/* Files of a group */

static int
open_file (const char *dir, const char *name, int flags)
{
  g_autofree char *path = dir != NULL ? g_build_filename (dir, name, NULL) : NULL;

  return path != NULL ? open (path, flags | O_CLOEXEC | O_NOFOLLOW) : -1;
}

static gboolean
put (const char *dir, const char *name, const char *value, GError **error)
{
  vm_autofd fd = open_file (dir, name, O_WRONLY);

  if (fd < 0 || write (fd, value, strlen (value)) < 0)
    return vm_error_errno (error, errno, "cannot write '%s' to '%s/%s'", value, dir, name);
  return TRUE;
}

static gboolean
put_number (const char *dir, const char *name, guint64 value, GError **error)
{
  g_autofree char *text = g_strdup_printf ("%" G_GUINT64_FORMAT, value);

  return put (dir, name, text, error);
}

static gboolean
has_file (const char *dir, const char *name)
{
  vm_autofd fd = open_file (dir, name, O_PATH);

  return fd >= 0;
}

/* (transfer full) */
static char *
read_from_start (int fd)
{
  char text[VALUE_MAX];
  ssize_t n = fd >= 0 ? pread (fd, text, sizeof text, 0) : -1;

  return n >= 0 ? g_strndup (text, (gsize)n) : NULL;
}

/* The number after a word at the beginning of a line; 0: there is none. */
static guint64
field (const char *text, const char *word)
{
  g_auto (GStrv) lines = text != NULL ? g_strsplit (text, "\n", -1) : NULL;
  gsize length = strlen (word);

  for (char **line = lines; line != NULL && *line != NULL; line++)
    if (strncmp (*line, word, length) == 0 && (*line)[length] == ' ')
      return g_ascii_strtoull (*line + length + 1, NULL, 10);
  return 0;
}

/* Making it */

/* What the parent has but does not hand down yet: nobody is in it, so it may. */
static gboolean
hand_down (const char *dir, GError **error)
{
  static const char *const controllers[] = {"memory", "cpu", "pids"};
  g_autofree char *parent = g_path_get_dirname (dir);
  vm_autofd there_fd = open_file (parent, "cgroup.controllers", O_RDONLY);
  vm_autofd down_fd = open_file (parent, "cgroup.subtree_control", O_RDONLY);
  g_autofree char *there = read_from_start (there_fd), *down = read_from_start (down_fd);
  g_auto (GStrv) have = g_strsplit_set (there != NULL ? there : "", " \n", -1);
  g_auto (GStrv) given = g_strsplit_set (down != NULL ? down : "", " \n", -1);

  for (gsize i = 0; i < G_N_ELEMENTS (controllers); i++) {
    g_autofree char *word = g_strconcat ("+", controllers[i], NULL);

    if (g_strv_contains ((const char *const *)have, controllers[i]) &&
        !g_strv_contains ((const char *const *)given, controllers[i]) &&
        !put (parent, "cgroup.subtree_control", word, error))
      return FALSE;
  }
  return TRUE;
}

static gboolean
make_dirs (const VmGroups *groups, GError **error)
{
  g_auto (GStrv) dirs = vm_groups_list (groups);

  if (groups->kind == VM_GROUP_UNIFIED && dirs[0] != NULL && !hand_down (dirs[0], error))
    return FALSE;
  for (char **dir = dirs; *dir != NULL; dir++)
    if (mkdir (*dir, 0755) < 0)
      return vm_error_errno (error, errno, "cannot make the control group '%s'", *dir);
  return TRUE;
}

/* Swap counts too: else a limit only moves memory there. Where the kernel does not account swap there is no
 * such file. */
static gboolean
limit_memory (const VmGroups *groups, const VmGroupLimits *limits, GError **error)
{
  const char *dir = groups->dirs[VM_GROUP_MEMORY];

  if (groups->kind == VM_GROUP_V1)
    return put_number (dir, "memory.limit_in_bytes", limits->memory, error) &&
           (!has_file (dir, "memory.memsw.limit_in_bytes") ||
            put_number (dir, "memory.memsw.limit_in_bytes", limits->memory, error));
  return put_number (dir, "memory.max", limits->memory, error) &&
         (!has_file (dir, "memory.swap.max") || put (dir, "memory.swap.max", "0", error)) &&
         (!limits->together || put (dir, "memory.oom.group", "1", error));
}

static gboolean
limit_cpu (const VmGroups *groups, const VmGroupLimits *limits, GError **error)
{
  const char *dir = groups->dirs[VM_GROUP_CPU];
  guint64 quota = (guint64)limits->cpus * PERIOD_US;
  g_autofree char *both = g_strdup_printf ("%" G_GUINT64_FORMAT " %d", quota, PERIOD_US);

  if (groups->kind == VM_GROUP_V1)
    return put_number (dir, "cpu.cfs_period_us", PERIOD_US, error) &&
           put_number (dir, "cpu.cfs_quota_us", quota, error);
  return put (dir, "cpu.max", both, error);
}

gboolean
vm_group_make (const VmGroups *groups, const VmGroupLimits *limits, GError **error)
{
  return make_dirs (groups, error) &&
         (groups->dirs[VM_GROUP_MEMORY] == NULL || limits->memory == 0 ||
          limit_memory (groups, limits, error)) &&
         (groups->dirs[VM_GROUP_CPU] == NULL || limits->cpus == 0 || limit_cpu (groups, limits, error)) &&
         (groups->dirs[VM_GROUP_PIDS] == NULL || limits->processes == 0 ||
          put_number (groups->dirs[VM_GROUP_PIDS], "pids.max", limits->processes, error));
}

/* What cannot be had back: all but what is cached of files. 0: unknown. */
static guint64
memory_in_use (const VmGroups *groups)
{
  const char *dir = groups->dirs[VM_GROUP_MEMORY];
  gboolean v1 = groups->kind == VM_GROUP_V1;
  vm_autofd usage_fd = open_file (dir, v1 ? "memory.usage_in_bytes" : "memory.current", O_RDONLY);
  vm_autofd stat_fd = open_file (dir, "memory.stat", O_RDONLY);
  g_autofree char *usage = read_from_start (usage_fd), *stat = read_from_start (stat_fd);
  guint64 used = usage != NULL ? g_ascii_strtoull (usage, NULL, 10) : 0;
  guint64 cached = field (stat, v1 ? "total_inactive_file" : "inactive_file") +
                   field (stat, v1 ? "total_active_file" : "active_file");

  return used > cached ? used - cached : 0;
}

/* In v1 the limit with swap is never below the one without: which of them goes first depends. */
static gboolean
change_memory (const VmGroups *groups, const VmGroupLimits *limits, GError **error)
{
  const char *dir = groups->dirs[VM_GROUP_MEMORY];
  g_autofree char *used = NULL;
  guint64 in_use = memory_in_use (groups);

  if (in_use > limits->memory) {
    used = g_strdup_printf ("%" G_GUINT64_FORMAT " MiB", in_use >> 20);
    return vm_error (error, VM_ERROR_BUSY, "%s of memory are in use inside; end something there first", used);
  }
  if (groups->kind == VM_GROUP_V1 && has_file (dir, "memory.memsw.limit_in_bytes"))
    (void)put_number (dir, "memory.memsw.limit_in_bytes", limits->memory, NULL);
  return limit_memory (groups, limits, error);
}

gboolean
vm_group_limit (const VmGroups *groups, const VmGroupLimits *limits, GError **error)
{
  if ((limits->memory != 0 && groups->dirs[VM_GROUP_MEMORY] == NULL) ||
      (limits->cpus != 0 && groups->dirs[VM_GROUP_CPU] == NULL))
    return vm_error (error, VM_ERROR_UNSUPPORTED, "there is no control group that could keep the limit");
  return (limits->memory == 0 || change_memory (groups, limits, error)) &&
         (limits->cpus == 0 || limit_cpu (groups, limits, error));
}

/* "0" in version 1's `tasks` moves the one thread that wrote it. A process that has no other is as well
 * moved, and needs none of the lock that `cgroup.procs` takes against every fork of the host: it costs 10 to
 * 20 ms. */
int
vm_group_open_entrance (const char *dir, GError **error)
{
  int fd = open_file (dir, "tasks", O_WRONLY);

  if (fd < 0)
    fd = open_file (dir, "cgroup.procs", O_WRONLY);
  if (fd < 0)
    vm_error_errno (error, errno, "cannot open '%s/cgroup.procs'", dir);
  return fd;
}

/* Freezing */

static gboolean
is_frozen_v1 (const char *dir)
{
  vm_autofd fd = open_file (dir, "freezer.state", O_RDONLY);
  g_autofree char *text = read_from_start (fd);

  return text != NULL && g_str_has_prefix (text, "FROZEN");
}

gboolean
vm_group_is_frozen (const VmGroups *groups)
{
  const char *dir = groups->dirs[VM_GROUP_FREEZER];
  vm_autofd fd = -1;
  g_autofree char *text = NULL;

  if (dir == NULL)
    return FALSE;
  if (groups->kind == VM_GROUP_V1)
    return is_frozen_v1 (dir);
  fd = open_file (dir, "cgroup.events", O_RDONLY);
  text = read_from_start (fd);
  return field (text, "frozen") == 1;
}

/* In v1 a process that forks at the wrong moment may stay unfrozen until the word is given again; now and
 * then only after a breath. runc does the same. */
static void
insist (const char *dir, gboolean frozen, guint tick)
{
  if (frozen && tick % BREATH_TICKS == 0)
    (void)put (dir, "freezer.state", "THAWED", NULL); /* the state that is read decides */
  (void)put (dir, "freezer.state", frozen ? "FROZEN" : "THAWED", NULL);
}

/* v2 says by poll that `cgroup.events` has changed; v1 has nothing to wait for, and is asked again. */
static void
wait_a_little (const VmGroups *groups, int events_fd)
{
  struct pollfd p = {.fd = events_fd, .events = POLLPRI};

  if (groups->kind == VM_GROUP_V1 || events_fd < 0)
    g_usleep (TICK_US);
  else
    (void)poll (&p, 1, FREEZE_MS / 10);
}

gboolean
vm_group_freeze (const VmGroups *groups, gboolean frozen, GError **error)
{
  const char *dir = groups->dirs[VM_GROUP_FREEZER];
  gboolean v1 = groups->kind == VM_GROUP_V1;
  gint64 end = g_get_monotonic_time () + (gint64)FREEZE_MS * 1000;
  vm_autofd events = -1;
  guint tick = 0;

  if (dir == NULL)
    return vm_error (
        error, VM_ERROR_UNSUPPORTED,
        "there is no control group that could be frozen; run vmctl in a session of a systemd user "
        "manager, or in a delegated control group");
  if (!put (dir, v1 ? "freezer.state" : "cgroup.freeze",
            v1 ? (frozen ? "FROZEN" : "THAWED") : (frozen ? "1" : "0"), error))
    return FALSE;
  events = open_file (dir, "cgroup.events", O_RDONLY);
  while (vm_group_is_frozen (groups) != frozen) {
    if (g_get_monotonic_time () > end) {
      if (frozen)
        (void)put (dir, v1 ? "freezer.state" : "cgroup.freeze", v1 ? "THAWED" : "0", NULL);
      return vm_error (error, VM_ERROR_TIMEOUT, "its processes did not %s in %d s", frozen ? "stop" : "go on",
                       FREEZE_MS / 1000);
    }
    wait_a_little (groups, events);
    if (v1)
      insist (dir, frozen, ++tick);
  }
  return TRUE;
}

/* Counts */

guint64
vm_group_oom_kills (const VmGroups *groups)
{
  const char *name = groups->kind == VM_GROUP_V1 ? "memory.oom_control" : "memory.events";
  vm_autofd fd = open_file (groups->dirs[VM_GROUP_MEMORY], name, O_RDONLY);
  g_autofree char *text = read_from_start (fd);

  return field (text, "oom_kill");
}

int
vm_group_open_refused (const VmGroups *groups)
{
  return open_file (groups->dirs[VM_GROUP_PIDS], "pids.events", O_RDONLY);
}

guint64
vm_group_read_refused (int fd)
{
  g_autofree char *text = read_from_start (fd);

  return field (text, "max");
}

guint64
vm_group_refused (const VmGroups *groups)
{
  vm_autofd fd = vm_group_open_refused (groups);

  return vm_group_read_refused (fd);
}

guint64
vm_group_cpu_us (const VmGroups *groups)
{
  gboolean v1 = groups->kind == VM_GROUP_V1;
  vm_autofd fd = open_file (groups->dirs[VM_GROUP_CPU], v1 ? "cpuacct.usage" : "cpu.stat", O_RDONLY);
  g_autofree char *text = read_from_start (fd);

  if (text == NULL)
    return 0;
  return v1 ? g_ascii_strtoull (text, NULL, 10) / 1000 : field (text, "usage_usec");
}
