/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/initramfs.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "images/elfcheck.h"
#include "images/modules.h"
#include "images/unpack.h"
#include "vmctl/base/error.h"

typedef struct archive Archive;
static void
archive_done (Archive *a)
{
  (void)archive_write_free (a);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Archive, archive_done)

static gboolean
archive_failed (Archive *a, const char *name, GError **error)
{
  const char *why = archive_error_string (a);

  return vm_error (error, VM_ERROR_FAILED, "cannot write '%s' of the initramfs: %s", name,
                   why != NULL ? why : "unknown error");
}

/* One entry with uid, gid and times 0. `data` may be NULL. */
static gboolean
add_entry (Archive *a, const char *name, guint mode, dev_t device, const void *data, gsize length,
           GError **error)
{
  struct archive_entry *entry = archive_entry_new ();
  gboolean ok;

  archive_entry_set_pathname (entry, name);
  archive_entry_set_mode (entry, (mode_t)mode);
  archive_entry_set_uid (entry, 0);
  archive_entry_set_gid (entry, 0);
  archive_entry_set_mtime (entry, 0, 0);
  archive_entry_set_nlink (entry, 1);
  archive_entry_set_size (entry, (la_int64_t)length);
  if (S_ISCHR (mode))
    archive_entry_set_rdev (entry, device);
  ok = archive_write_header (a, entry) == ARCHIVE_OK &&
       (length == 0 || archive_write_data (a, data, length) == (la_ssize_t)length) &&
       archive_write_finish_entry (a) == ARCHIVE_OK;
  archive_entry_free (entry);
  return ok || archive_failed (a, name, error);
}

static gboolean
add_skeleton (Archive *a, GError **error)
{
  static const char *const directories[] = {"dev", "proc", "sys", "modules", "lower", "newroot", "scratch"};

  for (guint i = 0; i < G_N_ELEMENTS (directories); i++)
    if (!add_entry (a, directories[i], S_IFDIR | 0755, 0, NULL, 0, error))
      return FALSE;
  return add_entry (a, "dev/console", S_IFCHR | 0600, makedev (5, 1), NULL, 0, error) &&
         add_entry (a, "dev/null", S_IFCHR | 0666, makedev (1, 3), NULL, 0, error);
}

static gboolean
add_agent (Archive *a, const char *path, GError **error)
{
  g_autoptr (GByteArray) agent = image_unpack_file (path, IMAGE_MODULE_MAX, error);

  if (agent == NULL)
    return FALSE;
  if (!image_elf_check_static (agent->data, agent->len, error)) {
    g_prefix_error (error, "the agent '%s': ", path);
    return FALSE;
  }
  return add_entry (a, "init", S_IFREG | 0755, 0, agent->data, agent->len, error);
}

static gboolean
add_module (Archive *a, guint number, const char *path, GError **error)
{
  g_autofree char *module = image_module_name (path);
  g_autofree char *name = g_strdup_printf ("modules/%02u-%s.ko", number, module);
  g_autoptr (GByteArray) bytes = image_unpack_file (path, IMAGE_MODULE_MAX, error);

  if (bytes == NULL)
    return FALSE;
  if (!image_elf_check_module (bytes->data, bytes->len, error)) {
    g_prefix_error (error, "the module '%s': ", path);
    return FALSE;
  }
  return add_entry (a, name, S_IFREG | 0644, 0, bytes->data, bytes->len, error);
}

static gboolean
add_modules (Archive *a, const char *const *modules, ImageProgress progress, gpointer data, GError **error)
{
  guint n = g_strv_length ((char **)modules);

  if (n > 99)
    return vm_error (error, VM_ERROR_USAGE, "%u modules are too many; the most is 99", n);
  for (guint i = 0; i < n; i++) {
    if (progress != NULL)
      progress ("making the initramfs", (int)(i * 100 / n), data);
    if (!add_module (a, i + 1, modules[i], error))
      return FALSE;
  }
  return TRUE;
}

static la_ssize_t
write_block (Archive *a, void *user, const void *data, size_t length)
{
  g_autoptr (GError) error = NULL;

  if (image_output_write (user, data, length, &error))
    return (la_ssize_t)length;
  archive_set_error (a, errno, "%s", error->message);
  return -1;
}

gboolean
image_initramfs_write (ImageOutput *out, const char *agent, const char *const *modules,
                       ImageProgress progress, gpointer data, GError **error)
{
  g_autoptr (Archive) a = archive_write_new ();

  if (archive_write_set_format_cpio_newc (a) != ARCHIVE_OK ||
      archive_write_set_bytes_per_block (a, 65536) != ARCHIVE_OK ||
      archive_write_set_bytes_in_last_block (a, 1) != ARCHIVE_OK ||
      archive_write_open (a, out, NULL, write_block, NULL) != ARCHIVE_OK)
    return archive_failed (a, out->path, error);
  if (!add_skeleton (a, error) || !add_agent (a, agent, error) ||
      !add_modules (a, modules, progress, data, error))
    return FALSE;
  return archive_write_close (a) == ARCHIVE_OK || archive_failed (a, out->path, error);
}
