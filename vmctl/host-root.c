/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmctl/claude-paths.h"
#include "vmctl/etc.h"
#include "vmctl/host-parts.h"

enum { GIT_FILES_MAX = 64 };

GArray *
vm_host_list_new (void)
{
  return g_array_new (TRUE, TRUE, sizeof (VmHostEntry));
}

void
vm_host_list_add (GArray *list, const char *path, gboolean public_only)
{
  VmHostEntry entry = {0};
  struct stat st, target;

  if (lstat (path, &st) < 0 || !g_utf8_validate (path, -1, NULL))
    return;
  if (S_ISLNK (st.st_mode)) {
    gboolean dangles = stat (path, &target) < 0;

    if (!dangles && !S_ISDIR (target.st_mode) && !S_ISREG (target.st_mode))
      return;
    entry.link = g_file_read_link (path, NULL);
    if (entry.link == NULL || !g_utf8_validate (entry.link, -1, NULL)) {
      g_free (entry.link);
      return;
    }
    entry.is_dir = !dangles && S_ISDIR (target.st_mode);
  } else if (S_ISDIR (st.st_mode)) {
    if (public_only && (st.st_mode & 0005) != 0005)
      return;
    entry.is_dir = TRUE;
  } else if (!S_ISREG (st.st_mode) || (public_only && (st.st_mode & 0004) == 0))
    return;
  entry.path = g_strdup (path);
  g_array_append_val (list, entry);
}

VmHostEntry *
vm_host_list_end (GArray *take_list)
{
  return (VmHostEntry *)(gpointer)g_array_free (take_list, FALSE);
}

/* On NixOS /usr and /bin hold one file each, and everything else is in the store. */
void
vm_host_gather_root (VmHost *host)
{
  static const char *const usual[] = {"/usr", "/bin", "/sbin", NULL};
  static const char *const nixos[] = {"/usr/bin/env", "/bin/sh", NULL};
  static const char *const everywhere[] = {
      "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix/store", "/run/current-system", NULL};
  gboolean is_nixos = access ("/run/current-system", F_OK) == 0 && access ("/nix/store", F_OK) == 0 &&
                      access ("/etc/NIXOS", F_OK) == 0;
  const char *const *lists[] = {is_nixos ? nixos : usual, everywhere};
  GArray *list = vm_host_list_new ();

  for (gsize i = 0; i < G_N_ELEMENTS (lists); i++)
    for (const char *const *path = lists[i]; *path != NULL; path++)
      vm_host_list_add (list, *path, FALSE);
  host->root = vm_host_list_end (list);
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *)a, *(const char *const *)b);
}

/* Sorted names in a directory that `keep` accepts, at most `max`. */
static GPtrArray *
list_names (const char *path, gboolean (*keep) (const char *name, gconstpointer data), gconstpointer data,
            guint max)
{
  GPtrArray *names = g_ptr_array_new_with_free_func (g_free);
  DIR *dir = opendir (path);
  struct dirent *entry;

  while (dir != NULL && names->len < max && (entry = readdir (dir)) != NULL)
    if (keep (entry->d_name, data))
      g_ptr_array_add (names, g_strdup (entry->d_name));
  if (dir != NULL)
    closedir (dir);
  g_ptr_array_sort (names, compare_names);
  return names;
}

static gboolean
has_prefix (const char *name, gconstpointer prefix)
{
  return g_str_has_prefix (name, prefix);
}

static void
add_etc_rule (GArray *list, const char *name)
{
  gsize length = strlen (name);
  g_autofree char *path = g_build_filename ("/etc", name, NULL);
  g_autofree char *prefix = g_strndup (name, length - 1);
  g_autoptr (GPtrArray) names = NULL;

  if (name[length - 1] != '*') {
    vm_host_list_add (list, path, TRUE);
    return;
  }
  names = list_names ("/etc", has_prefix, prefix, 64);
  for (guint i = 0; i < names->len; i++) {
    g_autofree char *one = g_build_filename ("/etc", names->pdata[i], NULL);

    vm_host_list_add (list, one, TRUE);
  }
}

void
vm_host_gather_etc (VmHost *host)
{
  GArray *list = vm_host_list_new ();

  for (const VmEtcRule *rule = vm_etc_rules; rule->name != NULL; rule++)
    add_etc_rule (list, rule->name);
  host->etc = vm_host_list_end (list);
  host->timezone = g_file_read_link ("/etc/localtime", NULL);
  if (host->timezone != NULL && !g_utf8_validate (host->timezone, -1, NULL))
    g_clear_pointer (&host->timezone, g_free);
}

/* git-credential-store keeps passwords in ~/.config/git/credentials, and -cache its socket below it. */
static gboolean
is_git_setting (const char *name, gconstpointer data)
{
  return !g_str_equal (name, ".") && !g_str_equal (name, "..") && !g_str_has_prefix (name, "credential");
}

void
vm_host_list_resolve (GArray *list)
{
  for (guint i = 0; i < list->len; i++) {
    VmHostEntry *entry = &g_array_index (list, VmHostEntry, i);
    char *real = realpath (entry->path, NULL);

    if (real != NULL && !g_str_equal (real, entry->path) && g_utf8_validate (real, -1, NULL))
      entry->real = g_strdup (real);
    free (real);
  }
}

static void
add_below (GArray *list, const char *dir, const char *name)
{
  g_autofree char *path = g_build_filename (dir, name, NULL);

  vm_host_list_add (list, path, FALSE);
}

void
vm_host_gather_dotfiles (VmHost *host)
{
  static const char *const files[] = {".gitconfig", ".ssh", ".config/gh", ".claude", ".claude.json", NULL};
  const char *home = host->home_real != NULL ? host->home_real : host->home;
  g_autofree char *git = g_build_filename (home, ".config", "git", NULL);
  g_autofree char *claude = g_build_filename (home, ".claude", NULL);
  g_autoptr (GPtrArray) names = list_names (git, is_git_setting, NULL, GIT_FILES_MAX);
  GArray *list = vm_host_list_new ();

  for (const char *const *file = files; *file != NULL; file++)
    add_below (list, home, *file);
  for (guint i = 0; i < names->len; i++)
    add_below (list, git, names->pdata[i]);
  for (const VmClaudePath *path = vm_claude_paths; path->name != NULL; path++)
    add_below (list, claude, path->name);
  vm_host_list_resolve (list);
  host->dotfiles = vm_host_list_end (list);
}

void
vm_host_gather_extra (VmHost *host)
{
  static const char *const places[] = {"/dev/dri",
                                       VM_HOST_FONT_CACHE,
                                       VM_HOST_RESOLV_CONF,
                                       "/run/opengl-driver",
                                       "/nix/var/nix/db",
                                       "/nix/var/nix/profiles",
                                       NULL};
  g_autofree char *usual = g_build_filename (host->home, ".Xauthority", NULL);
  const char *named = g_environ_getenv (host->environment, "XAUTHORITY");
  const char *file = named != NULL && *named != '\0' ? named : usual;
  GArray *list = vm_host_list_new ();

  for (const char *const *place = places; *place != NULL; place++)
    vm_host_list_add (list, *place, FALSE);
  host->extra = vm_host_list_end (list);
  if (g_path_is_absolute (file) && g_utf8_validate (file, -1, NULL) && access (file, R_OK) == 0)
    host->xauthority = g_strdup (file);
}

const VmHostEntry *
vm_host_entry (const VmHostEntry *entries, const char *path)
{
  for (; entries != NULL && entries->path != NULL; entries++)
    if (g_str_equal (entries->path, path))
      return entries;
  return NULL;
}

gboolean
vm_host_is_nixos (const VmHost *host)
{
  return vm_host_entry (host->root, "/run/current-system") != NULL;
}
