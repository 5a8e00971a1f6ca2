/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/ext/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "images/ext/tree.h"
#include "images/info.h"
#include "images/modules.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"

#define MODULES "/lib/modules"
#define NIXOS_MODULES IMAGE_NIXOS_SYSTEM "/kernel-modules/lib/modules"

enum { KERNELS_MAX = 3, NAMES_MAX = 4096, DEPTH_MAX = 16, FILE_MAX = 256 << 20, LIST_MAX = 32 << 20 };

/* Where a kernel was found: the whole, since it may be in another file system than its modules. */
typedef struct {
  char *version, *path;     /* owned */
  const char *modules;      /* static; the root's directory that has one named `version` */
  ImagePartition partition; /* the file system that it is in */
} Found;

static void
found_free (gpointer data)
{
  Found *f = data;

  g_free (f->version);
  g_free (f->path);
  g_free (f);
}

/* One component of a path, and what a file name may be without surprises. */
static gboolean
is_plain (const char *name)
{
  return g_ascii_isalnum (*name) && strlen (name) < 200 &&
         strspn (name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-") == strlen (name);
}

static void
add (GPtrArray *all, const char *version, const char *modules, char *take_path,
     const ImagePartition *partition)
{
  Found *f;

  for (guint i = 0; i < all->len; i++)
    if (g_str_equal (((Found *)g_ptr_array_index (all, i))->version, version)) {
      g_free (take_path);
      return;
    }
  f = g_new0 (Found, 1);
  f->version = g_strdup (version);
  f->modules = modules;
  f->path = take_path;
  f->partition = *partition;
  g_ptr_array_add (all, f);
}

static void
look_in_boot (GPtrArray *all, ext2_filsys fs, const char *dir, const ImagePartition *partition)
{
  g_autoptr (GPtrArray) names = image_tree_list (fs, dir, NAMES_MAX);

  for (guint i = 0; i < names->len; i++) {
    const char *name = g_ptr_array_index (names, i);
    g_autofree char *path = g_build_filename (dir, name, NULL);

    if (g_str_has_prefix (name, "vmlinuz-") && is_plain (name) && is_plain (name + strlen ("vmlinuz-")) &&
        image_tree_is_file (fs, path))
      add (all, name + strlen ("vmlinuz-"), MODULES, g_steal_pointer (&path), partition);
  }
}

static void
look_in_modules (GPtrArray *all, ext2_filsys fs, const ImagePartition *partition)
{
  g_autoptr (GPtrArray) names = image_tree_list (fs, MODULES, NAMES_MAX);

  for (guint i = 0; i < names->len; i++) {
    const char *version = g_ptr_array_index (names, i);
    g_autofree char *path = g_build_filename (MODULES, version, "vmlinuz", NULL);

    if (is_plain (version) && image_tree_is_file (fs, path))
      add (all, version, MODULES, g_steal_pointer (&path), partition);
  }
}

/* Of NixOS only the system's that boots; its kernel's name says nothing, its modules' directory does. */
static void
look_in_nixos (GPtrArray *all, ext2_filsys fs, const ImagePartition *partition)
{
  static const char *const kernel = IMAGE_NIXOS_SYSTEM "/kernel";
  g_autoptr (GPtrArray) names = image_tree_list (fs, NIXOS_MODULES, NAMES_MAX);

  if (names->len == 1 && is_plain (g_ptr_array_index (names, 0)) && image_tree_is_file (fs, kernel))
    add (all, g_ptr_array_index (names, 0), NIXOS_MODULES, g_strdup (kernel), partition);
}

static int
by_version (gconstpointer a, gconstpointer b)
{
  const Found *x = *(Found *const *)a, *y = *(Found *const *)b;

  return strverscmp (x->version, y->version);
}

static GPtrArray *
find_all (ImageNbd *nbd, GArray *partitions, const ImagePartition *root, ext2_filsys fs)
{
  GPtrArray *all = g_ptr_array_new_with_free_func (found_free);

  look_in_boot (all, fs, "/boot", root);
  look_in_modules (all, fs, root);
  look_in_nixos (all, fs, root);
  for (guint i = 0; i < partitions->len; i++) {
    const ImagePartition *p = &g_array_index (partitions, ImagePartition, i);
    ext2_filsys other = p->number != root->number && image_layout_is_ext (p->type)
                            ? image_nbd_open_ext (nbd, p->start, p->length, NULL)
                            : NULL;

    if (other != NULL) {
      look_in_boot (all, other, "/", p);
      ext2fs_free (other);
    }
  }
  g_ptr_array_sort (all, by_version);
  if (all->len > KERNELS_MAX)
    g_ptr_array_remove_range (all, 0, all->len - KERNELS_MAX);
  return all;
}

char **
image_look_kernels (ImageNbd *nbd, GArray *partitions, const ImagePartition *root, ext2_filsys fs)
{
  g_autoptr (GPtrArray) all = find_all (nbd, partitions, root, fs);
  GPtrArray *out = g_ptr_array_new ();

  for (guint i = 0; i < all->len; i++)
    g_ptr_array_add (out, g_strdup (((Found *)g_ptr_array_index (all, i))->version));
  g_ptr_array_add (out, NULL);
  return (char **)g_ptr_array_free (out, FALSE);
}

/* Extracting */

/* The directories of `path`, which is relative and of plain components, below `dir_fd`; then the file. */
static int
create_below (int dir_fd, const char *path, GError **error)
{
  g_auto (GStrv) parts = g_strsplit (path, "/", DEPTH_MAX + 1);
  guint n = g_strv_length (parts);
  vm_autofd dir = fcntl (dir_fd, F_DUPFD_CLOEXEC, 3);
  int fd;

  for (guint i = 0; i < n; i++)
    if (n > DEPTH_MAX || !is_plain (parts[i])) {
      vm_error (error, VM_ERROR_INVALID, "the name of a kernel's module in the image is not one");
      return -1;
    }
  for (guint i = 0; i + 1 < n; i++) {
    int next;

    (void)mkdirat (dir, parts[i], 0700);
    next = openat (dir, parts[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    vm_fd_clear (&dir);
    dir = next;
  }
  fd = openat (dir, parts[n - 1], O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0)
    vm_error_errno (error, errno, "cannot write '%s'", path);
  return fd;
}

static gboolean
copy_one (ext2_filsys fs, const char *from, int dir_fd, const char *to, GError **error)
{
  vm_autofd fd = create_below (dir_fd, to, error);

  return fd >= 0 && image_tree_copy (fs, from, FILE_MAX, fd, error);
}

typedef struct {
  ext2_filsys fs;      /* borrowed */
  const char *from;    /* borrowed; "/lib/modules/VERSION", as a rule */
  const char *to;      /* borrowed; "lib/modules/VERSION" */
  int dir_fd;          /* borrowed */
  GHashTable *written; /* owned; of what modules.dep calls it */
} Modules;

static gboolean
copy_module (Modules *m, const char *name, GError **error)
{
  g_autofree char *from = g_build_filename (m->from, name, NULL), *to = g_build_filename (m->to, name, NULL);

  if (*name == '\0' || *name == '/' || !g_hash_table_add (m->written, g_strdup (name)))
    return TRUE;
  return !image_tree_is_file (m->fs, from) || copy_one (m->fs, from, m->dir_fd, to, error);
}

/* "a.ko: b.ko c.ko", if it is wanted. */
static gboolean
copy_line (Modules *m, char *line, const char *const *wanted, GError **error)
{
  char *colon = strchr (line, ':');
  g_autofree char *name = NULL;
  g_auto (GStrv) needs = NULL;

  if (colon == NULL)
    return TRUE;
  *colon = '\0';
  name = image_module_name (line);
  if (!g_strv_contains (wanted, name))
    return TRUE;
  needs = g_strsplit (colon + 1, " ", -1);
  for (char **need = needs; *need != NULL; need++)
    if (!copy_module (m, *need, error))
      return FALSE;
  return copy_module (m, line, error);
}

static gboolean
copy_modules (ext2_filsys fs, const Found *f, const char *const *wanted, int dir_fd, GError **error)
{
  static const char *const lists[] = {"modules.dep", "modules.builtin"};
  g_autofree char *from = g_build_filename (f->modules, f->version, NULL);
  g_autofree char *to = g_build_filename ("lib/modules", f->version, NULL);
  g_autofree char *dep = g_build_filename (from, "modules.dep", NULL);
  g_autofree char *text = image_tree_read (fs, dep, LIST_MAX, NULL);
  g_autoptr (GHashTable) written = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_auto (GStrv) lines = g_strsplit (text != NULL ? text : "", "\n", -1);
  Modules m = {.fs = fs, .from = from, .to = to, .dir_fd = dir_fd, .written = written};

  for (guint i = 0; i < G_N_ELEMENTS (lists); i++)
    if (!copy_module (&m, lists[i], error))
      return FALSE;
  for (char **line = lines; *line != NULL; line++)
    if (!copy_line (&m, *line, wanted, error))
      return FALSE;
  return TRUE;
}

gboolean
image_kernel_extract (ImageNbd *nbd, GArray *partitions, const ImagePartition *root, ext2_filsys fs,
                      const char *const *modules, int dir_fd, GError **error)
{
  g_autoptr (GPtrArray) all = find_all (nbd, partitions, root, fs);

  for (guint i = 0; i < all->len; i++) {
    const Found *f = g_ptr_array_index (all, i);
    g_autofree char *name = g_strdup_printf ("boot/vmlinuz-%s", f->version);
    ext2_filsys own = f->partition.number == root->number
                          ? fs
                          : image_nbd_open_ext (nbd, f->partition.start, f->partition.length, error);
    gboolean ok = own != NULL && copy_one (own, f->path, dir_fd, name, error);

    if (own != NULL && own != fs)
      ext2fs_free (own);
    if (!ok || !copy_modules (fs, f, modules, dir_fd, error))
      return FALSE;
  }
  return TRUE;
}
