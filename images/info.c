/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/info.h"

#include <string.h>

#include "vmctl/base/error.h"
#include "vmctl/base/json.h"

enum { TEXT_MAX = 4096, PARTITION_MAX = 255 };

static const char *const init_names[] = {
    [IMAGE_INIT_OTHER] = "other", [IMAGE_INIT_SYSTEMD] = "systemd", [IMAGE_INIT_NONE] = "none"};

const char *
image_init_name (ImageInit kind)
{
  return init_names[kind];
}

ImageInfo *
image_info_new (void)
{
  ImageInfo *info = g_new0 (ImageInfo, 1);

  info->names = g_new0 (char *, 1);
  info->init_kind = IMAGE_INIT_NONE;
  return info;
}

void
image_info_free (ImageInfo *info)
{
  if (info == NULL)
    return;
  g_free (info->dir);
  g_free (info->id);
  g_strfreev (info->names);
  g_free (info->origin);
  g_free (info->format);
  g_free (info->origin_sha256);
  json_object_put (info->origin_identity);
  g_free (info->filesystem);
  g_free (info->uuid);
  g_free (info->arch);
  g_free (info->os_id);
  g_free (info->os_version);
  g_free (info->os_name);
  g_free (info->init);
  g_free (info->kernel);
  g_free (info->kernel_problem);
  json_object_put (info->inspection);
  g_free (info);
}

char *
image_info_disk (const ImageInfo *info)
{
  return g_build_filename (info->dir, "disk.qcow2", NULL);
}

char *
image_info_kernel_root (const ImageInfo *info)
{
  return info->kernel != NULL ? g_build_filename (info->dir, "kernel", NULL) : NULL;
}

char *
image_info_label (const ImageInfo *info)
{
  return info->names[0] != NULL ? g_strdup (info->names[0]) : image_info_short_id (info);
}

char *
image_info_short_id (const ImageInfo *info)
{
  return g_strndup (info->id + strlen (IMAGE_ID_PREFIX), IMAGE_ID_SHORT);
}

/* One row a string member, for both directions. */
typedef struct {
  const char *key;
  gsize offset;
  gboolean needed;
} Member;

static const Member members[] = {
    {"origin", G_STRUCT_OFFSET (ImageInfo, origin), TRUE},
    {"format", G_STRUCT_OFFSET (ImageInfo, format), TRUE},
    {"origin-sha256", G_STRUCT_OFFSET (ImageInfo, origin_sha256), FALSE},
    {"filesystem", G_STRUCT_OFFSET (ImageInfo, filesystem), FALSE},
    {"uuid", G_STRUCT_OFFSET (ImageInfo, uuid), FALSE},
    {"arch", G_STRUCT_OFFSET (ImageInfo, arch), FALSE},
    {"os-id", G_STRUCT_OFFSET (ImageInfo, os_id), FALSE},
    {"os-version", G_STRUCT_OFFSET (ImageInfo, os_version), FALSE},
    {"os-name", G_STRUCT_OFFSET (ImageInfo, os_name), FALSE},
    {"init", G_STRUCT_OFFSET (ImageInfo, init), FALSE},
    {"kernel", G_STRUCT_OFFSET (ImageInfo, kernel), FALSE},
    {"kernel-problem", G_STRUCT_OFFSET (ImageInfo, kernel_problem), FALSE},
};

json_object *
image_info_to_json (const ImageInfo *info)
{
  json_object *object = json_object_new_object ();

  for (guint i = 0; i < G_N_ELEMENTS (members); i++)
    vm_json_add_str (object, members[i].key, G_STRUCT_MEMBER (char *, info, members[i].offset));
  vm_json_add_int (object, "created", info->created);
  vm_json_add_int (object, "size", (gint64)info->size);
  vm_json_add_int (object, "partition", info->partition);
  vm_json_add_str (object, "init-kind", image_init_name (info->init_kind));
  if (info->is_host)
    vm_json_add_bool (object, "host-root", TRUE);
  if (info->origin_identity != NULL)
    vm_json_add (object, "origin-identity", json_object_get (info->origin_identity));
  if (info->inspection != NULL)
    vm_json_add (object, "inspection", json_object_get (info->inspection));
  return object;
}

json_object *
image_info_to_shown_json (const ImageInfo *info)
{
  json_object *object = json_object_new_object ();
  g_autoptr (json_object) rest = image_info_to_json (info);

  vm_json_add_str (object, "id", info->id);
  vm_json_add_strv (object, "names", (const char *const *)info->names);
  vm_json_add_str (object, "directory", info->dir);
  vm_json_add_bool (object, "system", info->system);
  vm_json_add_int (object, "bytes", (gint64)info->bytes);
  json_object_object_foreach (rest, key, value)
  {
    if (!g_str_equal (key, "origin-identity"))
      vm_json_add (object, key, json_object_get (value));
  }
  return object;
}

gboolean
image_info_is_text (const char *text)
{
  gsize length = strlen (text);

  if (length == 0 || length > TEXT_MAX || !g_utf8_validate (text, (gssize)length, NULL))
    return FALSE;
  for (const char *at = text; *at != '\0'; at = g_utf8_next_char (at))
    if (!g_unichar_isprint (g_utf8_get_char (at)))
      return FALSE;
  return TRUE;
}

/* A path inside the image: nothing that leads out of it, whoever joins it to something. */
static gboolean
is_inner_path (const char *path)
{
  g_auto (GStrv) parts = g_strsplit (path, "/", -1);

  return *path == '/' && !g_strv_contains ((const char *const *)parts, "..");
}

static gboolean
read_members (json_object *object, ImageInfo *info, GError **error)
{
  for (guint i = 0; i < G_N_ELEMENTS (members); i++) {
    const char *value = vm_json_str (object, members[i].key, NULL);

    if (value == NULL && members[i].needed)
      return vm_error (error, VM_ERROR_INVALID, "image.json has no '%s'", members[i].key);
    if (value != NULL && !image_info_is_text (value))
      return vm_error (error, VM_ERROR_INVALID, "'%s' in image.json is not plain text", members[i].key);
    G_STRUCT_MEMBER (char *, info, members[i].offset) = g_strdup (value);
  }
  return TRUE;
}

static gboolean
read_init (json_object *object, ImageInfo *info, GError **error)
{
  const char *name = vm_json_str (object, "init-kind", "");
  guint kind = 0;

  while (kind < G_N_ELEMENTS (init_names) && !g_str_equal (init_names[kind], name))
    kind++;
  if (kind == G_N_ELEMENTS (init_names) || (kind == IMAGE_INIT_NONE) != (info->init == NULL))
    return vm_error (error, VM_ERROR_INVALID, "'init-kind' in image.json does not say what init is");
  if (info->init != NULL && !is_inner_path (info->init))
    return vm_error (error, VM_ERROR_INVALID, "'init' in image.json is not a path inside the image");
  info->init_kind = (ImageInit)kind;
  return TRUE;
}

/* The root is on the disk, or there is none. */
static gboolean
check_root (const ImageInfo *info, GError **error)
{
  if (!info->is_host && info->filesystem == NULL)
    return vm_error (error, VM_ERROR_INVALID, "image.json has no 'filesystem'");
  if (info->is_host &&
      (info->filesystem != NULL || info->kernel != NULL || info->init_kind != IMAGE_INIT_SYSTEMD))
    return vm_error (error, VM_ERROR_INVALID, "'host-root' in image.json does not go with a disk");
  return TRUE;
}

ImageInfo *
image_info_from_json (json_object *object, GError **error)
{
  g_autoptr (ImageInfo) info = image_info_new ();
  json_object *inspection = vm_json_object (object, "inspection");
  json_object *identity = vm_json_object (object, "origin-identity");
  gint64 size, partition;

  info->is_host = vm_json_bool (object, "host-root", FALSE);
  if (!read_members (object, info, error) || !read_init (object, info, error) || !check_root (info, error) ||
      !vm_json_need_int (object, "size", &size, error) ||
      !vm_json_need_int (object, "partition", &partition, error) ||
      !vm_json_need_int (object, "created", &info->created, error))
    return NULL;
  if (size < 0 || (size == 0) != info->is_host || partition < 0 ||
      partition > (info->is_host ? 0 : PARTITION_MAX)) {
    vm_error (error, VM_ERROR_INVALID, "'size' or 'partition' in image.json is out of bounds");
    return NULL;
  }
  if (info->kernel != NULL && strchr (info->kernel, '/') != NULL) {
    vm_error (error, VM_ERROR_INVALID, "'kernel' in image.json is not a version");
    return NULL;
  }
  info->size = (guint64)size;
  info->partition = (int)partition;
  info->inspection = inspection != NULL ? json_object_get (inspection) : NULL;
  info->origin_identity = identity != NULL ? json_object_get (identity) : NULL;
  return g_steal_pointer (&info);
}
