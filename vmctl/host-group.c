/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Below which control groups may we make one? */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "vmctl/base/fd.h"
#include "vmctl/group.h"
#include "vmctl/host-parts.h"

enum { TEXT_MAX = 1 << 20 };

typedef struct {
  char *root, *point; /* owned; what of the hierarchy is mounted, and where */
  gboolean unified;
  char **controllers; /* owned; v1: the options of the mount */
} Mount;

static void
clear_mount (gpointer data)
{
  Mount *m = data;

  g_free (m->root);
  g_free (m->point);
  g_strfreev (m->controllers);
}

/* Octal escapes of mountinfo: \040 and the like. */
static char *
unescape (const char *text)
{
  return g_strcompress (text);
}

/* "30 22 0:27 ROOT POINT OPTIONS ... - TYPE SOURCE SUPER-OPTIONS" */
static void
read_mount (const char *line, GArray *out)
{
  g_auto (GStrv) words = g_strsplit (line, " ", -1);
  guint n = g_strv_length (words), dash = 6;
  Mount *m;

  while (dash < n && !g_str_equal (words[dash], "-"))
    dash++;
  if (dash + 3 >= n || !g_str_has_prefix (words[dash + 1], "cgroup"))
    return;
  g_array_set_size (out, out->len + 1);
  m = &g_array_index (out, Mount, out->len - 1);
  m->root = unescape (words[3]);
  m->point = unescape (words[4]);
  m->unified = g_str_equal (words[dash + 1], "cgroup2");
  m->controllers = g_strsplit (words[dash + 3], ",", -1);
}

static GArray *
read_mounts (const char *mountinfo)
{
  GArray *out = g_array_new (FALSE, FALSE, sizeof (Mount));
  g_auto (GStrv) lines = g_strsplit (mountinfo, "\n", -1);

  g_array_set_clear_func (out, clear_mount);
  for (char **line = lines; *line != NULL; line++)
    read_mount (*line, out);
  return out;
}

/* "5:memory:/a/b" or "0::/a/b": the part behind for a controller ("": v2). (transfer full) */
static char *
own_path (const char *self, const char *controller)
{
  g_auto (GStrv) lines = g_strsplit (self, "\n", -1);

  for (char **line = lines; *line != NULL; line++) {
    g_auto (GStrv) parts = g_strsplit (*line, ":", 3);
    g_auto (GStrv) names = NULL;

    if (g_strv_length (parts) != 3)
      continue;
    names = g_strsplit (parts[1], ",", -1);
    if (*controller == '\0' ? *parts[1] == '\0' : g_strv_contains ((const char *const *)names, controller))
      return g_strdup (parts[2]);
  }
  return NULL;
}

/* Our own directory in a mounted hierarchy; NULL: it cannot be seen from here. (transfer full) */
static char *
own_dir (const Mount *m, const char *path)
{
  gsize length = g_str_equal (m->root, "/") ? 0 : strlen (m->root);
  g_autofree char *dir = NULL;

  if (path == NULL || strstr (path, "/..") != NULL || strncmp (path, m->root, length) != 0 ||
      (path[length] != '\0' && path[length] != '/'))
    return NULL;
  dir = g_build_filename (m->point, path + length, NULL);
  return g_canonicalize_filename (dir, "/");
}

static char *
read_text (const char *dir, const char *name)
{
  g_autofree char *path = g_build_filename (dir, name, NULL);
  vm_autofd fd = open (path, O_RDONLY | O_CLOEXEC);

  return fd >= 0 ? vm_fd_read_all (fd, TEXT_MAX, NULL, NULL) : NULL;
}

static gboolean
may_write (const char *dir, const char *name)
{
  g_autofree char *path = g_build_filename (dir, name, NULL);

  return access (path, W_OK) == 0;
}

/* systemd owns the tree that it has not handed on: a mark says where it did, and for a user the owner does.
 */
static gboolean
is_delegated (const char *dir, guint uid, gboolean has_systemd)
{
  struct stat st;
  char value[8];

  if (!has_systemd)
    return TRUE;
  if (uid != 0)
    return stat (dir, &st) == 0 && st.st_uid == uid;
  return getxattr (dir, "user.delegate", value, sizeof value) > 0 ||
         getxattr (dir, "trusted.delegate", value, sizeof value) > 0;
}

/* What a group below `dir` would have: what is handed down, or may be, since nobody is in `dir`. */
static char *
handed_down (const char *dir)
{
  g_autofree char *members = read_text (dir, "cgroup.procs");

  if (members != NULL && *members == '\0')
    return read_text (dir, "cgroup.controllers");
  return read_text (dir, "cgroup.subtree_control");
}

static void
take_unified (const char *dir, const char *controllers, VmGroups *ret)
{
  static const char *const names[] = {
      [VM_GROUP_MEMORY] = "memory", [VM_GROUP_CPU] = "cpu", [VM_GROUP_PIDS] = "pids"};
  g_auto (GStrv) words = g_strsplit_set (controllers, " \n", -1);

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    if (g_strv_contains ((const char *const *)words, names[i]))
      ret->dirs[i] = g_strdup (dir);
  ret->dirs[VM_GROUP_FREEZER] = g_strdup (dir); /* needs no controller */
}

static gboolean
has_limits (const VmGroups *groups)
{
  return groups->dirs[VM_GROUP_MEMORY] != NULL || groups->dirs[VM_GROUP_PIDS] != NULL;
}

/* From our own group upwards: one with members cannot hand controllers on, but the one above it often does.
 * To move a process there, the group above both must be ours as well. Without limits: *ret_freezer (transfer
 * full) is a directory whose groups can be frozen all the same. */
static void
find_unified (const Mount *m, const char *self, guint uid, gboolean has_systemd, VmGroups *ret,
              char **ret_freezer)
{
  g_autofree char *path = own_path (self, ""), *dir = own_dir (m, path);

  while (dir != NULL && g_str_has_prefix (dir, m->point)) {
    g_autofree char *controllers = handed_down (dir);
    char *above;

    if (access (dir, W_OK | X_OK) != 0 || !may_write (dir, "cgroup.procs"))
      return;
    if (controllers != NULL && is_delegated (dir, uid, has_systemd)) {
      take_unified (dir, controllers, ret);
      if (has_limits (ret)) {
        ret->kind = VM_GROUP_UNIFIED;
        return;
      }
      vm_groups_clear (ret);
      if (*ret_freezer == NULL)
        *ret_freezer = g_strdup (dir);
    }
    above = g_path_get_dirname (dir);
    g_free (dir);
    dir = above;
  }
}

static void
find_v1 (const Mount *m, const char *self, guint uid, gboolean has_systemd, VmGroups *ret)
{
  static const char *const names[] = {[VM_GROUP_MEMORY] = "memory",
                                      [VM_GROUP_CPU] = "cpu",
                                      [VM_GROUP_PIDS] = "pids",
                                      [VM_GROUP_FREEZER] = "freezer"};

  for (gsize i = 0; i < VM_GROUP_PARTS; i++) {
    g_autofree char *path = NULL, *dir = NULL;

    if (!g_strv_contains ((const char *const *)m->controllers, names[i]) || ret->dirs[i] != NULL)
      continue;
    path = own_path (self, names[i]);
    dir = own_dir (m, path);
    if (dir != NULL && access (dir, W_OK | X_OK) == 0 && may_write (dir, "cgroup.procs") &&
        is_delegated (dir, uid, has_systemd))
      ret->dirs[i] = g_steal_pointer (&dir);
  }
}

void
vm_groups_find (const char *mountinfo, const char *self, guint uid, gboolean has_systemd, VmGroups *ret)
{
  g_autoptr (GArray) mounts = read_mounts (mountinfo);
  g_autofree char *freezer = NULL;

  *ret = (VmGroups){0};
  for (guint i = 0; i < mounts->len && ret->kind == VM_GROUP_NONE; i++)
    if (g_array_index (mounts, Mount, i).unified)
      find_unified (&g_array_index (mounts, Mount, i), self, uid, has_systemd, ret, &freezer);
  if (ret->kind != VM_GROUP_NONE)
    return;
  for (guint i = 0; i < mounts->len; i++)
    if (!g_array_index (mounts, Mount, i).unified)
      find_v1 (&g_array_index (mounts, Mount, i), self, uid, has_systemd, ret);
  for (gsize i = 0; i < VM_GROUP_PARTS; i++)
    if (ret->dirs[i] != NULL)
      ret->kind = VM_GROUP_V1;
  if (ret->kind != VM_GROUP_NONE || freezer == NULL)
    return;
  ret->kind = VM_GROUP_UNIFIED;
  ret->dirs[VM_GROUP_FREEZER] = g_steal_pointer (&freezer);
}

/* A scope of the user's manager, or for root of the system's. Its directory is known beforehand, since the
 * slice is named. */
static void
find_systemd (guint uid, const char *systemd_run, VmGroups *ret)
{
  const char *runtime = g_getenv ("XDG_RUNTIME_DIR");
  gboolean is_system = uid == 0;
  g_autofree char *socket = is_system         ? g_strdup ("/run/systemd/private")
                            : runtime != NULL ? g_build_filename (runtime, "systemd", "private", NULL)
                                              : NULL;
  g_autofree char *dir =
      is_system ? g_strdup ("/sys/fs/cgroup")
                : g_strdup_printf ("/sys/fs/cgroup/user.slice/user-%u.slice/user@%u.service", uid, uid);
  g_autofree char *controllers = read_text (dir, "cgroup.controllers");
  g_autofree char *slice = g_build_filename (dir, is_system ? "system.slice" : "app.slice", NULL);

  if (systemd_run == NULL || socket == NULL || access (socket, F_OK) != 0 || controllers == NULL)
    return;
  vm_groups_clear (ret);
  take_unified (slice, controllers, ret);
  ret->kind = VM_GROUP_SYSTEMD;
  ret->command = g_strdup (systemd_run);
  ret->is_system = is_system;
}

void
vm_groups_gather (guint uid, const char *systemd_run, VmGroups *ret)
{
  g_autofree char *mountinfo = read_text ("/proc/self", "mountinfo");
  g_autofree char *self = read_text ("/proc/self", "cgroup");
  gboolean has_systemd = access ("/run/systemd/system", F_OK) == 0;

  if (mountinfo != NULL && self != NULL)
    vm_groups_find (mountinfo, self, uid, has_systemd, ret);
  if (ret->kind == VM_GROUP_NONE || (ret->kind == VM_GROUP_UNIFIED && !has_limits (ret)))
    find_systemd (uid, systemd_run, ret);
}
