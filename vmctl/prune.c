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

enum { PLAN_MAX = 16 << 20 };

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
    gsize length;
    g_autofree char *text = fd >= 0 ? vm_file_read (fd, "plan.json", PLAN_MAX, &length, &error) : NULL;
    g_autoptr (json_object) object = text != NULL ? vm_json_parse (text, length, &error) : NULL;
    g_autoptr (VmPlan) plan = object != NULL ? vm_plan_from_json (object, &error) : NULL;

    if (error != NULL)
      g_ptr_array_add (problems, g_strdup_printf ("%s: %s", record->id, error->message));
    if (plan == NULL)
      continue;
    add_used (used, plan->vmlinux);
    add_used (used, plan->initramfs);
    add_used (used, plan->disk_base);
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

static void
find_cached (const VmDirs *dirs, const char *sub, const char *kind, GPtrArray *used, GPtrArray *items)
{
  g_autofree char *path = g_build_filename (dirs->cache, sub, NULL);
  vm_autofd fd = vm_file_open_private_dir (path, NULL);
  g_autoptr (DIR) dir = fd >= 0 ? opendir (path) : NULL;
  struct dirent *entry;
  struct stat st;

  if (dir == NULL || flock (fd, LOCK_EX | LOCK_NB) < 0)
    return; /* absent; or somebody builds there now, for a sandbox that is to be */
  while ((entry = readdir (dir)) != NULL) {
    const char *name = entry->d_name;
    gboolean part = g_str_has_prefix (name, IMAGE_PART_PREFIX);

    if ((*name == '.' && !part) || is_used (used, name) || fstatat (fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
        !S_ISREG (st.st_mode))
      continue;
    add (items, part ? "part" : kind, g_strdup (name), path, name)->bytes = (guint64)st.st_blocks * 512;
  }
}

GPtrArray *
vm_prune_find (const VmDirs *dirs, const VmPruneOptions *options, GPtrArray *problems, GError **error)
{
  g_autoptr (GPtrArray) records = vm_store_list (dirs, TRUE, problems, error);
  g_autoptr (GPtrArray) used = NULL;
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
  if (options->cache) {
    used = find_used (dirs, records, problems);
    find_cached (dirs, "kernels", "kernel", used, items);
    find_cached (dirs, "initramfs", "initramfs", used, items);
    find_cached (dirs, "disks", "disk", used, items);
  }
  return items;
}

gboolean
vm_prune_remove (const VmPruneItem *item, GError **error)
{
  vm_autofd fd = vm_file_open_private_dir (item->dir, error);

  return fd >= 0 && vm_file_remove_tree (fd, item->name, error);
}
