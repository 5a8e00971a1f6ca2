/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/host.h"

/* A directory of another user's is no place for this one's files. What does not exist is judged by its
 * parent. */
static gboolean
belongs_to (const char *path, uid_t uid)
{
  g_autofree char *at = g_canonicalize_filename (path, "/");
  struct stat st;

  while (stat (at, &st) < 0) {
    char *parent;

    if (errno != ENOENT || at[1] == '\0')
      return FALSE;
    parent = g_path_get_dirname (at);
    g_free (at);
    at = parent;
  }
  return st.st_uid == uid;
}

static void
fix_environment (const struct passwd *pw)
{
  static const char *const xdg[] = {"XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME",
                                    "XDG_DATA_HOME",   "XDG_STATE_HOME",  NULL};

  g_setenv ("HOME", pw->pw_dir, TRUE);
  g_setenv ("USER", pw->pw_name, TRUE);
  g_setenv ("LOGNAME", pw->pw_name, TRUE);
  g_setenv ("SHELL", pw->pw_shell != NULL && *pw->pw_shell != '\0' ? pw->pw_shell : "/bin/sh", TRUE);
  g_unsetenv ("MAIL");
  for (const char *const *name = xdg; *name != NULL; name++) {
    const char *value = g_getenv (*name);

    if (value != NULL && !belongs_to (value, pw->pw_uid))
      g_unsetenv (*name);
  }
}

gboolean
vm_host_become_user (gboolean *ret_was_sudo, GError **error)
{
  const char *text = g_getenv ("SUDO_UID");
  guint64 uid;
  struct passwd *pw;

  *ret_was_sudo = FALSE;
  if (geteuid () != 0 || text == NULL ||
      !g_ascii_string_to_unsigned (text, 10, 0, G_MAXUINT32 - 1, &uid, NULL) || uid == 0)
    return TRUE;
  pw = getpwuid ((uid_t)uid);
  if (pw == NULL)
    return vm_error (error, VM_ERROR_HOST,
                     "started through sudo by uid %u, which has no entry in the passwd database; run vmctl "
                     "without sudo",
                     (unsigned)uid);
  if (initgroups (pw->pw_name, pw->pw_gid) < 0 || setresgid (pw->pw_gid, pw->pw_gid, pw->pw_gid) < 0 ||
      setresuid (pw->pw_uid, pw->pw_uid, pw->pw_uid) < 0)
    return vm_error_errno (error, errno, "cannot become '%s', who started this through sudo", pw->pw_name);
  if (setuid (0) == 0 || geteuid () != pw->pw_uid || getegid () != pw->pw_gid)
    return vm_error (error, VM_ERROR_FAILED, "could become root again after becoming '%s'", pw->pw_name);
  fix_environment (pw);
  *ret_was_sudo = TRUE;
  return TRUE;
}
