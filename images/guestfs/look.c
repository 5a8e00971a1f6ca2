/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/guestfs/look.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "images/guestfs/jail.h"
#include "images/guestfs/texts.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/json.h"

enum { TEXT_MAX = 1 << 20, DATABASE_MAX = 128 << 20 };

#define DATABASE IMAGE_JAIL_TMP "/packages"

static const char *const agents[] = {"/usr/libexec/vmctl/vmctl-agent", "/usr/local/libexec/vmctl/vmctl-agent",
                                     "/usr/lib/vmctl/vmctl-agent",
                                     "/run/current-system/sw/libexec/vmctl/vmctl-agent"};

/* The caller's text, which may be anything. Frees it; NULL adds nothing. */
static void
add_text (json_object *object, const char *key, char *take_text)
{
  if (take_text != NULL && *take_text != '\0')
    vm_json_add (object, key, vm_json_new_text (take_text));
  free (take_text);
}

/* File systems */

static void
add_use (ImageAppliance *a, json_object *object, const char *device)
{
  struct guestfs_statvfs *st;

  (void)guestfs_umount_all (a->g);
  if (guestfs_mount_ro (a->g, device, "/") < 0)
    return;
  st = guestfs_statvfs (a->g, "/");
  if (st != NULL) {
    vm_json_add_int (object, "used", (st->blocks - st->bfree) * st->frsize);
    vm_json_add_int (object, "free", st->bavail * st->frsize);
    guestfs_free_statvfs (st);
  }
}

static json_object *
describe (ImageAppliance *a, const char *device, const char *type, gboolean is_root)
{
  json_object *object = json_object_new_object ();
  gboolean is_data = !g_str_equal (type, "swap") && !g_str_equal (type, "unknown");

  vm_json_add (object, "device", vm_json_new_text (device));
  vm_json_add (object, "type", vm_json_new_text (type));
  add_text (object, "label", is_data ? guestfs_vfs_label (a->g, device) : NULL);
  add_text (object, "uuid", is_data ? guestfs_vfs_uuid (a->g, device) : NULL);
  vm_json_add_int (object, "size", guestfs_blockdev_getsize64 (a->g, device));
  if (is_data)
    add_use (a, object, device);
  vm_json_add_bool (object, "root", is_root);
  return object;
}

/* As the guest has them: its first disk is /dev/vda. (transfer full) */
static char *
name_in_guest (const char *device)
{
  return g_str_has_prefix (device, "/dev/sda") ? g_strconcat ("/dev/vda", device + 8, NULL)
                                               : g_strdup (device);
}

static gboolean
add_filesystems (ImageAppliance *a, const char *root, json_object *out, GError **error)
{
  json_object *array = json_object_new_array ();
  autostrings all = guestfs_list_filesystems (a->g);

  vm_json_add (out, "filesystems", array);
  if (all == NULL)
    return image_appliance_fail (a, error, "cannot look for file systems");
  for (char **one = all; *one != NULL && one[1] != NULL; one += 2) {
    json_object *object = describe (a, *one, one[1], g_str_equal (*one, root));
    g_autofree char *name = name_in_guest (*one);

    vm_json_add (object, "device", vm_json_new_text (name));
    json_object_array_add (array, object);
  }
  return TRUE;
}

/* The system */

static void
add_mounts (ImageAppliance *a, const char *root, json_object *out)
{
  json_object *array = json_object_new_array ();
  autostrings all = guestfs_inspect_get_mountpoints (a->g, root);

  for (char **one = all; one != NULL && *one != NULL && one[1] != NULL; one += 2) {
    json_object *object = json_object_new_object ();
    g_autofree char *what = name_in_guest (one[1]);

    vm_json_add (object, "what", vm_json_new_text (what));
    vm_json_add (object, "where", vm_json_new_text (*one));
    json_object_array_add (array, object);
  }
  vm_json_add (out, "mounts", array);
}

static gboolean
is_unknown (const char *text)
{
  return text == NULL || g_str_equal (text, "unknown");
}

/* Databases that are texts, and what a line begins with for each package that is there. */
static const struct {
  const char *format, *path, *line;
} databases[] = {{"deb", "/var/lib/dpkg/status", "Status: install ok installed"},
                 {"apk", "/lib/apk/db/installed", "P:"}};

/* -1: there is none. */
static gint64
count_lines (ImageAppliance *a, const char *path, const char *line)
{
  vm_autofd fd = open (DATABASE, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  g_autofree char *text = NULL;

  (void)unlink (DATABASE);
  if (fd < 0 || !image_appliance_download (a, path, fd, NULL) || lseek (fd, 0, SEEK_SET) < 0)
    return -1;
  text = vm_fd_read_all (fd, DATABASE_MAX, NULL, NULL);
  return text != NULL ? (gint64)image_guestfs_count (text, line) : -1;
}

static gint64
count_others (ImageAppliance *a, const char *root)
{
  struct guestfs_application2_list *all = guestfs_inspect_list_applications2 (a->g, root);
  gint64 count = all != NULL ? (gint64)all->len : -1;

  if (all != NULL)
    guestfs_free_application2_list (all);
  return count;
}

static void
add_packages (ImageAppliance *a, const char *root, gboolean is_known, json_object *out)
{
  g_autoptr (gchar) format = is_known ? guestfs_inspect_get_package_format (a->g, root) : NULL;
  const char *found = !is_unknown (format) ? format : NULL;
  gint64 count = -1;
  json_object *object;

  for (guint i = 0; count < 0 && i < G_N_ELEMENTS (databases); i++)
    if ((count = count_lines (a, databases[i].path, databases[i].line)) >= 0)
      found = databases[i].format;
  if (count < 0 && found != NULL)
    count = count_others (a, root);
  if (count < 0)
    return;
  object = json_object_new_object ();
  vm_json_add_str (object, "format", found);
  vm_json_add_int (object, "count", count);
  vm_json_add (out, "packages", object);
}

static void
add_os_name (ImageAppliance *a, json_object *out)
{
  g_autofree char *text = image_appliance_read (a, "/etc/os-release", TEXT_MAX);
  g_autofree char *name = text != NULL ? image_guestfs_os_name (text) : NULL;

  if (name != NULL)
    vm_json_add (out, "os", vm_json_new_text (name));
}

static char *
version_of (ImageAppliance *a, const char *root)
{
  int major = guestfs_inspect_get_major_version (a->g, root),
      minor = guestfs_inspect_get_minor_version (a->g, root);
  g_autofree char *text = minor > 0 ? g_strdup_printf ("%d.%d", major, minor) : g_strdup_printf ("%d", major);

  return major > 0 ? strdup (text) : NULL;
}

/* An image without a system that libguestfs knows is fine. */
static void
add_system (ImageAppliance *a, const char *root, json_object *out)
{
  autostrings roots = guestfs_inspect_os (a->g);
  g_autoptr (gchar) id = NULL;

  if (roots == NULL || !g_strv_contains ((const char *const *)roots, root))
    return;
  id = guestfs_inspect_get_distro (a->g, root);
  if (!is_unknown (id))
    vm_json_add (out, "id", vm_json_new_text (id));
  add_text (out, "os", guestfs_inspect_get_product_name (a->g, root));
  add_text (out, "version", version_of (a, root));
  add_text (out, "hostname", guestfs_inspect_get_hostname (a->g, root));
  add_text (out, "arch", guestfs_inspect_get_arch (a->g, root));
  add_mounts (a, root, out);
}

static gboolean
has_agent (ImageAppliance *a)
{
  for (guint i = 0; i < G_N_ELEMENTS (agents); i++)
    if (guestfs_is_file_opts (a->g, agents[i], GUESTFS_IS_FILE_OPTS_FOLLOWSYMLINKS, 1, -1) > 0)
      return TRUE;
  return FALSE;
}

static gboolean
add_root (ImageAppliance *a, const char *root, json_object *out, GError **error)
{
  g_autofree char *passwd = NULL;

  (void)guestfs_umount_all (a->g);
  if (guestfs_mount_ro (a->g, root, "/") < 0)
    return image_appliance_fail (a, error, "cannot mount the root file system");
  passwd = image_appliance_read (a, "/etc/passwd", TEXT_MAX);
  vm_json_add (out, "users", image_guestfs_users (passwd != NULL ? passwd : ""));
  vm_json_add_bool (out, "agent", has_agent (a));
  add_os_name (a, out);
  add_packages (a, root, json_object_object_get_ex (out, "id", NULL), out);
  return TRUE;
}

json_object *
image_look_deep (ImageAppliance *a, int partition, GError **error)
{
  g_autofree char *root = image_appliance_device (0, partition);
  g_autoptr (json_object) out = json_object_new_object ();

  a->say ("looking at the file systems", -1, a->data);
  if (!add_filesystems (a, root, out, error))
    return NULL;
  (void)guestfs_umount_all (a->g);
  a->say ("looking at the system", -1, a->data);
  add_system (a, root, out);
  return add_root (a, root, out, error) ? g_steal_pointer (&out) : NULL;
}
