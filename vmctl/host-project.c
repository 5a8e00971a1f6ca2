/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How it works
 *
 * The project is opened once; every later question goes through that descriptor, and the path in the facts is
 * the one that the kernel says the descriptor has, so neither a symbolic link nor a spelling such as
 * /proc/self/root/... can make the decision about one directory and the mount of another.
 *
 * A git worktree's `.git` is a file that names a directory in the main repository, and git inside needs that
 * repository. But the file lies in the project, where a sandbox can write, so it proves nothing: the main
 * repository must name the project in return, from a place that the sandbox could not write. Whatever does
 * not fit is left out without an error: then git does not work inside, and nothing more is let in. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmctl/absent.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"
#include "vmctl/host-parts.h"
#include "vmctl/path.h"

enum { GIT_FILE_MAX = 8192, MODULES_MAX = 64, MODULES_DEPTH = 6 };

/* The path that the kernel knows for a descriptor; NULL if it has none any more. (transfer full) */
static char *
path_of_fd (int fd)
{
  g_autofree char *link = g_strdup_printf ("/proc/self/fd/%d", fd);
  g_autofree char *path = g_file_read_link (link, NULL);
  struct stat by_fd, by_path;

  if (path == NULL || *path != '/' || fstat (fd, &by_fd) < 0 || lstat (path, &by_path) < 0 ||
      by_fd.st_dev != by_path.st_dev || by_fd.st_ino != by_path.st_ino)
    return NULL;
  return g_steal_pointer (&path);
}

/* One line of a small file, without its end; NULL if it is anything else. (transfer full) */
static char *
read_line (int dir_fd, const char *name)
{
  gsize length;
  g_autofree char *text = vm_file_read (dir_fd, name, GIT_FILE_MAX, &length, NULL);

  if (text == NULL || strlen (text) != length)
    return NULL;
  /* Git cuts line ends, and nothing else: a path may end in a space. */
  while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == '\r'))
    text[--length] = '\0';
  return length > 0 ? g_steal_pointer (&text) : NULL;
}

/* Opens the directory `path` (relative to `dir_fd`) and says where it really is. -1: it is none. */
static int
open_dir (int dir_fd, const char *path, char **ret_real)
{
  vm_autofd fd = openat (dir_fd, path, O_PATH | O_DIRECTORY | O_CLOEXEC);

  *ret_real = fd >= 0 ? path_of_fd (fd) : NULL;
  return *ret_real != NULL ? vm_fd_steal (&fd) : -1;
}

static gboolean
is_git_dir (int fd, guint uid)
{
  struct stat st, head, objects, refs;

  return fstat (fd, &st) == 0 && st.st_uid == uid && fstatat (fd, "HEAD", &head, AT_SYMLINK_NOFOLLOW) == 0 &&
         S_ISREG (head.st_mode) && fstatat (fd, "objects", &objects, AT_SYMLINK_NOFOLLOW) == 0 &&
         S_ISDIR (objects.st_mode) && fstatat (fd, "refs", &refs, AT_SYMLINK_NOFOLLOW) == 0 &&
         S_ISDIR (refs.st_mode);
}

/* TRUE if the file "gitdir" of the worktree's admin directory names the project's .git. */
static gboolean
points_back (int admin_fd, const char *project)
{
  g_autofree char *text = read_line (admin_fd, "gitdir");
  g_autofree char *real = NULL, *parent = NULL;
  vm_autofd fd = -1;

  if (text == NULL || !g_str_has_suffix (text, "/.git"))
    return FALSE;
  parent = g_strndup (text, strlen (text) - strlen ("/.git"));
  fd = open_dir (admin_fd, parent, &real);
  return fd >= 0 && g_str_equal (real, project);
}

/* TRUE if admin_fd's "commondir" leads to `main`, and that is a git directory of this user. */
static gboolean
is_main_of (int admin_fd, const char *main_dir, guint uid)
{
  g_autofree char *text = read_line (admin_fd, "commondir");
  g_autofree char *real = NULL;
  vm_autofd fd = text != NULL ? open_dir (admin_fd, text, &real) : -1;

  return fd >= 0 && g_str_equal (real, main_dir) && is_git_dir (fd, uid);
}

static void
find_worktree (VmHost *host, int fd)
{
  VmHostProject *project = &host->project;
  g_autofree char *text = read_line (fd, ".git");
  g_autofree char *admin = NULL, *worktrees = NULL, *main_dir = NULL, *name = NULL;
  vm_autofd admin_fd = -1;

  project->has_git_file = text != NULL && g_str_has_prefix (text, "gitdir:");
  if (!project->has_git_file)
    return;
  admin_fd = open_dir (fd, g_strchug (text + strlen ("gitdir:")), &admin);
  if (admin_fd < 0 || !g_utf8_validate (admin, -1, NULL))
    return;
  worktrees = g_path_get_dirname (admin);
  name = g_path_get_basename (worktrees);
  main_dir = g_path_get_dirname (worktrees);
  if (!g_str_equal (name, "worktrees") || !points_back (admin_fd, project->path) ||
      !is_main_of (admin_fd, main_dir, host->uid))
    return;
  project->git_dir = g_steal_pointer (&main_dir);
  project->worktree = g_steal_pointer (&admin);
}

/* What decides which programs run on the host when its user works in the project: git's hooks and the
 * settings that name hooks and helpers, those of editors, of direnv, of coding agents, and vmctl's own.
 * `commondir` would move git's settings to a place of its author's choice. */
char **
vm_host_protected_paths (const VmHostProject *project)
{
  static const char *const own[] = {".envrc",
                                    ".vscode",
                                    ".idea",
                                    ".mcp.json",
                                    ".claude/settings.json",
                                    ".claude/settings.local.json",
                                    ".claude/commands",
                                    ".claude/agents",
                                    ".claude/hooks",
                                    ".vmctl.conf",
                                    NULL};
  static const char *const git[] = {"hooks", "config", "config.worktree", "commondir", NULL};
  static const char *const worktree[] = {"commondir", "config.worktree", NULL};
  GPtrArray *out = g_ptr_array_new_null_terminated (24, g_free, TRUE);

  if (project->has_git_file)
    g_ptr_array_add (out, g_build_filename (project->path, ".git", NULL));
  else
    for (gsize i = 0; git[i] != NULL; i++)
      g_ptr_array_add (out, g_build_filename (project->path, ".git", git[i], NULL));
  for (gsize i = 0; own[i] != NULL; i++)
    g_ptr_array_add (out, g_build_filename (project->path, own[i], NULL));
  for (gsize i = 0; project->git_dir != NULL && git[i] != NULL; i++)
    g_ptr_array_add (out, g_build_filename (project->git_dir, git[i], NULL));
  for (gsize i = 0; project->worktree != NULL && worktree[i] != NULL; i++)
    g_ptr_array_add (out, g_build_filename (project->worktree, worktree[i], NULL));
  for (char **module = project->modules; module != NULL && *module != NULL; module++)
    for (gsize i = 0; git[i] != NULL; i++)
      g_ptr_array_add (out, g_build_filename (*module, git[i], NULL));
  return (char **)g_ptr_array_free (out, FALSE);
}

/* Git directories below `dir`/modules, theirs included: a submodule's name may have slashes, and it may have
 * submodules itself. No link is followed, and the walk has an end whatever was put there. */
static void
find_modules (GPtrArray *out, const char *dir, guint depth)
{
  g_autoptr (GDir) list = NULL;
  g_autofree char *head = g_build_filename (dir, "HEAD", NULL),
                  *inner = g_build_filename (dir, "modules", NULL);
  const char *name;
  struct stat st;

  if (depth == 0 || out->len >= MODULES_MAX || lstat (dir, &st) < 0 || !S_ISDIR (st.st_mode) ||
      !g_utf8_validate (dir, -1, NULL))
    return;
  if (lstat (head, &st) == 0) {
    g_ptr_array_add (out, g_strdup (dir));
    find_modules (out, inner, depth - 1);
    return;
  }
  list = g_dir_open (dir, 0, NULL);
  while (list != NULL && out->len < MODULES_MAX && (name = g_dir_read_name (list)) != NULL) {
    g_autofree char *path = g_build_filename (dir, name, NULL);

    find_modules (out, path, depth - 1);
  }
}

static int
compare_paths (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *)a, *(const char *const *)b);
}

static void
gather_modules (VmHostProject *project)
{
  GPtrArray *out = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *own = g_build_filename (project->path, ".git", "modules", NULL);
  g_autofree char *git = g_build_filename (project->path, ".git", NULL);
  g_autofree char *common =
      project->git_dir != NULL ? g_build_filename (project->git_dir, "modules", NULL) : NULL;
  g_autofree char *worktree =
      project->worktree != NULL ? g_build_filename (project->worktree, "modules", NULL) : NULL;
  struct stat st;

  if (lstat (git, &st) == 0 && S_ISDIR (st.st_mode))
    find_modules (out, own, MODULES_DEPTH);
  if (common != NULL)
    find_modules (out, common, MODULES_DEPTH);
  if (worktree != NULL)
    find_modules (out, worktree, MODULES_DEPTH);
  g_ptr_array_sort (out, compare_paths);
  g_ptr_array_add (out, NULL);
  project->modules = (char **)g_ptr_array_free (out, FALSE);
}

/* TRUE if no directory between `base` and `path` is a symbolic link: what lies behind one is another place.
 */
static gboolean
is_direct (const char *base, const char *path)
{
  g_autofree char *dir = g_path_get_dirname (path);

  while (strlen (dir) > strlen (base)) {
    struct stat st;
    char *parent;

    if (lstat (dir, &st) < 0 || !S_ISDIR (st.st_mode))
      return FALSE;
    parent = g_path_get_dirname (dir);
    g_free (dir);
    dir = parent;
  }
  return TRUE;
}

static void
find_present (VmHost *host)
{
  const VmHostProject *project = &host->project;
  g_auto (GStrv) paths = vm_host_protected_paths (project);
  GArray *list = vm_host_list_new ();
  struct stat st;

  for (char **path = paths; *path != NULL; path++) {
    gboolean own = vm_path_is_within (*path, project->path);

    /* What another sandbox on this project keeps from being made does not exist. */
    if (lstat (*path, &st) == 0 && !vm_absent_is_ours (&st) &&
        is_direct (own ? project->path : project->git_dir, *path))
      vm_host_list_add (list, *path, FALSE);
  }
  vm_host_entries_free (host->project.present);
  host->project.present = vm_host_list_end (list);
}

/* Opens what the user named. -1 and a usage error that says what it is instead. */
static int
open_project (const VmHost *host, const char *name, GError **error)
{
  int fd = open (name, O_PATH | O_DIRECTORY | O_CLOEXEC);

  if (fd >= 0)
    return fd;
  if (errno == ENOENT)
    vm_error (error, VM_ERROR_USAGE, "project '%s' does not exist; make it, or name another directory", name);
  else if (errno == ENOTDIR)
    vm_error (error, VM_ERROR_USAGE, "project '%s' is not a directory; name the directory that it is in",
              name);
  else
    vm_error (error, VM_ERROR_USAGE, "project '%s' cannot be opened by '%s': %s", name, host->user,
              g_strerror (errno));
  return -1;
}

gboolean
vm_host_gather_project (VmHost *host, const char *project, GError **error)
{
  const char *name = project != NULL ? project : ".";
  vm_autofd fd = open_project (host, name, error);
  g_autofree char *path = NULL, *by_fd = NULL;
  struct stat st;

  if (fd < 0)
    return FALSE;
  path = path_of_fd (fd);
  if (path == NULL || fstat (fd, &st) < 0)
    return vm_error (error, VM_ERROR_USAGE,
                     "project '%s' was removed or moved, or its path is longer than %d bytes; name another "
                     "directory",
                     name, PATH_MAX - 1);
  if (!g_utf8_validate (path, -1, NULL))
    return vm_error (error, VM_ERROR_USAGE, "the path of project '%s' is not UTF-8; rename that directory",
                     name);
  by_fd = g_strdup_printf ("/proc/self/fd/%d", fd);
  if (access (by_fd, R_OK | X_OK) < 0)
    return vm_error (error, VM_ERROR_USAGE, "project '%s' cannot be read by '%s': %s; run: chmod u+rx '%s'",
                     path, host->user, g_strerror (errno), path);
  vm_host_project_clear (&host->project);
  host->project.path = g_steal_pointer (&path);
  host->project.uid = st.st_uid;
  host->project.writable = access (by_fd, W_OK) == 0;
  find_worktree (host, fd);
  gather_modules (&host->project);
  find_present (host);
  return TRUE;
}
