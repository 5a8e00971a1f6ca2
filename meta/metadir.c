/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "meta/metadir.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "meta/format.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"

/* A meta dir that is being written. What an agent reads at once goes into the bundle too. */
typedef struct {
  int fd;             /* borrowed */
  GByteArray *bundle; /* borrowed */
} Writer;

/* Without regard to the umask: exactly 0600. */
static gboolean
put (int dir_fd, const char *name, const void *data, gsize length, GError **error)
{
  vm_autofd fd = openat (dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

  if (fd < 0 || fchmod (fd, 0600) < 0)
    return vm_error_errno (error, errno, "cannot write '%s'", name);
  if (!vm_fd_write_all (fd, data, length, error)) {
    g_prefix_error (error, "'%s': ", name);
    return FALSE;
  }
  return TRUE;
}

static gboolean
put_bundled (Writer *w, const char *name, const void *data, gsize length, GError **error)
{
  g_autofree char *size = g_strdup_printf ("%" G_GSIZE_FORMAT, length);

  g_byte_array_append (w->bundle, (const guint8 *)name, (guint)strlen (name) + 1);
  g_byte_array_append (w->bundle, (const guint8 *)size, (guint)strlen (size) + 1);
  g_byte_array_append (w->bundle, data, (guint)length);
  return put (w->fd, name, data, length, error);
}

static gboolean
put_text (Writer *w, const char *name, const char *text, GError **error)
{
  return put_bundled (w, name, text, strlen (text), error);
}

static int
make_dir (int dir_fd, const char *name, GError **error)
{
  vm_autofd fd = -1;

  if (mkdirat (dir_fd, name, 0700) < 0) {
    vm_error_errno (error, errno, "cannot make the directory '%s'", name);
    return -1;
  }
  fd = openat (dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0 || fchmod (fd, 0700) < 0) {
    vm_error_errno (error, errno, "cannot open the directory '%s'", name);
    (void)unlinkat (dir_fd, name, AT_REMOVEDIR);
    return -1;
  }
  return vm_fd_steal (&fd);
}

/* One line cannot carry a newline. */
static gboolean
check_line (const char *key, const char *value, GError **error)
{
  if (value == NULL || *value == '\0')
    return vm_error (error, VM_ERROR_INVALID, "the sandbox's %s is empty", key);
  if (strchr (value, '\n') != NULL)
    return vm_error (error, VM_ERROR_INVALID, "the sandbox's %s has a newline in it", key);
  return TRUE;
}

static gboolean
check_path (const char *key, const char *value, GError **error)
{
  if (value == NULL || *value != '/')
    return vm_error (error, VM_ERROR_INVALID, "the sandbox's %s '%s' is not an absolute path", key,
                     value != NULL ? value : "");
  return TRUE;
}

static gboolean
check_environment (const char *const *environment, GError **error)
{
  for (guint i = 0; environment != NULL && environment[i] != NULL; i++)
    if (strchr (environment[i], '=') == NULL || *environment[i] == '=')
      return vm_error (error, VM_ERROR_INVALID, "'%s' in the sandbox's environment is not NAME=value",
                       environment[i]);
  return TRUE;
}

static guint
count_words (const char *const *words)
{
  return words != NULL ? g_strv_length ((char **)words) : 0;
}

/* All that the formats cannot carry is refused before anything is made. */
static gboolean
check (const MetaDir *meta, GError **error)
{
  if (!check_line ("user name", meta->user, error) || !check_line ("group name", meta->group, error) ||
      !check_line ("shell", meta->shell, error) || !check_line ("host name", meta->hostname, error) ||
      !check_path ("home directory", meta->home, error) || !check_path ("project", meta->project, error) ||
      !check_path ("working directory", meta->cwd, error) || !check_environment (meta->environment, error))
    return FALSE;
  if ((meta->address == NULL) != (meta->gateway == NULL))
    return vm_error (error, VM_ERROR_INVALID, "the sandbox's network has an address or a gateway, not both");
  if (meta->address != NULL && (!check_line ("network address", meta->address, error) ||
                                !check_line ("gateway", meta->gateway, error)))
    return FALSE;
  if (meta->server != NULL &&
      (!check_line ("X server", meta->server, error) || !check_path ("X server", meta->server, error)))
    return FALSE;
  if (meta->manager != NULL && (!check_line ("window manager", meta->manager, error) ||
                                !check_path ("window manager", meta->manager, error)))
    return FALSE;
  if (meta->filesystem != NULL && !check_line ("file system", meta->filesystem, error))
    return FALSE;
  if (meta->filesystem != NULL && strchr (meta->filesystem, ' ') != NULL)
    return vm_error (error, VM_ERROR_INVALID, "the sandbox's file system '%s' has a space in it",
                     meta->filesystem);
  if (meta->init != NULL &&
      (!check_line ("init", meta->init, error) || !check_path ("init", meta->init, error)))
    return FALSE;
  if (meta->mac != NULL && !check_line ("network card's address", meta->mac, error))
    return FALSE;
  if (count_words (meta->mounts) % 4 != 0)
    return vm_error (error, VM_ERROR_INVALID, "the sandbox's mounts are not groups of four words");
  return TRUE;
}

static gboolean
put_identity (Writer *w, const MetaDir *m, GError **error)
{
  g_autofree char *text = g_strdup_printf (
      "name=%s\nuid=%u\ngid=%u\ngroup=%s\nshell=%s\nhostname=%s\numask=%04o\nroot=%s\n", m->user, m->uid,
      m->gid, m->group, m->shell, m->hostname, m->mask, m->root_allowed ? "yes" : "no");

  return put_text (w, "identity", text, error);
}

/* Each word ended by NUL. */
static gboolean
put_words (Writer *w, const char *name, const char *const *words, GError **error)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();

  for (guint i = 0; words != NULL && words[i] != NULL; i++)
    g_byte_array_append (bytes, (const guint8 *)words[i], (guint)strlen (words[i]) + 1);
  return put_bundled (w, name, bytes->data, bytes->len, error);
}

static gboolean
put_network (Writer *w, const MetaDir *m, GError **error)
{
  g_autoptr (GString) text = g_string_new (NULL);

  if (m->mac != NULL)
    g_string_append_printf (text, "mac %s\n", m->mac);
  if (m->address != NULL)
    g_string_append_printf (text, "address %s\ngateway %s\n", m->address, m->gateway);
  return put_text (w, "network", text->str, error);
}

static gboolean
put_display (Writer *w, const MetaDir *m, GError **error)
{
  g_autoptr (GString) text = g_string_new (NULL);

  if (m->server != NULL)
    g_string_append_printf (text, "server %s\nsize %ux%u\n", m->server, m->width, m->height);
  if (m->server != NULL && m->manager != NULL)
    g_string_append_printf (text, "manager %s\n", m->manager);
  if (m->server != NULL && m->vnc != 0)
    g_string_append_printf (text, "vnc %u\n", m->vnc);
  return put_text (w, "display", text->str, error);
}

static gboolean
put_disk (Writer *w, const MetaDir *m, GError **error)
{
  g_autoptr (GString) text = g_string_new (NULL);

  if (m->filesystem != NULL)
    g_string_printf (text, "%s %u %s", m->keeps ? "kept" : "image", m->partition, m->filesystem);
  else if (m->tmpfs_mib != 0)
    g_string_printf (text, "tmpfs %" G_GUINT64_FORMAT, m->tmpfs_mib);
  else
    g_string_assign (text, "blk");
  if (m->init != NULL)
    g_string_append_printf (text, " %s", m->init);
  return put_text (w, "disk", text->str, error);
}

static gboolean
put_files (int fd, GBytes *const *files, GError **error)
{
  vm_autofd sub = make_dir (fd, "files", error);

  if (sub < 0)
    return FALSE;
  for (guint i = 0; files != NULL && files[i] != NULL; i++) {
    g_autofree char *name = g_strdup_printf ("%u", i);
    gsize length;
    const void *data = g_bytes_get_data (files[i], &length);

    if (!put (sub, name, data, length, error)) {
      g_prefix_error (error, "files: ");
      return FALSE;
    }
  }
  return TRUE;
}

static gboolean
fill (Writer *w, const MetaDir *m, GError **error)
{
  return put_text (w, "version", META_VERSION, error) && put_identity (w, m, error) &&
         put_text (w, "host_home", m->home, error) && put_text (w, "host_project", m->project, error) &&
         put_text (w, "cwd", m->cwd, error) && put_words (w, "entrypoint", m->command, error) &&
         put_words (w, "environment", m->environment, error) && put_network (w, m, error) &&
         put_display (w, m, error) && put_disk (w, m, error) && put_words (w, "mounts", m->mounts, error) &&
         put (w->fd, "bundle", w->bundle->data, w->bundle->len, error) && put_files (w->fd, m->files, error);
}

gboolean
meta_dir_make (int dir_fd, const char *name, const MetaDir *meta, GError **error)
{
  vm_autofd fd = check (meta, error) ? make_dir (dir_fd, name, error) : -1;

  return fd >= 0;
}

gboolean
meta_dir_write (int dir_fd, const char *name, const MetaDir *meta, GBytes **ret_bundle, GError **error)
{
  vm_autofd fd = -1;
  g_autoptr (GByteArray) bundle = g_byte_array_new ();
  Writer w = {.bundle = bundle};

  if (!check (meta, error))
    return FALSE;
  fd = openat (dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0)
    return vm_error_errno (error, errno, "cannot open the directory '%s'", name);
  w.fd = fd;
  if (!fill (&w, meta, error)) {
    g_prefix_error (error, "cannot write the meta dir '%s': ", name);
    (void)vm_file_remove_tree (dir_fd, name, NULL); /* the first error is the one to tell */
    return FALSE;
  }
  if (ret_bundle != NULL)
    *ret_bundle = g_byte_array_free_to_bytes (g_steal_pointer (&bundle));
  return TRUE;
}
