/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How it works
 *
 * All places where distributions put kernels are listed into candidates (path, name), each candidate gets its
 * version (from its name if there are modules for that, else from the string that a bzImage carries), they
 * are sorted newest first, and the first usable one wins. Only when none is usable have all been looked at,
 * and their reasons become the error. */
#include "images/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "images/modules.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"

const char *const image_modules[] = {
    "virtio_pci", "9p",         "9pnet_virtio",   "overlay", "virtio_console", "virtio_blk", "crc32c_generic",
    "ext4",       "virtio_net", "virtio_balloon", NULL};

typedef struct {
  ImageKernel kernel; /* modules_dir NULL: not found */
  char *name;         /* owned; what the file's name says the version is, or NULL */
} Candidate;

void
image_kernel_clear (ImageKernel *kernel)
{
  g_clear_pointer (&kernel->version, g_free);
  g_clear_pointer (&kernel->path, g_free);
  g_clear_pointer (&kernel->modules_dir, g_free);
  g_clear_pointer (&kernel->modules, g_strfreev);
}

static void
candidate_free (gpointer data)
{
  Candidate *c = data;

  image_kernel_clear (&c->kernel);
  g_free (c->name);
  g_free (c);
}

static void
add_candidate (GPtrArray *all, char *take_path, const char *name)
{
  Candidate *c = g_new0 (Candidate, 1);

  c->kernel.path = take_path;
  c->name = g_strdup (name);
  g_ptr_array_add (all, c);
}

/* "6.1.0-56-amd64" of "vmlinuz-6.1.0-56-amd64"; NULL if it is not a kernel's name. */
static const char *
version_of_name (const char *file_name)
{
  static const char *const prefixes[] = {"vmlinuz-", "vmlinux-", "kernel-"};

  for (guint i = 0; i < G_N_ELEMENTS (prefixes); i++)
    if (g_str_has_prefix (file_name, prefixes[i]))
      return file_name + strlen (prefixes[i]);
  return NULL;
}

static void
list_boot (GPtrArray *all, const char *root)
{
  g_autofree char *path = g_build_filename (root, "/boot", NULL);
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *file_name, *version;

  while (dir != NULL && (file_name = g_dir_read_name (dir)) != NULL)
    if ((version = version_of_name (file_name)) != NULL)
      add_candidate (all, g_build_filename (path, file_name, NULL), version);
}

static void
list_modules (GPtrArray *all, const char *root, const char *where)
{
  g_autofree char *path = g_build_filename (root, where, NULL);
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *version;

  while (dir != NULL && (version = g_dir_read_name (dir)) != NULL) {
    g_autofree char *kernel = g_build_filename (path, version, "vmlinuz", NULL);

    if (g_file_test (kernel, G_FILE_TEST_EXISTS))
      add_candidate (all, g_steal_pointer (&kernel), version);
  }
}

static void
list_nixos (GPtrArray *all, const char *root, const char *where)
{
  g_autofree char *kernel = g_build_filename (root, where, "kernel", NULL);

  if (g_file_test (kernel, G_FILE_TEST_EXISTS))
    add_candidate (all, g_steal_pointer (&kernel), NULL);
}

/* The version string of a bzImage (Documentation/x86/boot.rst: kernel_version at 0x20e), up to its first
 * space. NULL for anything else. (transfer full) */
static char *
version_of_header (const char *path)
{
  vm_autofd fd = open (path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  guint8 header[16];
  char text[128] = "";

  /* From 0x202: "HdrS", u16 protocol, u32 realmode_swtch, u16 start_sys_seg, u16 kernel_version. */
  if (fd < 0 || pread (fd, header, sizeof header, 0x202) != sizeof header || memcmp (header, "HdrS", 4) != 0)
    return NULL;
  if (pread (fd, text, sizeof text - 1, 0x200 + (header[12] | header[13] << 8)) <= 0)
    return NULL;
  text[strcspn (text, " ")] = '\0';
  /* It names a directory: nothing that leads elsewhere. */
  if (text[0] == '\0' || text[0] == '.' || strchr (text, '/') != NULL || !g_utf8_validate (text, -1, NULL))
    return NULL;
  return g_strdup (text);
}

static char *
modules_below (const char *top, const char *sub, const char *version)
{
  g_autofree char *path = g_build_filename (top, sub, version, NULL);
  g_autofree char *dep = g_build_filename (path, "modules.dep", NULL);

  return g_file_test (dep, G_FILE_TEST_EXISTS) ? g_steal_pointer (&path) : NULL;
}

/* The directory of modules for `version`: the kernel's own, the system's, or beside the kernel (as in the Nix
 * store). */
static char *
find_modules (const char *root, const Candidate *c, const char *version)
{
  static const char *const places[] = {"/lib/modules", "/usr/lib/modules",
                                       "/run/booted-system/kernel-modules/lib/modules",
                                       "/run/current-system/kernel-modules/lib/modules"};
  g_autofree char *beside = g_path_get_dirname (c->kernel.path);
  g_autofree char *dep = g_build_filename (beside, "modules.dep", NULL);
  g_autofree char *own_name = g_path_get_basename (beside);
  char *found;

  if (strcmp (own_name, version) == 0 && g_file_test (dep, G_FILE_TEST_EXISTS))
    return g_steal_pointer (&beside);
  for (guint i = 0; i < G_N_ELEMENTS (places); i++)
    if ((found = modules_below (root, places[i], version)) != NULL)
      return found;
  return modules_below (beside, "lib/modules", version);
}

static void
find_version (const char *root, Candidate *c)
{
  g_autofree char *stated = NULL;

  if (c->name != NULL && (c->kernel.modules_dir = find_modules (root, c, c->name)) != NULL) {
    c->kernel.version = g_strdup (c->name);
    return;
  }
  stated = version_of_header (c->kernel.path);
  if (stated != NULL)
    c->kernel.modules_dir = find_modules (root, c, stated);
  c->kernel.version = g_strdup (stated != NULL ? stated : c->name != NULL ? c->name : "");
}

/* "6.1.0-56" of "6.1.0-56-amd64": digits, dots, and dashes before digits. */
static gsize
number_length (const char *version)
{
  gsize n = 0;

  while (g_ascii_isdigit (version[n]) ||
         ((version[n] == '.' || version[n] == '-') && g_ascii_isdigit (version[n + 1])))
    n++;
  return n;
}

/* Newest first. With equal numbers the plain flavour comes before -cloud, -rt, -debug and release candidates:
 * it has the shorter name. */
static int
compare_versions (const char *a, const char *b)
{
  gsize na = number_length (a), nb = number_length (b);
  g_autofree char *number_a = g_strndup (a, na), *number_b = g_strndup (b, nb);
  int order = strverscmp (number_b, number_a);

  if (order == 0)
    order = (strlen (a + na) > strlen (b + nb)) - (strlen (a + na) < strlen (b + nb));
  return order != 0 ? order : strverscmp (b, a);
}

static int
compare_candidates (gconstpointer a, gconstpointer b)
{
  const Candidate *ca = *(const Candidate *const *)a, *cb = *(const Candidate *const *)b;
  int order = compare_versions (ca->kernel.version, cb->kernel.version);

  return order != 0 ? order : strcmp (ca->kernel.path, cb->kernel.path);
}

static gboolean
check_readable (const char *path, GError **error)
{
  vm_autofd fd = open (path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  struct stat st;

  if (fd < 0 && errno == EACCES)
    return vm_error (error, VM_ERROR_HOST, "you may not read it; run: sudo chmod 0644 '%s'", path);
  if (fd < 0 || fstat (fd, &st) < 0)
    return vm_error (error, VM_ERROR_HOST, "%s", g_strerror (errno));
  if (!S_ISREG (st.st_mode))
    return vm_error (error, VM_ERROR_HOST, "not a regular file");
  return TRUE;
}

/* image_modules and `more` in one list of borrowed names. */
static GPtrArray *
all_modules (const char *const *more)
{
  GPtrArray *names = g_ptr_array_new_null_terminated (16, NULL, TRUE);
  const char *const *lists[] = {image_modules, more};

  for (guint i = 0; i < G_N_ELEMENTS (lists); i++)
    for (const char *const *name = lists[i]; name != NULL && *name != NULL; name++)
      g_ptr_array_add (names, (gpointer)*name);
  return names;
}

static gboolean
check_usable (Candidate *c, const char *const *more, GError **error)
{
  g_autoptr (GPtrArray) names = all_modules (more);

  if (!check_readable (c->kernel.path, error))
    return FALSE;
  if (c->kernel.modules_dir == NULL && *c->kernel.version == '\0')
    return vm_error (error, VM_ERROR_HOST, "neither its name nor its header tells its version");
  if (c->kernel.modules_dir == NULL)
    return vm_error (error, VM_ERROR_HOST, "no modules for it (modules.dep of version '%s')",
                     c->kernel.version);
  c->kernel.modules = image_modules_resolve (c->kernel.modules_dir, (const char *const *)names->pdata, error);
  return c->kernel.modules != NULL;
}

/* Takes the first usable candidate; otherwise `reasons` has a line for each. */
static gboolean
choose (GPtrArray *all, const char *const *more, ImageKernel *ret, GString *reasons)
{
  for (guint i = 0; i < all->len; i++) {
    Candidate *c = g_ptr_array_index (all, i);
    g_autoptr (GError) why = NULL;

    if (check_usable (c, more, &why)) {
      *ret = c->kernel;
      c->kernel = (ImageKernel){NULL};
      return TRUE;
    }
    g_string_append_printf (reasons, "\n  '%s': %s", c->kernel.path, why->message);
  }
  return FALSE;
}

static void
list_all (GPtrArray *all, const char *root, const char *override)
{
  if (override != NULL) {
    g_autofree char *base = g_path_get_basename (override);
    g_autofree char *dir = g_path_get_dirname (override);
    g_autofree char *dir_name = g_path_get_basename (dir);
    const char *version = version_of_name (base);

    add_candidate (all, g_canonicalize_filename (override, NULL), version != NULL ? version : dir_name);
    return;
  }
  list_boot (all, root);
  list_modules (all, root, "/lib/modules");
  list_modules (all, root, "/usr/lib/modules");
  list_nixos (all, root, "/run/booted-system");
  list_nixos (all, root, "/run/current-system");
}

gboolean
image_kernel_find_for (const char *root, const char *override, const char *const *more, ImageKernel *ret,
                       GError **error)
{
  g_autoptr (GPtrArray) all = g_ptr_array_new_with_free_func (candidate_free);
  g_autoptr (GString) reasons = g_string_new (NULL);

  list_all (all, root, override);
  for (guint i = 0; i < all->len; i++)
    find_version (root, g_ptr_array_index (all, i));
  g_ptr_array_sort (all, compare_candidates);
  if (choose (all, more, ret, reasons))
    return TRUE;
  if (override != NULL)
    return vm_error (error, VM_ERROR_HOST, "the kernel given cannot be used:%s", reasons->str);
  if (all->len == 0)
    return vm_error (error, VM_ERROR_HOST,
                     "no kernel found in '%s/boot' or '%s/lib/modules'; install one (Debian: apt install "
                     "linux-image-amd64) or give one with --kernel",
                     root, root);
  return vm_error (error, VM_ERROR_HOST,
                   "no kernel of this host can be used; install one (Debian: apt install linux-image-amd64) "
                   "or give one with --kernel:%s",
                   reasons->str);
}

gboolean
image_kernel_find (const char *root, const char *override, ImageKernel *ret, GError **error)
{
  return image_kernel_find_for (root, override, NULL, ret, error);
}
