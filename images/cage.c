/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/cage.h"

#include <unistd.h>

#include "vmctl/base/error.h"

#define MEMORY_MAX ((guint64)4 << 30)
#define FILE_MIN ((guint64)16 << 20) /* its words and results go to memory files, which are files */

char *
image_cage_program (const char *name, const char *package, GError **error)
{
  /* Users' PATH seldom has the sbin directories. */
  static const char *const places[] = {"/usr/sbin", "/sbin", "/usr/local/sbin", "/run/current-system/sw/bin"};
  char *found = g_find_program_in_path (name);

  for (guint i = 0; found == NULL && i < G_N_ELEMENTS (places); i++) {
    g_autofree char *path = g_build_filename (places[i], name, NULL);

    if (g_file_test (path, G_FILE_TEST_IS_EXECUTABLE))
      found = g_steal_pointer (&path);
  }
  if (found == NULL)
    vm_error (error, VM_ERROR_HOST, "'%s' is missing; install it (Debian: apt install %s)", name, package);
  return found;
}

/* Where programs and libraries are, on any distribution. */
static void
bind_system (VmArgv *argv)
{
  static const char *const places[] = {"/usr",
                                       "/bin",
                                       "/sbin",
                                       "/lib",
                                       "/lib32",
                                       "/lib64",
                                       "/nix/store",
                                       "/etc/ld.so.cache",
                                       "/etc/alternatives"};

  for (guint i = 0; i < G_N_ELEMENTS (places); i++)
    vm_argv_add_many (argv, "--ro-bind-try", places[i], places[i], NULL);
}

VmArgv *
image_cage_new (const ImageTools *tools, GError **error)
{
  g_autofree char *bwrap = image_cage_program ("bwrap", "bubblewrap", error);
  g_autoptr (VmArgv) argv = vm_argv_new ();

  if (bwrap == NULL)
    return NULL;
  vm_argv_clearenv (argv);
  vm_argv_setenv (argv, "PATH", "/usr/bin:/bin");
  vm_argv_setenv (argv, "LC_ALL", "C.UTF-8");
  vm_argv_add_many (argv, tools->keeper, "--cage", "yes", "--", bwrap, "--unshare-pid", "--unshare-net",
                    "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try", "--die-with-parent",
                    "--new-session", "--as-pid-1", "--cap-drop", "ALL", NULL);
  /* The keeper has made a user namespace for a user. Root stays root of the host: in a namespace of its own
   * it could not read what is other users'. */
  if (geteuid () == 0)
    vm_argv_add_many (argv, "--cap-add", "CAP_DAC_OVERRIDE", NULL);
  bind_system (argv);
  vm_argv_add_many (argv, "--dev", "/dev", "--tmpfs", "/tmp", "--ro-bind", tools->ext, IMAGE_CAGE_EXT, NULL);
  return g_steal_pointer (&argv);
}

void
image_cage_bind (VmArgv *argv, const char *path, const char *inside, gboolean writable)
{
  vm_argv_add_many (argv, writable ? "--bind" : "--ro-bind", path, inside, NULL);
}

void
image_cage_enter (VmArgv *argv, guint64 file_max)
{
  vm_argv_add_many (argv, "--chdir", "/", "--", IMAGE_CAGE_EXT, "limit", NULL);
  vm_argv_addf (argv, "%" G_GUINT64_FORMAT, MEMORY_MAX);
  vm_argv_addf (argv, "%" G_GUINT64_FORMAT, MAX (file_max, FILE_MIN));
  vm_argv_add (argv, "--");
}
