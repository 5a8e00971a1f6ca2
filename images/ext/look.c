/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/ext/look.h"

#include <elf.h>
#include <string.h>

#include "images/ext/kernel.h"
#include "images/ext/tree.h"
#include "images/info.h"
#include "vmctl/base/error.h"
#include "vmctl/base/json.h"

enum { TEXT_MAX = 64 << 10, LINES_MAX = 100, UID_FIRST = 1000, UID_LAST = 59999 };

/* NixOS's last: where its initrd has systemd, "init" is systemd, and what has to come before is
 * "prepare-root". */
static const char *const inits[] = {"/sbin/init",
                                    "/usr/sbin/init",
                                    "/etc/init",
                                    "/bin/init",
                                    IMAGE_NIXOS_SYSTEM "/prepare-root",
                                    IMAGE_NIXOS_SYSTEM "/init",
                                    NULL};
static const char *const systemds[] = {"/usr/lib/systemd/systemd", "/lib/systemd/systemd", NULL};
/* NixOS that has not been started yet has no /etc, but where that will come from. */
static const char *const releases[] = {"/etc/os-release", "/usr/lib/os-release",
                                       IMAGE_NIXOS_SYSTEM "/etc/os-release", NULL};
static const char *const agents[] = {"/usr/libexec/vmctl/vmctl-agent", "/usr/local/libexec/vmctl/vmctl-agent",
                                     "/usr/lib/vmctl/vmctl-agent",
                                     IMAGE_NIXOS_SYSTEM "/sw/libexec/vmctl/vmctl-agent", NULL};

/* The first of them that is there; NULL: none. `ret` (may be NULL): its inode. */
static const char *
first_of (ext2_filsys fs, const char *const *paths, ext2_ino_t *ret)
{
  for (; *paths != NULL; paths++) {
    ext2_ino_t ino = image_tree_find (fs, *paths, NULL);

    if (ino != 0 && ret != NULL)
      *ret = ino;
    if (ino != 0)
      return *paths;
  }
  return NULL;
}

/* Finding the root */

static const char *
shown_type (const ImagePartition *p)
{
  return p->type != NULL ? p->type : "not recognised";
}

static char *
describe_all (GArray *partitions)
{
  GString *out = g_string_new (NULL);

  for (guint i = 0; i < partitions->len; i++) {
    const ImagePartition *p = &g_array_index (partitions, ImagePartition, i);

    if (p->number == 0)
      g_string_append_printf (out, "the whole disk is %s", shown_type (p));
    else
      g_string_append_printf (out, "%spartition %d is %s", i > 0 ? ", " : "", p->number, shown_type (p));
  }
  return g_string_free (out, FALSE);
}

static gboolean
is_root (ext2_filsys fs)
{
  return first_of (fs, releases, NULL) != NULL || first_of (fs, inits, NULL) != NULL ||
         first_of (fs, systemds, NULL) != NULL || image_tree_find (fs, "/bin/sh", NULL) != 0;
}

static ext2_filsys
open_wanted (ImageNbd *nbd, GArray *partitions, int wanted, ImagePartition *ret, GError **error)
{
  g_autofree char *all = describe_all (partitions);

  for (guint i = 0; i < partitions->len; i++) {
    const ImagePartition *p = &g_array_index (partitions, ImagePartition, i);

    if (p->number != wanted)
      continue;
    if (!image_layout_is_ext (p->type))
      break;
    *ret = *p;
    return image_nbd_open_ext (nbd, p->start, p->length, error);
  }
  vm_error (error, VM_ERROR_UNSUPPORTED, "--root %d is no ext2, ext3 or ext4 file system of this image: %s",
            wanted, all);
  return NULL;
}

ext2_filsys
image_look_root (ImageNbd *nbd, GArray *partitions, int wanted, ImagePartition *ret, GError **error)
{
  g_autofree char *all = describe_all (partitions);
  g_autoptr (GString) roots = g_string_new (NULL);
  ext2_filsys found = NULL;
  guint n = 0;

  if (wanted >= 0)
    return open_wanted (nbd, partitions, wanted, ret, error);
  for (guint i = 0; i < partitions->len; i++) {
    const ImagePartition *p = &g_array_index (partitions, ImagePartition, i);
    ext2_filsys fs =
        image_layout_is_ext (p->type) ? image_nbd_open_ext (nbd, p->start, p->length, NULL) : NULL;

    if (fs == NULL || !is_root (fs)) {
      if (fs != NULL)
        ext2fs_free (fs);
      continue;
    }
    g_string_append_printf (roots, "%s%d", n > 0 ? " or " : "", p->number);
    if (n++ == 0) {
      found = fs;
      *ret = *p;
    } else {
      ext2fs_free (fs);
    }
  }
  if (n == 1)
    return found;
  if (found != NULL)
    ext2fs_free (found);
  if (n > 1)
    vm_error (error, VM_ERROR_USAGE, "more than one partition could be the root; write --root %s",
              roots->str);
  else
    vm_error (error, VM_ERROR_UNSUPPORTED,
              "no root file system that vmctl can read (ext2, ext3, ext4) is in it: %s", all);
  return NULL;
}

/* Describing it */

static void
add_text (json_object *object, const char *key, const char *text)
{
  if (text != NULL && image_info_is_text (text))
    vm_json_add_str (object, key, text);
}

/* KEY=VALUE, KEY="VALUE" or KEY='VALUE'; nothing else is of use in what is asked for. (transfer full) */
static char *
release_value (const char *text, const char *key)
{
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  gsize length = strlen (key);

  for (char **line = lines; *line != NULL; line++) {
    char *value, quote;

    if (strncmp (*line, key, length) != 0 || (*line)[length] != '=')
      continue;
    value = g_strstrip (*line + length + 1);
    quote = *value;
    if ((quote == '"' || quote == '\'') && strlen (value) >= 2 && value[strlen (value) - 1] == quote) {
      value[strlen (value) - 1] = '\0';
      value++;
    }
    return g_strdup (value);
  }
  return NULL;
}

static void
add_release (ext2_filsys fs, json_object *out)
{
  static const char *const keys[][2] = {
      {"ID", "os-id"}, {"VERSION_ID", "os-version"}, {"PRETTY_NAME", "os-name"}};
  const char *path = first_of (fs, releases, NULL);
  g_autofree char *text = path != NULL ? image_tree_read (fs, path, TEXT_MAX, NULL) : NULL;

  for (guint i = 0; text != NULL && i < G_N_ELEMENTS (keys); i++) {
    g_autofree char *value = release_value (text, keys[i][0]);

    add_text (out, keys[i][1], value);
  }
}

static void
add_init (ext2_filsys fs, json_object *out)
{
  ext2_ino_t init_ino = 0, systemd_ino = 0;
  const char *init = first_of (fs, inits, &init_ino), *systemd = first_of (fs, systemds, &systemd_ino);
  /* NixOS starts it from a script. */
  gboolean is_systemd = systemd != NULL && (init == NULL || init_ino == systemd_ino);
  gboolean is_nixos = init != NULL && g_str_has_prefix (init, "/nix/");
  ImageInit kind = is_systemd || is_nixos ? IMAGE_INIT_SYSTEMD
                   : init != NULL         ? IMAGE_INIT_OTHER
                                          : IMAGE_INIT_NONE;

  vm_json_add_str (out, "init-kind", image_init_name (kind));
  if (kind != IMAGE_INIT_NONE)
    vm_json_add_str (out, "init", is_systemd ? systemd : init);
}

static const char *
machine_name (guint machine, gboolean is_64)
{
  switch (machine) {
  case EM_X86_64:
    return is_64 ? "x86_64" : NULL;
  case EM_386:
    return "i686";
  case EM_AARCH64:
    return "aarch64";
  case EM_ARM:
    return "armv7l";
  case EM_RISCV:
    return is_64 ? "riscv64" : "riscv32";
  case EM_PPC64:
    return "ppc64le";
  case EM_S390:
    return "s390x";
  default:
    return NULL;
  }
}

static void
add_arch (ext2_filsys fs, json_object *out)
{
  static const char *const programs[] = {"/usr/lib/systemd/systemd",
                                         "/lib/systemd/systemd",
                                         IMAGE_NIXOS_SYSTEM "/systemd/lib/systemd/systemd",
                                         "/bin/sh",
                                         "/sbin/init",
                                         "/usr/bin/env",
                                         "/bin/busybox",
                                         NULL};

  for (const char *const *path = programs; *path != NULL; path++) {
    gsize length = 0;
    g_autofree char *head = image_tree_read (fs, *path, EI_NIDENT + 4, &length);

    if (head == NULL || length < EI_NIDENT + 4 || memcmp (head, ELFMAG, SELFMAG) != 0)
      continue;
    /* All that are named are little-endian, but for s390x. */
    add_text (out, "arch",
              machine_name (head[EI_DATA] == ELFDATA2MSB ? (guint8)head[EI_NIDENT + 3]
                                                         : (guint8)head[EI_NIDENT + 2],
                            head[EI_CLASS] == ELFCLASS64));
    return;
  }
}

static void
add_uuid (ext2_filsys fs, json_object *out)
{
  const guint8 *u = fs->super->s_uuid;
  g_autofree char *text = g_strdup_printf (
      "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0], u[1], u[2], u[3], u[4],
      u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15]);

  vm_json_add_str (out, "uuid", text);
}

/* The lines of a text file whose words, split at `separator`, are at least `least`. */
typedef void (*LineFunc) (char **words, json_object *array);

static json_object *
read_table (ext2_filsys fs, const char *path, const char *separators, guint least, LineFunc func)
{
  g_autofree char *text = image_tree_read (fs, path, TEXT_MAX, NULL);
  g_auto (GStrv) lines = g_strsplit (text != NULL ? text : "", "\n", -1);
  json_object *array = json_object_new_array ();

  for (char **line = lines; *line != NULL && json_object_array_length (array) < LINES_MAX; line++) {
    g_auto (GStrv) all = g_strsplit_set (*line, separators, -1);
    g_autoptr (GPtrArray) words = g_ptr_array_new_null_terminated (8, NULL, TRUE);

    for (char **word = all; *word != NULL; word++)
      if (**word != '\0' || strcmp (separators, ":") == 0)
        g_ptr_array_add (words, *word);
    if (words->len >= least && **line != '#')
      func ((char **)words->pdata, array);
  }
  return array;
}

static void
add_user (char **words, json_object *array)
{
  json_object *user = NULL;
  gint64 uid = g_ascii_strtoll (words[2], NULL, 10);

  if (uid < UID_FIRST || uid > UID_LAST || !image_info_is_text (words[0]))
    return;
  user = json_object_new_object ();
  vm_json_add_str (user, "name", words[0]);
  vm_json_add_int (user, "uid", uid);
  add_text (user, "home", words[5]);
  add_text (user, "shell", words[6]);
  json_object_array_add (array, user);
}

static void
add_mount (char **words, json_object *array)
{
  json_object *mount = json_object_new_object ();

  add_text (mount, "what", words[0]);
  add_text (mount, "where", words[1]);
  add_text (mount, "type", words[2]);
  json_object_array_add (array, mount);
}

static json_object *
list_partitions (GArray *partitions)
{
  json_object *array = json_object_new_array ();

  for (guint i = 0; i < partitions->len; i++) {
    const ImagePartition *p = &g_array_index (partitions, ImagePartition, i);
    json_object *object = json_object_new_object ();

    vm_json_add_int (object, "number", p->number);
    vm_json_add_int (object, "start", (gint64)p->start);
    vm_json_add_int (object, "size", (gint64)p->length);
    vm_json_add_str (object, "type", p->type);
    json_object_array_add (array, object);
  }
  return array;
}

static json_object *
inspect (ImageNbd *nbd, GArray *partitions, const ImagePartition *root, ext2_filsys fs)
{
  json_object *out = json_object_new_object ();
  g_autofree char *hostname = image_tree_read (fs, "/etc/hostname", 256, NULL);
  g_auto (GStrv) kernels = image_look_kernels (nbd, partitions, root, fs);
  guint64 block = fs->blocksize;

  vm_json_add (out, "partitions", list_partitions (partitions));
  add_text (out, "hostname", hostname != NULL ? g_strstrip (hostname) : NULL);
  vm_json_add (out, "users", read_table (fs, "/etc/passwd", ":", 7, add_user));
  vm_json_add (out, "mounts", read_table (fs, "/etc/fstab", " \t", 3, add_mount));
  vm_json_add_strv (out, "kernels", (const char *const *)kernels);
  vm_json_add_bool (out, "agent", first_of (fs, agents, NULL) != NULL);
  vm_json_add_int (out, "root-size", (gint64)(ext2fs_blocks_count (fs->super) * block));
  vm_json_add_int (out, "root-free", (gint64)(ext2fs_free_blocks_count (fs->super) * block));
  vm_json_add_bool (out, "needs-recovery", ext2fs_has_feature_journal_needs_recovery (fs->super));
  return out;
}

json_object *
image_look_describe (ImageNbd *nbd, GArray *partitions, const ImagePartition *root, ext2_filsys fs)
{
  json_object *out = json_object_new_object ();

  vm_json_add_int (out, "size", (gint64)image_nbd_size (nbd));
  vm_json_add_int (out, "partition", root->number);
  vm_json_add_str (out, "filesystem", root->type);
  add_uuid (fs, out);
  add_release (fs, out);
  add_init (fs, out);
  add_arch (fs, out);
  vm_json_add (out, "inspection", inspect (nbd, partitions, root, fs));
  return out;
}
