/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/dirs.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/path.h"

static gboolean
is_private_dir (const char *path, struct stat *st)
{
  return lstat (path, st) == 0 && S_ISDIR (st->st_mode) && st->st_uid == geteuid () &&
         (st->st_mode & 077) == 0;
}

static gboolean
check_runtime (const char *path, GError **error)
{
  struct stat st;

  if (lstat (path, &st) < 0)
    return vm_error (error, VM_ERROR_HOST,
                     "$XDG_RUNTIME_DIR is '%s', which cannot be used: %s; log in through logind, or unset it",
                     path, g_strerror (errno));
  if (!S_ISDIR (st.st_mode))
    return vm_error (error, VM_ERROR_HOST, "$XDG_RUNTIME_DIR is '%s', which is not a directory; unset it",
                     path);
  if (st.st_uid != geteuid ())
    return vm_error (error, VM_ERROR_HOST,
                     "$XDG_RUNTIME_DIR is '%s', which belongs to uid %u and not to you (uid %u); unset it",
                     path, (unsigned)st.st_uid, (unsigned)geteuid ());
  if ((st.st_mode & 077) != 0)
    return vm_error (error, VM_ERROR_HOST,
                     "$XDG_RUNTIME_DIR is '%s', which others can enter; run: chmod 0700 '%s'", path, path);
  return TRUE;
}

static gboolean
find_runtime (VmDirs *dirs, GError **error)
{
  const char *xdg = g_getenv ("XDG_RUNTIME_DIR");
  g_autofree char *logind = g_strdup_printf ("/run/user/%u", (unsigned)geteuid ());
  struct stat st;

  if (xdg != NULL && *xdg != '\0') {
    if (!g_path_is_absolute (xdg))
      return vm_error (error, VM_ERROR_HOST, "$XDG_RUNTIME_DIR is '%s', which is not absolute; unset it",
                       xdg);
    dirs->runtime = g_build_filename (xdg, "vmctl", NULL);
    return check_runtime (xdg, error);
  }
  dirs->runtime_is_fallback = TRUE;
  if (is_private_dir (logind, &st))
    dirs->runtime = g_build_filename (logind, "vmctl", NULL);
  else if (geteuid () == 0)
    dirs->runtime = g_strdup ("/run/vmctl");
  else
    dirs->runtime = g_strdup_printf ("/tmp/vmctl-%u", (unsigned)geteuid ());
  return TRUE;
}

static char *
xdg_dir (const char *variable, const char *home, const char *below)
{
  const char *value = g_getenv (variable);

  if (value != NULL && g_path_is_absolute (value))
    return g_build_filename (value, "vmctl", NULL);
  return g_build_filename (home, below, "vmctl", NULL);
}

static gboolean
find_self (VmDirs *dirs, GError **error)
{
  g_autofree char *dir = NULL, *beside = NULL, *way = vm_path_relative (VMCTL_BINDIR, VMCTL_LIBEXECDIR);

  dirs->self = g_file_read_link ("/proc/self/exe", error);
  if (dirs->self == NULL)
    return FALSE;
  dir = g_path_get_dirname (dirs->self);
  beside = g_build_filename (dir, "vmctl-agent", NULL);
  /* In a build directory the helpers sit beside the program; installed, where meson was told to put them. */
  dirs->libexec =
      g_file_test (beside, G_FILE_TEST_EXISTS) ? g_strdup (dir) : g_canonicalize_filename (way, dir);
  return TRUE;
}

gboolean
vm_dirs_find (const char *home, VmDirs *ret, GError **error)
{
  VmDirs dirs = {0};

  dirs.state = xdg_dir ("XDG_STATE_HOME", home, ".local/state");
  dirs.cache = xdg_dir ("XDG_CACHE_HOME", home, ".cache");
  dirs.data = xdg_dir ("XDG_DATA_HOME", home, ".local/share");
  dirs.config = xdg_dir ("XDG_CONFIG_HOME", home, ".config");
  if (!find_self (&dirs, error) || !find_runtime (&dirs, error)) {
    vm_dirs_clear (&dirs);
    return FALSE;
  }
  *ret = dirs;
  return TRUE;
}

void
vm_dirs_clear (VmDirs *dirs)
{
  g_clear_pointer (&dirs->runtime, g_free);
  g_clear_pointer (&dirs->state, g_free);
  g_clear_pointer (&dirs->cache, g_free);
  g_clear_pointer (&dirs->data, g_free);
  g_clear_pointer (&dirs->config, g_free);
  g_clear_pointer (&dirs->libexec, g_free);
  g_clear_pointer (&dirs->self, g_free);
}

char *
vm_dirs_helper (const VmDirs *dirs, const char *name, GError **error)
{
  g_autofree char *path = g_build_filename (dirs->libexec, name, NULL);

  if (access (path, X_OK) < 0) {
    vm_error (error, VM_ERROR_HOST,
              "'%s' is missing: %s; install vmctl again, or build it with ./bootstrap build", path,
              g_strerror (errno));
    return NULL;
  }
  return g_steal_pointer (&path);
}
