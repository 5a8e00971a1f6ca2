/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/absent.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"
#include "vmctl/base/json.h"
#include "vmctl/base/process.h"
#include "vmctl/path.h"

enum { MODE_NAME = 01555, MODE_ABOVE = 01755, MODE_ABOVE_KEPT = 0755, LIST_MAX = 1 << 20 };

gboolean
vm_absent_is_ours (const struct stat *st)
{
  return S_ISDIR (st->st_mode) && (st->st_mode & 07777) == MODE_NAME;
}

/* The read-write mount that `path` lies in. */
static const char *
base_of (const VmPlan *plan, const char *path)
{
  const char *best = NULL;

  for (guint i = 0; i < plan->mounts->len; i++) {
    const VmMount *m = g_ptr_array_index (plan->mounts, i);

    if (m->kind == VM_MOUNT_RW && vm_path_is_within (path, m->source) &&
        (best == NULL || strlen (m->source) > strlen (best)))
      best = m->source;
  }
  return best;
}

static int
open_beneath (int dir_fd, const char *path)
{
  struct open_how how = {.flags = O_DIRECTORY | O_CLOEXEC | O_RDONLY,
                         .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};

  return (int)syscall (SYS_openat2, dir_fd, path, &how, sizeof how);
}

/* One directory. What is there already is nobody's business here: FALSE only where nothing can be made. */
static gboolean
make_one (int base_fd, const char *relative, mode_t mode)
{
  g_autofree char *parent = g_path_get_dirname (relative), *name = g_path_get_basename (relative);
  vm_autofd parent_fd = open_beneath (base_fd, parent), fd = -1;

  if (parent_fd < 0)
    return FALSE;
  if (mkdirat (parent_fd, name, 0700) < 0)
    return errno == EEXIST;
  fd = openat (parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  return fd >= 0 && fchmod (fd, mode) == 0;
}

static gboolean
make_path (const char *base, const char *path, GError **error)
{
  const char *relative = path + strlen (base) + 1;
  vm_autofd base_fd = open (base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  gboolean ok = base_fd >= 0;

  for (const char *slash = strchr (relative, '/'); ok && slash != NULL; slash = strchr (slash + 1, '/')) {
    g_autofree char *above = g_strndup (relative, (gsize)(slash - relative));

    ok = make_one (base_fd, above, MODE_ABOVE);
  }
  return (ok && make_one (base_fd, relative, MODE_NAME)) ||
         vm_error_errno (error, errno, "cannot keep '%s' from being made by the sandbox", path);
}

/* What the plan names, each in the read-write mount that it lies in: base, path, base, path, ... (transfer
 * full) */
static char **
names_of (const VmPlan *plan)
{
  GPtrArray *names = g_ptr_array_new_null_terminated (16, g_free, TRUE);

  for (guint i = 0; i < plan->mounts->len; i++) {
    const VmMount *m = g_ptr_array_index (plan->mounts, i);
    const char *base = m->kind == VM_MOUNT_ABSENT ? base_of (plan, m->source) : NULL;

    if (base == NULL)
      continue;
    g_ptr_array_add (names, g_strdup (base));
    g_ptr_array_add (names, g_strdup (m->source));
  }
  return (char **)g_ptr_array_free (names, FALSE);
}

/* `mode`: only if it has this one. A directory above that got other things meanwhile becomes an ordinary one.
 */
static void
remove_one (int base_fd, const char *relative, mode_t mode)
{
  g_autofree char *parent = g_path_get_dirname (relative), *name = g_path_get_basename (relative);
  vm_autofd parent_fd = open_beneath (base_fd, parent), fd = -1;
  struct stat st;

  if (parent_fd < 0 || fstatat (parent_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR (st.st_mode) ||
      (st.st_mode & 07777) != mode || st.st_uid != geteuid ())
    return;
  if (unlinkat (parent_fd, name, AT_REMOVEDIR) == 0 || mode != MODE_ABOVE)
    return;
  fd = openat (parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd >= 0)
    (void)fchmod (fd, MODE_ABOVE_KEPT);
}

static void
remove_above (int base_fd, char *relative)
{
  char *slash;

  while ((slash = strrchr (relative, '/')) != NULL) {
    *slash = '\0';
    remove_one (base_fd, relative, MODE_ABOVE);
  }
}

static void
remove_all (char **names, gboolean above)
{
  for (; names[0] != NULL && names[1] != NULL; names += 2) {
    gboolean inside = vm_path_is_within (names[1], names[0]) && !g_str_equal (names[1], names[0]);
    g_autofree char *relative = inside ? g_strdup (names[1] + strlen (names[0]) + 1) : NULL;
    vm_autofd base_fd = inside ? open (names[0], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;

    if (base_fd >= 0 && above)
      remove_above (base_fd, relative);
    else if (base_fd >= 0)
      remove_one (base_fd, relative, MODE_NAME);
  }
}

/* The lists: STATE/absent/ID, and a lock on the directory. */

static int
open_lists (const char *state, gboolean make, GError **error)
{
  g_autofree char *path = g_build_filename (state, "absent", NULL);
  vm_autofd fd = -1;

  if (make && !vm_file_make_private_dir (path, error))
    return -1;
  fd = vm_file_open_private_dir (path, error);
  if (fd >= 0 && flock (fd, LOCK_EX) < 0) {
    vm_error_errno (error, errno, "cannot lock '%s'", path);
    return -1;
  }
  return vm_fd_steal (&fd);
}

typedef struct {
  int dir_fd; /* owned; not the one with the lock */
  char *id;   /* owned */
} Written;

static gpointer
sync_list (gpointer data)
{
  Written *written = data;

  vm_file_sync (written->dir_fd, written->id);
  vm_fd_clear (&written->dir_fd);
  g_free (written->id);
  g_free (written);
  return NULL;
}

/* To the disk beside the start, not before it: waiting for the disk would be the longest part of a small
 * sandbox's start. A power cut in these milliseconds may leave the empty directories where they are. */
static void
sync_beside (int dir_fd, const char *id)
{
  Written *written = g_new (Written, 1);
  GThread *thread;

  *written =
      (Written){.dir_fd = openat (dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), .id = g_strdup (id)};
  thread = g_thread_try_new ("sync", sync_list, written, NULL);
  if (thread != NULL)
    g_thread_unref (thread);
  else
    sync_list (written);
}

static gboolean
write_list (int dir_fd, const VmPlan *plan, char **names, GError **error)
{
  g_autoptr (json_object) object = json_object_new_object ();
  g_autofree char *text = NULL;
  VmProcess self;

  if (!vm_process_identify (getpid (), &self, error))
    return FALSE;
  vm_json_add_str (object, "boot-id", self.boot_id);
  vm_json_add_str (object, "project", plan->project);
  vm_json_add_strv (object, "names", (const char *const *)names);
  text = vm_json_pretty (object);
  if (!vm_file_replace (dir_fd, plan->id, text, strlen (text), 0600, FALSE, error))
    return FALSE;
  sync_beside (dir_fd, plan->id);
  return TRUE;
}

static json_object *
read_list (int dir_fd, const char *id)
{
  gsize length;
  g_autofree char *text = vm_file_read (dir_fd, id, LIST_MAX, &length, NULL);

  return text != NULL ? vm_json_parse_object (text, length, NULL) : NULL;
}

/* The ids that have a list. */
static GPtrArray *
list_ids (int dir_fd)
{
  GPtrArray *ids = g_ptr_array_new_with_free_func (g_free);
  int own = openat (dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *dir = own >= 0 ? fdopendir (own) : NULL;
  struct dirent *entry;

  if (dir == NULL)
    vm_fd_clear (&own);
  while (dir != NULL && (entry = readdir (dir)) != NULL)
    if (*entry->d_name != '.')
      g_ptr_array_add (ids, g_strdup (entry->d_name));
  if (dir != NULL)
    (void)closedir (dir);
  return ids;
}

static gboolean
is_shared (int dir_fd, const char *id, const char *project)
{
  g_autoptr (GPtrArray) ids = list_ids (dir_fd);

  for (guint i = 0; i < ids->len; i++) {
    const char *other = g_ptr_array_index (ids, i);
    g_autoptr (json_object) list = g_str_equal (other, id) ? NULL : read_list (dir_fd, other);

    if (list != NULL && g_str_equal (vm_json_str (list, "project", ""), project))
      return TRUE;
  }
  return FALSE;
}

/* All names before what is above them: several may lie in one directory. */
static void
clean_one (int dir_fd, const char *id)
{
  g_autoptr (json_object) list = read_list (dir_fd, id);
  json_object *array = list != NULL ? vm_json_array (list, "names") : NULL;
  g_auto (GStrv) names = array != NULL ? vm_json_dup_strv (array) : NULL;

  if (names != NULL && !is_shared (dir_fd, id, vm_json_str (list, "project", ""))) {
    remove_all (names, FALSE);
    remove_all (names, TRUE);
  }
  (void)unlinkat (dir_fd, id, 0); /* comes back after a power cut? then it is cleaned once more */
}

gboolean
vm_absent_make (const char *state, const VmPlan *plan, GError **error)
{
  g_auto (GStrv) names = names_of (plan);
  vm_autofd dir_fd = -1;

  if (*names == NULL)
    return TRUE;
  dir_fd = open_lists (state, TRUE, error);
  if (dir_fd < 0 || !write_list (dir_fd, plan, names, error))
    return FALSE;
  for (char **one = names; *one != NULL; one += 2)
    if (!make_path (one[0], one[1], error))
      return FALSE;
  return TRUE;
}

void
vm_absent_clean (const char *state, const char *id)
{
  vm_autofd dir_fd = open_lists (state, FALSE, NULL);

  if (dir_fd >= 0)
    clean_one (dir_fd, id);
}

void
vm_absent_sweep (const char *state)
{
  vm_autofd dir_fd = open_lists (state, FALSE, NULL);
  g_autoptr (GPtrArray) ids = dir_fd >= 0 ? list_ids (dir_fd) : NULL;
  VmProcess self;

  if (ids == NULL || ids->len == 0 || !vm_process_identify (getpid (), &self, NULL))
    return;
  for (guint i = 0; i < ids->len; i++) {
    const char *id = g_ptr_array_index (ids, i);
    g_autoptr (json_object) list = read_list (dir_fd, id);

    if (list != NULL && !g_str_equal (vm_json_str (list, "boot-id", ""), self.boot_id))
      clean_one (dir_fd, id);
  }
}
