/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "vmctl/base/error.h"
#include "vmctl/base/json.h"
#include "vmctl/host.h"

typedef struct {
  const char *key;
  gsize offset; /* of a char * in VmHost */
} Field;

#define FIELD(key, member)                                                                                   \
  {                                                                                                          \
    key, G_STRUCT_OFFSET (VmHost, member)                                                                    \
  }

/* Every string of the facts, so that writing and reading cannot differ. */
static const Field fields[] = {
    FIELD ("user", user),
    FIELD ("group", group),
    FIELD ("home", home),
    FIELD ("home-real", home_real),
    FIELD ("shell", shell),
    FIELD ("hostname", hostname),
    FIELD ("cwd", cwd),
    FIELD ("timezone", timezone),
    FIELD ("xauthority", xauthority),
    FIELD ("xorg", xorg),
    FIELD ("xorg-problem", xorg_problem),
    FIELD ("xvfb", xvfb),
    FIELD ("xvnc", xvnc),
    FIELD ("vnc-viewer", viewer),
    FIELD ("window-manager", window_manager),
    FIELD ("gtk-problem", gtk_problem),
    FIELD ("qemu", qemu),
    FIELD ("qemu-version", qemu_version),
    FIELD ("qemu-problem", qemu_problem),
    FIELD ("firmware", firmware),
    FIELD ("nspawn", nspawn),
    FIELD ("nspawn-version", nspawn_version),
    FIELD ("root-problem", root_problem),
    FIELD ("bwrap", bwrap),
    FIELD ("kvm-problem", kvm_problem),
    FIELD ("userns-mend", userns_mend),
    FIELD ("keeper", keeper),
    FIELD ("agent", agent),
    FIELD ("kernel", kernel),
    FIELD ("kernel-version", kernel_version),
    FIELD ("kernel-problem", kernel_problem),
    FIELD ("vmlinux", vmlinux),
    FIELD ("initramfs", initramfs),
    FIELD ("ram-preload", ram_preload),
    FIELD ("qemu-id", qemu_id),
    FIELD ("firmware-id", firmware_id),
    FIELD ("cpu-id", cpu_id),
    FIELD ("disk-base", disk_base),
    FIELD ("modules-dir", modules_dir),
    FIELD ("image", image.name),
    FIELD ("image-dir", image.dir),
    FIELD ("image-filesystem", image.filesystem),
    FIELD ("image-init", image.init),
    FIELD ("image-keep", image.keep),
    FIELD ("image-host-state", image.host_state),
    FIELD ("runtime-dir", dirs.runtime),
    FIELD ("state-dir", dirs.state),
    FIELD ("cache-dir", dirs.cache),
    FIELD ("data-dir", dirs.data),
    FIELD ("config-dir", dirs.config),
    FIELD ("libexec-dir", dirs.libexec),
    FIELD ("self", dirs.self),
    FIELD ("program", program.name),
    FIELD ("program-path", program.path),
    FIELD ("program-link", program.link),
    FIELD ("program-real", program.real),
    FIELD ("program-interpreter", program.interpreter),
    FIELD ("program-interpreter-real", program.interpreter_real),
};

static char **
field_of (const VmHost *host, const Field *field)
{
  return (char **)G_STRUCT_MEMBER_P (host, field->offset);
}

static json_object *
entries_to_json (const VmHostEntry *entries)
{
  json_object *array = json_object_new_array ();

  for (; entries != NULL && entries->path != NULL; entries++) {
    json_object *one = json_object_new_object ();

    vm_json_add_str (one, "path", entries->path);
    vm_json_add_str (one, "link", entries->link);
    vm_json_add_str (one, "real", entries->real);
    vm_json_add_bool (one, "dir", entries->is_dir);
    json_object_array_add (array, one);
  }
  return array;
}

static VmHostEntry *
entries_from_json (json_object *array)
{
  gsize length = array != NULL ? json_object_array_length (array) : 0;
  VmHostEntry *entries = g_new0 (VmHostEntry, length + 1);
  gsize n = 0;

  for (gsize i = 0; i < length; i++) {
    json_object *one = json_object_array_get_idx (array, i);
    const char *path = vm_json_str (one, "path", NULL);

    if (path == NULL)
      continue;
    entries[n++] = (VmHostEntry){.path = g_strdup (path),
                                 .link = g_strdup (vm_json_str (one, "link", NULL)),
                                 .real = g_strdup (vm_json_str (one, "real", NULL)),
                                 .is_dir = vm_json_bool (one, "dir", FALSE)};
  }
  return entries;
}

static json_object *
sockets_to_json (const VmHostSocket *sockets)
{
  json_object *array = json_object_new_array ();

  for (; sockets != NULL && sockets->name != NULL; sockets++) {
    json_object *one = json_object_new_object ();

    vm_json_add_str (one, "name", sockets->name);
    vm_json_add_str (one, "path", sockets->path);
    vm_json_add_str (one, "detail", sockets->detail);
    vm_json_add_str (one, "problem", sockets->problem);
    json_object_array_add (array, one);
  }
  return array;
}

static VmHostSocket *
sockets_from_json (json_object *array)
{
  gsize length = array != NULL ? json_object_array_length (array) : 0;
  VmHostSocket *sockets = g_new0 (VmHostSocket, length + 1);
  gsize n = 0;

  for (gsize i = 0; i < length; i++) {
    json_object *one = json_object_array_get_idx (array, i);
    const char *name = vm_json_str (one, "name", NULL);

    if (name == NULL)
      continue;
    sockets[n++] = (VmHostSocket){.name = g_strdup (name),
                                  .path = g_strdup (vm_json_str (one, "path", NULL)),
                                  .detail = g_strdup (vm_json_str (one, "detail", NULL)),
                                  .problem = g_strdup (vm_json_str (one, "problem", NULL))};
  }
  return sockets;
}

static json_object *
project_to_json (const VmHostProject *project)
{
  json_object *object = json_object_new_object ();

  vm_json_add_str (object, "path", project->path);
  vm_json_add_int (object, "uid", project->uid);
  vm_json_add_bool (object, "writable", project->writable);
  vm_json_add_str (object, "git-dir", project->git_dir);
  vm_json_add_str (object, "worktree", project->worktree);
  vm_json_add_bool (object, "git-file", project->has_git_file);
  if (project->modules != NULL)
    vm_json_add_strv (object, "modules", (const char *const *)project->modules);
  vm_json_add (object, "present", entries_to_json (project->present));
  return object;
}

static void
add_environment (json_object *object, char **environment)
{
  json_object *array = json_object_new_array ();

  for (char **one = environment; one != NULL && *one != NULL; one++) {
    g_autofree char *name = g_strndup (*one, strcspn (*one, "="));

    if (vm_host_env_is_plain (name))
      json_object_array_add (array, vm_json_new_text (*one));
  }
  vm_json_add (object, "environment", array);
}

json_object *
vm_host_to_json (const VmHost *host)
{
  json_object *object = json_object_new_object ();

  for (gsize i = 0; i < G_N_ELEMENTS (fields); i++)
    vm_json_add_str (object, fields[i].key, *field_of (host, &fields[i]));
  vm_json_add_int (object, "uid", host->uid);
  vm_json_add_int (object, "gid", host->gid);
  vm_json_add_int (object, "umask", host->mask);
  vm_json_add_bool (object, "sudo", host->is_sudo);
  vm_json_add_int (object, "memory", (gint64)host->memory);
  vm_json_add_int (object, "cpus", host->cpus);
  vm_json_add_bool (object, "kvm", host->kvm);
  vm_json_add_bool (object, "systemd", host->systemd);
  vm_json_add_bool (object, "confined", host->is_confined);
  vm_json_add_bool (object, "tun", host->tun);
  vm_json_add_bool (object, "runtime-is-fallback", host->dirs.runtime_is_fallback);
  if (host->image.name != NULL) {
    vm_json_add_int (object, "image-partition", host->image.partition);
    vm_json_add_int (object, "image-size", (gint64)host->image.size);
  }
  if (host->templates != NULL)
    vm_json_add_strv (object, "templates", (const char *const *)host->templates);
  vm_json_add_strv (object, "secret", (const char *const *)host->secret);
  add_environment (object, host->environment);
  vm_json_add (object, "root", entries_to_json (host->root));
  vm_json_add (object, "etc", entries_to_json (host->etc));
  vm_json_add (object, "dotfiles", entries_to_json (host->dotfiles));
  vm_json_add (object, "extra", entries_to_json (host->extra));
  vm_json_add (object, "path-dirs", entries_to_json (host->path_dirs));
  vm_json_add (object, "sockets", sockets_to_json (host->sockets));
  if (host->groups.kind != VM_GROUP_NONE)
    vm_json_add (object, "groups", vm_groups_to_json (&host->groups));
  if (host->root_groups.kind != VM_GROUP_NONE)
    vm_json_add (object, "root-groups", vm_groups_to_json (&host->root_groups));
  if (host->project.path != NULL)
    vm_json_add (object, "project", project_to_json (&host->project));
  return object;
}

static void
read_project (json_object *object, VmHostProject *project)
{
  project->path = g_strdup (vm_json_str (object, "path", NULL));
  project->uid = (guint)vm_json_int (object, "uid", 0);
  project->writable = vm_json_bool (object, "writable", TRUE);
  project->git_dir = g_strdup (vm_json_str (object, "git-dir", NULL));
  project->worktree = g_strdup (vm_json_str (object, "worktree", NULL));
  if (vm_json_array (object, "modules") != NULL)
    project->modules = vm_json_dup_strv (vm_json_array (object, "modules"));
  project->has_git_file = vm_json_bool (object, "git-file", FALSE);
  project->present = entries_from_json (vm_json_array (object, "present"));
}

gboolean
vm_host_from_json (json_object *object, VmHost *ret, GError **error)
{
  static const char *const needed[] = {"user",      "group",    "home",        "shell",
                                       "hostname",  "cwd",      "runtime-dir", "state-dir",
                                       "cache-dir", "data-dir", "config-dir",  NULL};
  VmHost host = {0};
  gint64 uid = 0, gid = 0, memory = 0, cpus = 0;
  const char *ignored = NULL;

  for (const char *const *key = needed; *key != NULL; key++)
    if (!vm_json_need_str (object, *key, &ignored, error))
      return FALSE;
  if (!vm_json_need_int (object, "uid", &uid, error) || !vm_json_need_int (object, "gid", &gid, error) ||
      !vm_json_need_int (object, "memory", &memory, error) ||
      !vm_json_need_int (object, "cpus", &cpus, error))
    return FALSE;
  for (gsize i = 0; i < G_N_ELEMENTS (fields); i++)
    *field_of (&host, &fields[i]) = g_strdup (vm_json_str (object, fields[i].key, NULL));
  host.uid = (guint)uid;
  host.gid = (guint)gid;
  host.memory = (guint64)memory;
  host.cpus = (guint)cpus;
  host.mask = (guint)vm_json_int (object, "umask", 022);
  host.is_sudo = vm_json_bool (object, "sudo", FALSE);
  host.kvm = vm_json_bool (object, "kvm", FALSE);
  host.systemd = vm_json_bool (object, "systemd", FALSE);
  host.is_confined = vm_json_bool (object, "confined", FALSE);
  host.image.partition = (guint)CLAMP (vm_json_int (object, "image-partition", 0), 0, 128);
  host.image.size = (guint64)MAX (vm_json_int (object, "image-size", 0), 0);
  host.tun = vm_json_bool (object, "tun", TRUE);
  host.dirs.runtime_is_fallback = vm_json_bool (object, "runtime-is-fallback", FALSE);
  if (vm_json_array (object, "templates") != NULL)
    host.templates = vm_json_dup_strv (vm_json_array (object, "templates"));
  host.secret = vm_json_dup_strv (vm_json_array (object, "secret"));
  host.environment = vm_json_dup_strv (vm_json_array (object, "environment"));
  host.root = entries_from_json (vm_json_array (object, "root"));
  host.etc = entries_from_json (vm_json_array (object, "etc"));
  host.dotfiles = entries_from_json (vm_json_array (object, "dotfiles"));
  host.extra = entries_from_json (vm_json_array (object, "extra"));
  host.path_dirs = entries_from_json (vm_json_array (object, "path-dirs"));
  host.sockets = sockets_from_json (vm_json_array (object, "sockets"));
  vm_groups_from_json (vm_json_object (object, "groups"), &host.groups);
  vm_groups_from_json (vm_json_object (object, "root-groups"), &host.root_groups);
  read_project (vm_json_object (object, "project"), &host.project);
  *ret = host;
  return TRUE;
}
