/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/prune.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "images/build.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"
#include "vmctl/base/json.h"
#include "vmctl/plan.h"
#include "vmctl/store.h"

static void
close_dir (DIR *dir)
{
  (void)closedir (dir);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DIR, close_dir)

static void
free_item (gpointer data)
{
  VmPruneItem *item = data;

  g_free (item->label);
  g_free (item->dir);
  g_free (item->name);
  vm_fd_clear (&item->lock);
  g_free (item);
}

static VmPruneItem *
add (GPtrArray *items, const char *kind, char *take_label, const char *dir, const char *name)
{
  VmPruneItem *item = g_new0 (VmPruneItem, 1);

  item->kind = kind;
  item->label = take_label;
  item->dir = g_strdup (dir);
  item->name = g_strdup (name);
  item->lock = -1;
  g_ptr_array_add (items, item);
  return item;
}

static guint64
bytes_in (int parent_fd, const char *name)
{
  vm_autofd fd = openat (parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  int own = fd >= 0 ? fcntl (fd, F_DUPFD_CLOEXEC, 3) : -1;
  g_autoptr (DIR) dir = own >= 0 ? fdopendir (own) : NULL;
  struct dirent *entry;
  struct stat st;
  guint64 bytes = 0;

  while (dir != NULL && (entry = readdir (dir)) != NULL)
    if (fstatat (fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG (st.st_mode))
      bytes += (guint64)st.st_blocks * 512;
  return bytes;
}

/* Oldest first, so the ones to keep are at the end. */
static void
find_ended (GPtrArray *records, guint keep, const char *parent, int parent_fd, GPtrArray *items)
{
  guint ended = 0;

  for (guint i = 0; i < records->len; i++)
    ended += ((const VmRecord *)g_ptr_array_index (records, i))->state == VM_STATE_ENDED;
  for (guint i = 0; i < records->len && ended > keep; i++) {
    const VmRecord *record = g_ptr_array_index (records, i);

    if (record->state != VM_STATE_ENDED)
      continue;
    add (items, "sandbox", g_strdup_printf ("%s (%s)", record->id, record->name), parent, record->id)->bytes =
        bytes_in (parent_fd, record->id);
    ended--;
  }
}

/* A supervisor holds a lock on its state directory, so that one with another runtime directory, where it is
 * not seen from here, is not taken for dead. */
static gboolean
is_leftover (const VmDirs *dirs, int parent_fd, const char *name)
{
  g_autofree char *runtime = g_build_filename (dirs->runtime, name, NULL);
  vm_autofd fd = openat (parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  struct stat st;

  return vm_store_is_id (name) && fd >= 0 && fstatat (fd, "record.json", &st, AT_SYMLINK_NOFOLLOW) < 0 &&
         lstat (runtime, &st) < 0 && flock (fd, LOCK_EX | LOCK_NB) == 0;
}

static void
find_leftovers (const VmDirs *dirs, const char *parent, int parent_fd, GPtrArray *items)
{
  g_autoptr (DIR) dir = opendir (parent);
  struct dirent *entry;

  while (dir != NULL && (entry = readdir (dir)) != NULL)
    if (is_leftover (dirs, parent_fd, entry->d_name))
      add (items, "leftover", g_strdup (entry->d_name), parent, entry->d_name)->bytes =
          bytes_in (parent_fd, entry->d_name);
}

static void
add_used (GPtrArray *used, const char *path)
{
  if (path != NULL)
    g_ptr_array_add (used, g_path_get_basename (path));
}

/* The names of the files in the cache that running sandboxes have. (They would live on without the names; but
 * one that is just starting needs them.) */
static GPtrArray *
find_used (const VmDirs *dirs, GPtrArray *records, GPtrArray *problems)
{
  GPtrArray *used = g_ptr_array_new_with_free_func (g_free);

  for (guint i = 0; i < records->len; i++) {
    const VmRecord *record = g_ptr_array_index (records, i);
    vm_autofd fd = record->state != VM_STATE_ENDED ? vm_store_open_runtime (dirs, record->id, NULL) : -1;
    g_autoptr (GError) error = NULL;
    g_autoptr (VmPlan) plan = fd >= 0 ? vm_plan_read (fd, &error) : NULL;

    if (error != NULL)
      g_ptr_array_add (problems, g_strdup_printf ("%s: %s", record->id, error->message));
    if (plan == NULL)
      continue;
    add_used (used, plan->vmlinux);
    add_used (used, plan->initramfs);
    add_used (used, plan->disk_base);
    add_used (used, plan->template);
  }
  return used;
}

/* "ext4-1.overlay" belongs to "ext4-1.qcow2". */
static gboolean
is_used (GPtrArray *used, const char *name)
{
  for (guint i = 0; i < used->len; i++) {
    const char *other = g_ptr_array_index (used, i);
    const char *dot = strrchr (other, '.');

    if (g_str_equal (other, name) ||
        (dot != NULL && g_str_has_suffix (name, ".overlay") && g_str_has_suffix (other, ".qcow2") &&
         strncmp (other, name, (gsize)(dot - other) + 1) == 0))
      return TRUE;
  }
  return FALSE;
}

/* -1: it is absent, or somebody builds there now, for a sandbox that is to be. */
static int
lock_cache (const VmDirs *dirs, const char *sub)
{
  g_autofree char *path = g_build_filename (dirs->cache, sub, NULL);
  vm_autofd fd = vm_file_open_private_dir (path, NULL);

  return fd >= 0 && flock (fd, LOCK_EX | LOCK_NB) == 0 ? vm_fd_steal (&fd) : -1;
}

static void
find_unused (const VmDirs *dirs, const char *sub, const char *kind, int fd, GPtrArray *used, GPtrArray *items)
{
  g_autofree char *path = g_build_filename (dirs->cache, sub, NULL);
  g_autoptr (DIR) dir = opendir (path);
  gboolean is_dir = g_str_equal (kind, "template") || g_str_equal (kind, "appliance");
  VmPruneItem *item;
  struct dirent *entry;
  struct stat st;

  while (dir != NULL && (entry = readdir (dir)) != NULL) {
    const char *name = entry->d_name;
    gboolean part = g_str_has_prefix (name, IMAGE_PART_PREFIX);

    if ((*name == '.' && !part) || is_used (used, name) || fstatat (fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
        !(is_dir ? S_ISDIR (st.st_mode) : S_ISREG (st.st_mode)))
      continue;
    item = add (items, part ? "part" : kind, g_strdup (name), path, name);
    item->bytes = is_dir ? bytes_in (fd, name) : (guint64)st.st_blocks * 512;
    item->lock = fcntl (fd, F_DUPFD_CLOEXEC, 3);
  }
}

/* The locks come first: what is built before them has its sandbox on record, or will be built again. */
static void
find_cached (const VmDirs *dirs, GPtrArray *items, GPtrArray *problems)
{
  static const struct {
    const char *sub, *kind;
  } caches[] = {{"kernels", "kernel"},
                {"initramfs", "initramfs"},
                {"disks", "disk"},
                {"templates", "template"},
                {"guestfs", "appliance"}};
  int locks[G_N_ELEMENTS (caches)];
  g_autoptr (GPtrArray) records = NULL, used = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (caches); i++)
    locks[i] = lock_cache (dirs, caches[i].sub);
  records = vm_store_list (dirs, FALSE, NULL, NULL);
  if (records != NULL)
    used = find_used (dirs, records, problems);
  for (guint i = 0; i < G_N_ELEMENTS (caches); i++) {
    if (used != NULL && locks[i] >= 0)
      find_unused (dirs, caches[i].sub, caches[i].kind, locks[i], used, items);
    vm_fd_clear (&locks[i]);
  }
}

GPtrArray *
vm_prune_find (const VmDirs *dirs, const VmPruneOptions *options, GPtrArray *problems, GError **error)
{
  g_autoptr (GPtrArray) records = vm_store_list (dirs, TRUE, problems, error);
  GPtrArray *items;
  g_autofree char *parent = g_build_filename (dirs->state, "sandboxes", NULL);
  vm_autofd parent_fd = -1;

  if (records == NULL)
    return NULL;
  items = g_ptr_array_new_with_free_func (free_item);
  parent_fd = vm_file_open_private_dir (parent, NULL);
  if (parent_fd >= 0) {
    find_ended (records, options->keep, parent, parent_fd, items);
    find_leftovers (dirs, parent, parent_fd, items);
  }
  if (options->cache)
    find_cached (dirs, items, problems);
  return items;
}

gboolean
vm_prune_remove (const VmPruneItem *item, GError **error)
{
  vm_autofd fd = vm_file_open_private_dir (item->dir, error);

  return fd >= 0 && vm_file_remove_tree (fd, item->name, error);
}
