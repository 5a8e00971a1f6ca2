/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/modules.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"

enum { LIST_MAX = 32 << 20 }; /* Debian 12's modules.dep has 0.5 MB */

typedef struct {
  const char *dir;   /* borrowed */
  GHashTable *lines; /* wanted name -> its line of modules.dep or modules.builtin; both borrowed */
  GPtrArray *files;  /* the answer */
  GHashTable *seen;  /* paths as they are in modules.dep; borrowed from the text */
} Resolver;

char *
image_module_name (const char *path)
{
  const char *slash = strrchr (path, '/'), *base = slash != NULL ? slash + 1 : path;
  const char *suffix = strstr (base, ".ko");
  char *name = g_strndup (base, suffix != NULL ? (gsize)(suffix - base) : strlen (base));

  return g_strdelimit (name, "-", '_');
}

/* Kernels from 6.15 on have crc32c in their library, and ext4 lists it as an ordinary dependency. In older
 * ones ext4 asks for it at run time by its algorithm, which modules.dep does not show. Without a balloon no
 * memory comes back, and nothing else is amiss. Without autofs4 systemd mounts at once what it would mount
 * later.
 */
static gboolean
is_optional (const char *name)
{
  static const char *const optional[] = {"autofs4", "crc32c_generic", "virtio_balloon", NULL};

  return g_strv_contains (optional, name);
}

/* Compares a file name in [at, end) with a canonical module name without making a copy: this runs for each of
 * some thousand lines at every `vmctl up`. */
static gboolean
is_named (const char *at, const char *end, const char *name)
{
  for (; at < end && *name != '\0'; at++, name++)
    if ((*at == '-' ? '_' : *at) != *name)
      return FALSE;
  return *name == '\0' && end - at >= 3 && memcmp (at, ".ko", 3) == 0;
}

/* Remembers the lines of the wanted modules. `mark` ends the path in a line. */
static void
scan (char *text, char mark, const char *const *names, GHashTable *lines)
{
  for (char *line = text, *next; *line != '\0'; line = next) {
    char *eol = strchrnul (line, '\n'), *end = memchr (line, mark, (gsize)(eol - line)), *slash;

    next = *eol != '\0' ? eol + 1 : eol;
    *eol = '\0';
    end = end != NULL ? end : eol;
    slash = memrchr (line, '/', (gsize)(end - line));
    for (guint i = 0; names[i] != NULL; i++)
      if (is_named (slash != NULL ? slash + 1 : line, end, names[i]))
        g_hash_table_insert (lines, (gpointer)names[i], line);
  }
}

static gboolean
add_file (Resolver *r, char *path, GError **error)
{
  g_autofree char *full = *path == '/' ? g_strdup (path) : g_build_filename (r->dir, path, NULL);
  struct stat st;

  if (!g_hash_table_add (r->seen, path))
    return TRUE;
  if (faccessat (AT_FDCWD, full, R_OK, AT_EACCESS) < 0)
    return vm_error (error, VM_ERROR_HOST, "cannot read the module '%s': %s", full, g_strerror (errno));
  if (stat (full, &st) < 0 || !S_ISREG (st.st_mode))
    return vm_error (error, VM_ERROR_HOST, "the module '%s' is not a regular file", full);
  g_ptr_array_add (r->files, g_steal_pointer (&full));
  return TRUE;
}

/* "a.ko: b.ko c.ko" means: load c, then b, then a. */
static gboolean
add_line (Resolver *r, char *line, GError **error)
{
  char *mark = strchr (line, ':'), *space;

  if (mark == NULL)
    return TRUE; /* built in */
  *mark = '\0';
  g_strchomp (mark + 1);
  while ((space = strrchr (mark + 1, ' ')) != NULL) {
    *space = '\0';
    if (space[1] != '\0' && !add_file (r, space + 1, error))
      return FALSE;
  }
  if (mark[1] != '\0' && !add_file (r, mark + 1, error))
    return FALSE;
  return add_file (r, line, error);
}

static gboolean
add_all (Resolver *r, const char *const *names, GError **error)
{
  for (guint i = 0; names[i] != NULL; i++) {
    char *line = g_hash_table_lookup (r->lines, names[i]);

    if (line == NULL && is_optional (names[i]))
      continue;
    if (line == NULL)
      return vm_error (error, VM_ERROR_HOST, "has no module '%s' (looked in '%s')", names[i], r->dir);
    if (!add_line (r, line, error))
      return FALSE;
  }
  return TRUE;
}

/* Not vm_file_read(): on NixOS some of these are links into the store. */
static char *
read_list (const char *dir, const char *name, GError **error)
{
  g_autofree char *path = g_build_filename (dir, name, NULL);
  vm_autofd fd = open (path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  struct stat st;

  if (fd < 0 || fstat (fd, &st) < 0) {
    vm_error (error, VM_ERROR_HOST, "cannot read '%s': %s", path, g_strerror (errno));
    return NULL;
  }
  if (!S_ISREG (st.st_mode)) {
    vm_error (error, VM_ERROR_HOST, "cannot read '%s': not a regular file", path);
    return NULL;
  }
  return vm_fd_read_all (fd, LIST_MAX, NULL, error);
}

char **
image_modules_resolve (const char *modules_dir, const char *const *names, GError **error)
{
  g_autoptr (GHashTable) lines = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (GPtrArray) files = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *dep = NULL, *builtin = NULL;
  Resolver r = {.dir = modules_dir, .lines = lines, .files = files, .seen = seen};

  dep = read_list (modules_dir, "modules.dep", error);
  if (dep == NULL)
    return NULL;
  /* Absent in minimal trees, where everything is a module. */
  builtin = read_list (modules_dir, "modules.builtin", NULL);
  scan (dep, ':', names, lines);
  if (builtin != NULL)
    scan (builtin, '\n', names, lines);
  if (!add_all (&r, names, error))
    return NULL;
  g_ptr_array_add (files, NULL);
  return (char **)g_ptr_array_steal (files, NULL);
}
