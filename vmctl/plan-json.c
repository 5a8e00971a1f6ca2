/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "vmctl/base/error.h"
#include "vmctl/base/file.h"
#include "vmctl/base/json.h"
#include "vmctl/plan-parts.h"

enum { PLAN_MAX = 16 << 20 };

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
    FIELD ("nspawn", nspawn, FALSE),
    FIELD ("bwrap", bwrap, FALSE),
    FIELD ("keeper", keeper, FALSE),
    FIELD ("vmlinux", vmlinux, FALSE),
    FIELD ("initramfs", initramfs, FALSE),
    FIELD ("mac", mac, FALSE),
    FIELD ("template", template, FALSE),
    FIELD ("ram-preload", ram_preload, FALSE),
    FIELD ("disk-base", disk_base, FALSE),
    FIELD ("image", image.name, FALSE),
    FIELD ("image-dir", image.dir, FALSE),
    FIELD ("image-filesystem", image.filesystem, FALSE),
    FIELD ("image-init", image.init, FALSE),
    FIELD ("image-keep", image.keep, FALSE),
    FIELD ("kernel-version", kernel_version, FALSE),
    FIELD ("x-server", screen.server, FALSE),
    FIELD ("window-manager", screen.manager, FALSE),
    FIELD ("x-socket", screen.socket, FALSE),
    FIELD ("x-number", screen.number, FALSE),
    FIELD ("x-cookies", screen.cookies, FALSE),
    FIELD ("x-viewer", screen.viewer, FALSE),
    FIELD ("x-viewer-jail", screen.jail, FALSE),
    FIELD ("runtime-dir", runtime_dir, TRUE),
    FIELD ("state-dir", state_dir, TRUE),
};

static const char *const kinds[] = {"ro",   "rw",   "pin",   "protect", "absent", "dir",
                                    "link", "file", "tmpfs", "copy",    "relay",  "dev"};
static const char *const make_kinds[] = {"dir", "file", "mark", "xauth"};
static const char *const nets[] = {"default", "none", "public", "list", "host"};

static char **
field_of (const VmPlan *plan, const Field *field)
{
  return (char **)G_STRUCT_MEMBER_P (plan, field->offset);
}

static gboolean
has_source_kind (VmMountKind kind)
{
  return kind == VM_MOUNT_RO || kind == VM_MOUNT_RW || kind == VM_MOUNT_PIN || kind == VM_MOUNT_PROTECT ||
         kind == VM_MOUNT_ABSENT || kind == VM_MOUNT_COPY || kind == VM_MOUNT_RELAY || kind == VM_MOUNT_DEV;
}

static gboolean
has_mode (VmMountKind kind)
{
  return kind == VM_MOUNT_DIR || kind == VM_MOUNT_FILE || kind == VM_MOUNT_TMPFS || kind == VM_MOUNT_COPY;
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

static json_object *
makes_to_json (const GPtrArray *makes)
{
  json_object *array = json_object_new_array ();

  for (guint i = 0; i < makes->len; i++) {
    const VmMake *make = g_ptr_array_index (makes, i);
    json_object *object = json_object_new_object ();

    vm_json_add_str (object, "kind", make_kinds[make->kind]);
    vm_json_add_str (object, "path", make->path);
    vm_json_add_str (object, "source", make->source);
    vm_json_add_str (object, "content", make->content);
    json_object_array_add (array, object);
  }
  return array;
}

/* NAME=value as NAME. */
static json_object *
names_of (char **variables)
{
  json_object *array = json_object_new_array ();

  for (; *variables != NULL; variables++) {
    g_autofree char *name = g_strndup (*variables, strcspn (*variables, "="));

    json_object_array_add (array, vm_json_new_text (name));
  }
  return array;
}

static void
add_screen (json_object *object, const VmScreen *screen)
{
  if (screen->kind == VM_DISPLAY_UNSET)
    return;
  vm_json_add_str (object, "display", vm_display_name (screen->kind));
  vm_json_add_int (object, "screen-width", screen->width);
  vm_json_add_int (object, "screen-height", screen->height);
}

static json_object *
to_json (const VmPlan *plan)
{
  json_object *object = json_object_new_object ();

  for (gsize i = 0; i < G_N_ELEMENTS (fields); i++)
    vm_json_add_str (object, fields[i].key, *field_of (plan, &fields[i]));
  vm_json_add_str (object, "isolation", vm_isolation_name (plan->isolation));
  if (*plan->passed_over != NULL)
    vm_json_add_strv (object, "passed-over", (const char *const *)plan->passed_over);
  vm_json_add_str (object, "net", nets[plan->net]);
  if (*plan->net_rules != NULL)
    vm_json_add_strv (object, "net-rules", (const char *const *)plan->net_rules);
  add_screen (object, &plan->screen);
  vm_json_add_int (object, "uid", plan->uid);
  vm_json_add_int (object, "gid", plan->gid);
  vm_json_add_int (object, "umask", plan->mask);
  vm_json_add_bool (object, "root-allowed", plan->root_allowed);
  vm_json_add_bool (object, "userns", plan->userns);
  vm_json_add_bool (object, "serial", plan->serial);
  if (plan->trace)
    vm_json_add_bool (object, "trace", TRUE);
  if (plan->registered)
    vm_json_add_bool (object, "registered", TRUE);
  vm_json_add_int (object, "memory", (gint64)plan->memory);
  vm_json_add_int (object, "cpus", plan->cpus);
  if (plan->cpus_max != plan->cpus)
    vm_json_add_int (object, "cpus-max", plan->cpus_max);
  if (plan->memory_max != plan->memory)
    vm_json_add_int (object, "memory-max", (gint64)plan->memory_max);
  if (plan->root_ports != VM_SPEC_ROOT_PORTS_DEFAULT)
    vm_json_add_int (object, "root-ports", plan->root_ports);
  if (plan->plugs != NULL)
    vm_json_add_strv (object, "plugs", (const char *const *)plan->plugs);
  if (plan->processes != 0)
    vm_json_add_int (object, "processes", plan->processes);
  if (plan->groups.kind != VM_GROUP_NONE)
    vm_json_add (object, "groups", vm_groups_to_json (&plan->groups));
  if (*plan->unkept != NULL)
    vm_json_add_strv (object, "unkept", (const char *const *)plan->unkept);
  vm_json_add_int (object, "disk", (gint64)plan->disk);
  if (plan->image.name != NULL) {
    vm_json_add_int (object, "image-partition", plan->image.partition);
    vm_json_add_int (object, "image-size", (gint64)plan->image.size);
  }
  if (plan->template != NULL) {
    vm_json_add_bool (object, "has-template", plan->has_template);
    vm_json_add_strv (object, "template-inputs", (const char *const *)plan->template_inputs);
    vm_json_add_int (object, "templates-max", (gint64)plan->templates_max);
  }
  vm_json_add_int (object, "boot-timeout", plan->boot_timeout);
  if (plan->restart_max != 0)
    vm_json_add_int (object, "restart-max", plan->restart_max);
  if (plan->watchdog != 0)
    vm_json_add_int (object, "watchdog", plan->watchdog);
  vm_json_add_strv (object, "grants", (const char *const *)plan->grants);
  if (plan->command != NULL)
    vm_json_add_strv (object, "command", (const char *const *)plan->command);
  vm_json_add_strv (object, "environment", (const char *const *)plan->environment);
  vm_json_add (object, "makes", makes_to_json (plan->makes));
  vm_json_add (object, "mounts", mounts_to_json (plan->mounts));
  vm_json_add_strv (object, "linked", (const char *const *)plan->linked);
  vm_json_add_strv (object, "watched", (const char *const *)plan->watched);
  vm_json_add_strv (object, "notes", (const char *const *)plan->notes);
  return object;
}

json_object *
vm_plan_to_json (const VmPlan *plan)
{
  json_object *object = to_json (plan);

  vm_json_add_strv (object, "secrets", (const char *const *)plan->secrets);
  return object;
}

json_object *
vm_plan_to_shown_json (const VmPlan *plan)
{
  json_object *object = to_json (plan);

  vm_json_add (object, "secret-names", names_of (plan->secrets));
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

static VmMake *
make_from_json (json_object *object, GError **error)
{
  const char *path = NULL;
  guint kind = 0;
  VmMake *make;

  if (!read_enum (object, "kind", make_kinds, G_N_ELEMENTS (make_kinds), &kind, error) ||
      !vm_json_need_str (object, "path", &path, error))
    return NULL;
  make = g_new0 (VmMake, 1);
  make->kind = (VmMakeKind)kind;
  make->path = g_strdup (path);
  make->source = g_strdup (vm_json_str (object, "source", NULL));
  make->content = g_strdup (vm_json_str (object, "content", NULL));
  if (*path == '/' && (kind == VM_MAKE_DIR || make->content != NULL) &&
      (kind != VM_MAKE_XAUTH || make->source != NULL))
    return make;
  vm_error (error, VM_ERROR_INVALID, "what to make at '%s' is not whole", path);
  vm_make_free (make);
  return NULL;
}

static gboolean
read_makes (json_object *object, VmPlan *plan, GError **error)
{
  json_object *array = vm_json_array (object, "makes");

  if (array == NULL)
    return vm_error (error, VM_ERROR_INVALID, "'makes' is missing or not a list");
  for (gsize i = 0; i < json_object_array_length (array); i++) {
    VmMake *make = make_from_json (json_object_array_get_idx (array, i), error);

    if (make == NULL)
      return FALSE;
    g_ptr_array_add (plan->makes, make);
  }
  return TRUE;
}

static gboolean
read_isolation (json_object *object, VmIsolation *ret, GError **error)
{
  const char *text = NULL;

  if (!vm_json_need_str (object, "isolation", &text, error))
    return FALSE;
  return vm_isolation_parse (text, ret) ||
         vm_error (error, VM_ERROR_INVALID, "'isolation' is '%s', which this version does not know", text);
}

static gboolean
read_screen (json_object *object, VmScreen *screen, GError **error)
{
  const char *kind = vm_json_str (object, "display", NULL);
  guint64 width = 0, height = 0;

  if (kind == NULL)
    return TRUE;
  if (!vm_display_parse (kind, &screen->kind))
    return vm_error (error, VM_ERROR_INVALID, "'display' is '%s', which this version does not know", kind);
  if (!read_number (object, "screen-width", G_MAXUINT16, &width, error) ||
      !read_number (object, "screen-height", G_MAXUINT16, &height, error))
    return FALSE;
  screen->width = (guint)width;
  screen->height = (guint)height;
  return TRUE;
}

static gboolean
read_numbers (json_object *object, VmPlan *plan, GError **error)
{
  guint64 uid = 0, gid = 0, cpus = 0, timeout = 0;
  guint net = 0;

  if (!read_number (object, "uid", G_MAXUINT32, &uid, error) ||
      !read_number (object, "gid", G_MAXUINT32, &gid, error) ||
      !read_number (object, "memory", G_MAXINT64, &plan->memory, error) ||
      !read_number (object, "disk", G_MAXINT64, &plan->disk, error) ||
      !read_number (object, "cpus", 255, &cpus, error) ||
      !read_number (object, "boot-timeout", G_MAXINT32, &timeout, error) ||
      !read_isolation (object, &plan->isolation, error) || !read_screen (object, &plan->screen, error) ||
      !read_enum (object, "net", nets, G_N_ELEMENTS (nets), &net, error))
    return FALSE;
  plan->uid = (guint)uid;
  plan->gid = (guint)gid;
  plan->cpus = (guint)cpus;
  plan->cpus_max = (guint)CLAMP (vm_json_int (object, "cpus-max", (gint64)cpus), 1, 255);
  plan->memory_max = (guint64)MAX (vm_json_int (object, "memory-max", (gint64)plan->memory), 0);
  plan->root_ports = (guint)CLAMP (vm_json_int (object, "root-ports", VM_SPEC_ROOT_PORTS_DEFAULT), 1,
                                   VM_SPEC_ROOT_PORTS_MAX);
  if (vm_json_array (object, "plugs") != NULL)
    plan->plugs = vm_json_dup_strv (vm_json_array (object, "plugs"));
  plan->image.partition = (guint)CLAMP (vm_json_int (object, "image-partition", 0), 0, 128);
  plan->image.size = (guint64)MAX (vm_json_int (object, "image-size", 0), 0);
  plan->boot_timeout = (guint)timeout;
  plan->net = (VmNet)net;
  plan->restart_max = (guint)CLAMP (vm_json_int (object, "restart-max", 0), 0, G_MAXINT32);
  plan->watchdog = (guint)CLAMP (vm_json_int (object, "watchdog", 0), 0, 3600);
  plan->mask = (guint)vm_json_int (object, "umask", 022) & 0777;
  plan->root_allowed = vm_json_bool (object, "root-allowed", FALSE);
  plan->userns = vm_json_bool (object, "userns", FALSE);
  plan->serial = vm_json_bool (object, "serial", FALSE);
  plan->registered = vm_json_bool (object, "registered", FALSE);
  plan->trace = vm_json_bool (object, "trace", FALSE);
  plan->has_template = vm_json_bool (object, "has-template", FALSE);
  plan->template_inputs = vm_json_dup_strv (vm_json_array (object, "template-inputs"));
  plan->templates_max = (guint64)MAX (vm_json_int (object, "templates-max", 0), 0);
  return TRUE;
}

VmPlan *
vm_plan_from_json (json_object *object, GError **error)
{
  g_autoptr (VmPlan) plan = g_new0 (VmPlan, 1);
  json_object *command = vm_json_array (object, "command");

  plan->mounts = g_ptr_array_new_with_free_func ((GDestroyNotify)vm_mount_free);
  plan->makes = g_ptr_array_new_with_free_func ((GDestroyNotify)vm_make_free);
  for (gsize i = 0; i < G_N_ELEMENTS (fields); i++) {
    const char *text = vm_json_str (object, fields[i].key, NULL);

    if (fields[i].needed && !vm_json_need_str (object, fields[i].key, &text, error))
      return NULL;
    *field_of (plan, &fields[i]) = g_strdup (text);
  }
  plan->unkept = vm_json_dup_strv (vm_json_array (object, "unkept"));
  vm_groups_from_json (vm_json_object (object, "groups"), &plan->groups);
  plan->processes = (guint)CLAMP (vm_json_int (object, "processes", 0), 0, G_MAXINT32);
  plan->passed_over = vm_json_dup_strv (vm_json_array (object, "passed-over"));
  plan->grants = vm_json_dup_strv (vm_json_array (object, "grants"));
  plan->environment = vm_json_dup_strv (vm_json_array (object, "environment"));
  plan->secrets = vm_json_dup_strv (vm_json_array (object, "secrets"));
  plan->net_rules = vm_json_dup_strv (vm_json_array (object, "net-rules"));
  plan->linked = vm_json_dup_strv (vm_json_array (object, "linked"));
  plan->watched = vm_json_dup_strv (vm_json_array (object, "watched"));
  plan->notes = vm_json_dup_strv (vm_json_array (object, "notes"));
  plan->command = command != NULL ? vm_json_dup_strv (command) : NULL;
  if (!read_numbers (object, plan, error) || !read_makes (object, plan, error) ||
      !read_mounts (object, plan, error))
    return NULL;
  return g_steal_pointer (&plan);
}

VmPlan *
vm_plan_read (int runtime_fd, GError **error)
{
  gsize length;
  g_autofree char *text = vm_file_read (runtime_fd, "plan.json", PLAN_MAX, &length, error);
  g_autoptr (json_object) object = text != NULL ? vm_json_parse_object (text, length, error) : NULL;

  return object != NULL ? vm_plan_from_json (object, error) : NULL;
}
