/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Entries of a plan, and the home that is made of them. */
#include <string.h>
#include <sys/stat.h>

#include "vmctl/path.h"
#include "vmctl/plan-parts.h"

static VmMount *
add (VmPlan *plan, VmMountKind kind, const char *source, const char *target, const char *why)
{
  VmMount *mount = g_new0 (VmMount, 1);

  mount->kind = kind;
  mount->source = g_strdup (source);
  mount->target = g_strdup (target);
  mount->why = g_strdup (why);
  g_ptr_array_add (plan->mounts, mount);
  return mount;
}

void
vm_plan_add_dir (VmPlan *plan, const char *target, guint mode, gboolean owner_root, const char *why)
{
  VmMount *mount = add (plan, VM_MOUNT_DIR, NULL, target, why);

  mount->mode = mode;
  mount->owner_root = owner_root;
}

void
vm_plan_add_ro (VmPlan *plan, const char *source, const char *target, gboolean is_dir, const char *why)
{
  add (plan, VM_MOUNT_RO, source, target, why)->is_dir = is_dir;
}

void
vm_plan_add_rw (VmPlan *plan, const char *source, const char *target, const char *why)
{
  add (plan, VM_MOUNT_RW, source, target, why)->is_dir = TRUE;
}

void
vm_plan_add_inside (VmPlan *plan, VmMountKind kind, const char *path, gboolean is_dir, const char *why)
{
  add (plan, kind, path, path, why)->is_dir = is_dir;
}

void
vm_plan_add_link (VmPlan *plan, const char *target, const char *text, const char *why)
{
  add (plan, VM_MOUNT_LINK, text, target, why);
}

void
vm_plan_add_file (VmPlan *plan, const char *target, const char *content, const char *why)
{
  VmMount *mount = add (plan, VM_MOUNT_FILE, NULL, target, why);

  mount->content = g_strdup (content);
  mount->mode = 0644;
  mount->owner_root = TRUE;
}

void
vm_plan_add_copy (VmPlan *plan, const char *source, const char *target, guint mode, const char *why)
{
  add (plan, VM_MOUNT_COPY, source, target, why)->mode = mode;
}

void
vm_plan_add_rw_file (VmPlan *plan, const char *source, const char *target, const char *why)
{
  add (plan, VM_MOUNT_RW, source, target, why);
}

void
vm_plan_add_socket (VmPlan *plan, const char *source, const char *target, VmSocketNeeds needs,
                    const char *why)
{
  gboolean relay = needs == VM_SOCKET_RELAYED || plan->isolation == VM_ISOLATION_VM ||
                   (needs == VM_SOCKET_PLAIN && plan->isolation == VM_ISOLATION_CONTAINER);

  add (plan, relay ? VM_MOUNT_RELAY : VM_MOUNT_RO, source, target, why);
}

void
vm_plan_add_device (VmPlan *plan, const char *path, gboolean is_dir, const char *why)
{
  add (plan, VM_MOUNT_DEV, path, path, why)->is_dir = is_dir;
}

void
vm_plan_add_make (VmPlan *plan, VmMakeKind kind, const char *path, const char *source, const char *content)
{
  VmMake *make = g_new0 (VmMake, 1);

  *make = (VmMake){
      .kind = kind, .path = g_strdup (path), .source = g_strdup (source), .content = g_strdup (content)};
  g_ptr_array_add (plan->makes, make);
}

void
vm_plan_add_note (VmPlan *plan, const char *format, ...)
{
  guint n = g_strv_length (plan->notes);
  va_list ap;

  plan->notes = g_renew (char *, plan->notes, n + 2);
  va_start (ap, format);
  plan->notes[n] = g_strdup_vprintf (format, ap);
  va_end (ap);
  plan->notes[n + 1] = NULL;
}

void
vm_plan_add_entry (VmPlan *plan, const VmHostEntry *entry, const char *why)
{
  if (entry->link != NULL)
    vm_plan_add_link (plan, entry->path, entry->link, why);
  else
    vm_plan_add_ro (plan, entry->path, entry->path, entry->is_dir, why);
}

const VmMount *
vm_plan_mount_at (const VmPlan *plan, const char *target)
{
  for (guint i = 0; i < plan->mounts->len; i++) {
    const VmMount *mount = g_ptr_array_index (plan->mounts, i);

    if (g_str_equal (mount->target, target))
      return mount;
  }
  return NULL;
}

gboolean
vm_plan_shows (const VmPlan *plan, const char *path)
{
  for (guint i = 0; i < plan->mounts->len; i++) {
    const VmMount *mount = g_ptr_array_index (plan->mounts, i);

    gboolean is_host = mount->kind == VM_MOUNT_RO || mount->kind == VM_MOUNT_RW ||
                       (mount->kind == VM_MOUNT_LINK && !g_str_equal (mount->why, "home"));

    if (is_host && vm_path_is_within (path, mount->target))
      return TRUE;
  }
  return FALSE;
}

const char *
vm_plan_home (const VmHost *host)
{
  return host->home_real != NULL ? host->home_real : host->home;
}

/* The directories above `path`, root's, from the top; those that are there already are left alone. */
static void
add_parents (VmPlan *plan, const char *path)
{
  for (const char *slash = strchr (path + 1, '/'); slash != NULL; slash = strchr (slash + 1, '/')) {
    g_autofree char *dir = g_strndup (path, (gsize)(slash - path));

    if (vm_plan_mount_at (plan, dir) == NULL)
      vm_plan_add_dir (plan, dir, 0755, TRUE, "home");
  }
}

/* The project's folder in the state directory. The hash keeps two projects of one name apart, also where
 * somebody makes paths on purpose; the mark in the folder says whose it is. (transfer full) */
static char *
state_folder (const VmPlan *plan, const VmHost *host)
{
  g_autofree char *hash = g_compute_checksum_for_string (G_CHECKSUM_SHA256, plan->project, -1);
  g_autofree char *name = vm_path_to_name (plan->project);
  g_autofree char *folder = g_strdup_printf ("%s-%.16s", name, hash);

  return g_build_filename (host->dirs.state, "projects", folder, NULL);
}

void
vm_plan_add_state (VmPlan *plan, const VmHost *host, const char *name, const char *target, const char *why)
{
  g_autofree char *folder = state_folder (plan, host);
  g_autofree char *source = g_build_filename (folder, name, NULL);

  vm_plan_add_make (plan, VM_MAKE_DIR, source, NULL, NULL);
  vm_plan_add_rw (plan, source, target, why);
}

/* ~/.local/{bin,lib,share} outlive the sandbox, one set a project. */
static void
add_persistent (VmPlan *plan, const VmHost *host)
{
  static const char *const names[] = {"bin", "lib", "share"};
  g_autofree char *folder = state_folder (plan, host);
  g_autofree char *mark = g_build_filename (folder, "project", NULL);

  vm_plan_add_make (plan, VM_MAKE_DIR, folder, NULL, NULL);
  vm_plan_add_make (plan, VM_MAKE_MARK, mark, NULL, plan->project);
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autofree char *target = g_build_filename (vm_plan_home (host), ".local", names[i], NULL);

    if (!g_str_equal (target, host->project.path))
      vm_plan_add_state (plan, host, names[i], target, "home");
  }
}

void
vm_plan_add_home (VmPlan *plan, const VmHost *host)
{
  g_autofree char *run = g_strdup_printf ("/run/user/%u", plan->uid);

  add_parents (plan, vm_plan_home (host));
  vm_plan_add_dir (plan, vm_plan_home (host), 0755, FALSE, "home");
  if (host->home_real != NULL)
    add_parents (plan, host->home);
  if (host->home_real != NULL && !vm_plan_shows (plan, host->home))
    vm_plan_add_link (plan, host->home, host->home_real, "home");
  vm_plan_add_dir (plan, "/run/user", 0755, TRUE, "home");
  vm_plan_add_dir (plan, run, 0700, FALSE, "home");
  add_persistent (plan, host);
}

gboolean
vm_mount_is_writable_dir (const VmMount *mount)
{
  return mount->kind == VM_MOUNT_TMPFS ||
         (mount->kind == VM_MOUNT_DIR && (!mount->owner_root || (mount->mode & S_IWOTH) != 0));
}

gboolean
vm_plan_lies_in_writable (const VmPlan *plan, guint before, const char *target)
{
  for (guint i = 0; i < before; i++) {
    const VmMount *mount = g_ptr_array_index (plan->mounts, i);

    if (vm_mount_is_writable_dir (mount) && vm_path_is_within (target, mount->target))
      return TRUE;
  }
  return FALSE;
}
