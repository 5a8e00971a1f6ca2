/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/host.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/checks.h"
#include "vmctl/host-parts.h"

/* getpwuid with an error that says how to mend it. Borrowed from libc. */
static struct passwd *
find_user (GError **error)
{
  struct passwd *pw;

  errno = 0;
  pw = getpwuid (geteuid ());
  if (pw == NULL)
    vm_error (error, VM_ERROR_HOST,
              "uid %u has no entry in the passwd database%s%s; add one, or run vmctl as another user",
              (unsigned)geteuid (), errno != 0 ? ": " : "", errno != 0 ? g_strerror (errno) : "");
  return pw;
}

char *
vm_host_home (GError **error)
{
  struct passwd *pw = find_user (error);

  return pw != NULL ? g_canonicalize_filename (pw->pw_dir, "/") : NULL;
}

/* The passwd database, not $HOME and $USER: under sudo those are root's. */
static gboolean
gather_identity (VmHost *host, GError **error)
{
  struct passwd *pw = find_user (error);
  struct group *gr;
  const char *sudo_uid = g_getenv ("SUDO_UID");

  if (pw == NULL)
    return FALSE;
  host->user = g_strdup (pw->pw_name);
  host->home = g_canonicalize_filename (pw->pw_dir, "/");
  host->shell = g_strdup (pw->pw_shell != NULL && *pw->pw_shell != '\0' ? pw->pw_shell : "/bin/sh");
  host->uid = pw->pw_uid;
  host->gid = pw->pw_gid;
  gr = getgrgid (host->gid);
  host->group = g_strdup (gr != NULL ? gr->gr_name : host->user);
  host->is_sudo = host->uid != 0 && sudo_uid != NULL && g_ascii_strtoull (sudo_uid, NULL, 10) == host->uid;
  return TRUE;
}

/* Real path of what exists of `path`, the rest as written. */
static char *
resolve (const char *path)
{
  g_autofree char *head = g_strdup (path);

  for (;;) {
    char *real = realpath (head, NULL), *slash, *whole;

    if (real != NULL) {
      whole = g_strconcat (g_str_equal (real, "/") ? "" : real, path + strlen (head), NULL);
      free (real);
      if (*whole != '\0')
        return whole;
      g_free (whole);
      return g_strdup ("/");
    }
    slash = strrchr (head, '/');
    if (slash == NULL || slash == head)
      return g_strdup (path);
    *slash = '\0';
  }
}

static void
add_resolved (GPtrArray *out, const char *path)
{
  char *real = resolve (path);

  if (g_str_equal (real, path) || g_ptr_array_find_with_equal_func (out, real, g_str_equal, NULL))
    g_free (real);
  else
    g_ptr_array_add (out, real);
}

/* The places that a project must keep away from, where a symbolic link makes them another path than the one
 * that is written. */
static void
gather_secret (VmHost *host)
{
  GPtrArray *out = g_ptr_array_new_null_terminated (8, g_free, TRUE);
  g_autofree char *ssh = g_build_filename (host->home, ".ssh", NULL);
  g_autofree char *gnupg = g_build_filename (host->home, ".gnupg", NULL);
  const char *places[] = {
      host->home,       ssh, gnupg, host->dirs.runtime, host->dirs.state, host->dirs.cache, host->dirs.data,
      host->dirs.config};
  g_autofree char *home = resolve (host->home);

  if (!g_str_equal (home, host->home))
    host->home_real = g_steal_pointer (&home);
  for (gsize i = 0; i < G_N_ELEMENTS (places); i++)
    add_resolved (out, places[i]);
  host->secret = (char **)g_ptr_array_free (out, FALSE);
}

/* A limit in a file with one number, such as a control group's; anything else ("max") is none. */
static guint64
read_limit (const char *path)
{
  vm_autofd fd = open (path, O_RDONLY | O_CLOEXEC);
  g_autofree char *text = fd >= 0 ? vm_fd_read_all (fd, 64, NULL, NULL) : NULL;
  guint64 value = 0;

  if (text != NULL && g_ascii_string_to_unsigned (g_strstrip (text), 10, 1, G_MAXUINT64, &value, NULL))
    return value;
  return G_MAXUINT64;
}

/* A processor whose vendor's module is missing runs no ordinary guest: kvm_pvm, which cloud machines have, is
 * opened like any other, and then emulates every instruction of a kernel that was not made for it. */
char *
vm_host_kvm_problem (void)
{
  if (access ("/sys/module/kvm", F_OK) < 0 || access ("/sys/module/kvm_intel", F_OK) == 0 ||
      access ("/sys/module/kvm_amd", F_OK) == 0)
    return NULL;
  return g_strdup_printf ("this host's KVM uses neither VT-x nor AMD-V%s and runs only kernels made for it",
                          access ("/sys/module/kvm_pvm", F_OK) == 0 ? " (kvm_pvm)" : "");
}

static void
gather_sizes (VmHost *host)
{
  struct sysinfo info;
  cpu_set_t set;
  vm_autofd kvm = open ("/dev/kvm", O_RDWR | O_CLOEXEC);
  guint64 v1 = read_limit ("/sys/fs/cgroup/memory/memory.limit_in_bytes");
  guint64 v2 = read_limit ("/sys/fs/cgroup/memory.max");

  host->kvm = kvm >= 0;
  host->kvm_problem = host->kvm ? vm_host_kvm_problem () : NULL;
  host->memory = sysinfo (&info) == 0 ? (guint64)info.totalram * info.mem_unit : 0;
  host->memory = MIN (host->memory, MIN (v1, v2));
  host->cpus =
      sched_getaffinity (0, sizeof set, &set) == 0 ? (guint)CPU_COUNT (&set) : g_get_num_processors ();
}

char *
vm_host_find_program (const char *name, const char *const *more)
{
  static const char *const none[] = {NULL};
  g_auto (GStrv) path = g_strsplit (g_getenv ("PATH") != NULL ? g_getenv ("PATH") : "", ":", -1);
  const char *const *lists[] = {(const char *const *)path, more != NULL ? more : none};

  for (gsize i = 0; i < G_N_ELEMENTS (lists); i++)
    for (const char *const *dir = lists[i]; *dir != NULL; dir++) {
      g_autofree char *file = g_build_filename (*dir, name, NULL);

      if (g_path_is_absolute (file) && g_file_test (file, G_FILE_TEST_IS_REGULAR) && access (file, X_OK) == 0)
        return g_steal_pointer (&file);
    }
  return NULL;
}

static char *
find_firmware (const char *qemu)
{
  g_autofree char *real = resolve (qemu);
  g_autofree char *dir = g_path_get_dirname (real);
  g_autofree char *beside = g_build_filename (dir, "../share/qemu", NULL);
  const char *dirs[] = {beside, "/usr/share/qemu", "/usr/share/qemu-kvm", "/usr/local/share/qemu"};

  for (gsize i = 0; i < G_N_ELEMENTS (dirs); i++) {
    g_autofree char *file = g_build_filename (dirs[i], "qboot.rom", NULL);

    if (access (file, R_OK) == 0)
      return g_canonicalize_filename (file, "/");
  }
  return NULL;
}

static void
gather_programs (VmHost *host)
{
  const char *more[] = {"/usr/bin", "/usr/local/bin", "/run/current-system/sw/bin", NULL};
  const char *libexec[] = {"/usr/libexec", NULL};
  g_autofree char *systemd_run = NULL;

  host->qemu = vm_host_find_program ("qemu-system-x86_64", more);
  if (host->qemu == NULL)
    host->qemu = vm_host_find_program ("qemu-kvm", libexec);
  host->firmware = host->qemu != NULL ? find_firmware (host->qemu) : NULL;
  host->bwrap = vm_host_find_program ("bwrap", more);
  systemd_run = vm_host_find_program ("systemd-run", more);
  vm_groups_gather (host->uid, systemd_run, &host->groups);
  host->userns_mend = g_strdup (vm_check_userns_mend ());
  vm_host_gather_nspawn (host);
  host->tun = access ("/dev/net/tun", R_OK | W_OK) == 0;
  host->keeper = vm_dirs_helper (&host->dirs, "vmctl-keeper", NULL);
  host->ram_preload = vm_dirs_helper (&host->dirs, "vmctl-ram.so", NULL);
  host->agent = vm_dirs_helper (&host->dirs, "vmctl-agent", NULL);
}

/* What makes it into /etc/hostname inside is a host name and nothing else. */
static char *
find_hostname (void)
{
  char name[HOST_NAME_MAX + 1] = "";

  if (gethostname (name, sizeof name - 1) < 0 || *name == '\0')
    return g_strdup ("localhost");
  for (char *p = name; *p != '\0'; p++)
    if (!g_ascii_isalnum (*p) && *p != '.')
      *p = '-';
  return g_strdup (name);
}

gboolean
vm_host_gather (VmHost *ret, GError **error)
{
  VmHost host = {0};

  if (!gather_identity (&host, error) || !vm_dirs_find (host.home, &host.dirs, error)) {
    vm_host_clear (&host);
    return FALSE;
  }
  host.hostname = find_hostname ();
  /* Not $PWD, which may lead through a symbolic link. */
  host.cwd = resolve (".");
  host.environment = g_get_environ ();
  gather_secret (&host);
  vm_host_gather_root (&host);
  vm_host_gather_etc (&host);
  vm_host_gather_dotfiles (&host);
  vm_host_gather_sockets (&host);
  vm_host_gather_extra (&host);
  gather_sizes (&host);
  gather_programs (&host);
  host.project.present = g_new0 (VmHostEntry, 1);
  *ret = host;
  return TRUE;
}

void
vm_host_entries_free (VmHostEntry *entries)
{
  for (VmHostEntry *e = entries; e != NULL && e->path != NULL; e++) {
    g_free (e->path);
    g_free (e->link);
    g_free (e->real);
  }
  g_free (entries);
}

void
vm_host_project_clear (VmHostProject *project)
{
  g_free (project->path);
  g_free (project->git_dir);
  g_free (project->worktree);
  g_strfreev (project->modules);
  vm_host_entries_free (project->present);
  *project = (VmHostProject){0};
}

void
vm_host_clear (VmHost *host)
{
  char *strings[] = {host->user,         host->group,          host->home,
                     host->shell,        host->home_real,      host->cwd,
                     host->hostname,     host->timezone,       host->qemu,
                     host->qemu_version, host->bwrap,          host->firmware,
                     host->keeper,       host->agent,          host->kernel,
                     host->vmlinux,      host->kernel_version, host->kernel_problem,
                     host->initramfs,    host->disk_base,      host->qemu_problem,
                     host->kvm_problem,  host->ram_preload,    host->qemu_id,
                     host->firmware_id,  host->cpu_id,         host->userns_mend,
                     host->xauthority,   host->nspawn,         host->nspawn_version,
                     host->root_problem, host->xorg,           host->xvfb,
                     host->xorg_problem, host->window_manager, host->gtk_problem,
                     host->modules_dir,  host->xvnc,           host->viewer};

  for (gsize i = 0; i < G_N_ELEMENTS (strings); i++)
    g_free (strings[i]);
  g_strfreev (host->environment);
  g_strfreev (host->templates);
  g_strfreev (host->secret);
  vm_host_entries_free (host->root);
  vm_host_entries_free (host->etc);
  vm_host_entries_free (host->dotfiles);
  vm_host_entries_free (host->extra);
  vm_host_entries_free (host->path_dirs);
  vm_host_sockets_free (host->sockets);
  vm_host_program_clear (&host->program);
  vm_groups_clear (&host->groups);
  vm_groups_clear (&host->root_groups);
  vm_dirs_clear (&host->dirs);
  vm_image_clear (&host->image);
  vm_host_project_clear (&host->project);
  *host = (VmHost){0};
}

gboolean
vm_host_env_is_plain (const char *name)
{
  static const char *const plain[] = {
      "COLORTERM", "EDITOR", "LANG",  "LANGUAGE", "LOCALE_ARCHIVE", "NO_COLOR",          "PAGER", "PATH",
      "TERM",      "TZ",     "TZDIR", "VISUAL",   "SSL_CERT_FILE",  "NIX_SSL_CERT_FILE", NULL};

  return g_str_has_prefix (name, "LC_") || g_strv_contains (plain, name);
}
