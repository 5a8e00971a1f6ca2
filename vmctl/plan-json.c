/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/base/error.h"
#include "vmctl/base/json.h"
#include "vmctl/plan-parts.h"

typedef struct {
  const char *key;
  gsize offset;    /* of a char * in VmPlan */
  gboolean needed; /* reading a plan without it is an error */
} Field;

#define FIELD(key, member, needed)                                                                           \
  {                                                                                                          \
    key, G_STRUCT_OFFSET (VmPlan, member), needed                                                            \
  }

/* Every string of a plan, so that writing and reading cannot differ. In the order in which they are printed.
 */
static const Field fields[] = {
    FIELD ("id", id, TRUE),
    FIELD ("name", name, TRUE),
    FIELD ("driver", driver, TRUE),
    FIELD ("accel", accel, FALSE),
    FIELD ("profile", profile, TRUE),
    FIELD ("user", user, TRUE),
    FIELD ("group", group, TRUE),
    FIELD ("home", home, TRUE),
    FIELD ("shell", shell, TRUE),
    FIELD ("hostname", hostname, TRUE),
    FIELD ("project", project, TRUE),
    FIELD ("cwd", cwd, TRUE),
    FIELD ("qemu", qemu, FALSE),
    FIELD ("firmware", firmware, FALSE),
    FIELD ("bwrap", bwrap, FALSE),
    FIELD ("keeper", keeper, FALSE),
    FIELD ("vmlinux", vmlinux, FALSE),
    FIELD ("initramfs", initramfs, FALSE),
    FIELD ("disk-base", disk_base, FALSE),
    FIELD ("kernel-version", kernel_version, FALSE),
    FIELD ("runtime-dir", runtime_dir, TRUE),
    FIELD ("state-dir", state_dir, TRUE),
};

static const char *const kinds[] = {"ro", "rw", "pin", "protect", "dir", "link", "file", "tmpfs"};
static const char *const isolations[] = {"none", "namespace", "container", "vm"};
static const char *const nets[] = {"default", "none", "public"};

static char **
field_of (const VmPlan *plan, const Field *field)
{
  return (char **)G_STRUCT_MEMBER_P (plan, field->offset);
}

static gboolean
has_source_kind (VmMountKind kind)
{
  return kind == VM_MOUNT_RO || kind == VM_MOUNT_RW || kind == VM_MOUNT_PIN || kind == VM_MOUNT_PROTECT;
}

static gboolean
has_mode (VmMountKind kind)
{
  return kind == VM_MOUNT_DIR || kind == VM_MOUNT_FILE || kind == VM_MOUNT_TMPFS;
}

static json_object *
mount_to_json (const VmMount *mount)
{
  json_object *object = json_object_new_object ();
  g_autofree char *mode = g_strdup_printf ("%04o", mount->mode);

  vm_json_add_str (object, "kind", kinds[mount->kind]);
  vm_json_add_str (object, "target", mount->target);
  vm_json_add_str (object, "source", mount->source);
  vm_json_add_str (object, "share", mount->share);
  vm_json_add_str (object, "content", mount->content);
  if (has_source_kind (mount->kind))
    vm_json_add_bool (object, "dir", mount->is_dir);
  if (has_mode (mount->kind)) {
    vm_json_add_str (object, "mode", mode);
    vm_json_add_bool (object, "root", mount->owner_root);
  }
  vm_json_add_str (object, "why", mount->why);
  return object;
}

static json_object *
mounts_to_json (const GPtrArray *mounts)
{
  json_object *array = json_object_new_array ();

  for (guint i = 0; i < mounts->len; i++)
    json_object_array_add (array, mount_to_json (g_ptr_array_index (mounts, i)));
  return array;
}

json_object *
vm_plan_to_json (const VmPlan *plan)
{
  json_object *object = json_object_new_object ();

  for (gsize i = 0; i < G_N_ELEMENTS (fields); i++)
    vm_json_add_str (object, fields[i].key, *field_of (plan, &fields[i]));
  vm_json_add_str (object, "isolation", vm_isolation_name (plan->isolation));
  vm_json_add_str (object, "net", nets[plan->net]);
  vm_json_add_int (object, "uid", plan->uid);
  vm_json_add_int (object, "gid", plan->gid);
  vm_json_add_int (object, "umask", plan->mask);
  vm_json_add_bool (object, "root-allowed", plan->root_allowed);
  vm_json_add_bool (object, "serial", plan->serial);
  vm_json_add_int (object, "memory", (gint64)plan->memory);
  vm_json_add_int (object, "cpus", plan->cpus);
  vm_json_add_int (object, "disk", (gint64)plan->disk);
  vm_json_add_int (object, "boot-timeout", plan->boot_timeout);
  vm_json_add_strv (object, "grants", (const char *const *)plan->grants);
  if (plan->command != NULL)
    vm_json_add_strv (object, "command", (const char *const *)plan->command);
  vm_json_add_strv (object, "environment", (const char *const *)plan->environment);
  vm_json_add (object, "mounts", mounts_to_json (plan->mounts));
  vm_json_add_strv (object, "watched", (const char *const *)plan->watched);
  return object;
}

static gboolean
read_enum (json_object *object, const char *key, const char *const *names, gsize n, guint *ret,
           GError **error)
{
  const char *text = NULL;

  if (!vm_json_need_str (object, key, &text, error))
    return FALSE;
  for (gsize i = 0; i < n; i++)
    if (g_str_equal (names[i], text)) {
      *ret = (guint)i;
      return TRUE;
    }
  return vm_error (error, VM_ERROR_INVALID, "'%s' is '%s', which this version does not know", key, text);
}

/* A number that must be there and fit. */
static gboolean
read_number (json_object *object, const char *key, gint64 max, guint64 *ret, GError **error)
{
  gint64 value = 0;

  if (!vm_json_need_int (object, key, &value, error))
    return FALSE;
  if (value < 0 || value > max)
    return vm_error (error, VM_ERROR_INVALID, "'%s' is %" G_GINT64_FORMAT ", which is out of range", key,
                     value);
  *ret = (guint64)value;
  return TRUE;
}

static gboolean
is_whole (const VmMount *mount, GError **error)
{
  gboolean ok = *mount->target == '/' && (!has_source_kind (mount->kind) || mount->source != NULL) &&
                (mount->kind != VM_MOUNT_LINK || mount->source != NULL) &&
                (mount->kind != VM_MOUNT_FILE || mount->content != NULL) &&
                (mount->kind != VM_MOUNT_RW || mount->share != NULL);

  return ok || vm_error (error, VM_ERROR_INVALID, "mount of '%s' is not whole", mount->target);
}

static VmMount *
mount_from_json (json_object *object, GError **error)
{
  const char *target = NULL, *why = NULL;
  guint kind = 0;
  VmMount *mount;

  if (!read_enum (object, "kind", kinds, G_N_ELEMENTS (kinds), &kind, error) ||
      !vm_json_need_str (object, "target", &target, error) || !vm_json_need_str (object, "why", &why, error))
    return NULL;
  mount = g_new0 (VmMount, 1);
  mount->kind = (VmMountKind)kind;
  mount->target = g_strdup (target);
  mount->why = g_strdup (why);
  mount->source = g_strdup (vm_json_str (object, "source", NULL));
  mount->share = g_strdup (vm_json_str (object, "share", NULL));
  mount->content = g_strdup (vm_json_str (object, "content", NULL));
  mount->is_dir = vm_json_bool (object, "dir", FALSE);
  mount->owner_root = vm_json_bool (object, "root", FALSE);
  mount->mode = (guint)g_ascii_strtoull (vm_json_str (object, "mode", "0"), NULL, 8) & 07777;
  if (is_whole (mount, error))
    return mount;
  vm_mount_free (mount);
  return NULL;
}

static gboolean
read_mounts (json_object *object, VmPlan *plan, GError **error)
{
  json_object *array = vm_json_array (object, "mounts");

  if (array == NULL)
    return vm_error (error, VM_ERROR_INVALID, "'mounts' is missing or not a list");
  for (gsize i = 0; i < json_object_array_length (array); i++) {
    VmMount *mount = mount_from_json (json_object_array_get_idx (array, i), error);

    if (mount == NULL)
      return FALSE;
    g_ptr_array_add (plan->mounts, mount);
  }
  return TRUE;
}

static gboolean
read_numbers (json_object *object, VmPlan *plan, GError **error)
{
  guint64 uid = 0, gid = 0, cpus = 0, timeout = 0;
  guint isolation = 0, net = 0;

  if (!read_number (object, "uid", G_MAXUINT32, &uid, error) ||
      !read_number (object, "gid", G_MAXUINT32, &gid, error) ||
      !read_number (object, "memory", G_MAXINT64, &plan->memory, error) ||
      !read_number (object, "disk", G_MAXINT64, &plan->disk, error) ||
      !read_number (object, "cpus", 255, &cpus, error) ||
      !read_number (object, "boot-timeout", G_MAXINT32, &timeout, error) ||
      !read_enum (object, "isolation", isolations, G_N_ELEMENTS (isolations), &isolation, error) ||
      !read_enum (object, "net", nets, G_N_ELEMENTS (nets), &net, error))
    return FALSE;
  plan->uid = (guint)uid;
  plan->gid = (guint)gid;
  plan->cpus = (guint)cpus;
  plan->boot_timeout = (guint)timeout;
  plan->isolation = (VmIsolation)isolation;
  plan->net = (VmNet)net;
  plan->mask = (guint)vm_json_int (object, "umask", 022) & 0777;
  plan->root_allowed = vm_json_bool (object, "root-allowed", FALSE);
  plan->serial = vm_json_bool (object, "serial", FALSE);
  return TRUE;
}

VmPlan *
vm_plan_from_json (json_object *object, GError **error)
{
  g_autoptr (VmPlan) plan = g_new0 (VmPlan, 1);
  json_object *command = vm_json_array (object, "command");

  plan->mounts = g_ptr_array_new_with_free_func ((GDestroyNotify)vm_mount_free);
  for (gsize i = 0; i < G_N_ELEMENTS (fields); i++) {
    const char *text = vm_json_str (object, fields[i].key, NULL);

    if (fields[i].needed && !vm_json_need_str (object, fields[i].key, &text, error))
      return NULL;
    *field_of (plan, &fields[i]) = g_strdup (text);
  }
  plan->grants = vm_json_dup_strv (vm_json_array (object, "grants"));
  plan->environment = vm_json_dup_strv (vm_json_array (object, "environment"));
  plan->watched = vm_json_dup_strv (vm_json_array (object, "watched"));
  plan->command = command != NULL ? vm_json_dup_strv (command) : NULL;
  if (!read_numbers (object, plan, error) || !read_mounts (object, plan, error))
    return NULL;
  return g_steal_pointer (&plan);
}
